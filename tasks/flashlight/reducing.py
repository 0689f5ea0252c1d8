"""Processes that share a batch: their gradients against one process's, bytes sent, and two ways to reduce."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from models.config import Count, config
from tasks.base.errors import UserError
from tasks.base.files import ROOT, write_json
from tasks.base.measures import measures
from tasks.timing.machine import alone

Row = dict[str, Any]


@config
class Reducing:
    """How many processes there are, the network, and how often gradients are reduced, after turns that only warm up.

    Layers are many and small (132 KiB of float64 at width 128), so that a bucket holds several of them.
    """

    processes: tuple[Count, ...] = (2, 4)
    width: Count = 128
    layers: Count = 24
    batch: Count = 16
    warm_up: Count = 2
    repetitions: Count = 10
    bucket_kib: Count = 1024


@measures(
    gradient_error="largest difference of any process's gradients from one process's over the whole batch",
    bytes_error="bytes sent over those of the formula 2 (n - 1) / n, less 1",
    reductions="all-reduces a step, by reducer",
    reduce_seconds="median seconds forward, backward and reduced, by reducer",
    bucket_ratio="seconds with buckets over those inline, turn by turn",
)
def reduce(*, config: Reducing, out: Path) -> None:
    """Write metrics.json: rings of real processes, over sockets and through shared memory; both reducers take turns."""
    rows: list[Row] = []
    worst, most = 0.0, 0.0
    with alone(needed=max(config.processes)) as busy:
        timed: list[Row] = []
        for kind in ("sockets", "shared memory"):
            for size in config.processes:
                found = _run(kind, size, config)
                labels = {"ring": kind, "processes": str(size)}
                for reducer in ("inline", "bucketed"):
                    one = found[reducer]
                    rows.append(labels | {"reducer": reducer, "reductions": one["calls"]})
                    timed.append(labels | {"reducer": reducer, "reduce_seconds": median(one["seconds"])})
                    worst, most = max(worst, one["error"]), max(most, abs(one["bytes"]))
                if size == min(config.processes):
                    pairs = zip(found["bucketed"]["seconds"], found["inline"]["seconds"], strict=True)
                    timed += [labels | {"turn": t, "bucket_ratio": a / b} for t, (a, b) in enumerate(pairs)]
    rows += [row | busy for row in timed]
    rows.append({"over": "all rings", "gradient_error": worst, "bytes_error": most})
    write_json(out / "metrics.json", rows)


def _run(kind: str, size: int, config: Reducing) -> dict[str, Any]:
    """The first process's findings.

    Raises:
        UserError: a process failed or took too long; the sentence ends with what it said.
    """
    from tasks.flashlight import ring_process as process

    with tempfile.TemporaryDirectory(dir=_in_memory()) as folder:
        order = Path(folder) / "order.json"
        settings = {
            "kind": kind,
            "size": size,
            "width": config.width,
            "layers": config.layers,
            "warm_up": config.warm_up,
            "batch": config.batch,
            "repetitions": config.repetitions,
            "bucket": config.bucket_kib * 1024,
            "folder": folder,
        }
        order.write_text(json.dumps(settings))
        command = [sys.executable, "-m", process.__name__, str(order)]
        processes = [
            subprocess.Popen([*command, str(rank)], cwd=ROOT, stderr=subprocess.PIPE, text=True) for rank in range(size)
        ]
        _wait(processes, 300)
        found: dict[str, Any] = json.loads((Path(folder) / "found.json").read_text())
        return found


def _in_memory() -> str | None:
    """A folder that lies in memory, where the system has one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder with a name of its own in it


def _wait(processes: list["subprocess.Popen[str]"], seconds: float) -> None:
    end = time.monotonic() + seconds
    try:
        for one in processes:
            _, said = one.communicate(timeout=max(1.0, end - time.monotonic()))
            if one.returncode:
                last = said.strip().splitlines()[-1] if said.strip() else "it said nothing"
                raise UserError(f"A process of the ring failed: {last}.")
    except subprocess.TimeoutExpired as problem:
        raise UserError(f"A ring took longer than {seconds:.0f} s: see whether the machine is busy.") from problem
    finally:
        for one in processes:
            if one.poll() is None:
                one.kill()
                one.wait()
