"""Real distributed training on this machine: what it sends, how long that takes, and whether a model foretells it.

Every run is torchrun on gloo with one thread a process. More than two processes are only counted, never timed:
with more processes than cores the clock shows the scheduler.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import TYPE_CHECKING, Any

from models.config import Count, Index, Positive, config
from tasks.base import spool
from tasks.base.errors import UserError
from tasks.base.measures import measures
from tasks.hardware.gloo.job import PARALLEL, Job, Shape
from tasks.hardware.gloo.launch import run

if TYPE_CHECKING:
    from models.hardware.strategy import Strategy
    from models.hardware.workload import Workload

Row = dict[str, Any]


@config
class Volumes:
    """Training runs whose collectives are counted, at each of these numbers of processes.

    `tolerance` is how far a loss may be from that of one process alone, in nats.
    """

    shape: Shape
    processes: tuple[Count, ...] = (2, 4, 8)
    steps: Count = 4
    learning_rate: Positive = 0.1
    tolerance: Positive = 1e-4
    seed: Index = 0

    def __post_init__(self) -> None:
        for processes in self.processes:
            self.shape.check(processes)


@config
class CollectiveTimes:
    """Collectives timed between two processes, at each of these sizes in bytes."""

    sizes: tuple[Count, ...]
    repetitions: Count


@config
class StepTimes:
    """Training steps timed on two processes: shapes to fit a model to, and shapes to test it on."""

    fit: tuple[Shape, ...]
    held_out: tuple[Shape, ...]
    repetitions: Count

    def __post_init__(self) -> None:
        if not self.fit or not self.held_out:
            raise ValueError("give at least one shape to fit to and one to test on")
        for shape in self.fit + self.held_out:
            shape.check(2)


@measures(
    count="collectives of one kind and size that one process starts in a training step",
    bytes="bytes of their whole tensors together",
    formula_count="the same count by models.hardware.volumes",
    formula_bytes="the same bytes by models.hardware.volumes",
    mismatched_bytes="bytes of all collectives of all processes in which the run and the formulas differ",
    mismatched_count="collectives of all processes in which the run and the formulas differ",
    loss_difference="largest difference of a step's loss from that of one process alone, in nats",
)
def measure_volumes(*, config: Volumes, out: Path) -> None:
    """Train a few steps under every arm and count the collectives of the last one, beside the formulas' count.

    Writes metrics.json: a row for each arm, number of processes, process (one for all where all are
    alike), kind and size; and one for each arm and number of processes with what differs in total.

    Raises:
        UserError: an arm computes another loss than one process alone: what it sends means nothing then.
    """
    detail: list[Row] = []
    total: list[Row] = []
    for processes in config.processes:
        job = Job(
            work="volumes",
            processes=processes,
            shapes=(config.shape,),
            arms=("single", *PARALLEL),
            steps=config.steps,
            learning_rate=config.learning_rate,
            seed=config.seed,
        )
        alone, *arms = run(job)
        for arm in arms:
            labels = {"arm": arm["arm"], "processes": processes}
            difference = max(abs(a - b) for a, b in zip(alone["losses"], arm["losses"], strict=True))
            if difference > config.tolerance:
                raise UserError(
                    f"{arm['arm']} on {processes} processes is {difference:.2g} nats from one process alone: "
                    "it does not train the same model."
                )
            rows = [row for process in arm["processes"] for row in compared(config.shape, labels, process)]
            detail += rows if arm["arm"] == "pipeline" else alike(rows, processes)
            total.append(
                labels
                | {"mismatched_bytes": sum(abs(row["bytes"] - row["formula_bytes"]) for row in rows)}
                | {"mismatched_count": sum(abs(row["count"] - row["formula_count"]) for row in rows)}
                # Seven digits of float32 and no more: the last ones depend on the processor's kernels.
                | {"loss_difference": float(f"{difference:.0e}")}
            )
    total.append(
        {
            "arm": "all",
            "mismatched_bytes": sum(row["mismatched_bytes"] for row in total),
            "mismatched_count": sum(row["mismatched_count"] for row in total),
            "loss_difference": max(row["loss_difference"] for row in total),
        }
    )
    write_rows(out, [*detail, *total])
    spool.table("collectives of a step", detail)
    spool.table("formulas against runs", [{"processes": "all", **row} for row in total])


def compared(shape: Shape, labels: Row, process: Mapping[str, Any]) -> list[Row]:
    """What one process sent beside what the formulas say, a row for each kind and size in either.

    Raises:
        RuntimeError: PyTorch's own CommDebugMode counted other collectives.
    """
    from models.hardware.volumes import volumes

    seen = Counter({(kind, size): count for kind, size, count in process["seen"]})
    kinds: Counter[str] = Counter()
    for (kind, _), count in seen.items():
        kinds[kind] += count
    if process["debug"] is not None and Counter(process["debug"]) != kinds:
        raise RuntimeError(f"CommDebugMode counts {process['debug']}, the dispatcher {dict(kinds)}")
    stage = process["rank"] if labels["arm"] == "pipeline" else 0
    foretold = volumes(workload(shape), strategy(labels["arm"], shape, labels["processes"]), stage)
    return [
        labels
        | {"process": process["rank"], "kind": kind, "message_bytes": size}
        | {"count": seen[kind, size], "bytes": seen[kind, size] * size}
        | {"formula_count": foretold[kind, size], "formula_bytes": foretold[kind, size] * size}
        for kind, size in sorted(seen.keys() | foretold.keys())
    ]


def alike(rows: Sequence[Row], processes: int) -> list[Row]:
    """The rows of one process for all.

    Raises:
        RuntimeError: the processes did not all send the same.
    """
    first = [row for row in rows if row["process"] == 0]
    if any([row | {"process": 0} for row in rows if row["process"] == rank] != first for rank in range(processes)):
        raise RuntimeError(f"processes of {rows[0]['arm']} sent different things")
    return [{name: value for name, value in row.items() if name != "process"} | {"process": "each"} for row in first]


def workload(shape: Shape) -> "Workload":
    """The shape as the simulator describes it."""
    from models.hardware.workload import Workload

    sizes = shape.architecture
    return Workload(
        width=sizes.width,
        layers=sizes.layers,
        heads=sizes.heads,
        key_value_heads=sizes.heads,
        feed_forward=sizes.feed_forward,
        vocabulary=sizes.vocabulary,
        sequence=sizes.context,
        tied_embeddings=sizes.tied_embeddings,
    )


def strategy(arm: str, shape: Shape, processes: int) -> "Strategy":
    """The arm as the simulator describes it: float32 throughout, and gathered inputs kept, as DTensor does."""
    from models.hardware.strategy import Strategy

    settings: dict[str, Any] = {"data": 1, "shard": "ddp", "micro_batch": shape.batch}
    if arm in ("ddp", "fsdp", "fsdp-keep"):
        settings |= {"data": processes, "micro_batch": shape.batch // processes}
        settings |= {"shard": "ddp" if arm == "ddp" else "fsdp", "reshard": arm == "fsdp"}
    elif arm in ("tensor", "tensor-sequence"):
        settings |= {"tensor": processes, "sequence_parallel": arm == "tensor-sequence", "regather": False}
    elif arm == "pipeline":
        settings |= {"pipeline": processes, "micro_batch": shape.batch // shape.micro_batches}
    return Strategy(batch=shape.batch, parameter_bytes=4, gradient_bytes=4, **settings)


@measures(
    seconds="median seconds of one collective, from a common start to the end of the slower process",
    low="first quartile of the seconds",
    high="third quartile of the seconds",
    load="processes that were running or waiting to run just before",
    others="processor cores that other processes kept busy meanwhile",
)
def measure_collectives(*, config: CollectiveTimes, out: Path) -> None:
    """Time gloo's all-reduce, all-gather, reduce-scatter and message between two processes, sizes in turn."""
    job = Job(work="collectives", processes=2, sizes=config.sizes, repetitions=config.repetitions)
    with watched() as machine:
        found = run(job)
    rows = [
        {"collective": row["collective"], "bytes": row["bytes"]} | quartiles(row["seconds"]) | machine for row in found
    ]
    write_rows(out, rows)
    spool.table("collectives", rows)


