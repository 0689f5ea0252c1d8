"""Remembered stages: never those of before a change, and the same answers as by reading the papers."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Clone

from tasks.base.remembered import remember, remembered

RUN = """
import sys
from tools.__main__ import main
sys.argv = ['tenfold', *sys.argv[1:]]
main()
print('read' if any(name.startswith('flows.tiny') for name in sys.modules) else 'remembered')
"""
NOTED = ".tenfold/plans/quick.json"


def asked(clone: Clone, *command: str, first: str = "") -> tuple[str, bool]:
    """What a command says, and whether it has read the papers for it."""
    *said, how = clone.run("-c", first + RUN, *command).stdout.splitlines()
    return "\n".join(line for line in said if not line.startswith("Compiled")), how == "read"


def asked_until_remembered(clone: Clone, *command: str) -> str:
    """What it says without reading the papers: what planning itself has just written is read once more."""
    for _ in range(4):
        time.sleep(0.1)  # what changed a moment ago may change again, and is not remembered
        said, read = asked(clone, *command)
        if not read:
            return said
    raise AssertionError("the papers are read again and again")


@pytest.fixture(scope="module")
def known(finished: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which everything has run; each test changes it, and goes on from the changes of the others."""
    return finished.copy(tmp_path_factory.mktemp("known") / "clone")


def appended(path: str, text: str = "\nEDITED = True\n") -> Callable[[Path], object]:
    return lambda root: (root / path).write_text((root / path).read_text() + text)


def written(path: str, text: str = "") -> Callable[[Path], object]:
    def write(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)

    return write


