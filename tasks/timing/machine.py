"""How busy others kept the machine while something was timed, and by which kernels and processor it ran."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Any

from tasks.base.instructions import flags

Row = dict[str, Any]

SLACK = 0.1
"""Cores that the system's own work may take of those that are needed."""


@contextmanager
def alone(needed: int = 1) -> Iterator[Row]:
    """Columns for rows that were timed in the block, known at its end: `unavailable` where cores were not free for us.

    Args:
        needed: cores that what is timed keeps busy at once; all of them, where the machine has fewer.
    """
    found: Row = {}
    began, before = time.monotonic(), _by_others()
    yield found
    cores = len(os.sched_getaffinity(0))
    others = max(0.0, (_by_others() - before) / (time.monotonic() - began))
    found["others"] = round(others, 3)
    if others > cores - min(needed, cores) + SLACK:
        found["unavailable"] = f"others kept {others:.1f} of {cores} cores busy"


def _by_others() -> float:
    """Core seconds that the machine worked or had taken from it by its host, less ours and those of ended children."""
    user, nice, system, _, _, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    own = (getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN))
    return busy - sum(usage.ru_utime + usage.ru_stime for usage in own)


def kernels() -> str:
    """The processor, the BLAS that numpy runs on it, torch's (linked in, so that it says so itself), and threads."""
    import torch
    from threadpoolctl import threadpool_info

    pools = {
        f"{one['internal_api']} {one.get('version') or ''} {one.get('architecture') or ''}".strip()
        + f" on {one['num_threads']} threads"
        for one in threadpool_info()
        if one["user_api"] == "blas"
    }
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown processor")
    theirs = torchs_kernels(torch.__config__.show())
    return f"{model}; numpy: {', '.join(sorted(pools))}; torch: {theirs} on {torch.get_num_threads()} threads"


def torchs_kernels(built: str) -> str:
    """BLAS, oneDNN and the instructions used, out of what torch says that it was built with."""
    asked = {
        "BLAS": r"BLAS_INFO=(\w+)",
        "MKL": r"Math Kernel Library Version ([\d.]+)",
        "oneDNN": r"MKL-DNN v([\d.]+)",
        "instructions": r"CPU capability usage: (\w+)",
    }
    found = {name: re.search(pattern, built) for name, pattern in asked.items()}
    return ", ".join(f"{name} {match.group(1)}" for name, match in found.items() if match)


def has_bfloat16() -> bool:
    """Whether the processor has instructions for products in bfloat16."""
    return bool({"avx512_bf16", "amx_bf16"} & flags(Path("/proc/cpuinfo").read_text().splitlines()))
