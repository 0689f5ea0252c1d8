"""One process of a distributed run; torchrun starts `python -m tasks.gloo_worker job.json rows.json` N times."""

import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from pydantic import TypeAdapter
from torch import Tensor
from torch.distributed.tensor.debug import CommDebugMode

from tasks.gloo_arms import Step, build
from tasks.gloo_job import Job, Shape, die_with_parent
from tasks.gloo_traffic import Traffic, communication_counts

Row = dict[str, Any]


def main(order: Path, rows: Path) -> None:
    """Join the others, do the job, and let the first process write what was found."""
    die_with_parent()
    torch.set_num_threads(1)
    job = TypeAdapter(Job).validate_json(order.read_text())
    dist.init_process_group("gloo")
    try:
        check_world(job)
        found = {"volumes": volumes}[job.work](job)
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
            with CommDebugMode() as counted:
                share = step(batch(job.steps))
            losses.append(whole_loss(share))
            with Traffic() as traffic:
                share = step(batch(job.steps + 1))
            losses.append(whole_loss(share))
            seen = [[kind, size, count] for (kind, size), count in sorted(traffic.seen.items())]
            everyone: list[Any] = [None] * job.processes
            dist.all_gather_object(everyone, {"seen": seen, "debug": communication_counts(counted)})
            rows.append({"arm": arm, "losses": losses, "processes": everyone})
    return rows


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
