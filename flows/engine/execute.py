"""Run stages' commands in processes of their own, a core each, and stop them all when asked to."""

import json
import os
import re
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from flows.engine.processes import Child, ForkServer
from flows.engine.stages import ConcreteStage
from flows.engine.store import EditedWhileRunning, Store
from flows.engine.surroundings import refresh_code
from tasks.base.errors import UserError
from tasks.base.files import ROOT, STATE, slug

FLUSH_SECONDS = 10
REPLACED_SECONDS = 60
TAIL_LINES = 12
DURATIONS = STATE / "durations.json"

State = Literal["started", "unchanged", "restored", "ran", "failed"]
Listener = Callable[["Outcome"], None]


@dataclass(frozen=True)
class Outcome:
    """What became of a stage: its state, how long it took, and the end of what it printed."""

    stage: ConcreteStage
    state: State
    seconds: float = 0.0
    tail: str = ""


class StageFailed(UserError):
    """A stage's process ended with an error; `retryable` says whether another try may help."""

    def __init__(self, message: str, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class Interrupted(UserError):
    """The user asked to stop."""


@dataclass
class Executor:
    """Runs stages within a number of slots; every stage it starts dies with it.

    `marks` go into the environment of every stage's process: which reproduction it belongs to and where
    its spool lies.
    """

    store: Store
    jobs: int
    marks: dict[str, str] = field(default_factory=dict)
    listeners: list[Listener] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._slots = Slots(self.jobs)
        self._children: set[Child] = set()
        self._server = ForkServer({**self.marks, "PYTHONUNBUFFERED": "1"})
        self._stopping = threading.Event()
        self._flushed_at = time.monotonic()
        self._durations = durations()

    def run(self, stage: ConcreteStage) -> Outcome:
        """Bring one stage up to date: look, restore from the cache, or run its command.

        Raises:
            StageFailed: its command failed.
            Interrupted: `stop` was called.
        """
        with self._slots.taken(self.jobs if stage.kind == "measure" else 1):
            if self._stopping.is_set():
                raise Interrupted("Interrupted before the stage began.")
            start = time.monotonic()
            refresh_code(stage)
            if not self.store.reasons(stage):
                return self._tell(Outcome(stage, "unchanged"))
            if self.store.restore(stage):
                return self._tell(Outcome(stage, "restored", time.monotonic() - start))
            before = self.store.snapshot(stage)
            self._tell(Outcome(stage, "started"))
            try:
                self._run_command(stage)
                self.store.commit(stage, before)
            except (StageFailed, EditedWhileRunning) as problem:
                self._tell(Outcome(stage, "failed", tail=str(problem)))
                raise
            seconds = time.monotonic() - start
            self._durations[stage.out] = round(seconds, 1)
            self._flush()
            return self._tell(Outcome(stage, "ran", seconds))

    def stop(self, *, at_once: bool = False) -> None:
        """End every running stage, and start no other."""
        self._stopping.set()
        for child in list(self._children):
            with suppress_missing():
                os.killpg(child.pid, signal.SIGKILL if at_once else signal.SIGINT)

    @property
    def stopped(self) -> bool:
        return self._stopping.is_set()

    def finish(self) -> None:
        """Write the lock files and what was learnt about durations."""
        self._server.close()
        self.store.flush()
        STATE.mkdir(exist_ok=True)
        DURATIONS.write_text(json.dumps(dict(sorted(self._durations.items())), indent=1))

    def _flush(self) -> None:
        if time.monotonic() - self._flushed_at > FLUSH_SECONDS:
            self.store.flush()
            self._flushed_at = time.monotonic()

    def _run_command(self, stage: ConcreteStage) -> None:
        log = STATE / "logs" / f"{slug(stage.out)}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        while True:
            inputs = _versions(stage)
            code = self._wait_for(stage, log)
            if code == 0:
                return
            if self._stopping.is_set():
                raise Interrupted("Interrupted.")
            # A `dvc repro` beside us replaces an output by removing it first: then its reader tries again.
            if _versions(stage) == inputs:
                break
            self._wait_until_there(stage)
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
        raise StageFailed(f"{tail}\nIt ended with exit code {code}.", code == os.EX_TEMPFAIL)

    def _wait_for(self, stage: ConcreteStage, log: Path) -> int:
        """The one place where a stage's command meets a machine."""
        with open(log, "wb") as file:
            try:
                child = self._server.start(shlex.split(stage.command)[1:], file)
            except ChildProcessError as problem:
                file.write(f"{problem}\n".encode())
                return -signal.SIGKILL
        self._children.add(child)
        try:
            if self._stopping.is_set():
                with suppress_missing():
                    os.kill(child.pid, signal.SIGINT)
            return child.wait()
        finally:
            self._children.discard(child)

    def _wait_until_there(self, stage: ConcreteStage) -> None:
        """Give whoever removed the stage's inputs a while to put them back."""
        until = time.monotonic() + REPLACED_SECONDS
        while not all((ROOT / folder).exists() for folder in stage.input_folders):
            if self._stopping.wait(0.1) or time.monotonic() > until:
                return

    def _tell(self, outcome: Outcome) -> Outcome:
        for listener in self.listeners:
            listener(outcome)
        return outcome


class Slots:
    """A number of slots, of which a stage takes one, or all of them when it must run alone."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, number: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._free >= number)
            self._free -= number
        try:
            yield
        finally:
            with self._changed:
                self._free += number
                self._changed.notify_all()


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def durations() -> dict[str, float]:
    """How long each stage took the last time it ran on this machine, in seconds, by its output."""
    try:
        known: dict[str, float] = json.loads(DURATIONS.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return known


def last_line(stage: ConcreteStage) -> str:
    """The last thing that a running stage has printed."""
    log = STATE / "logs" / f"{slug(stage.out)}.log"
    with suppress_missing():
        lines = re.split(r"[\r\n]+", log.read_bytes()[-2000:].decode(errors="replace").strip())
        return lines[-1].strip()
    return ""


def _versions(stage: ConcreteStage) -> list[tuple[int, int] | None]:
    """What tells an input folder from another of the same name: a new folder may get the inode of the old one."""
    found: list[tuple[int, int] | None] = []
    for folder in stage.input_folders:
        try:
            status = os.stat(ROOT / folder)
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((status.st_ino, status.st_ctime_ns))
    return found


@contextmanager
def suppress_missing() -> Iterator[None]:
    """Ignore that a process or a file has gone in the meantime."""
    try:
        yield
    except (ProcessLookupError, FileNotFoundError):
        return
