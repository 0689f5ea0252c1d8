"""The Dockerfile as a builder reads it: what it copies is in the repository, and passes .dockerignore."""

import re
import subprocess
import tomllib
from fnmatch import translate
from itertools import accumulate

import pytest
from conftest import ROOT


def ignored(path: str) -> bool:
    """Whether .dockerignore leaves a path out: the last pattern that matches it, or a folder above it, decides."""
    found = False
    for line in (ROOT / ".dockerignore").read_text().split("\n"):
        pattern = line.strip().removeprefix("!").strip("/")
        above = list(accumulate(path.split("/"), "{}/{}".format))
        if pattern and any(re.match(_expression(pattern), folder) for folder in above):
            found = not line.startswith("!")
    return found


def _expression(pattern: str) -> str:
    """A Docker pattern as a regular expression: `**` is any number of folders, `*` stays within one."""
    parts = [".*" if part == "**" else translate(part)[4:-3].replace(".*", "[^/]*") for part in pattern.split("/")]
    return "/".join(parts).replace(".*/", "(.*/)?") + r"\Z"


def tracked() -> list[str]:
    found = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True)
    return found.stdout.splitlines()


@pytest.mark.parametrize(
    ("path", "left_out"),
    [
        (".venv/bin/python", True),
        ("data/quick/btx/tokens/a", True),
        ("mlflow/mlflow.db-wal", True),
        ("flows/engine/__pycache__/a.pyc", True),
        ("tenfold.egg-info/PKG-INFO", True),
        ("data/sources.yaml", False),
        ("data/radit/wordings.yaml", False),
        ("mlflow/experiments.json", False),
        ("flows/engine/report.py", False),
    ],
)
def test_patterns_are_read_as_docker_reads_them(path: str, left_out: bool) -> None:
    """Otherwise the tests below would pass on anything."""
    assert ignored(path) == left_out


def test_all_of_the_repository_gets_into_the_container() -> None:
    """A folder of hand-made data that .dockerignore forgets is missing there alone."""
    assert [path for path in tracked() if ignored(path)] == []


def test_what_the_dockerfile_copies_is_there() -> None:
    every = tracked()
    lines = re.findall(r"^COPY (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    sources = [source for line in lines for source in line.split()[:-1]]
    assert "pyproject.toml" in sources
    assert [source for source in sources if source != "." and source not in every] == []
    assert lines[-1] == ". .", "the repository itself comes last, so that an edit does not install everything again"


def test_what_pip_reads_is_copied_before_it_runs() -> None:
    """`pip install` wants every file that pyproject.toml names, or warns and goes on with less."""
    before = (ROOT / "Dockerfile").read_text().partition("RUN make")[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert all(f" {name} " in before for name in (project["readme"], *project["license-files"]))
