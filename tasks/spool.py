"""What a stage says while it runs: metrics, tables, figures and notes, appended to a spool file.

A stage never talks to a tracking server. It appends one JSON object a line to a file of its own;
`tasks.tracking` pushes those lines to MLflow, live or later, so a server that is down loses nothing.
A stage that is called directly (in a test, by hand) has no spool, and nothing is written.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.closure import ROOT

SPOOL = ROOT / ".tenfold" / "tracking"


def metric(name: str, value: float, step: int = 0) -> None:
    """One value of a curve, such as the training loss at a step."""
    _append({"kind": "metric", "name": name, "value": float(value), "step": step})


def table(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table of results; every row has the same keys."""
    _append({"kind": "table", "name": name, "rows": [dict(row) for row in rows]})


def artifact(path: Path) -> None:
    """A file of the stage's output that the run should carry: a figure, a model, a report."""
    _append({"kind": "artifact", "name": path.name})


def note(text: str) -> None:
    """A sentence that the reader of the run must see, such as a source that was not available."""
    _append({"kind": "note", "text": text})
    print(text, flush=True)


@contextmanager
def opened(out: str, about: Mapping[str, Any]) -> Iterator[None]:
    """The spool of one stage's run: opened with what it is, closed with how it ended.

    The run belongs to the reproduction that TENFOLD_REPRODUCTION names, or to the `dvc repro` that
    started it; a stage started by neither has no spool.
    """
    reproduction = os.environ.get("TENFOLD_REPRODUCTION") or _dvc_process()
    if not reproduction:
        yield
        return
    folder = SPOOL / reproduction
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["TENFOLD_SPOOL"] = str(folder / f"{time.time_ns()}.jsonl")
    start = {"kind": "start", "out": out, "process": process(os.getpid()), "commit": commit()}
    _append({**start, "flow_run": os.environ.get("TENFOLD_FLOW_RUN", ""), **about})
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        _append({"kind": "end", "status": status})
        del os.environ["TENFOLD_SPOOL"]
        if not os.environ.get("TENFOLD_REPRODUCTION"):
            # Nobody else will push what a stage of `dvc repro` said.
            subprocess.Popen(
                [sys.executable, "-m", "tasks.tracking"],
                cwd=ROOT,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )


def commit() -> str:
    """The checked-out commit, marked with + where tracked code differs from it."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
    dirty = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "flows", "tasks", "models"])
    return head.stdout.strip() + ("+" if dirty.returncode else "")


def _dvc_process() -> str:
    """The name of the `dvc repro` that this process descends from, if there is one."""
    if not os.environ.get("DVC_STAGE"):
        return ""
    pid = os.getppid()
    while pid > 1:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if any(word == b"dvc" or word.endswith(b"/dvc") for word in words):
            return f"dvc-{process(pid)}"
        pid = int(_stat(pid)[1])
    return ""


def process(pid: int) -> str:
    """A process's name for ever: its id and the clock tick at which it started."""
    return f"{pid}-{_stat(pid)[19]}"


def is_alive(name: str) -> bool:
    """Whether the process that `process` named still runs."""
    try:
        pid = int(name.partition("-")[0])
        return process(pid) == name and _stat(pid)[0] != "Z"
    except FileNotFoundError:
        return False


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _append(event: dict[str, Any]) -> None:
    spool = os.environ.get("TENFOLD_SPOOL")
    if not spool:
        return
    with open(spool, "a", encoding="utf-8") as file:
        file.write(json.dumps({**event, "time": time.time()}) + "\n")
