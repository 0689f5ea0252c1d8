"""Time many points in blocks: every runtime in a process of its own, all of them in each block, in random order.

A point is a network on an arm at a batch. Processes wait at a pipe, without spinning, while another one works.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tasks.base import spool
from tasks.base.files import ROOT
from tasks.framework_tax.arms import ARMS
from tasks.framework_tax.networks import Wanted
from tasks.framework_tax.record import PRECISE, half_width
from tasks.framework_tax.runtimes import missing

PATIENCE = 600.0
"""Seconds for one command; a process that takes longer is ended and named."""

LONG = 0.1
"""Seconds of a call from which on it needs no other one before it: what it finds in the caches is a hundredth of it."""

CACHE = "inductor"
"""The folder of inductor's cache, beside what else was built."""


@dataclass(frozen=True, order=True)
class Point:
    """A network on an arm at a batch."""

    network: str
    arm: str
    batch: int


@dataclass
class Timed:
    """What was seen at a point: seconds a call, block by block, or why there are none."""

    network: str
    arm: str
    batch: int
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    calls: int = 0
    before: int = 1
    quickest: float = 0.0
    warm_up: int = 0
    load_seconds: float = 0.0
    first_call_seconds: float = 0.0
    error: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)
    operators: dict[str, int] = field(default_factory=dict)
    torch_operators: int = 0
    failed: str = ""


@dataclass(frozen=True)
class Plan:
    """How to time: threads (unless an arm has others), blocks, the order's seed.

    `settle` and `least` are seconds of warm-up and of a block at a point. Beyond `blocks` there are more, up to `most`,
    until nine medians of ten are certain to PRECISE: so it is certainty that stops, and no sign of an effect.
    """

    threads: int
    blocks: int
    settle: float
    least: float
    seed: int
    most: int = 0


class Died(Exception):
    """A process ended or hung; says how."""


class Process:
    """One arm's process, at the other end of a pipe."""

    def __init__(self, arm: str, threads: int, leads: bool, scratch: Path) -> None:
        worker = "tasks.framework_tax.worker"
        ours, theirs = socket.socketpair()
        self._errors = (scratch / f"{arm.replace(', ', '-')}.errors").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", worker, str(theirs.fileno()), arm, str(threads), "leads" if leads else "follows"],
            cwd=ROOT,
            env=os.environ | environment(threads, scratch),
            pass_fds=[theirs.fileno()],
            stdout=self._errors,
            stderr=self._errors,
        )
        theirs.close()
        self._pipe = Connection(ours.detach())

    def ask(self, *command: Any) -> Any:
        """What the process answers to a command.

        Raises:
            Died: it ended or took too long.
            ValueError: it could not do that, with the reason.
        """
        self.tell(*command)
        return self.answer()

    def tell(self, *command: Any) -> None:
        """Send a command; `answer` waits for what comes of it."""
        with suppress(OSError):  # a process that has ended shows when it is to answer
            self._pipe.send(command)

    def answer(self) -> Any:
        """What `ask` gives and raises."""
        try:
            if not self._pipe.poll(PATIENCE):
                raise Died(f"it did not answer within {PATIENCE:.0f} s")
            said, value = self._pipe.recv()
        except (EOFError, OSError) as problem:
            raise Died(self._ended()) from problem
        if said == "failed":
            raise ValueError(value)
        return value

    def _ended(self) -> str:
        code = self._process.wait(10)
        self._errors.seek(0)
        last = (self._errors.read().strip().splitlines() or ["it said nothing"])[-1][:200]
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with {code}"
        return f"its process ended {how}: {last}"

    def close(self) -> None:
        """End it, and wait until it has ended, so that its processor time counts as ours."""
        with suppress(OSError):
            self._pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()


def environment(threads: int, scratch: Path) -> dict[str, str]:
    """So many threads for every library, none of which spins while it waits, and nothing that reports home."""
    counts = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    return dict.fromkeys(counts, str(threads)) | {
        "OMP_WAIT_POLICY": "PASSIVE",
        "KMP_BLOCKTIME": "0",
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
        "PYTHONWARNINGS": "ignore",
        "TORCHINDUCTOR_CACHE_DIR": str(scratch / CACHE),
        "TENFOLD_LATENCY_FOLDER": str(scratch),
    }


def measure(
    points: Iterable[Point], networks: Mapping[str, Wanted], artifacts: Mapping[str, Path], plan: Plan
) -> dict[str, Any]:
    """Time the points; gives the record, as JSON holds it.

    Args:
        points: those of an arm that cannot run here are in the record with the reason. The first arm, by the order of
            ARMS, leads: the others are held against its outputs, so it is to be there at each network and batch.
        networks: which network each name is.
        artifacts: what was exported and compiled, by network.
    """
    points = list(dict.fromkeys(points))
    with tempfile.TemporaryDirectory() as folder:
        return _Measuring(points, networks, artifacts, plan, Path(folder)).record()


