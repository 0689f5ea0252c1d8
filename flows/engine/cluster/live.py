"""What a stage elsewhere prints and spools, put where the terminal, Prefect and the pusher look, as it comes."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tasks.running.spools import SPOOL, commit


class Live:
    """One stage's log and spool here, which grow with what the worker tells and are completed by its answer.

    A stage that runs again elsewhere begins another log and another spool: the first one's run has ended by a kill.
    """

    def __init__(self, log: Path, marks: Mapping[str, str], hear_line: Callable[[str], object]) -> None:
        self._log = log
        self._marks = marks
        self._hear_line = hear_line
        self._guard = threading.Lock()
        self._run = ""
        self._written = {"log": 0, "spool": 0}
        self._spool: Path | None = None
        self._half = b""

    def hear(self, said: Mapping[str, Any]) -> None:
        """Take what a worker tells; what does not follow on what is here is left to the answer."""
        with self._guard:
            self._begin(said["run"], said["host"])
            if said["at"] == self._written[said["what"]]:
                self._write(said["what"], said["said"])

    def finish(self, answer: Mapping[str, Any]) -> None:
        """Complete log and spool by the whole of both."""
        with self._guard:
            self._begin(answer["run"], answer["host"])
            self._write("log", answer["log"][max(0, self._written["log"] - answer["log_at"]) :])
            self._write("spool", answer["spool"][self._written["spool"] :])

    def _begin(self, run: str, host: str) -> None:
        if run != self._run:
            self._run, self._host = run, host
            self._written = {"log": 0, "spool": 0}
            self._log.write_bytes(b"")
            if reproduction := self._marks.get("TENFOLD_REPRODUCTION"):
                (SPOOL / reproduction).mkdir(parents=True, exist_ok=True)
                self._spool = SPOOL / reproduction / f"{time.time_ns()}.jsonl"

    def _write(self, what: str, said: bytes) -> None:
        if what == "log":
            _append(self._log, said)
            *lines, self._half = (self._half + said).split(b"\n")
            for line in filter(None, lines):
                self._hear_line(f"{self._host}: {line.decode(errors='replace')}")
        elif self._spool is not None and said:
            first, newline, rest = said.partition(b"\n")
            if not self._written["spool"]:
                first = json.dumps({**json.loads(first), **self._about()}).encode()
            _append(self._spool, first + newline + rest)
        self._written[what] += len(said)

    def _about(self) -> dict[str, str]:
        """Whose run it is, which a worker does not know."""
        return {"commit": commit(), "flow_run": self._marks.get("TENFOLD_FLOW_RUN", ""), "host": self._host}


def _append(path: Path, said: bytes) -> None:
    with open(path, "ab") as file:
        file.write(said)
