"""Code, settings and inputs that are replaced while a stage runs: its result is of neither state, and not kept."""

import fcntl
import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minis import Ended, Mini, Minis, Running, state, until, waits_for_a_lock
from world import Oracle, World

STOPPED: dict[str, Any] = {"who": "drawn-0", "what": "stop", "at": 8}
"""The stage stands still once it has read what its code is, and before it reads that again."""
WAITS = """
    while not (out.parent / ".go").exists():
        time.sleep(0.01)
"""
"""What a stage does that has read all and written all, and not ended yet."""


def test_an_edit_while_a_stage_runs_is_not_taken_for_its_result(minis: Minis) -> None:
    mini = minis.untouched()
    ours = mini.begin("reproduce", "--plain", fault=STOPPED)
    stage = mini.stopped()
    assert (mini.root / "data/quick/mini/.drawn-0.partial").exists(), "the stage has not begun"
    mini.edit("tasks/mini.py", lambda code: code + "\nEDITED = True\n")
    os.kill(stage, signal.SIGCONT)
    ended = ours.wait()
    assert ended.code == 1, ended.output
    assert "was edited while it ran" in ended.output
    assert "data/quick/mini/drawn-0" not in mini.digests()


def test_settings_that_another_command_compiles_meanwhile_do_not_get_into_the_record(minis: Minis) -> None:
    """The record said 200 mails of an output that a stage had made of 300: it reads its settings from the file."""
    mini = minis.untouched()
    ours = mini.begin("reproduce", "--plain", fault=STOPPED)
    stage = mini.stopped()
    mini.edit("flows/mini.py", lambda code: code.replace(
        "config=mini.Counting())\nhalf", "config=mini.Counting(repeats=2))\nhalf"
    ))  # fmt: skip
    assert mini.do("compile").code == 0
    os.kill(stage, signal.SIGCONT)
    ended = ours.wait()
    assert ended.code == 1, ended.output
    assert "does not hold the settings of mini/counted any more" in ended.output
    ended = mini.reproduce()
    assert ended.code == 0, ended.output
    made = json.loads((mini.root / ".tenfold/published/data--quick--mini--counted").read_text())
    assert made["digest"] == mini.digests()["data/quick/mini/counted"]
    assert mini.do("verify", "--rerun", "counted").code == 0


def test_a_reader_whose_input_is_replaced_meanwhile_tries_again(minis: Minis) -> None:
    """DVC empties an output before it makes it anew; the new folder may even get the number of the old one."""
    mini = minis.untouched()
    mini.edit("tasks/mini.py", lambda code: code.replace(
        "    for path in sorted(texts",
        '    import shutil\n'
        '    away = texts.parent / "away"\n'
        '    if not away.exists():\n'
        '        shutil.copytree(texts, away)\n'
        '        for path in texts.iterdir():\n'
        '            path.unlink()\n'
        '        shutil.copytree(away, texts, dirs_exist_ok=True)\n'
        '        raise FileNotFoundError(texts)\n'
        "    for path in sorted(texts",
    ))  # fmt: skip
    ended = mini.reproduce()
    assert ended.code == 0, ended.output
    assert mini.computed().count("cleaned") == 2, "its input was not replaced"


# As a `dvc repro` beside us does, and others who make an input anew


@contextmanager
def drawn_and_not_recorded(mini: Mini) -> Iterator[Running]:
    """A driver whose stages have drawn and stand before their ends, while we hold DVC's lock; it ends well."""
    mini.edit(
        "tasks/mini.py", lambda code: code.replace("randbytes(config.length))\n", f"randbytes(config.length)){WAITS}")
    )
    ours = mini.begin("reproduce", "--plain")
    until(lambda: (mini.root / "data/quick/mini/.drawn-0.partial/inner/drawn.bin").exists(), "the stage's drawing")
    with open(mini.root / ".dvc/tmp/lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield ours
    ended = ours.wait()
    assert ended.code == 0, ended.output


def go_on(mini: Mini, ours: Running) -> None:
    """Let the stages end; their driver then wants DVC's lock, too."""
    (mini.root / "data/quick/mini/.go").touch()
    until(lambda: waits_for_a_lock(ours.pid) or ours.is_over(), "the driver's wait")


def test_an_input_that_dvc_takes_apart_is_looked_at_when_it_is_whole(minis: Minis) -> None:
    """The driver said that it was edited, as DVC removes a folder and copies it back file by file."""
    mini = minis.untouched()
    with drawn_and_not_recorded(mini) as ours:
        path = mini.root / "data/quick/mini/cleaned/a.txt"
        text = path.read_text()
        path.unlink()
        go_on(mini, ours)
        path.write_text(text)
    assert mini.computed().count("drawn-0") == 1


def test_a_result_that_somebody_replaces_is_not_recorded_as_the_stages(minis: Minis) -> None:
    """As a pull puts in place what the record of before names; the record would then say that this stage made it."""
    mini = minis.untouched()
    with drawn_and_not_recorded(mini) as ours:
        go_on(mini, ours)
        path = mini.root / "data/quick/mini/drawn-0/inner/drawn.bin"
        drawn = path.read_bytes()
        path.write_bytes(bytes(len(drawn)))
    assert path.read_bytes() == drawn
    assert mini.computed().count("drawn-0") == 2
    assert mini.do("verify").code == 0


def ended_well(mini: Mini, ours: Running) -> Ended:
    """How the driver ends whose stage stood still, and may stand still again when it is tried again."""

    def is_over() -> bool:
        for pid in mini.processes():
            if state(pid) == "T":
                os.kill(pid, signal.SIGCONT)
        return ours.is_over()

    until(is_over, f"the end of the command:\n{ours.output()}")
    ended = ours.wait()
    assert ended.code == 0, ended.output
    return ended


def test_an_input_that_is_measured_anew_meanwhile_is_taken(minis: Minis, oracle: Oracle) -> None:
    world = World(minis.untouched(), oracle)
    ours = world.mini.begin("reproduce", "--plain", fault={"who": "results", "what": "stop", "at": 8})
    world.mini.stopped()
    before = world.mini.digests()["data/quick/mini/clocked"]
    ended = world.mini.do("repro", "-f", "-s", "pipelines/quick/mini/dvc.yaml:clocked", program="dvc")
    assert ended.code == 0, ended.output
    assert world.mini.digests()["data/quick/mini/clocked"] != before
    world.check_well(ended_well(world.mini, ours))


def test_a_result_of_an_input_that_was_replaced_meanwhile_is_not_kept(minis: Minis) -> None:
    """The stage may have read half of it; the same bytes lie there before and after."""
    mini = minis.untouched()
    ours = mini.begin("reproduce", "--plain", fault=STOPPED)
    mini.stopped()
    cleaned = mini.root / "data/quick/mini/cleaned"
    shutil.copytree(cleaned, cleaned.with_name(".copy"))
    shutil.rmtree(cleaned)
    shutil.copytree(cleaned.with_name(".copy"), cleaned)
    ended_well(mini, ours)
    assert mini.computed().count("drawn-0") == 2
