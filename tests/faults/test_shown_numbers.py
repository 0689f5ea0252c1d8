"""No number is shown whose bytes are not those of the record, also when nothing but a hash could tell.

A digit was changed in verdicts.json, and claims and report showed it with digests, run and commit.
"""

import os
import shutil
import subprocess

import pytest
from conftest import read_json
from minis import Mini, Minis

SHOWING = (
    ("claims", "mini"),
    ("trace", "mini/half-is-more"),
    ("report", "mini"),
    ("compare", "quick", "quick"),
    ("publish", "mini", "--profile", "quick"),
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


def other_digit(mini: Mini, name: str) -> None:
    """Change the last digit of a file, keeping its length and times."""
    path = mini.root / name
    before, text = path.stat(), path.read_text()
    place = max(i for i, letter in enumerate(text) if letter.isdigit())
    path.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    mini.run("-c", FORGET, name)
    assert "is up to date" in mini.do("why", name.split("/")[-2]).output, "the test would be of something else"


@pytest.fixture
def mini(minis: Minis) -> Mini:
    """A mini in which all is done and committed, and the digests of what was made last are remembered, too."""
    made = minis.done()
    assert made.do("status", "mini").code == 0
    return made


@pytest.mark.parametrize("file", ["verdicts/verdicts.json", "results/metrics.json", "results/tables.json"])
def test_an_altered_number_is_shown_by_nobody(mini: Mini, file: str) -> None:
    name = f"data/quick/mini/{file}"
    other_digit(mini, name)
    shutil.rmtree(mini.root / "report", ignore_errors=True)  # of the honest numbers
    for command in SHOWING:
        ended = mini.do(*command)
        assert ended.code == 1, f"{command}: {ended.output}"
        assert f"{name} is not what the record says" in ended.output, command
        assert len(ended.output.strip().splitlines()) == 1, command
    assert not (mini.root / "report/mini.html").exists()
    assert not (mini.root / "published/mini.json").exists()
    mend = ended.last_words.rpartition(": ")[2]
    folder, _, again = mend.removeprefix("rm -rf ").partition(" && tenfold ")
    subprocess.run(["rm", "-rf", folder], cwd=mini.root, check=True)
    assert mini.do(*again.split(), "--plain").code == 0
    assert "SUPPORTED" in mini.do("claims", "mini").output


def test_results_that_reproduce_shows_are_hashed_too(mini: Mini) -> None:
    other_digit(mini, "data/quick/mini/verdicts/verdicts.json")
    ended = mini.reproduce("mini")
    assert ended.code == 1
    assert "verdicts.json is not what the record says" in ended.output
    assert read_json(mini.root / "data/quick/mini/results/tables.json")
