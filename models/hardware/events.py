"""A step simulated event by event: streams of computation and messages, layers, pipeline stages, micro-batches.

It takes the same seconds for each layer and message as the closed form, and none of its sums: streams run in order,
operations wait for what they need, and messages beside computation slow it while they run. One configuration at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from models.hardware.calibration import Calibration
from models.hardware.cluster import Cluster
from models.hardware.columns import as_columns
from models.hardware.passes import Part
from models.hardware.stages import Times, part, times
from models.hardware.strategy import Strategy, micro_batches
from models.hardware.workload import Workload


@dataclass
class Operation:
    """Something that one stream of a rank does, after the operations before it in its stream and after `needs`."""

    name: str
    stream: int
    seconds: float
    needs: tuple["Operation", ...] = ()
    start: float = -1.0
    end: float = -1.0


COMPUTE, MESSAGES = 0, 1


def run_streams(operations: Sequence[Operation], interference: float) -> float:
    """Set the start and end of every operation of one rank's two streams; returns when all are done, in seconds.

    While a message runs, computation goes at 1 - interference of its speed. Operations of a stream run in the order
    given. Raises ValueError if they wait for each other in a circle.
    """
    queues = [[o for o in operations if o.stream == s and o.seconds > 0] for s in (COMPUTE, MESSAGES)]
    for operation in operations:
        if operation.seconds <= 0:
            operation.start = operation.end = -1.0
    position, left, now = [0, 0], [0.0, 0.0], 0.0
    while position[0] < len(queues[0]) or position[1] < len(queues[1]):
        active = []
        for stream in (COMPUTE, MESSAGES):
            if position[stream] < len(queues[stream]):
                head = queues[stream][position[stream]]
                if head.start < 0 and all(_done(need) for need in head.needs):
                    head.start, left[stream] = now, head.seconds
                if head.start >= 0:
                    active.append(stream)
        if not active:
            raise ValueError("the operations wait for each other")
        speed = {stream: 1.0 for stream in active}
        if len(active) == 2:
            speed[COMPUTE] = 1.0 - interference
        step = min(left[stream] / speed[stream] for stream in active)
        now += step
        for stream in active:
            ends = left[stream] / speed[stream] <= step * (1 + 1e-12)
            left[stream] -= step * speed[stream]
            if ends:
                queues[stream][position[stream]].end = now
                position[stream] += 1
    return now


def _done(operation: Operation) -> bool:
    """Whether it has ended; one that takes no time ends when all it needs has."""
    return operation.end >= 0 if operation.seconds > 0 else all(_done(need) for need in operation.needs)


def forward_operations(p: Part, gathering: bool) -> list[Operation]:
    """The forward pass of one part: a layer's gather starts when the layer before it starts to compute."""
    layers = int(p.layers)
    made: list[Operation] = []

    def add(name: str, stream: int, seconds: float, *needs: Operation) -> Operation:
        made.append(Operation(name, stream, float(seconds), needs))
        return made[-1]

    root = [add("gather root", MESSAGES, p.gather_root)] if gathering else []
    done = [add("embedding", COMPUTE, p.embedding, *root)]
    before: list[Operation] = []
    for layer in range(layers):
        needs = [add(f"gather {layer}", MESSAGES, p.gather, *root, *before)] if gathering else []
        before = done if layer else []
        done = [add(f"forward {layer}", COMPUTE, p.forward, *needs, *done)]
    add("head", COMPUTE, p.head, *done)
    return made


def backward_operations(p: Part, gathering: bool, reducing: bool) -> list[Operation]:
    """The backward pass of one part: gathers one layer ahead, reductions as soon as gradients are there."""
    layers = int(p.layers)
    made: list[Operation] = []

    def add(name: str, stream: int, seconds: float, *needs: Operation) -> Operation:
        made.append(Operation(name, stream, float(seconds), needs))
        return made[-1]

    gather = add("gather first", MESSAGES, p.gather) if gathering else None
    done = add("head", COMPUTE, p.head_backward)
    if reducing and not gathering:
        add("reduce head", MESSAGES, p.reduce_head, done)
    for layer in reversed(range(layers)):
        needs = [done] if gather is None else [done, gather]
        gather = add(f"gather {layer - 1}", MESSAGES, p.gather, done) if gathering and layer else None
        done = add(f"backward {layer}", COMPUTE, p.backward, *needs)
        if reducing:
            add(f"reduce {layer}", MESSAGES, p.reduce, done)
    done = add("embedding", COMPUTE, p.embedding_backward, done)
    if reducing:
        add("reduce embedding", MESSAGES, p.reduce_embedding + p.reduce_root, done)
    return made


@dataclass(frozen=True)
class Pass:
    """Seconds until the computation of a pass is over and until its messages are too."""

    computed: float
    all: float


