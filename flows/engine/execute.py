"""Run stages' commands in processes of their own, a core each, and stop them all when asked to."""

import fcntl
import json
import os
import re
import shlex
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from flows.engine.console import cores
from flows.engine.errors import Interrupted
from flows.engine.processes import Child, Ended, ForkServer
from flows.engine.stages import ConcreteStage
from flows.engine.store import EditedWhileRunning, Store
from flows.engine.surroundings import refresh_code
from tasks.base.errors import UserError
from tasks.base.files import ROOT, STATE, slug
from tasks.base.remembered import remember, remembered
from tasks.running import failures
from tasks.running.run import identity, instructions_of, parse, published

if TYPE_CHECKING:
    from flows.engine.cluster.driver import Cluster

REPLACED_SECONDS = 60
REPLACED_TIMES = 5
"""How long what a stage depends on may be away, and how often it may be replaced under a stage."""
TURN_SECONDS = 0.1
RETRY_SECONDS = (2.0, 15.0)
"""Pauses before other tries of what may pass by itself, such as a network that does not answer."""
TAIL_LINES = 12
DURATIONS = STATE / "durations.json"

State = Literal["started", "unchanged", "restored", "ran", "failed"]
Listener = Callable[["Outcome"], None]


@dataclass(frozen=True)
class Outcome:
    """What became of a stage: its state, how long it took, of which on a core, the end of what it printed.

    `same` says whether its bytes are those on record, where another run of the same is on record; `host` is the machine
    that ran it, if it was another.
    """

    stage: ConcreteStage
    state: State
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    tail: str = ""
    same: bool | None = None
    host: str = ""


class StageFailed(UserError):
    """A stage's process ended with an error."""


