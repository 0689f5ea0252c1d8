"""The record, which Tenfold and DVC share: both agree on it after every change, and bytes are held against it."""

import re
import shutil

import yaml
from conftest import comparable
from minis import Ended, Mini, Minis


def new_parameter(mini: Mini) -> None:
    mini.edit("flows/mini.py", lambda code: code.replace("keep=10", "keep=11"))


def new_source(mini: Mini) -> None:
    (mini.root / "texts/c.txt").write_text("sphinx of black quartz judge my vow")


def new_code(mini: Mini) -> None:
    mini.edit("tasks/mini.py", lambda code: code.replace("VERSION = 1", "VERSION = 2"))


def new_command(mini: Mini) -> None:
    mini.edit("flows/mini.py", lambda code: code.replace('each={"seed": (0, 1)}', 'each={"seed": (1, 2)}'))


def lost_output(mini: Mini) -> None:
    for path in (mini.root / "data/quick/mini/cleaned").iterdir():
        path.unlink()


def nothing(mini: Mini) -> None:
    pass


def well(ended: Ended) -> str:
    assert ended.code == 0, ended.output
    return ended.output


def test_dvc_and_tenfold_give_the_same_digests_after_every_kind_of_change(minis: Minis) -> None:
    """And each takes what the other has recorded. Of a training: test_dvc_repro.py."""
    ours, theirs = minis.done("ours"), minis.done("theirs")
    for change in (nothing, new_parameter, new_source, new_code, new_command, lost_output):
        change(ours)
        change(theirs)
        before = len(ours.computed()), len(theirs.computed())
        well(ours.reproduce())
        well(theirs.do("compile"))
        well(theirs.do("repro", program="dvc"))
        assert comparable(ours) == comparable(theirs), f"after {change.__name__}"
        assert (len(ours.computed()) > before[0]) == (change not in (nothing, lost_output)), "the change is none"
        assert len(theirs.computed()) - before[1] >= len(ours.computed()) - before[0], "dvc did not run it"
        well(theirs.reproduce())
        assert "Nothing to do" in well(theirs.reproduce()), f"tenfold trusts what dvc did: {change.__name__}"
        status = well(ours.do("repro", program="dvc"))
        described = (":code'", ":environment'", ":machine'")
        ran = [line for line in status.splitlines() if "Running" in line and not any(d in line for d in described)]
        assert ran == [], f"dvc trusts what tenfold did: {change.__name__}"
    assert (ours.root / "data/sources/texts/c.txt").exists(), "a folder of one's own is read again when it changes"


def test_a_run_says_whether_its_bytes_are_those_on_record(minis: Minis) -> None:
    """A stranger's first run confirms the record stage by stage, or names what differs on that machine."""
    mini = minis.done()
    lock = mini.root / "pipelines/quick/mini/dvc.lock"

    def again() -> str:
        for folder in (".dvc/cache", "data/quick/mini"):
            shutil.rmtree(mini.root / folder)
        said = well(mini.reproduce())
        return next(line for line in said.splitlines() if line.startswith("Bytes as on record"))

    compared = re.fullmatch(r"Bytes as on record: (\d+) of (\d+) stages", again())
    assert compared is not None
    assert compared[1] == compared[2] > "1"
    recorded = yaml.safe_load(lock.read_text())
    out = recorded["stages"]["drawn-1"]["outs"][0]
    out["md5"] = "0" * 32 + ".dir"
    lock.write_text(yaml.safe_dump(recorded))
    assert again().endswith("; not mini/drawn-1"), "a measuring stage is never compared"


def test_what_is_not_on_record_is_not_said_to_be_verified(minis: Minis) -> None:
    """Without the lock file, the outputs of all stages were what the record says."""
    mini = minis.done()
    (mini.root / "pipelines/quick/mini/dvc.lock").unlink()
    said = well(mini.do("verify"))
    assert "objects of 2 stages" in said
    assert "nothing is on record: mini/cleaned" in said
    shutil.rmtree(mini.root / "pipelines")
    (mini.root / "dvc.lock").unlink()
    ended = mini.do("verify")
    assert ended.code == 1
    assert "is on record at quick" in ended.last_words


def test_what_the_cache_has_lost_is_not_left_out_of_a_push(minis: Minis) -> None:
    """DVC pushes what is there, and says that it has."""
    mini = minis.done()
    victim = next(path for path in (mini.root / ".dvc/cache/files").rglob("*") if path.is_file())
    victim.unlink()
    ended = mini.do("data", "push")
    assert ended.code == 1
    assert "so nothing was pushed: tenfold reproduce puts them back" in ended.last_words
    well(mini.reproduce())
    victim.unlink()
    victim.mkdir()
    assert "its bytes are not what its name says" in mini.do("verify").output
    well(mini.reproduce())
    well(mini.do("verify"))


def test_our_cache_is_pushed_and_not_another_that_dvc_is_told_of(minis: Minis) -> None:
    """Where somebody's settings share a cache among projects, nothing was pushed, with exit code 0."""
    mini = minis.done()
    shutil.rmtree(mini.root.parent / "remote", ignore_errors=True)
    theirs = mini.root.parent / "dvc-global/config"
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text(f"[cache]\n    dir = {mini.root.parent / 'shared'}\n")
    try:
        assert int(well(mini.do("data", "push")).split()[0]) > 0
        for path in (".dvc/cache", "data/quick"):
            shutil.rmtree(mini.root / path)
        assert int(well(mini.do("data", "pull")).split()[0]) > 0
    finally:
        theirs.unlink()
    well(mini.do("verify"))


def test_a_remote_that_cannot_be_reached_is_a_sentence(minis: Minis) -> None:
    """A line for each file, and none of them plain."""
    mini = minis.done()
    (mini.root / ".dvc/config").write_text("[core]\n    remote = x\n['remote \"x\"']\n    url = /proc/nowhere\n")
    ended = mini.do("data", "push")
    assert ended.code == 1
    assert (
        ended.output.strip()
        == "tenfold: dvc push did not succeed: [Errno 2] No such file or directory: '/proc/nowhere'"
    )
    shutil.rmtree(mini.root / ".dvc/cache")
    shutil.rmtree(mini.root / "data/quick/mini/drawn-0")
    assert "1 recorded outputs are not here, for the remote does not have them" in mini.do("data", "pull").output
