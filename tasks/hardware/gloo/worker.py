"""One process of a distributed run; torchrun starts this module N times with `job.json rows.json`."""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from pydantic import TypeAdapter
from torch import Tensor
from torch.distributed.tensor.debug import CommDebugMode

from tasks.hardware.gloo.arms import Step, build
from tasks.hardware.gloo.job import Job, Shape, die_with_parent
from tasks.hardware.gloo.traffic import Traffic, communication_counts

Row = dict[str, Any]


def main(order: Path, rows: Path) -> None:
    """Join the others, do the job, and let the first process write what was found."""
    die_with_parent()
    if b"torch.distributed.run" not in Path(f"/proc/{os.getppid()}/cmdline").read_bytes():
        # It went while this process was still importing torch, before the kernel was asked to tell us.
        raise SystemExit("the launcher has gone")
    torch.set_num_threads(1)
    job = TypeAdapter(Job).validate_json(order.read_text())
    dist.init_process_group("gloo")
    try:
        check_world(job)
        found = {"volumes": volumes, "steps": step_times, "collectives": collective_times}[job.work](job)
        if dist.get_rank() == 0:
            rows.write_text(json.dumps(found))
        dist.barrier()
    finally:
        dist.destroy_process_group()


def check_world(job: Job) -> None:
    """Refuse to go on unless the job's number of processes is here and each takes part.

    Raises:
        RuntimeError: this is a run on another number of processes than was asked for.
    """
    present = torch.zeros(job.processes, dtype=torch.int64)
    if dist.get_world_size() == job.processes:
        present[dist.get_rank()] = os.getpid()
        dist.all_reduce(present)
    if dist.get_world_size() != job.processes or len(set(present.tolist())) != job.processes:
        raise RuntimeError(f"{job.processes} processes were asked for, {dist.get_world_size()} are here")


def batches(shape: Shape, seed: int) -> Callable[[int], Tensor]:
    """A function from the step to (batch, context + 1) token ids, low ids far more frequent than high ones."""
    size = (shape.batch, shape.architecture.context + 1)
    vocabulary = shape.architecture.vocabulary

    def batch(step: int) -> Tensor:
        generator = torch.Generator().manual_seed(1000 * seed + step)
        return (torch.rand(size, generator=generator) ** 4 * vocabulary).long()

    return batch


def built(arm: str, shape: Shape, job: Job) -> Step:
    """The arm's step from weights that depend on the job's seed alone."""
    torch.manual_seed(job.seed)
    return build(arm, shape, job.learning_rate)


def whole_loss(share: Tensor) -> float:
    """The loss of the whole batch, from each process's share of it."""
    total = share.double()
    dist.all_reduce(total)
    return float(total)


def volumes(job: Job) -> list[Row]:
    """For each shape and arm: the loss before each step, and the last steps' collectives on all processes.

    The first steps are not recorded: DDP regroups its buckets and a pipeline agrees on shapes then.
    """
    rows = []
    for shape in job.shapes:
        batch = batches(shape, job.seed)
        for arm in job.arms:
            step = built(arm, shape, job)
            losses = [whole_loss(step(batch(index))) for index in range(job.steps)]
            # CommDebugMode does not count messages, and its tracking of modules fails on a pipeline's stages.
            debug = CommDebugMode() if arm != "pipeline" else nullcontext()  # type: ignore[no-untyped-call]
            with debug as counted:
                share = step(batch(job.steps))
            losses.append(whole_loss(share))
            with Traffic() as traffic:
                share = step(batch(job.steps + 1))
            losses.append(whole_loss(share))
            seen = [[kind, size, count] for (kind, size), count in sorted(traffic.seen.items())]
            everyone: list[Any] = [None] * job.processes
            mine = {"rank": dist.get_rank(), "seen": seen}
            dist.all_gather_object(everyone, mine | {"debug": communication_counts(counted) if counted else None})
            rows.append({"arm": arm, "losses": losses, "processes": everyone})
    return rows


def step_times(job: Job) -> list[Row]:
    """For each shape and arm: the seconds of each timed step, of the slowest process, after three untimed ones.

    Steps of all shapes and arms take turns, so that a busy minute spoils one repetition of each, not all of one.
    """
    ready: list[tuple[Callable[[], object], Row]] = []
    for shape in job.shapes:
        batch = batches(shape, job.seed)(0)
        for arm in job.arms:
            step = built(arm, shape, job)
            for _ in range(3):
                step(batch)
            ready.append((partial(step, batch), {"arm": arm, "shape": job.shapes.index(shape), "seconds": []}))
    for _ in range(job.repetitions):
        for call, row in ready:
            row["seconds"].append(slowest(call))
    return [row for _, row in ready]


def collective_times(job: Job) -> list[Row]:
    """For each collective and size: the seconds of one, of the slowest process, in each repetition.

    Sizes are of the whole tensor, as in `Traffic`. A send is half of a message there and back between the first two
    processes. Collectives that take less than about a millisecond run ten times in a row. `wire_bytes` is what
    the network device counted out of this process's namespace, with the clock's few small messages, for each one.
    """
    ready: list[tuple[Callable[[], object], int, Row]] = []
    for size in job.sizes:
        for kind, call in collectives(size // 4).items():
            call()
            row: Row = {"collective": kind, "bytes": size, "seconds": [], "wire_bytes": 0.0}
            ready.append((call, 10 if size <= 2**18 else 2, row))
    for _ in range(job.repetitions):
        for call, times, row in ready:
            there_and_back = 2 if row["collective"] == "send" else 1
            before = device_bytes()
            row["seconds"].append(slowest(call, times) / there_and_back)
            row["wire_bytes"] += (device_bytes() - before) / times / job.repetitions
    return [row for _, _, row in ready]


def device_bytes() -> int:
    """Bytes that the network device in use has sent since it exists."""
    device = os.environ["GLOO_SOCKET_IFNAME"]
    lines = [line.split(":") for line in Path("/proc/net/dev").read_text().splitlines() if ":" in line]
    return next(int(fields.split()[8]) for name, fields in lines if name.strip() == device)


def collectives(numbers: int) -> dict[str, Callable[[], object]]:
    """Each collective on a tensor of so many float32 numbers."""
    rank, processes = dist.get_rank(), dist.get_world_size()
    whole = torch.zeros(numbers)
    share = torch.zeros(numbers // processes)

    def send() -> None:
        if rank == 0:
            dist.send(whole, 1)
            dist.recv(whole, 1)
        elif rank == 1:
            dist.recv(whole, 0)
            dist.send(whole, 0)

    return {
        "all-reduce": lambda: dist.all_reduce(whole),
        "all-gather": lambda: dist.all_gather_single(whole, share),
        "reduce-scatter": lambda: dist.reduce_scatter_single(share, whole),
        "send": send,
    }


def slowest(call: Callable[[], object], times: int = 1) -> float:
    """Seconds of one call, from a common start to the end of the slowest process."""
    dist.barrier()
    start = time.perf_counter()
    for _ in range(times):
        call()
    took = torch.tensor((time.perf_counter() - start) / times, dtype=torch.float64)
    dist.all_reduce(took, dist.ReduceOp.MAX)
    return float(took)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