@dataclass
class Executor:
    """Runs stages within a number of slots; every stage it starts dies with it.

    `marks` go into the environment of every stage's process: which reproduction it belongs to and where
    its spool lies. With a `cluster`, stages that its workers can take run there.
    """

    store: Store
    jobs: int
    marks: dict[str, str] = field(default_factory=dict)
    listeners: list[Listener] = field(default_factory=list)
    cluster: "Cluster | None" = None

    def __post_init__(self) -> None:
        # Beside a cluster this machine has its own cores for what stays here.
        self._here = min(self.jobs, cores()) if self.cluster else self.jobs
        self._slots = Slots(self._here)
        self._children: set[Child] = set()
        self._servers: dict[str, ForkServer] = {}
        self._servers_lock = threading.Lock()
        self._stopping = threading.Event()
        self._durations = durations()

    def run(self, stage: ConcreteStage) -> Outcome:
        """Bring one stage up to date: look, restore from the cache, or run its command.

        Whoever else brings it up to date at the moment, in this process or another, is waited for first.

        Raises:
            StageFailed: its command failed.
            Interrupted: `stop` was called.
        """
        try:
            with self._turn(stage), self._slot(stage):
                return self._tell(self._brought_up_to_date(stage))
        except Interrupted:
            raise
        except Exception as problem:
            said = failures.sentence(problem) or str(problem) or type(problem).__name__
            self._tell(Outcome(stage, "failed", tail=said))
            raise

    def _slot(self, stage: ConcreteStage) -> AbstractContextManager[None]:
        """Room for the stage on this machine; a cluster has its own."""
        if self.cluster and self.cluster.takes(stage):
            return nullcontext()
        return self._slots.taken(self._here if stage.kind == "measure" else min(stage.needs.cpu, self._here))

    def _brought_up_to_date(self, stage: ConcreteStage) -> Outcome:
        """Try until what it reads and writes stands still: a `dvc repro` beside us removes what it makes anew.

        Other code is another plan; an input that was made anew meanwhile is just another input.
        """
        for left in reversed(range(REPLACED_TIMES)):
            refresh_code(stage)
            before = self._snapshot(stage)
            if self._stopping.is_set():
                raise Interrupted("Interrupted before the stage began.")
            try:
                return self._made(stage, before)
            except (FileNotFoundError, EditedWhileRunning):
                if not left or self._was_edited(stage, before):
                    raise
        raise AssertionError("the last try returns or raises")

    def _made(self, stage: ConcreteStage, before: list[str]) -> Outcome:
        start = time.monotonic()
        if not self.store.reasons(stage):
            return Outcome(stage, "unchanged")
        if self.store.restore(stage):
            return Outcome(stage, "restored", time.monotonic() - start)
        cluster = self.cluster if self.cluster and self.cluster.takes(stage) else None
        if cluster and (known := cluster.bring(stage, self.store.wanted(stage))):
            self.store.take(stage, known)
            return Outcome(stage, "restored", time.monotonic() - start)
        self._tell(Outcome(stage, "started", tail=_crowd() if stage.kind == "measure" and not cluster else ""))
        _check_settings(stage)
        noted = published(stage.out)
        cpu_seconds = self._run_command(stage)
        unmoved = self._snapshot(stage) == before
        made = _made_from(stage, before, noted if unmoved else None)
        same = self.store.take(stage, cluster.result(stage)) if cluster else self.store.commit(stage, before, made)
        seconds = time.monotonic() - start
        self._durations[stage.out] = round(seconds, 1)
        host = cluster.places[stage.out].host if cluster else ""
        return Outcome(stage, "ran", seconds, cpu_seconds, same=None if stage.kind == "measure" else same, host=host)

    @contextmanager
    def _turn(self, stage: ConcreteStage) -> Iterator[None]:
        """Hold the stage's turn, which the kernel frees when its holder dies; it ends when the record is written."""
        path = STATE / "turns" / slug(stage.out)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w") as turn:
            while True:
                try:
                    fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if self._stopping.wait(TURN_SECONDS):
                        raise Interrupted("Interrupted before the stage began.") from None
            yield

    def stop(self, *, at_once: bool = False) -> None:
        """End every running stage, and start no other."""
        self._stopping.set()
        if self.cluster:
            self.cluster.stop()
        for child in list(self._children):
            with suppress_missing():
                os.killpg(child.pid, signal.SIGKILL if at_once else signal.SIGINT)

    @property
    def stopped(self) -> bool:
        return self._stopping.is_set()

    def finish(self) -> None:
        """End the processes, and remember for the next time what was learnt."""
        for server in self._servers.values():
            server.close()
        self.store.close()
        remember(DURATIONS, dict(sorted(self._durations.items())))

    def _run_command(self, stage: ConcreteStage) -> float:
        """Run it until it has ended well; returns the CPU seconds of every try."""
        log = STATE / "logs" / f"{slug(stage.out)}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        pauses, cpu_seconds, replaced = iter(RETRY_SECONDS), 0.0, 0
        while True:
            inputs = _versions(stage)
            code, cpu = self._wait_for(stage, log)
            cpu_seconds += cpu
            if code == 0:
                return cpu_seconds
            if self._stopping.is_set():
                raise Interrupted("Interrupted.")
            if replaced < REPLACED_TIMES and _versions(stage) != inputs:
                # A `dvc repro` beside us replaces an output by removing it first: then its reader tries again.
                replaced += 1
                self._snapshot(stage)
            elif code != os.EX_TEMPFAIL or (pause := next(pauses, None)) is None:
                break
            elif self._stopping.wait(pause):
                raise Interrupted("Interrupted.")
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
        raise StageFailed(f"{tail}\nIt ended with {_ending(code)}.")

    def _wait_for(self, stage: ConcreteStage, log: Path) -> Ended:
        """The one place where a stage's command meets a machine."""
        if self.cluster and self.cluster.takes(stage):
            return self.cluster.run(stage, log)
        with open(log, "wb") as file:
            try:
                child = self._server_for(stage).start(shlex.split(stage.command)[1:], file)
            except ChildProcessError as problem:
                file.write(f"{problem}\n".encode())
                return Ended(-signal.SIGKILL, 0.0)
        self._children.add(child)
        try:
            if self._stopping.is_set():
                with suppress_missing():
                    os.kill(child.pid, signal.SIGINT)
            return child.wait()
        finally:
            self._children.discard(child)

    def _server_for(self, stage: ConcreteStage) -> ForkServer:
        """The server of the stages that are held to the same instructions."""
        level = instructions_of(stage.environment or "")
        with self._servers_lock:
            return self._servers.setdefault(level, ForkServer(self.marks, level))

    def _snapshot(self, stage: ConcreteStage) -> list[str]:
        """What the stage depends on; whoever removed some of it is given a while to put it back."""
        until = time.monotonic() + REPLACED_SECONDS
        while "" in (found := self.store.snapshot(stage)) and time.monotonic() < until:
            if self._stopping.wait(TURN_SECONDS):
                break
        return found

    def _was_edited(self, stage: ConcreteStage, before: list[str]) -> bool:
        """Whether its code or an input is not what it was, for another reason than that a stage made it anew.

        What a stage has made anew is given a while to get into the record.
        """
        until = time.monotonic() + REPLACED_SECONDS
        while True:
            now = zip(stage.dependencies, before, self._snapshot(stage), strict=True)
            changed = [(path, digest) for path, was, digest in now if digest != was]
            if all(self.store.is_recorded(path, digest) for path, digest in changed):
                return False
            if not all(digest == published(path).get("digest") for path, digest in changed):
                return True
            if time.monotonic() > until or self._stopping.wait(TURN_SECONDS):
                return True

    def _tell(self, outcome: Outcome) -> Outcome:
        for listener in self.listeners:
            listener(outcome)
        return outcome