class _Measuring:
    def __init__(
        self,
        points: Sequence[Point],
        networks: Mapping[str, Wanted],
        artifacts: Mapping[str, Path],
        plan: Plan,
        scratch: Path,
    ) -> None:
        self.points, self.networks, self.artifacts, self.plan, self.scratch = points, networks, artifacts, plan, scratch
        self.timed = {point: Timed(**asdict(point)) for point in points}
        self.arms: dict[str, dict[str, Any]] = {}
        self.orders: list[list[str]] = []
        self._processes: dict[str, Process] = {}

    def record(self) -> dict[str, Any]:
        arms = [arm for arm in ARMS if any(point.arm == arm for point in self.points)]
        self.leader = arms[0]
        for folder in self.artifacts.values():
            if (folder / CACHE).is_dir():  # the processes write into it
                shutil.copytree(folder / CACHE, self.scratch / CACHE, dirs_exist_ok=True)
        try:
            for arm in arms:  # libraries are imported side by side, before anything is timed
                self._begin(arm)
            for arm in list(self._processes):
                self._started(arm)
            for point in sorted(self.points, key=lambda point: (arms.index(point.arm), point.network, point.batch)):
                self._prepare(point)
            self._share_calls()
            self._time()
            for point in self._alive():
                self._check(point)
        finally:
            for process in self._processes.values():
                process.close()
        return {
            "plan": asdict(self.plan),
            "arms": self.arms,
            "orders": self.orders,
            "points": [asdict(self.timed[point]) for point in self.points],
        }

    def _begin(self, arm: str) -> None:
        if reason := missing(ARMS[arm].runtime):
            self._fail_all(arm, reason)
            return
        self._processes[arm] = Process(arm, ARMS[arm].threads_of(self.plan.threads), arm == self.leader, self.scratch)
        self._processes[arm].tell("start")

    def _started(self, arm: str) -> None:
        try:
            self.arms[arm] = self._processes[arm].answer()
            self._processes[arm].ask("pin")
        except (Died, ValueError) as problem:
            self._fail_all(arm, str(problem))

    def _prepare(self, point: Point) -> None:
        if self.timed[point].failed:
            return
        first = self.timed.get(replace(point, arm=self.leader))
        if first is None or (first.failed and point.arm != self.leader):
            reason = first.failed if first else "it was not asked"
            self._fail(point, f"there is nothing to hold it against, for {self.leader} failed: {reason}")
            return
        shared = self.scratch / f"{self._number(point.network)}-{point.batch}"
        shared.mkdir(exist_ok=True)
        seen = self._ask(
            point,
            "prepare",
            self.networks[point.network],
            point.batch,
            str(self.artifacts.get(point.network, "")),
            str(shared),
            self.plan.settle,
            self.plan.least,
        )
        for name, value in (seen or {}).items():
            setattr(self.timed[point], name, value)

    def _share_calls(self) -> None:
        """At a network and batch all arms have as many calls in a block, so that none is timed colder than another."""
        groups: dict[tuple[str, int], list[Timed]] = {}
        for point in self._alive():
            groups.setdefault((point.network, point.batch), []).append(self.timed[point])
        for group in groups.values():
            calls, quickest = max(one.calls for one in group), min(one.quickest for one in group)
            for one in group:
                one.calls, one.before = calls, int(quickest < LONG)

    def _time(self) -> None:
        draw = random.Random(self.plan.seed)
        while len(self.orders) < self.plan.blocks or (len(self.orders) < self.plan.most and not self._certain()):
            self._block(draw)
            if len(self.orders) % 5 == 0:
                spool.note(f"{len(self.orders)} blocks are timed.")

    def _number(self, network: str) -> int:
        return list(self.networks).index(network)

    def _block(self, draw: random.Random) -> None:
        """Every point once: networks and batches in random order, and at each of them the arms in random order."""
        groups: dict[tuple[str, int], list[Point]] = {}
        for point in self._alive():
            groups.setdefault((point.network, point.batch), []).append(point)
        order = list(groups.values())
        draw.shuffle(order)
        self.orders.append([])
        for group in order:
            draw.shuffle(group)
            for point in group:
                self.orders[-1].append(point.arm)
                found = self._ask(
                    point, "time", point.network, point.batch, self.timed[point].calls, self.timed[point].before
                )
                if found:
                    self.timed[point].wall.append(found[0])
                    self.timed[point].cpu.append(found[1])

    def _certain(self) -> bool:
        """Whether nine medians of ten have intervals that are narrow enough."""
        alive = self._alive()
        return sum(half_width(self.timed[point].cpu) <= PRECISE for point in alive) >= 0.9 * len(alive)

    def _check(self, point: Point) -> None:
        """The outputs once more, after all blocks, and what a call dispatches, which a profiler has to tell."""
        error = self._ask(point, "error", (point.network, point.batch))
        if error is not None:
            self.timed[point].error = max(self.timed[point].error, error)
            self.timed[point].torch_operators = self._ask(point, "dispatched", (point.network, point.batch)) or 0

    def _alive(self) -> list[Point]:
        return [point for point in self.points if not self.timed[point].failed]

    def _ask(self, point: Point, *command: Any) -> Any:
        """The answer; a failure is kept with the point, and a process that died with all of its arm's."""
        try:
            return self._processes[point.arm].ask(*command)
        except Died as problem:
            self._fail_all(point.arm, str(problem))
        except ValueError as problem:
            self._fail(point, str(problem))
        return None

    def _fail(self, point: Point, reason: str) -> None:
        self.timed[point].failed = reason
        self.timed[point].wall, self.timed[point].cpu = [], []
        spool.note(f"{point.network} on {point.arm} at batch {point.batch}: {reason}")

    def _fail_all(self, arm: str, reason: str) -> None:
        for point in self._alive():
            if point.arm == arm:
                self._fail(point, reason)


def read(path: Path) -> dict[str, Any]:
    """A record from its file."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found
