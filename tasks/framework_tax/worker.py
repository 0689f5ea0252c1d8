"""The process of one arm: it holds one runtime and does what it is told over a pipe, one command at a time.

    python -m tasks.framework_tax.worker DESCRIPTOR ARM THREADS LEADS

The one that leads draws the inputs and writes the outputs against which the others are held.

Commands are tuples, answers ("done", value) or ("failed", sentence). Times are of a fixed number of calls: seconds by
the wall clock, and of processor time of all threads of this process.
"""

import gc
import os
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from tasks.base.errors import UserError
from tasks.framework_tax.arms import ARMS, LEAST_WARM_UP
from tasks.framework_tax.networks import Wanted
from tasks.framework_tax.runtimes import Call, Runtime, start

MOST_CALLS = 2000
Key = tuple[str, int]
"""A network's name and a batch."""


class Served:
    """What this process has loaded: a call for each network and batch."""

    def __init__(self, arm: str, threads: int, leads: bool) -> None:
        self.leads = leads
        self._cores = sorted(os.sched_getaffinity(0))[-threads:]
        began = time.perf_counter()
        self.runtime: Runtime = start(ARMS[arm], threads)
        self.import_seconds = time.perf_counter() - began
        self._calls: dict[Key, Call] = {}
        self._expected: dict[Key, Path] = {}

    def started(self) -> dict[str, Any]:
        """Which process this is, and how long its library took to import."""
        return {"pid": os.getpid(), "import_seconds": self.import_seconds}

    def pin(self) -> None:
        """From now on all its threads keep to the cores on which all runtimes run."""
        for thread in os.listdir("/proc/self/task"):
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread), self._cores)

    def prepare(self, wanted: Wanted, batch: int, artifacts: str, shared: str, settle: float, least: float) -> Any:
        """Load, run cold, warm up, and compare with the reference; gives what was seen and how many calls fill a block.

        Args:
            artifacts: the folder of what was exported or compiled, or nothing.
            shared: the folder of this point's inputs and of the reference's outputs, which the reference writes.
            settle: seconds of warm-up at least, and `least`, seconds of a block at least.
        """
        place = Path(shared)
        if self.leads and not (place / "input-0.npy").exists():
            _write_inputs(wanted, batch, place)
        inputs = _read(place, "input")
        began = time.perf_counter()
        self.runtime.load(wanted, Path(artifacts) if artifacts else None, batch)
        call = self.runtime.bind(inputs)
        loaded = time.perf_counter()
        outputs = call()
        cold = time.perf_counter()
        if self.leads:
            arrays = self.runtime.arrays(outputs)
            if wanted.kind == "named" and all(array.std() == 0 for array in arrays):
                raise UserError("its outputs are constant, so that equality would say nothing")
            for number, array in enumerate(arrays):
                np.save(place / f"output-{number}.npy", array)
        key = (wanted.name, batch)
        self._calls[key], self._expected[key] = call, place
        warm_up, each = _warm_up(call, settle)
        return {
            "load_seconds": loaded - began,
            "first_call_seconds": cold - loaded,
            "warm_up": warm_up + 1,
            "calls": max(1, min(MOST_CALLS, round(least / each))),
            "quickest": each,
            "error": self.error(key),
            "facts": dict(self.runtime.facts),
            "operators": dict(self.runtime.operators()),
        }

    def dispatched(self, key: Key) -> int:
        """How many of torch's operators one call dispatches: of a compiled graph few, of eager all."""
        if "torch" not in sys.modules:
            return 0
        import torch

        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
            self._calls[key]()
        return sum(event.name.startswith("aten::") for event in seen.events() or ())

    def error(self, key: Key) -> float:
        """The largest difference from the reference's outputs, relative to the root of their mean square.

        Raises:
            UserError: another number of outputs, or other shapes.
        """
        found = self.runtime.arrays(self._calls[key]())
        expected = _read(self._expected[key], "output")
        if [one.shape for one in found] != [one.shape for one in expected]:
            raise UserError(f"outputs of shapes {[one.shape for one in found]}, not {[one.shape for one in expected]}")
        errors = [float(np.abs(a - b).max() / _size(b)) for a, b in zip(found, expected, strict=True)]
        return max(errors) if all(np.isfinite(errors)) else float("inf")

    def time(self, network: str, batch: int, calls: int, before: int = 1) -> tuple[float, float]:
        """Seconds a call by wall and processor clock.

        Calls `before` them do not count, for others have used the caches meanwhile.
        """
        call = self._calls[network, batch]
        gc.disable()
        for _ in range(before):
            call()
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(calls):
            call()
        found = (time.perf_counter() - wall) / calls, (time.process_time() - processor) / calls
        gc.enable()
        return found

    def profile(self, network: str, batch: int, calls: int) -> dict[str, Any]:
        """Seconds of a call, and of its kernels by torch's profiler."""
        from models.framework_tax.kernels import profile

        return asdict(profile(self._calls[network, batch], calls))

    def replay(self, network: str, batch: int, rounds: int, least: float) -> dict[str, Any]:
        """Seconds of the kernels, run alone."""
        from models.framework_tax.kernels import replay

        return asdict(replay(self._calls[network, batch], rounds, least))


def _write_inputs(wanted: Wanted, batch: int, place: Path) -> None:
    from tasks.framework_tax.networks import network, onnx_inputs

    if wanted.kind == "onnx":
        arrays = onnx_inputs(Path(wanted.where), batch)
    else:
        arrays = [tensor.numpy() for tensor in network(wanted).inputs(batch)]
    for number, array in enumerate(arrays):
        np.save(place / f"input-{number}.npy", array)


def _read(place: Path, kind: str) -> list[Any]:
    return [np.load(place / f"{kind}-{number}.npy") for number in range(len(list(place.glob(f"{kind}-*.npy"))))]


def _size(array: Any) -> float:
    """The root of their mean square, however small: random weights may give outputs of 1e-22; 1 where all are 0."""
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64)))) or 1.0


def _warm_up(call: Call, settle: float) -> tuple[int, float]:
    """How many calls were made, and the seconds of the quickest."""
    seconds: list[float] = []
    began = time.perf_counter()
    while len(seconds) < LEAST_WARM_UP or (time.perf_counter() - began < settle and len(seconds) < MOST_CALLS):
        before = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - before)
    return len(seconds), min(seconds)


def main(descriptor: int, arm: str, threads: int, leads: bool) -> None:
    """Serve until the pipe is closed."""
    pipe = Connection(descriptor)
    served: Served | None = None
    while True:
        try:
            command, *arguments = pipe.recv()
        except EOFError:
            return
        try:
            if command == "start":
                served = Served(arm, threads, leads)
            assert served is not None
            value = getattr(served, {"start": "started"}.get(command, command))(*arguments)
            pipe.send(("done", value))
        except Exception as problem:
            said = " ".join(str(problem).split())[:300]
            pipe.send(("failed", said if isinstance(problem, UserError) else f"{type(problem).__name__}: {said}"))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "leads")
