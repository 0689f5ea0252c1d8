"""What changes a stage's identity: what can change its bytes, and nothing else."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.engine.discover import papers
from tasks.base import manifest as module
from tasks.base.errors import UserError
from tasks.base.manifest import PACKAGES, changes, library_version, manifest

CODE = '''"""Fits a line."""

import json
from typing import TYPE_CHECKING

import numpy

from models import shapes

if TYPE_CHECKING:
    import torch

SLOPE = 2.0
"""How steep."""


def fit(data: "torch.Tensor", page: str = "page.html.jinja") -> float:
    """Fit it."""
    # the easy way
    return SLOPE * len(data)


def other() -> None:
    import PIL
'''


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one task module, one model and a template; what was read of another is forgotten."""
    for name, text in {
        "tasks/base/determinism.py": "",
        "tasks/lines.py": CODE,
        "tasks/page.html.jinja": "<p>",
        "models/shapes.py": "SIDES = 3\n",
        "data/words.yaml": "[a]\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "REMEMBERED", tmp_path / ".tenfold/code.json")
    module._remembered.cache_clear()
    yield tmp_path / "tasks/lines.py"
    module._remembered.cache_clear()


def edited(path: Path, old: str, new: str) -> list[str]:
    """What the manifest says changed by one edit of a file."""
    before = manifest("tasks.lines")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return changes(before, manifest("tasks.lines"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# the easy way", "# another way"),
        ('"""Fit it."""', '"""Fit the line."""'),
        ('"""How steep."""', '"""Its slope."""'),
        ("SLOPE * len(data)", "(SLOPE * len( data ))"),
        ("    import torch", "    import scipy"),
    ],
)
def test_what_no_run_can_see_changes_nothing(code: Path, old: str, new: str) -> None:
    assert edited(code, old, new) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("SLOPE = 2.0", "SLOPE = 3.0", "SLOPE in tasks/lines.py"),
        ("SLOPE * len(data)", "len(data)", "fit in tasks/lines.py"),
        ("import numpy", "import scipy", "imports in tasks/lines.py"),
        ("def other", "def another", "another, other in tasks/lines.py"),
    ],
)
def test_an_edit_is_named_by_its_definition(code: Path, old: str, new: str, said: str) -> None:
    assert edited(code, old, new)[0] == said


def test_what_is_imported_and_what_is_named_belongs_to_the_code(code: Path) -> None:
    root = code.parents[1]
    assert edited(root / "models/shapes.py", "3", "4") == ["SIDES in models/shapes.py"]
    assert edited(root / "tasks/page.html.jinja", "<p>", "<b>") == ["tasks/page.html.jinja"]
    assert edited(root / "tasks/base/determinism.py", "", "THREADS = 1") == ["THREADS in tasks/base/determinism.py"]
    code.write_text(CODE + 'WORDS = "data/words.yaml"\n')
    assert edited(root / "data/words.yaml", "a", "b") == ["data/words.yaml"]


def test_libraries_are_those_that_the_code_imports_by_their_versions(
    code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those that only type checkers read, nor the standard library; Pillow is imported as PIL."""
    before = manifest("tasks.lines")
    assert before["libraries"] == {"numpy": library_version("numpy"), "PIL": library_version("PIL")}
    assert "absent" not in before["libraries"].values()
    monkeypatch.setattr(module, "library_version", lambda name: "0.0")
    assert f"numpy {library_version('numpy')} → 0.0" in changes(before, manifest("tasks.lines"))


def test_what_is_remembered_is_forgotten_when_the_file_changes(code: Path) -> None:
    """A stale memory would give a stale result: here the size stays, and only the time tells."""
    manifest("tasks.lines")
    module._remembered.cache_clear()
    assert edited(code, "SLOPE = 2.0", "SLOPE = 4.0") == ["SLOPE in tasks/lines.py"]
    module.REMEMBERED.write_text("not JSON")
    module._remembered.cache_clear()
    assert "SLOPE" in manifest("tasks.lines")["code"]["tasks/lines.py"]


def test_code_that_python_cannot_read_is_one_sentence(code: Path) -> None:
    code.write_text("def fit(:\n")
    with pytest.raises(UserError, match=r"tasks/lines.py, line 1: Python cannot read it"):
        manifest("tasks.lines")
    with pytest.raises(UserError, match=r"no module tasks\.nothing"):
        manifest("tasks.nothing")


def test_what_seeds_every_library_brings_none_into_a_stage() -> None:
    """Else every stage would import torch, for seconds, to seed what it never uses."""
    assert set(manifest("tasks.sources.fetch")["libraries"]).isdisjoint({"torch", "numpy"})
    assert "torch" in manifest("tasks.learning.lm")["libraries"]


@given(st.sampled_from(["a", "b", "c"]), st.integers(0, 9), st.text("xyz \n", max_size=8))
def test_any_value_changes_the_digest_and_no_comment_does(name: str, value: int, comment: str) -> None:
    lines = "".join(f"# {line}\n" for line in comment.split("\n"))

    def digests(text: str) -> list[str]:
        return [ast.dump(module._Stripped().visit(ast.parse(text)))]

    assert digests(f"{lines}{name} = {value}\n{lines}") == digests(f"{name}  =  {value}")
    assert digests(f"{name} = {value}") != digests(f"{name} = {value + 1}")


ON_GPUS = ("cupy", "cupyx")
"""Of the extra `gpu`, which is not installed where there is none."""


@pytest.mark.parametrize("name", sorted(papers()))
def test_every_library_of_a_paper_has_a_version_here(name: str) -> None:
    """A library whose package has another name would read as absent, and its upgrade re-run nothing."""
    for function in {stage.function for stage in papers()[name].stages.values()}:
        libraries = manifest(function.__module__)["libraries"]
        assert set(libraries).isdisjoint(PACKAGES)
        here = {version for library, version in libraries.items() if library not in ON_GPUS}
        assert "absent" not in here, libraries
