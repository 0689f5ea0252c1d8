"""How busy others kept the machine while something was timed, and by which kernels and processor it ran."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Any

Row = dict[str, Any]


@contextmanager
def alone() -> Iterator[Row]:
    """Columns for rows that were timed in the block, known at its end: `unavailable` where no core was free for us."""
    found: Row = {}
    began, before = time.monotonic(), _by_others()
    yield found
    cores = len(os.sched_getaffinity(0))
    others = max(0.0, (_by_others() - before) / (time.monotonic() - began))
    found["others"] = round(others, 3)
    if others > cores - 1:
        found["unavailable"] = f"others kept {others:.1f} of {cores} cores busy"


def _by_others() -> float:
    """Core seconds that the machine worked, less our own and those of children that ended."""
    busy = sum(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:4])) / os.sysconf("SC_CLK_TCK")
    own = (getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN))
    return busy - sum(usage.ru_utime + usage.ru_stime for usage in own)


def kernels() -> str:
    """The processor, and the BLAS that numpy and torch run on it."""
    from threadpoolctl import threadpool_info

    pools = (f"{one['internal_api']} {one.get('version')} {one.get('architecture', '')}" for one in threadpool_info())
    blas = sorted({pool.strip() for pool in pools})
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown processor")
    return f"{model}; {', '.join(blas)}"
