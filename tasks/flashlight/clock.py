"""Timing in turns."""

import time
from collections.abc import Callable
from typing import Any

Timed = dict[str, Callable[[], Any]]


def turns(runs: Timed, repetitions: int, warm_up: int) -> dict[str, list[float]]:
    """Seconds of each run in each turn, in every other turn in reverse order; the first turns only warm up."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(warm_up + repetitions):
        for name in list(runs)[:: 1 if turn % 2 else -1]:
            began = time.perf_counter()
            runs[name]()
            if turn >= warm_up:
                found[name].append(time.perf_counter() - began)
    return found
