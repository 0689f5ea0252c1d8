"""The spool of a stage's run: opened with what the run is, closed with how it ended, named after whose run it is."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.base.files import ROOT, STATE
from tasks.base.spool import append

SPOOL = STATE / "tracking"
UNKNOWN = "unknown"
"""The commit where git does not say."""
OTHERS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")
"""By these git tells its hooks, or a shell its programs, of a repository that need not be this one."""


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
    append({**start, "flow_run": os.environ.get("TENFOLD_FLOW_RUN", ""), **about})
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        append({"kind": "end", "status": status})
        del os.environ["TENFOLD_SPOOL"]
        if not os.environ.get("TENFOLD_REPRODUCTION"):
            # Nobody else will push what a stage of `dvc repro` said.
            subprocess.Popen(
                [sys.executable, "-m", "tasks.running.tracking"],
                cwd=ROOT,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )


def commit() -> str:
    """The checked-out commit, marked with + where tracked code differs from it; a reproduction looks once for all."""
    if known := os.environ.get("TENFOLD_COMMIT"):
        return known
    try:
        head = git("rev-parse", "HEAD")
        if head.returncode:  # as where the checkout belongs to another user; `tenfold doctor` has git's advice
            return UNKNOWN
        dirty = git("diff", "--quiet", "HEAD", "--", "tools", "flows", "tasks", "models")
    except FileNotFoundError:
        return UNKNOWN
    return head.stdout.strip() + ("+" if dirty.returncode else "")


def git(*words: str) -> subprocess.CompletedProcess[str]:
    """What git says of this checkout.

    Raises:
        FileNotFoundError: there is no git.
    """
    ours = {name: value for name, value in os.environ.items() if name not in OTHERS}
    return subprocess.run(["git", "-C", str(ROOT), *words], env=ours, capture_output=True, text=True, errors="replace")


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
    except (OSError, ValueError):
        return False


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