def _run(operations: list[Operation], interference: float) -> Pass:
    everything = run_streams(operations, interference)
    return Pass(max((o.end for o in operations if o.stream == COMPUTE), default=0.0), everything)


@dataclass(frozen=True)
class Task:
    """One chunk of one pipeline stage for one micro-batch, forward or backward."""

    forward: bool
    chunk: int
    micro_batch: int


def schedule(stage: int, stages: int, chunks: int, micro_batches: int) -> Iterator[Task]:
    """The order of a stage's work: 1F1B, interleaved over `chunks` (Narayanan et al. 2021, section 2.2)."""
    total = micro_batches * chunks
    ahead = stages - stage - 1 if chunks == 1 else 2 * (stages - stage - 1) + (chunks - 1) * stages
    warm_up = min(ahead, total)

    def task(number: int, forward: bool) -> Task:
        turn, place = divmod(number, stages * chunks)
        chunk, of_turn = divmod(place, stages)
        return Task(forward, chunk if forward else chunks - 1 - chunk, turn * stages + of_turn)

    for number in range(warm_up):
        yield task(number, True)
    for number in range(warm_up, total):
        yield task(number, True)
        yield task(number - warm_up, False)
    for number in range(total - warm_up, total):
        yield task(number, False)


def step_seconds(workload: Workload, cluster: Cluster, strategy: Strategy, calibration: Calibration) -> float:
    """Seconds of one training step, by events."""
    w, c, s, k = (as_columns(record) for record in (workload, cluster, strategy, calibration))
    t = times(w, c, s, k)
    count = int(micro_batches(strategy))
    fixed = float(t.optimizer[0]) + 1e-3 * calibration.step_overhead_ms
    ends = [(True, True)] if strategy.pipeline == 1 else [(True, False), (False, False), (False, True)]
    passes = {end: _passes(_scalars(part(t, s, first=end[0], last=end[1])), t) for end in ends}
    if strategy.pipeline == 1:
        alone = passes[True, True]
        forward = alone["first"].all + (count - 1) * alone["other"].all
        return fixed + forward + (count - 1) * alone["backward"].all + alone["last"].all
    return fixed + _pipeline(passes, strategy, count, float(t.communication.send[0]))


def _scalars(p: Part) -> Part:
    return Part(**{f.name: np.asarray(getattr(p, f.name)).reshape(-1)[0] for f in fields(p)})


def _passes(p: Part, t: Times) -> dict[str, Pass]:
    """The four kinds of pass of a part: first and other forward, other and last backward."""
    again, interference = bool(t.gather_backward[0]), float(p.interference)
    return {
        "first": _run(forward_operations(p, bool(t.gather_first[0])), interference),
        "other": _run(forward_operations(p, bool(t.gather_other[0])), interference),
        "backward": _run(backward_operations(p, again, bool(t.reduce_other[0])), interference),
        "last": _run(backward_operations(p, again, True), interference),
    }


def _pipeline(passes: dict[tuple[bool, bool], dict[str, Pass]], s: Strategy, count: int, send: float) -> float:
    """Run every stage's schedule; a task starts when the stage is free and its input has arrived."""
    orders = [list(schedule(stage, s.pipeline, s.interleave, count)) for stage in range(s.pipeline)]
    arrived: dict[tuple[int, Task], float] = {}
    free, over, position = [0.0] * s.pipeline, [0.0] * s.pipeline, [0] * s.pipeline
    last_chunk = s.pipeline * s.interleave - 1
    waiting = sum(map(len, orders))
    while waiting:
        before = waiting
        for stage in range(s.pipeline):
            while position[stage] < len(orders[stage]):
                task = orders[stage][position[stage]]
                depth = task.chunk * s.pipeline + stage
                needs_nothing = task.forward and depth == 0
                if not needs_nothing and (depth, task) not in arrived:
                    break
                start = max(free[stage], 0.0 if needs_nothing else arrived.pop((depth, task)))
                kinds = ("first" if task.micro_batch == 0 else "other") if task.forward else None
                kind = kinds or ("last" if task.micro_batch == count - 1 else "backward")
                taken = passes[depth == 0, depth == last_chunk][kind]
                free[stage] = start + (taken.computed if kind == "last" else taken.all)
                over[stage] = max(over[stage], start + taken.all)
                sent = start + taken.computed + send
                if task.forward and depth == last_chunk:
                    arrived[depth, Task(False, task.chunk, task.micro_batch)] = free[stage]
                elif task.forward:
                    ahead = (depth + 1) // s.pipeline
                    arrived[depth + 1, Task(True, ahead, task.micro_batch)] = sent
                elif depth:
                    back = (depth - 1) // s.pipeline
                    arrived[depth - 1, Task(False, back, task.micro_batch)] = sent
                position[stage] += 1
                waiting -= 1
        if waiting == before:
            raise ValueError("the stages wait for each other")
    return max(over)
