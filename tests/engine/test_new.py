"""`tenfold new`: what it writes is in the house style for every name, and a wrong name writes nothing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

import flows.engine.new
from flows.engine.new import write
from tasks.base.errors import UserError


def everything() -> set[Path]:
    return {path for room in ("flows", "tasks", "tests") for path in (ROOT / room).iterdir()}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Vowels", "cannot be a paper's name"),
        ("two-words", "cannot be a paper's name"),
        ("9lives", "cannot be a paper's name"),
        ("../outside", "cannot be a paper's name"),
        ("class", "cannot be a paper's name"),
        ("a" * 41, "cannot be a paper's name"),
        ("engine", "there is flows/engine already"),
        ("judging", "there is tasks/judging already"),
        ("json", "means something else"),
        ("numpy", "means something else"),
        ("data", "means something else"),
        ("all", "means something else"),
        ("report", "means something else"),
    ],
)
def test_a_name_that_cannot_be_a_papers_writes_nothing(name: str, said: str) -> None:
    """Such a name would shadow a module, or hide another pipeline or deployment."""
    before = everything()
    with pytest.raises(UserError, match=said):
        write(name, "python-stdlib")
    assert everything() == before


def test_a_source_that_is_not_there_writes_nothing() -> None:
    before = everything()
    with pytest.raises(UserError, match="Did you mean python-stdlib"):
        write("vowels", "python-stdlb")
    assert everything() == before


@pytest.mark.parametrize("name", ["alpha", "judging_2", "vowels", "z" * 40])
def test_the_skeleton_needs_no_reformatting(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of imports and the width of lines depend on the name."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for room in ("flows", "tasks", "models"):
        # What is imported has to be there, for ruff to know it from a library.
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    before = set(tmp_path.rglob("*.py"))
    monkeypatch.setattr(flows.engine.new, "ROOT", tmp_path)
    written = write(name, "python-stdlib")
    assert {tmp_path / path for path in written} == set(tmp_path.rglob("*.py")) - before
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, *written]
        ended = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout
    with pytest.raises(UserError, match="taken"):
        write(name, "python-stdlib")