def other_letter(root: Path) -> None:
    """An edit that keeps size, inode and time of change, as far as a program can set it."""
    path = root / "flows/tiny.py"
    before, text = path.stat(), path.read_text()
    path.write_text(text.replace("Counting letters", "Counting lettres"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def other_bytes_in_the_memory(root: Path) -> None:
    text = (root / NOTED).read_text()
    (root / NOTED).write_text(text.replace("tiny:count", "tiny:other"))


def memory_of_another_checkout(root: Path) -> None:
    noted = remembered(root / NOTED)
    remember(root / NOTED, {**noted, "of": ["/elsewhere", *noted["of"][1:]]})


CHANGES: dict[str, Callable[[Path], object]] = {
    "a paper": appended("flows/tiny.py"),
    "a paper, with its size and time kept": other_letter,
    "a paper by an older file": lambda root: os.utime(root / "flows/tiny.py", (1, 1)),
    "a paper that another checkout links to": lambda root: os.link(root / "flows/tiny.py", root / ".tenfold/link"),
    "a task": appended("tasks/tiny.py"),
    "what a task imports": appended("tasks/learning/train.py"),
    "a model": appended("models/config.py"),
    "the engine": appended("flows/engine/expand.py"),
    "a new module": written("tasks/more/__init__.py"),
    "a template beside the code": written("tasks/template.txt", "words"),
    "a table": written("data/tables/table.yaml", "one: 1"),
    "the catalogue": appended("data/sources.yaml", "\n# more\n"),
    "a compiled file": appended("pipelines/quick/tiny/params.json", " "),
    "a compiled file that is gone": lambda root: (root / "pipelines/cpu/tiny/dvc.yaml").unlink(),
    "a compiled file of all papers": appended("prefect.yaml", "# more\n"),
    "a pipeline of no paper": written("pipelines/cpu/gone/dvc.yaml"),
    "a folder in which a profile is compiled": lambda root: (root / "pipelines/gpu/tiny").mkdir(parents=True),
    "a register that is gone": lambda root: (root / "pipelines/quick/tiny/registered.json").unlink(),
    "a manifest of code": appended("data/code/tasks.tiny.json", " "),
    "a source's own folder": lambda root: (root / "texts").rename(root / "elsewhere"),
    "a source's own folder that is back": lambda root: (root / "elsewhere").rename(root / "texts"),
    "no memory": lambda root: (root / NOTED).unlink(),
    "a memory cut short": lambda root: os.truncate(root / NOTED, 100),
    "a memory of other bytes": other_bytes_in_the_memory,
    "a memory without what it must say": lambda root: remember(root / NOTED, {"stages": []}),
    "a memory of another checkout": memory_of_another_checkout,
}


@pytest.mark.parametrize("change", CHANGES)
def test_after_a_change_the_papers_are_read_and_then_the_memory_says_the_same(known: Clone, change: str) -> None:
    """A plan of before an edit would show old results as those of the code as it is."""
    asked_until_remembered(known, "status")
    CHANGES[change](known.root)
    anew, read = asked(known, "status")
    assert read, f"{change}: the plan is that of before"
    assert asked_until_remembered(known, "status") == anew


def test_an_edit_shows_in_why_and_its_withdrawal_too(done: Clone) -> None:
    asked_until_remembered(done, "why", "line-0")
    before = (done.root / "flows/tiny.py").read_text()
    done.edit("flows/tiny.py", lambda code: code.replace("steps=400", "steps=300"))
    anew, _ = asked(done, "why", "line-0")
    assert "its setting optimisation.steps changed: 400 → 300" in anew
    assert asked_until_remembered(done, "why", "line-0") == anew
    (done.root / "flows/tiny.py").write_text(before)
    assert asked(done, "why", "line-0") == ("tiny/line-0 is up to date.", True)


def test_an_edit_of_the_same_length_in_the_same_second_shows(done: Clone) -> None:
    """Python takes the bytecode of the edit before for this one's, and what was planned by it would be remembered."""
    path = done.root / "flows/tiny.py"
    text, second = path.read_text(), int(time.time()) + 60  # as recent as an edit can be, whenever a command begins
    for word in ("first", "third"):
        path.write_text(text.replace('title="', f'title="{word} ', 1))
        os.utime(path, (second, second))
        assert f"{word} " in done.tenfold("list").stdout


def test_another_library_or_python_is_noticed(done: Clone, tmp_path: Path) -> None:
    asked_until_remembered(done, "status")
    metadata = tmp_path / "pydantic-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: pydantic\nVersion: 0.1\n")
    paths = f"{tmp_path}:{done.environment.get('PYTHONPATH', '')}".rstrip(":")
    older = replace(done, environment={**done.environment, "PYTHONPATH": paths})
    said, read = asked(older, "why", "cleaned")
    assert read
    assert "pydantic" in said
    asked_until_remembered(done, "status")
    _, read = asked(done, "status", first="import sys; sys.version = sys.version.replace('3.', '4.')\n")
    assert read


def test_papers_profiles_and_settings_are_remembered_apart(done: Clone) -> None:
    commands = [
        ("status",), ("status", "tiny"), ("status", "--profile", "cpu"), ("status", "-S", "counted.repeats=2"),
        ("status", "-S", "counted.repeats=3"),
    ]  # fmt: skip
    anew = [asked(done, *command)[0] for command in commands]
    assert len({*anew[1:]}) > 2
    for command, said in zip(commands, anew, strict=True):
        assert asked_until_remembered(done, *command) == said


def test_what_remembers_lets_nothing_pass_that_is_wrong(done: Clone) -> None:
    asked_until_remembered(done, "status")
    assert "no paper tyni" in done.tenfold("status", "tyni", check=False).stderr
    (done.root / "flows/other.py").write_text("raise ValueError('not yet')\n")
    for _ in range(3):
        assert "The paper other cannot be read" in done.tenfold("status").stderr, "it is said each time"


def test_data_and_machine_are_looked_at_whatever_is_remembered(done: Clone) -> None:
    asked_until_remembered(done, "status")
    (done.root / "data/quick/tiny/cleaned/a.txt").write_text("other")
    said, read = asked(done, "status")
    assert not read
    assert "● tiny/cleaned  its output data/quick/tiny/cleaned is modified" in said
    other = "import platform; platform.python_version = lambda: '9.9'\n"
    said, read = asked(done, "why", "counted", first=other)
    assert not read
    assert "the environment data/environment is modified" in said


def test_two_commands_at_once_leave_a_whole_memory(done: Clone) -> None:
    (done.root / ".tenfold/plans").mkdir(exist_ok=True)
    (done.root / NOTED).unlink(missing_ok=True)
    both = [done.start("status") for _ in range(2)]
    first, second = (
        [line for line in process.communicate()[0].splitlines() if not line.startswith("Waiting")] for process in both
    )
    assert first == second == asked_until_remembered(done, "status").splitlines()
