"""The command that pushes what stages said to MLflow, and what became of it.

`python -m tasks.running.tracking` pushes every spool that is left and ends; with `--follow` it goes on until its
standard input closes. One pusher works at a time.
"""

import argparse
import fcntl
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.base.files import ROOT
from tasks.running.pusher import REFUSED, Pusher, pending
from tasks.running.spools import SPOOL

PAUSE = 2.0
PATIENCE = 3.0
PROBLEM = SPOOL / "problem.txt"
"""Why the store cannot be used at the moment; gone when it can."""


def main(arguments: list[str]) -> int:
    """Push once, or until standard input closes; 0 also when another pusher is at work."""
    parser = argparse.ArgumentParser(prog="python -m tasks.running.tracking", description=__doc__)
    parser.add_argument("--follow", action="store_true", help="go on until standard input closes")
    follow = parser.parse_args(arguments).follow
    os.nice(10)  # the stages come first
    os.chdir(ROOT)
    SPOOL.mkdir(parents=True, exist_ok=True)
    closed = threading.Event()
    if follow:
        threading.Thread(target=_wait_for_end_of_input, args=(closed,), daemon=True).start()
    with _only_pusher(patience=float("inf") if follow else PATIENCE) as alone:
        if alone and (follow or pending()):
            try:
                _push_all(follow, closed)
            except Exception as problem:
                # The store, not one item: what is left stays in the spool, and whoever started us says so.
                _tell_problem(problem)
                raise
            PROBLEM.unlink(missing_ok=True)
    return 0


def _push_all(follow: bool, closed: threading.Event) -> None:
    pusher = Pusher()
    while follow and not closed.wait(PAUSE):
        pusher.push()
    pusher.push()
    # What asked us to follow may be dying at this moment; its run is marked when it is dead.
    deadline = time.monotonic() + PATIENCE
    while follow and pending() and time.monotonic() < deadline:
        time.sleep(PAUSE / 4)
        pusher.push()
    # A `dvc repro` says nothing at its end: wait for it, taking up what its later stages say.
    while any(folder.name.startswith("dvc-") for folder in pending()):
        time.sleep(PAUSE)
        pusher.push()


def _tell_problem(problem: Exception) -> None:
    said = next(iter(str(problem).strip().splitlines()), type(problem).__name__)
    theirs = os.environ.get("MLFLOW_TRACKING_URI")
    where = f"{theirs}, which MLFLOW_TRACKING_URI names" if theirs else "mlflow/mlflow.db"
    PROBLEM.write_text(f"{where}: {said[:300]}")


def waiting(reproduction: str) -> tuple[int, str]:
    """How many of a reproduction's spools are not pushed yet, and why not, as far as that is known."""
    folder = SPOOL / reproduction
    why = PROBLEM.read_text(errors="replace") if PROBLEM.exists() else ""
    return len(list(folder.glob("*.jsonl"))) if folder.exists() else 0, why


def refused() -> int:
    """How many items MLflow has refused so far."""
    return len(REFUSED.read_text(errors="replace").splitlines()) if REFUSED.exists() else 0


def _wait_for_end_of_input(closed: threading.Event) -> None:
    sys.stdin.read()
    closed.set()


@contextmanager
def _only_pusher(patience: float) -> Iterator[bool]:
    """Be the one pusher; gives up after `patience` seconds, since the other pushes everything too."""
    with open(SPOOL / "pusher.lock", "w") as lock:
        start = time.monotonic()
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - start > patience:
                    yield False
                    return
                time.sleep(0.3)
        yield True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
