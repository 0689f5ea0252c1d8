"""Which strategies are possible on a cluster, which of them is fastest, and what holds each back.

A strategy is possible if it breaks none of the constraints below and fits into memory. The search goes through powers
of two, and for pipeline stages the divisors of the layers, so "the best" is the best of those.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from models.hardware.calibration import Calibration
from models.hardware.cluster import Cluster
from models.hardware.columns import Numbers, Record, as_columns, columns
from models.hardware.step import MESSAGES, Steps, step
from models.hardware.strategy import Strategy, micro_batches, shard_ranks, world
from models.hardware.workload import Workload

Words = Callable[[Workload, Cluster, Strategy], str]
Broken = Callable[[Record, Record, Record], Numbers]

CONSTRAINTS: list[tuple[str, Broken, Words]] = [
    (
        "batch",
        lambda w, c, s: (s.batch % (s.data * s.micro_batch) != 0) | (micro_batches(s) < 1),
        lambda w, c, s: (
            f"a batch of {s.batch} sequences does not divide over {s.data} data-parallel ranks"
            f" in micro-batches of {s.micro_batch}"
        ),
    ),
    (
        "heads",
        lambda w, c, s: w.key_value_heads % s.tensor != 0,
        lambda w, c, s: f"{w.key_value_heads} key-value heads do not divide over tensor degree {s.tensor}",
    ),
    (
        "feed-forward",
        lambda w, c, s: w.feed_forward % s.tensor != 0,
        lambda w, c, s: f"a feed-forward width of {w.feed_forward} does not divide over tensor degree {s.tensor}",
    ),
    (
        "node",
        lambda w, c, s: (s.tensor > c.gpus_per_node) | (c.gpus_per_node % np.maximum(s.tensor, 1) != 0),
        lambda w, c, s: f"tensor degree {s.tensor} does not fit into nodes of {c.gpus_per_node} GPUs",
    ),
    (
        "whole nodes",
        lambda w, c, s: (world(s) > c.gpus_per_node) & (world(s) % c.gpus_per_node != 0),
        lambda w, c, s: f"{world(s)} GPUs are not whole nodes of {c.gpus_per_node}",
    ),
    (
        "sequence",
        lambda w, c, s: w.sequence % (s.context * np.where(s.sequence_parallel, s.tensor, 1)) != 0,
        lambda w, c, s: (
            f"a sequence of {w.sequence} tokens does not divide over context degree {s.context}"
            + (f" and tensor degree {s.tensor}" if s.sequence_parallel else "")
        ),
    ),
    (
        "sequence parallelism",
        lambda w, c, s: s.sequence_parallel & (s.tensor == 1),
        lambda w, c, s: "sequence parallelism needs a tensor degree above 1",
    ),
    (
        "pipeline",
        lambda w, c, s: s.pipeline * s.interleave > w.layers,
        lambda w, c, s: f"{w.layers} layers are fewer than {s.pipeline} stages of {s.interleave} chunks",
    ),
    (
        "interleave",
        lambda w, c, s: (s.interleave > 1) & ((s.pipeline == 1) | (micro_batches(s) % s.pipeline != 0)),
        lambda w, c, s: (
            "interleaving needs more than one pipeline stage"
            if s.pipeline == 1
            else f"interleaving needs a multiple of {s.pipeline} micro-batches, not {micro_batches(s)}"
        ),
    ),
    (
        "replicas",
        lambda w, c, s: ((s.data * s.context) % s.replicas != 0) | ((s.replicas > 1) & (s.shard == "ddp")),
        lambda w, c, s: (
            "DDP has no replicas of shard groups"
            if s.shard == "ddp"
            else f"{s.replicas} replicas do not divide {s.data * s.context} data-parallel and context ranks"
        ),
    ),
    (
        "experts",
        lambda w, c, s: (w.experts % s.expert != 0) | ((s.data * s.context // s.replicas) % s.expert != 0),
        lambda w, c, s: (
            f"expert degree {s.expert} does not divide {w.experts} experts and {shard_ranks(s)} ranks of a shard group"
        ),
    ),
]
"""Name, whether it is broken (on arrays too), and how that reads."""


def valid(workload: Record, cluster: Record, strategies: Record) -> Numbers:
    """Whether each strategy breaks no constraint; memory is another matter (`Steps.fits`)."""
    broken = [bad(workload, cluster, strategies) for _, bad, _ in CONSTRAINTS]
    return ~np.any(np.stack(np.broadcast_arrays(*broken)), axis=0)


def problems(workload: Workload, cluster: Cluster, strategy: Strategy) -> list[str]:
    """Every broken constraint of one strategy, in words with its numbers; none if it is valid."""
    return [words(workload, cluster, strategy) for _, bad, words in CONSTRAINTS if bad(workload, cluster, strategy)]


@dataclass(frozen=True)
class Option:
    """A strategy with what a step costs: seconds, tokens/s over all GPUs, tokens/s a GPU, watts a GPU, MFU, bytes of
    memory on the fullest GPU, dollars and joules for a billion tokens; `bound` is what takes most seconds beside the
    optimizer ("compute", one kind of message, or "bubble"), `shares` the share of each in the step."""

    strategy: Strategy
    seconds: float
    tokens_per_second: float
    tokens_per_second_per_gpu: float
    mfu: float
    watts_per_gpu: float
    memory_bytes: float
    dollars_per_billion_tokens: float
    joules_per_billion_tokens: float
    bound: str
    shares: dict[str, float]


@dataclass(frozen=True)
class Answer:
    """The fastest strategies first; if none fits, `problem` says why and `nearest` what is closest that does."""

    options: list[Option]
    considered: int
    problem: str | None
    nearest: str | None


SHARDINGS: tuple[tuple[Literal["ddp", "zero2", "fsdp"], bool], ...] = (
    ("ddp", True),
    ("zero2", True),
    ("fsdp", True),
    ("fsdp", False),
)

RECOMPUTATIONS: tuple[Literal["none", "selective", "full"], ...] = ("none", "selective", "full")


def candidates(workload: Workload, cluster: Cluster, gpus: int, batch: int) -> list[Strategy]:
    """Every valid strategy for so many GPUs and sequences a step."""
    w = workload
    made = []
    tensors = [t for t in _powers(cluster.gpus_per_node) if gpus % t == 0]
    pipelines = [p for p in range(1, w.layers + 1) if w.layers % p == 0 and gpus % p == 0]
    for t, p, c in product(tensors, pipelines, _powers(8)):
        if gpus % (t * p * c):
            continue
        data = gpus // (t * p * c)
        micros = [m for m in _powers(16) if batch % (data * m) == 0]
        interleaves = [v for v in (1, 2, 3, 4, 6, 8) if w.layers % (p * v) == 0 and (v == 1 or p > 1)]
        experts = [e for e in _powers(w.experts) if w.experts % e == 0]
        for m, v, e, (shard, reshard) in product(micros, interleaves, experts, SHARDINGS):
            replicas = [1]
            if shard == "fsdp" and data * t > cluster.gpus_per_node > t:
                replicas.append(data * c * t // cluster.gpus_per_node)
            for r, recomputation in product(replicas, RECOMPUTATIONS):
                made.append(
                    Strategy(
                        data=data,
                        batch=batch,
                        micro_batch=m,
                        shard=shard,
                        replicas=r,
                        reshard=reshard,
                        reduce_each_micro_batch=shard == "fsdp" and reshard,
                        tensor=t,
                        sequence_parallel=t > 1,
                        pipeline=p,
                        interleave=v,
                        context=c,
                        expert=e,
                        recomputation=recomputation,
                    )
                )
    if not made:
        return []
    kept = np.broadcast_to(valid(as_columns(w), as_columns(cluster), columns(made)), len(made))
    return [strategy for strategy, ok in zip(made, kept, strict=True) if ok]


def _powers(limit: int) -> list[int]:
    return [2**i for i in range(limit.bit_length()) if 2**i <= limit]


def search(
    workload: Workload, cluster: Cluster, calibration: Calibration, *, gpus: int, batch_tokens: int, best: int = 10
) -> Answer:
    """The `best` fastest strategies for a batch of about `batch_tokens` tokens a step on so many GPUs."""
    batch = max(batch_tokens // workload.sequence, 1)
    found = candidates(workload, cluster, gpus, batch)
    if not found:
        problem, nearest = _no_candidate(workload, cluster, gpus, batch)
        return Answer([], 0, problem, nearest)
    steps = step(workload, cluster, found, calibration)
    order = [int(i) for i in np.argsort(steps.seconds, kind="stable") if steps.fits[i]]
    if order:
        return Answer([option(steps, found, i) for i in order[:best]], len(found), None, None)
    least = int(np.argmin(steps.memory.total))
    need, have = steps.memory.total[least] / 2**30, cluster.accelerator.memory_gib
    problem = (
        f"memory: the leanest of {len(found)} strategies needs {need:.1f} GiB on a GPU of {have:g} GiB"
        f" ({_largest(steps, least)})"
    )
    return Answer([], len(found), problem, _enough_gpus(workload, cluster, calibration, gpus, batch))


def option(steps: Steps, strategies: list[Strategy], row: int) -> Option:
    """One row of the results."""
    seconds = float(steps.seconds[row])
    shares = {name: float(value[row]) / seconds for name, value in steps.spent.items()}
    return Option(
        strategy=strategies[row],
        seconds=seconds,
        tokens_per_second=float(steps.tokens_per_second[row]),
        tokens_per_second_per_gpu=float(steps.tokens_per_second_per_gpu[row]),
        mfu=float(steps.mfu[row]),
        watts_per_gpu=float(steps.watts[row]),
        memory_bytes=float(steps.memory.total[row]),
        dollars_per_billion_tokens=float(steps.dollars_per_billion_tokens[row]),
        joules_per_billion_tokens=1e9 / float(steps.tokens_per_joule[row]),
        bound=max(("compute", *MESSAGES, "bubble"), key=lambda name: shares[name]),
        shares=shares,
    )


def _no_candidate(workload: Workload, cluster: Cluster, gpus: int, batch: int) -> tuple[str, str | None]:
    """Why there is nothing to try, and the nearest number of GPUs or sequences for which there is."""
    alone = Strategy(data=gpus, batch=batch)
    broken = problems(workload, cluster, alone)
    problem = broken[0] if broken else f"no strategy divides {gpus} GPUs"
    for change in _outwards(max(gpus, batch)):
        if gpus + change > 0 and candidates(workload, cluster, gpus + change, batch):
            return problem, f"{gpus + change} GPUs"
        if batch + change > 0 and candidates(workload, cluster, gpus, batch + change):
            return problem, f"a batch of {batch + change} sequences, {(batch + change) * workload.sequence} tokens"
    return problem, None


def _outwards(limit: int) -> Iterator[int]:
    for size in range(1, limit + 1):
        yield from (size, -size)


def _largest(steps: Steps, row: int) -> str:
    kinds = ("parameters", "gradients", "optimizer", "ends", "activations", "logits", "buffers")
    name = max(kinds, key=lambda kind: float(getattr(steps.memory, kind)[row]))
    return f"{name} {float(getattr(steps.memory, name)[row]) / 2**30:.1f} GiB"


def _enough_gpus(workload: Workload, cluster: Cluster, calibration: Calibration, gpus: int, batch: int) -> str | None:
    """The first doubling of the GPUs, with the batch if it must grow, at which something fits."""
    for doublings in range(1, 13):
        more = gpus * 2**doublings
        for sequences in (batch, batch * 2**doublings):
            found = candidates(workload, cluster, more, sequences)
            if found and np.any(step(workload, cluster, found, calibration).fits):
                grown = "" if sequences == batch else f" with a batch of {sequences * workload.sequence} tokens"
                return f"{more} GPUs{grown}"
    return None