class Slots:
    """A number of slots: a stage takes one, or all of them when it must run alone; first come, first served."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    @contextmanager
    def taken(self, number: int) -> Iterator[None]:
        own = object()
        with self._changed:
            self._queue.append(own)
            self._changed.wait_for(lambda: self._queue[0] is own and self._free >= number)
            self._queue.popleft()
            self._free -= number
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += number
                self._changed.notify_all()


def _check_settings(stage: ConcreteStage) -> None:
    """A stage reads its settings from a file, which an older or newer paper may have been compiled into meanwhile.

    Raises:
        UserError: what is in the file is not what the record would say.
    """
    settings = None
    with suppress(OSError, ValueError, AttributeError):
        settings = json.loads((ROOT / stage.params_file).read_text()).get(stage.name)
    if settings != json.loads(json.dumps(stage.settings)):
        raise UserError(
            f"{stage.params_file} does not hold the settings of {stage.title} any more: another command has compiled "
            f"other code of the paper meanwhile. Run the same command again."
        )


def _made_from(stage: ConcreteStage, before: list[str], noted: dict[str, str] | None) -> str:
    """The digest of the output that was made from this, by its stage's own word, as the record is going to say.

    Raises:
        StageFailed: it has said nothing: what was `noted` before is noted still.
        EditedWhileRunning: something was replaced while the stage ran, if only for a moment.
    """
    command, made = parse(shlex.split(stage.command)[3:]), published(stage.out)
    if made.get("identity") != identity(command, stage.settings, dict(zip(stage.dependencies, before, strict=True))):
        if made == noted:
            raise StageFailed("It ended with exit code 0, and left no result.")
        raise EditedWhileRunning(
            f"{stage.title}: its code, its settings or an input was edited while it ran, so its result is not kept. "
            "Run the same command again."
        )
    return made["digest"]


def _ending(code: int) -> str:
    """How a process ended, in words."""
    if code == os.EX_IOERR:
        return f"a full disk (exit code {code}): {failures.DISK_IS_FULL}"
    if code == -signal.SIGKILL:
        return "a kill (signal 9), as when memory runs out: free some, or run fewer stages at once with --jobs"
    return f"exit code {code}" if code >= 0 else f"signal {-code} ({signal.Signals(-code).name})"


def _crowd() -> str:
    """What to say where others want more cores at this moment than there are; nothing where no kernel tells."""
    try:
        running = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0]) - 1
    except OSError:
        return ""
    if running <= cores():
        return ""
    return f"{running} other threads want this machine's {cores()} cores: it will be slow, and so will what it measures"


def durations() -> dict[str, float]:
    """How long each stage took the last time it ran on this machine, in seconds, by its output."""
    return remembered(DURATIONS)


def last_line(stage: ConcreteStage) -> str:
    """The last thing that a running stage has printed."""
    log = STATE / "logs" / f"{slug(stage.out)}.log"
    with suppress_missing():
        lines = re.split(r"[\r\n]+", log.read_bytes()[-2000:].decode(errors="replace").strip())
        return lines[-1].strip()
    return ""


def _versions(stage: ConcreteStage) -> list[tuple[int, int] | None]:
    """What tells a dependency from another of the same name: a new folder may get the inode of the old one."""
    found: list[tuple[int, int] | None] = []
    for folder in stage.dependencies:
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
