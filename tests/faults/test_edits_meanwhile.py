"""Code, settings and inputs that are replaced while a stage runs: its result is of neither state, and not kept."""

import json
import os
import signal
from typing import Any

from minis import Minis

STOPPED: dict[str, Any] = {"who": "drawn-0", "what": "stop", "at": 8}
"""The stage stands still once it has read what its code is, and before it reads that again."""


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
