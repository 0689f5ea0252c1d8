"""What a stage elsewhere prints and spools arrives whole, whatever of it was lost on its way."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.engine.cluster import live
from flows.engine.cluster.live import Live

START = json.dumps({"kind": "start", "out": "data/x", "commit": "unknown", "flow_run": ""}).encode() + b"\n"
METRIC = json.dumps({"kind": "metric", "name": "loss", "value": 1.0}).encode() + b"\n"


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Live, list[str]]:
    monkeypatch.setattr(live, "SPOOL", tmp_path / "spool")
    monkeypatch.setattr(live, "commit", lambda: "abc")
    lines: list[str] = []
    marks = {"TENFOLD_REPRODUCTION": "r", "TENFOLD_FLOW_RUN": "f"}
    return Live(tmp_path / "log", marks, lines.append), lines


def told(what: str, at: int, said: bytes, run: str = "a-1") -> dict[str, Any]:
    return {"key": "k", "run": run, "host": run.partition("-")[0], "what": what, "at": at, "said": said}


def answer(log: bytes, spool: bytes, run: str = "a-1", log_at: int = 0) -> dict[str, Any]:
    return {"run": run, "host": run.partition("-")[0], "log": log, "log_at": log_at, "spool": spool}


def spools(tmp_path: Path) -> list[list[dict[str, Any]]]:
    paths = sorted((tmp_path / "spool/r").glob("*.jsonl"))
    return [[json.loads(line) for line in path.read_text().splitlines()] for path in paths if path.exists()]


def test_what_was_lost_on_its_way_is_in_the_answer(heard: tuple[Live, list[str]], tmp_path: Path) -> None:
    here, lines = heard
    here.hear(told("spool", 0, START))
    here.hear(told("log", 0, b"step 1\nst"))
    here.hear(told("log", 20, b"this follows on nothing that is here"))
    here.finish(answer(b"step 1\nstep 2\nstep 3\n", START + METRIC))
    assert (tmp_path / "log").read_text() == "step 1\nstep 2\nstep 3\n"
    assert lines == ["a: step 1", "a: step 2", "a: step 3"], "each line once, and whole"
    ((start, metric),) = spools(tmp_path)
    assert (start["commit"], start["flow_run"], start["host"]) == ("abc", "f", "a"), "whose run it is"
    assert metric["name"] == "loss"


def test_of_a_long_log_the_end_arrives(heard: tuple[Live, list[str]], tmp_path: Path) -> None:
    here, _ = heard
    here.hear(told("log", 0, b"1234"))
    here.finish(answer(b"89\n", b"", log_at=7))
    assert (tmp_path / "log").read_text() == "123489\n"


def test_a_run_elsewhere_begins_anew(heard: tuple[Live, list[str]], tmp_path: Path) -> None:
    """The first one's spool has no end, so that its run is said to have been killed."""
    here, _ = heard
    here.hear(told("spool", 0, START))
    here.hear(told("log", 0, b"the first"))
    here.hear(told("spool", 0, START, run="b-2"))
    here.finish(answer(b"the second\n", START + METRIC, run="b-2"))
    assert (tmp_path / "log").read_text() == "the second\n"
    first, second = spools(tmp_path)
    assert [event["host"] for event in (first[0], second[0])] == ["a", "b"]
    assert [len(first), len(second)] == [1, 2]
