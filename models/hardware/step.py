"""Seconds, memory, watts and rates of a training step in closed form, for one strategy or for many at once.

The step of the slowest pipeline stage: its micro-batches, filling and draining the pipeline (1F1B: p-1 passes of the
other stages; interleaved: 1/v of that), sends, the first gather and last reduction, the optimizer.

The form agrees with the events within 2 % where its assumptions hold (`Steps.assumed`). Without a pipeline they do. In
a pipeline, at most 1 % of the step is reductions after a micro-batch that could hide in filling and draining; and in
an interleaved one a send takes no longer than a chunk's forward pass, and the last reduction lasts beyond its chunk no
longer than a chunk's passes.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from models.hardware.columns import Columns, Numbers, Record, as_columns
from models.hardware.memory import Memory, memory
from models.hardware.passes import backward, forward
from models.hardware.power import watts
from models.hardware.stages import Times, part, times
from models.hardware.strategy import micro_batches, world
from models.hardware.workload import model_flops

PARTS = ("compute", "tensor", "context", "experts", "gather", "reduce", "bubble", "pipeline", "optimizer", "overhead")
"""What the seconds of a step are spent on: they add up to the step."""

MESSAGES = ("tensor", "context", "experts", "gather", "reduce", "pipeline")


@dataclass(frozen=True)
class Steps:
    """Results, an array of one value for each strategy.

    `seconds` of a step; `spent` on each of PARTS (messages: only their exposed seconds, with what they slow
    computation by); `busy`: seconds in which the links carry each kind of message, hidden or not. `mfu` by the
    PaLM formula, of the dense peak. `watts` of one GPU. `fits`: the memory suffices. `assumed`: the assumptions of
    the closed form hold; where they do not, `events.step_seconds` is the better answer.
    """

    seconds: Numbers
    assumed: Numbers
    spent: dict[str, Numbers]
    busy: dict[str, Numbers]
    memory: Memory
    fits: Numbers
    gpus: Numbers
    mfu: Numbers
    tokens_per_second: Numbers
    tokens_per_second_per_gpu: Numbers
    watts: Numbers
    tokens_per_joule: Numbers
    tokens_per_gpu_hour: Numbers
    dollars_per_billion_tokens: Numbers


def step(workload: Record, cluster: Record, strategy: Record, calibration: Record) -> Steps:
    """Work out strategies (one, a list or `Columns`); the other three are one for all, or `Columns` that match them.

    Strategies are taken to be valid (`search.problems` says which are not).
    """
    w, c, s, k = (as_columns(record) for record in (workload, cluster, strategy, calibration))
    t = times(w, c, s, k)
    count = micro_batches(s)
    seconds, spent, busy, assumed = _seconds(t, s, k, count)
    held = memory(w, s, k)
    gpus = world(s)
    tokens = s.batch * w.sequence
    per_gpu = tokens / seconds / gpus
    draw = watts(seconds, spent["compute"], sum(busy.values()), c, k)
    return Steps(
        seconds=seconds,
        assumed=assumed,
        spent=spent,
        busy=busy,
        memory=held,
        fits=held.total <= c.accelerator.memory_gib * 2**30,
        gpus=gpus,
        mfu=model_flops(w) * per_gpu / (1e12 * c.accelerator.peak_tflops),
        tokens_per_second=per_gpu * gpus,
        tokens_per_second_per_gpu=per_gpu,
        watts=draw,
        tokens_per_joule=per_gpu / draw,
        tokens_per_gpu_hour=3600 * per_gpu,
        dollars_per_billion_tokens=1e9 * c.dollars_per_gpu_hour / (3600 * per_gpu),
    )


@dataclass(frozen=True)
class _Work:
    """Seconds of a chunk, or of a rank's chunks together: passes of the first, the other and the last micro-batch,
    `tail` of messages after the last; work alone by kind; and how long its weights' and gradients' messages take."""

    first: Numbers
    other: Numbers
    backward: Numbers
    last: Numbers
    tail: Numbers
    compute: Numbers
    tensor: Numbers
    context: Numbers
    experts: Numbers
    gather: Numbers
    reduce: Numbers

    def and_of(self, number: Numbers, more: "_Work") -> "_Work":
        """This chunk and `number` more of another kind, on one rank; the tail is this one's."""
        return _Work(**{
            f.name: getattr(self, f.name) + (0 if f.name == "tail" else number * getattr(more, f.name))
            for f in fields(self)
        })  # fmt: skip

    def of_step(self, count: Numbers) -> Numbers:
        """Seconds of a rank that never waits for another, for `count` micro-batches, without the tail."""
        return self.first + self.last + (count - 1) * (self.other + self.backward)


def _chunk(t: Times, s: Columns, count: Numbers, *, first: Numbers, last: Numbers) -> _Work:
    p = part(t, s, first=first, last=last)
    final = backward(p, t.gather_backward, True)
    before = backward(p, t.gather_backward, t.reduce_other)
    alone = p.layers * (p.forward + p.backward) + p.embedding + p.embedding_backward + p.head + p.head_backward
    ends = first * t.communication.tensor_embedding + last * t.communication.tensor_head
    tensor, context, experts = p.layers * t.tensor_layer + ends, p.layers * t.context_layer, p.layers * t.experts_layer
    forwards = t.gather_first + (count - 1) * t.gather_other
    reductions = 1 + (count - 1) * t.reduce_other
    return _Work(
        first=forward(p, t.gather_first),
        other=forward(p, t.gather_other),
        backward=before.seconds + before.tail,
        last=final.seconds,
        tail=final.tail,
        compute=alone - tensor - context - experts,
        tensor=tensor,
        context=context,
        experts=experts,
        gather=forwards * (p.gather_root + p.layers * p.gather) + count * t.gather_backward * p.layers * p.gather,
        reduce=reductions * (p.layers * p.reduce + p.reduce_root + p.reduce_head + p.reduce_embedding),
    )