@measures(
    seconds="median seconds of one training step, from a common start to the end of the slower process",
    low="first quartile of the seconds",
    high="third quartile of the seconds",
    load="processes that were running or waiting to run just before",
    others="processor cores that other processes kept busy meanwhile",
)
def measure_steps(*, config: StepTimes, out: Path) -> None:
    """Time a training step of every shape under every arm on two processes, and on each of them alone.

    Alone ("single") both processes train the whole batch at the same time without a word to each other:
    what computation takes when both cores compute.
    """
    shapes = [("fit", shape) for shape in config.fit] + [("held-out", shape) for shape in config.held_out]
    job = Job(
        work="steps",
        processes=2,
        shapes=tuple(shape for _, shape in shapes),
        arms=("single", *PARALLEL),
        repetitions=config.repetitions,
    )
    with watched() as machine:
        found = run(job)
    rows = []
    for row in found:
        split, shape = shapes[row["shape"]]
        sizes = asdict(shape.architecture) | {"batch": shape.batch, "micro_batches": shape.micro_batches}
        rows.append({"arm": row["arm"], "split": split} | sizes | quartiles(row["seconds"]) | machine)
    write_rows(out, rows)
    spool.table("steps", rows)


def quartiles(seconds: Sequence[float]) -> Row:
    """Median and quartiles of the repetitions."""
    import numpy as np

    low, middle, high = np.quantile(seconds, (0.25, 0.5, 0.75)).tolist()
    return {"seconds": middle, "low": low, "high": high}


@contextmanager
def watched() -> Iterator[Row]:
    """How busy the rest of the machine is while the block runs; known when the block has ended."""
    found: Row = {"load": os.getloadavg()[0]}
    start, busy, own = time.monotonic(), _busy_seconds(), _own_seconds()
    yield found
    others = (_busy_seconds() - busy) - (_own_seconds() - own)
    found["others"] = max(0.0, round(others / (time.monotonic() - start), 3))


def _busy_seconds() -> float:
    """Seconds that the machine's cores have worked since it started (user, nice, system, interrupts)."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:7])) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """Seconds that ended children and their ended children have worked."""
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def write_rows(out: Path, rows: Sequence[Row]) -> None:
    """Write metrics.json."""
    (out / "metrics.json").write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")
