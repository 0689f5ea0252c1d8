"""No number is shown whose bytes are not those of the record, also when nothing but a hash could tell.

A digit was changed in verdicts.json, and claims and report showed it with digests, run and commit.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import Clone, read_json

SHOWING = (
    ("claims", "tiny"),
    ("trace", "tiny/half-is-more"),
    ("report", "tiny"),
    ("compare", "quick", "quick"),
    ("publish", "tiny", "--profile", "quick"),
)
FORGET = """
import os, sys
from tasks.base.files import ROOT
from tasks.base.remembered import remember, remembered
from tasks.running.digests import REMEMBERED
known, path = remembered(REMEMBERED), sys.argv[1]
status = os.stat(ROOT / path)
known[path][0] = [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
remember(REMEMBERED, known)
"""
"""As after a disk that fails, no time says that the file has changed."""


def other_digit(clone: Clone, name: str) -> None:
    """Change the last digit of a file, keeping its length and times."""
    path = clone.root / name
    before, text = path.stat(), path.read_text()
    place = max(i for i, letter in enumerate(text) if letter.isdigit())
    path.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    clone.run("-c", FORGET, name)
    assert "is up to date" in clone.tenfold("why", name.split("/")[-2]).stdout, "the test would be of something else"


def commit(root: Path) -> None:
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run([*git, "add", "-A"], cwd=root, check=True)
    subprocess.run([*git, "commit", "-qm", "Results"], cwd=root, check=True)


@pytest.mark.parametrize("file", ["verdicts/verdicts.json", "results/metrics.json", "results/tables.json"])
def test_an_altered_number_is_shown_by_nobody(done: Clone, file: str) -> None:
    name = f"data/quick/tiny/{file}"
    done.tenfold("status", "tiny")  # so that the digests of what was made last are remembered, too
    commit(done.root)
    other_digit(done, name)
    shutil.rmtree(done.root / "report", ignore_errors=True)  # of the honest numbers
    for command in SHOWING:
        ended = done.tenfold(*command, check=False)
        assert ended.returncode == 1, f"{command}: {ended.stdout}"
        assert f"{name} is not what the record says" in ended.stderr, command
        assert len(ended.stderr.strip().splitlines()) == 1, command
        assert "SUPPORTED" not in ended.stdout, command
    assert not (done.root / "report/tiny.html").exists()
    assert not (done.root / "published/tiny.json").exists()
    mend = ended.stderr.strip().rpartition(": ")[2]
    folder, _, again = mend.removeprefix("rm -rf ").partition(" && tenfold ")
    subprocess.run(["rm", "-rf", folder], cwd=done.root, check=True)
    done.tenfold(*again.split())
    assert "SUPPORTED" in done.tenfold("claims", "tiny").stdout


def test_results_that_reproduce_shows_are_hashed_too(done: Clone) -> None:
    done.tenfold("status", "tiny")
    other_digit(done, "data/quick/tiny/verdicts/verdicts.json")
    ended = done.tenfold("reproduce", "tiny", check=False)
    assert ended.returncode == 1
    assert "verdicts.json is not what the record says" in ended.stderr
    assert read_json(done.root / "data/quick/tiny/results/tables.json")