def _seconds(
    t: Times, s: Columns, k: Columns, count: Numbers
) -> tuple[Numbers, dict[str, Any], dict[str, Any], Numbers]:
    """The step's seconds, what they are spent on, how long the links are busy, and whether the assumptions hold."""
    alone = s.pipeline == 1
    yes, no = np.array(True), np.array(False)
    start = _chunk(t, s, count, first=yes, last=alone)
    middle = start
    if np.all(alone):
        rank, fill, sends, tail = start, 0.0, 0.0, start.tail
    else:
        middle, end = _chunk(t, s, count, first=no, last=no), _chunk(t, s, count, first=no, last=yes)
        rank, fill, sends, tail = _pipeline(t, s, count, start, middle, end)
    overhead = 1e-3 * k.step_overhead_ms + 0 * t.optimizer
    seconds = rank.of_step(count) + tail + fill + sends + t.optimizer + overhead
    spent = {
        "compute": count * rank.compute,
        "tensor": count * rank.tensor,
        "context": count * rank.context,
        "experts": count * rank.experts,
        "bubble": fill + 0 * seconds,
        "pipeline": sends + 0 * seconds,
        "optimizer": t.optimizer + 0 * seconds,
        "overhead": overhead + 0 * seconds,
    }
    exposed = np.maximum(seconds - sum(spent.values()), 0.0)
    sharding = rank.gather + rank.reduce
    share = rank.gather / np.where(sharding > 0, sharding, 1.0)
    spent |= {"gather": exposed * share, "reduce": exposed * (1 - share)}
    layers = t.chunk_layers * s.interleave
    busy = {
        "tensor": spent["tensor"],
        "context": count * layers * t.communication.context_busy,
        "experts": spent["experts"],
        "gather": rank.gather,
        "reduce": rank.reduce,
        "pipeline": np.where(alone, 0.0, 2 * count * s.interleave * t.communication.send),
    }
    return seconds, spent, busy, alone | _assumed(t, s, middle, seconds)


def _assumed(t: Times, s: Columns, middle: _Work, seconds: Numbers) -> Numbers:
    """Whether messages are as short beside the passes of a chunk as the closed form takes them to be."""
    hideable = np.maximum(middle.backward - middle.last, 0.0)
    brief = hideable * (s.pipeline - 1) * s.interleave <= 0.01 * seconds
    hidden = (t.communication.send <= middle.other) & (middle.tail <= middle.other + middle.backward)
    return brief & (hidden | (s.interleave == 1))


def _pipeline(
    t: Times, s: Columns, count: Numbers, start: _Work, middle: _Work, end: _Work
) -> tuple[_Work, Numbers, Numbers, Numbers]:
    """The slowest rank of each pipeline, and the seconds of filling and draining it, of sends, of the last messages.

    A send is hidden behind other work where stages have spare micro-batches: with 1F1B, p of them travel
    down and up all p stages, so the period is at least (passes of all stages + 2 (p-1) sends) / p; interleaved
    schedules hide all sends but a filling's, as long as a send is not longer than a chunk's forward pass.
    """
    p, v, send = s.pipeline, s.interleave, t.communication.send
    alone = p == 1
    ranks = [start.and_of(v - 1, middle), middle.and_of(v - 1, middle), end.and_of(v - 1, middle)]
    chunks = [start, middle, end]
    own = np.stack(np.broadcast_arrays(*(r.of_step(count) for r in ranks)))
    present = np.stack([np.broadcast_to(there, own.shape[1:]) for there in (p > 0, p > 2, p > 1)])
    slowest = np.argmax(np.where(present, own, -1.0), axis=0)

    def of_slowest(values: list[Numbers]) -> Numbers:
        return np.choose(slowest, np.broadcast_arrays(*values))

    rank = _Work(**{f.name: of_slowest([getattr(r, f.name) for r in ranks]) for f in fields(_Work)})
    passes = [c.first + c.last for c in chunks]
    fill = passes[0] + (p - 2) * passes[1] + passes[2] - of_slowest(passes)
    # Where the first or last micro-batch takes longer, it holds up every round through the chunks, not just the first.
    longer = np.maximum(middle.first - middle.other, 0.0) + np.maximum(middle.last - middle.backward, 0.0)
    fill = fill + (v - 1) * (p - 1) * longer
    periods = [r.other + r.backward for r in ranks]
    everywhere = periods[0] + (p - 2) * periods[1] + periods[2]
    waiting = np.maximum((everywhere + 2 * (p - 1) * send) / p - of_slowest(periods), 0.0)
    sends = np.where(v > 1, 2 * (p * v - 1) * send, 2 * (p - 1) * send + (count - 1) * waiting)
    tail = np.maximum(start.tail, middle.tail * (p > 2) - start.last - send)
    tail = np.maximum(tail, end.tail - start.last - (p - 2) * middle.last - (p - 1) * send)
    return rank, np.where(alone, 0.0, fill), np.where(alone, 0.0, sends), np.where(alone, start.tail, tail)
