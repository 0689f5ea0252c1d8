"""The training simulator: its properties, its two ways of counting time, its memory against published figures."""

import json
import typing
from collections import Counter
from dataclasses import asdict, fields, replace
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.hardware import collectives, points
from models.hardware.calibration import Calibration, Kernels
from models.hardware.cluster import CLUSTERS, Accelerator, Cluster
from models.hardware.columns import as_columns, columns, flatten
from models.hardware.compute import gpu, held
from models.hardware.events import COMPUTE, MESSAGES, Operation, Pass, _pipeline, run_streams, schedule, step_seconds
from models.hardware.fit import fit, interval, observed_seconds, predict
from models.hardware.search import candidates, nearest_valid, problems, search, valid
from models.hardware.step import MESSAGES as KINDS
from models.hardware.step import PARTS, Steps, step
from models.hardware.strategy import Strategy, micro_batches, world
from models.hardware.volumes import block_shapes, buckets, end_shapes, volumes
from models.hardware.workload import WORKLOADS, Workload, model_flops, parameters

CALIBRATION = Calibration()
SMALL = Workload(width=1024, layers=8, heads=16, key_value_heads=8, feed_forward=2816, vocabulary=32000, sequence=2048)
MIXTURE = replace(SMALL, experts=8, top_k=2)
OLD = replace(WORKLOADS["megatron-22b"], layers=8)
GIB = 2**30

FAST = settings(max_examples=60, deadline=None)


def found(workload: Workload, cluster: Cluster, gpus: int, batch: int) -> list[Strategy]:
    """Valid strategies, worked out once."""
    key = (workload, cluster, gpus, batch)
    if key not in FOUND:
        FOUND[key] = candidates(*key)
    return FOUND[key]


FOUND: dict[Any, list[Strategy]] = {}


@st.composite
def situations(draw: st.DrawFn) -> tuple[Workload, Cluster, Strategy]:
    """A random valid configuration."""
    workload = draw(st.sampled_from([SMALL, MIXTURE, OLD, WORKLOADS["llama-2-7b"]]))
    cluster = CLUSTERS[draw(st.sampled_from(["v100", "a100", "h100"]))]
    gpus = draw(st.sampled_from([1, 8, 64, 1024]))
    options = found(workload, cluster, gpus, gpus * draw(st.sampled_from([1, 4])))
    strategy = options[draw(st.integers(0, len(options) - 1))]
    return workload, cluster, replace(strategy, regather=draw(st.booleans()))


def seconds(workload: Workload, cluster: Cluster, strategy: Strategy, calibration: Calibration = CALIBRATION) -> float:
    return float(step(workload, cluster, strategy, calibration).seconds[0])


def numbers(steps: Steps) -> dict[str, Any]:
    """Every output by name."""
    made: dict[str, Any] = {}
    for name, value in ((f.name, getattr(steps, f.name)) for f in fields(steps)):
        if isinstance(value, dict):
            made |= {f"{name}.{key}": item for key, item in value.items()}
        elif hasattr(value, "__dataclass_fields__"):
            made |= {f"{name}.{f.name}": getattr(value, f.name) for f in fields(value)}
        else:
            made[name] = value
    return made


# ---- every input changes some output ----

BASES: list[tuple[Workload, Cluster, Strategy, Calibration]] = [
    (SMALL, CLUSTERS["h100"], Strategy(data=64, batch=256, micro_batch=2), CALIBRATION),
    (SMALL, CLUSTERS["a100"], Strategy(data=64, batch=256, shard="ddp"), CALIBRATION),
    (SMALL, CLUSTERS["v100"], Strategy(data=64, batch=256, shard="ddp"), CALIBRATION),
    (
        MIXTURE,
        replace(CLUSTERS["h100"], pod_nodes=16, oversubscription=2.0),
        Strategy(
            data=32,
            batch=512,
            tensor=4,
            sequence_parallel=True,
            pipeline=4,
            interleave=2,
            context=2,
            expert=2,
            recomputation="full",
            recomputed_share=0.5,
        ),
        CALIBRATION,
    ),
    (OLD, CLUSTERS["a100"], Strategy(data=64, batch=256, recomputation="selective", replicas=8), CALIBRATION),
    (replace(OLD, flash_attention=True), CLUSTERS["v100"], Strategy(data=8, batch=8, shard="ddp"), CALIBRATION),
]


def names(record: type) -> list[str]:
    """The dotted fields of a settings class and of the settings classes in it."""
    hints = typing.get_type_hints(record)
    made = []
    for field in fields(record):
        inner = hints[field.name]
        nested = hasattr(inner, "__dataclass_fields__")
        made += [f"{field.name}.{name}" for name in names(inner)] if nested else [field.name]
    return made


def changes(record: Any, name: str) -> list[Any]:
    """The record with one field changed, in every way that it accepts."""
    head, _, rest = name.partition(".")
    value = getattr(record, head)
    if rest:
        return [replace(record, **{head: inner}) for inner in changes(value, rest)]
    hint = typing.get_type_hints(type(record))[head]
    if isinstance(value, bool):
        tries: list[Any] = [not value]
    elif isinstance(value, str):
        tries = [other for other in typing.get_args(hint) if other != value]
    elif isinstance(value, int):
        tries = [value * 2, value // 2, value + 1]
    else:
        tries = [value * 0.2, value * 0.7, value * 1.4, value + 1.0]
    made = []
    for attempt in tries:
        try:
            made.append(replace(record, **{head: attempt}))
        except ValueError:
            continue
    return made


@pytest.mark.parametrize(
    ("place", "name"),
    [(i, name) for i, record in enumerate((Workload, Cluster, Strategy, Calibration)) for name in names(record)],
)
def test_every_input_changes_some_output(place: int, name: str) -> None:
    """A new field that does nothing fails here (a simulator blind to its inputs: sheet d.)."""
    for base in BASES:
        before = numbers(step(*base))
        for changed in changes(base[place], name):
            after = numbers(step(*base[:place], changed, *base[place + 1 :]))
            if any(not np.array_equal(before[key], after[key]) for key in before):
                return
    pytest.fail(f"{name} changes nothing")


@pytest.mark.parametrize("name", names(Calibration))
def test_the_digest_covers_every_parameter(name: str) -> None:
    assert all(changed.digest() != CALIBRATION.digest() for changed in changes(CALIBRATION, name))
    assert Calibration().digest() == CALIBRATION.digest()


# ---- properties of a step ----


@pytest.mark.parametrize("workload", [SMALL, MIXTURE, *WORKLOADS.values()])
def test_one_gpu_communicates_nothing(workload: Workload) -> None:
    for shard in ("ddp", "zero2", "fsdp"):
        alone = Strategy(data=1, batch=2, shard=shard)
        steps = step(workload, CLUSTERS["h100"], alone, CALIBRATION)
        for kind in KINDS:
            assert steps.busy[kind] == 0
            assert steps.spent[kind] == pytest.approx(0, abs=1e-9 * steps.seconds[0])
        assert volumes(workload, alone) == Counter()
        slower = replace(CLUSTERS["h100"], nic_gb_s=0.1, nvlink_gb_s=0.1, nic_latency_us=1e4, nvlink_latency_us=1e4)
        assert seconds(workload, slower, alone) == steps.seconds[0]


@given(situations())
@FAST
def test_the_parts_add_up_and_rates_agree(situation: tuple[Workload, Cluster, Strategy]) -> None:
    workload, cluster, strategy = situation
    steps = step(workload, cluster, strategy, CALIBRATION)
    assert set(steps.spent) == set(PARTS)
    assert sum(steps.spent.values()) == pytest.approx(steps.seconds, rel=1e-9)
    assert all(value >= 0 for value in steps.spent.values())
    assert all(value.shape == (1,) for value in numbers(steps).values())
    assert 0 < steps.mfu[0] < 1
    degrees = strategy.data * strategy.tensor * strategy.pipeline * strategy.context
    assert steps.gpus[0] == world(strategy) == degrees
    assert micro_batches(strategy) * strategy.micro_batch * strategy.data == strategy.batch
    assert steps.tokens_per_second[0] == pytest.approx(strategy.batch * workload.sequence / steps.seconds[0])
    assert cluster.accelerator.idle_w <= steps.watts[0] <= cluster.accelerator.max_w


FASTER: list[tuple[str, float]] = [
    ("nvlink_gb_s", 2.0),
    ("nic_gb_s", 2.0),
    ("nic_latency_us", 0.1),
    ("nvlink_latency_us", 0.1),
    ("accelerator.peak_tflops", 2.0),
    ("accelerator.memory_gb_s", 2.0),
]


@given(situations(), st.sampled_from(FASTER))
@FAST
def test_faster_hardware_is_never_slower(
    situation: tuple[Workload, Cluster, Strategy], better: tuple[str, float]
) -> None:
    workload, cluster, strategy = situation
    name, factor = better
    head, _, rest = name.partition(".")
    if rest:
        accelerator = replace(cluster.accelerator, **{rest: getattr(cluster.accelerator, rest) * factor})
        faster = replace(cluster, accelerator=accelerator)
    else:
        faster = replace(cluster, **{head: getattr(cluster, head) * factor})
    assert seconds(workload, faster, strategy) <= seconds(workload, cluster, strategy) * (1 + 1e-9)


def test_a_slower_network_is_felt_where_it_should_be() -> None:
    """FSDP over nodes slows with bandwidth and latency, tensor parallelism inside a node does not."""
    cluster = CLUSTERS["h100"]
    narrow, late = replace(cluster, nic_gb_s=cluster.nic_gb_s / 4), replace(cluster, nic_latency_us=100.0)
    sharded = Strategy(data=512, batch=512)
    assert seconds(SMALL, narrow, sharded) > 1.2 * seconds(SMALL, cluster, sharded)
    assert seconds(SMALL, late, sharded) > 1.2 * seconds(SMALL, cluster, sharded)
    inside = Strategy(data=1, batch=8, tensor=8, shard="ddp")
    assert seconds(SMALL, narrow, inside) == seconds(SMALL, late, inside) == seconds(SMALL, cluster, inside)


def test_latency_grows_linearly_with_a_ring_and_not_with_a_tree() -> None:
    """Claim (vii)'s ablation: the same step with a tree's latency in all-gather and reduce-scatter."""
    tree = replace(CLUSTERS["h100"], gather_algorithm="tree")

    def loss(cluster: Cluster) -> float:
        few, many = (Strategy(data=n, batch=2 * n, micro_batch=2) for n in (128, 4096))
        return seconds(WORKLOADS["llama-2-7b"], cluster, many) / seconds(WORKLOADS["llama-2-7b"], cluster, few)

    assert loss(CLUSTERS["h100"]) > 1.2
    assert loss(tree) < 1.1


@given(situations())
@FAST
def test_columns_give_what_single_strategies_give(situation: tuple[Workload, Cluster, Strategy]) -> None:
    """All strategies of a search at once, and points of different workloads and clusters side by side."""
    workload, cluster, strategy = situation
    options = found(workload, cluster, world(strategy), strategy.batch)[:: max(1, len(FOUND) * 37)]
    together = numbers(step(workload, cluster, [strategy, *options], CALIBRATION))
    alone = numbers(step(workload, cluster, strategy, CALIBRATION))
    last = numbers(step(workload, cluster, options[-1], CALIBRATION))
    for name, value in alone.items():
        assert together[name][0] == pytest.approx(value[0], rel=1e-12, abs=1e-15), name
        assert together[name][-1] == pytest.approx(last[name][0], rel=1e-12, abs=1e-15), name
    other = BASES[3]
    mixed = step(
        columns([workload, other[0]]), columns([cluster, other[1]]), columns([strategy, other[2]]), CALIBRATION
    )
    assert mixed.seconds == pytest.approx([alone["seconds"][0], seconds(*other)], rel=1e-12)


@given(situations())
@FAST
def test_volumes_are_whole_and_scale(situation: tuple[Workload, Cluster, Strategy]) -> None:
    workload, cluster, strategy = situation
    for stage in {0, strategy.pipeline - 1}:
        sent = volumes(workload, strategy, stage)
        assert all(isinstance(size, int) and isinstance(count, int) and count > 0 for (_, size), count in sent.items())
    busy = sum(float(value[0]) for value in step(workload, cluster, strategy, CALIBRATION).busy.values())
    assert (busy > 0) == bool(volumes(workload, strategy)) == (world(strategy) > 1)


# ---- closed form against events ----


@given(situations())
@settings(max_examples=120, deadline=None)
def test_closed_form_agrees_with_the_events(situation: tuple[Workload, Cluster, Strategy]) -> None:
    workload, cluster, strategy = situation
    steps = step(workload, cluster, strategy, CALIBRATION)
    assume(steps.assumed[0])
    assert steps.seconds[0] == pytest.approx(step_seconds(workload, cluster, strategy, CALIBRATION), rel=0.02)


def test_the_assumptions_are_seldom_broken() -> None:
    """Agreement where they hold would be cheap if they never held."""
    options = found(WORKLOADS["llama-2-70b"], CLUSTERS["h100"], 512, 512)
    held_by = step(WORKLOADS["llama-2-70b"], CLUSTERS["h100"], options, CALIBRATION).assumed
    assert np.mean(held_by) > 0.5
    piped = [strategy.pipeline > 1 for strategy in options]
    assert np.mean(held_by[piped]) > 0.4


def test_streams_wait_and_slow_each_other_by_hand() -> None:
    """Two units of work; a message of 1 beside them at interference 0.5 costs half a unit; more waits for both."""
    first = Operation("work", COMPUTE, 2.0)
    message = Operation("message", MESSAGES, 1.0)
    last = Operation("more", COMPUTE, 1.0, (first, message))
    assert run_streams([first, message, last], 0.5) == pytest.approx(3.5)
    assert (first.end, message.end, last.start) == pytest.approx((2.5, 1.0, 2.5))
    circle = Operation("a", COMPUTE, 1.0)
    circle.needs = (Operation("b", COMPUTE, 1.0, (circle,)),)
    with pytest.raises(ValueError, match="wait for each other"):
        run_streams([circle], 0.0)


@pytest.mark.parametrize(("stages", "chunks"), [(1, 1), (2, 1), (4, 1), (4, 2), (8, 3)])
@pytest.mark.parametrize("count", [8, 32])
def test_pipeline_bubbles_are_the_known_ones(stages: int, chunks: int, count: int) -> None:
    """(p-1)/m of 1F1B, (p-1)/(v m) interleaved (sheet a.; Narayanan et al. 2021, section 2.2)."""
    f, b = Pass(1 / chunks, 1 / chunks), Pass(2 / chunks, 2 / chunks)
    kinds = {"first": f, "other": f, "backward": b, "last": b}
    ends = [(x, y) for x in (True, False) for y in (True, False)]
    strategy = Strategy(data=1, batch=count, pipeline=stages, interleave=chunks)
    took = _pipeline(dict.fromkeys(ends, kinds), strategy, count, 0.0)
    assert took == pytest.approx(3 * count * (1 + (stages - 1) / (chunks * count)))
    for stage in range(stages):
        order = list(schedule(stage, stages, chunks, count))
        assert len(set(order)) == len(order) == 2 * count * chunks


# ---- collectives ----

SIZES = st.floats(1e3, 1e10)


@given(SIZES, st.sampled_from([2, 3, 8, 16, 100, 4096]), st.sampled_from([1, 2, 8]), st.sampled_from(list(CLUSTERS)))
@FAST
def test_an_all_reduce_is_a_reduce_scatter_and_an_all_gather(size: float, ranks: int, stride: int, name: str) -> None:
    """Of rings, with one start fewer; and the chosen all-reduce is never slower than the ring."""
    cluster = CLUSTERS[name]
    g = collectives.group(ranks, stride, cluster)
    once = CALIBRATION.collective_start_us * 1e-6
    parts = collectives.reduce_scatter(size, g, cluster, CALIBRATION)
    parts = parts + collectives.all_gather(size, g, cluster, CALIBRATION)
    ring = collectives.ring_all_reduce(size, g, cluster, CALIBRATION)
    assert ring + once == pytest.approx(parts)
    assert collectives.all_reduce(size, g, cluster, CALIBRATION) <= ring


def test_ring_and_tree_by_hand() -> None:
    """The sheet's formulas on 2 nodes of 8 with round numbers: 15 hops, 2 of them over the network."""
    plain = replace(
        CALIBRATION,
        nvlink_hop_us=0.0,
        nic_hop_us=0.0,
        tree_hop_us=0.0,
        collective_start_us=0.0,
        congestion_per_doubling=0.0,
        nvlink_efficiency=1.0,
        nic_efficiency=1.0,
        tree_efficiency=1.0,
    )
    cluster = replace(CLUSTERS["h100"], nvlink_latency_us=1.0, nic_latency_us=10.0)
    g = collectives.group(16, 1, cluster)
    assert (g.local, g.nodes) == (8, 2)
    gather = collectives.all_gather(16e9, g, cluster, plain)
    assert gather == pytest.approx(13e-6 + 20e-6 + 15 / 16 * 16e9 / 400e9)
    tree = collectives.tree_all_reduce(16e9, g, cluster, plain)
    assert tree == pytest.approx(2 * (10e-6 + 7e-6) + 2 * 16e9 / 400e9)
    spread = collectives.group(16, 8, cluster)
    assert (spread.local, spread.nodes) == (1, 16)
    assert collectives.all_gather(1.6e9, spread, cluster, plain) == pytest.approx(15 * 10e-6 + 1.5e9 / 50e9)
    narrow = replace(cluster, oversubscription=4.0, pod_nodes=1)
    assert collectives.all_gather(16e9, g, narrow, plain) == pytest.approx(33e-6 + 15e9 / 100e9)
    assert collectives.all_gather(1e9, collectives.group(1, 1, cluster), cluster, plain) == 0


# ---- exact volumes ----


def test_volumes_by_hand() -> None:
    """A model small enough to count on paper: width 6 does not divide over 4 ranks, so rows are padded."""
    tiny = Workload(
        width=6, layers=2, heads=2, key_value_heads=2, feed_forward=10, vocabulary=11, sequence=4, tied_embeddings=False
    )
    sharded = Strategy(data=4, batch=4, parameter_bytes=2, gradient_bytes=4)
    # Rows 18, 6, 20, 6 and two norms of 6 over 4 ranks: 5*6 + 2*6 + 5*6 + 2*10 + 2 + 2 elements a rank.
    block = 4 * (30 + 12 + 30 + 20 + 4)
    ends = 4 * (3 * 6 + 3 * 6 + 2)
    assert volumes(tiny, sharded) == {
        ("all-gather", 2 * block): 4,
        ("all-gather", 2 * ends): 1,
        ("reduce-scatter", 4 * block): 2,
        ("reduce-scatter", 4 * ends): 1,
    }
    kept = volumes(tiny, replace(sharded, reshard=False))
    assert kept["all-gather", 2 * block] == 2
    replicated = volumes(tiny, replace(sharded, shard="ddp"))
    assert sum(size * count for (_, size), count in replicated.items()) == 4 * parameters(tiny)
    hybrid = volumes(tiny, replace(sharded, replicas=2))
    half = 9 * 6 + 3 * 6 + 10 * 6 + 3 * 10 + 6
    assert hybrid["all-reduce", 4 * half] == 2
    wide = Strategy(data=1, batch=3, tensor=2, parameter_bytes=2)
    activation = 4 * 6 * 2
    assert volumes(tiny, wide) == {("all-reduce", activation): 3 * (8 + 2), ("all-reduce", 16): 9}
    split = volumes(tiny, replace(wide, sequence_parallel=True, regather=False))
    assert split["all-gather", activation] == split["reduce-scatter", activation] == 3 * (8 + 2)
    for stage in (0, 1):
        piped = volumes(tiny, Strategy(data=1, batch=3, pipeline=2, parameter_bytes=2), stage)
        assert piped == {("send", activation): 3, ("receive", activation): 3}


def test_buckets_close_when_they_are_full() -> None:
    assert buckets([3 * 2**19, 2**20, 30 * 2**20, 2**20], 25 * 2**20) == [3 * 2**19, 31 * 2**20, 2**20]
    assert buckets([], 25.0) == []


@pytest.mark.parametrize("workload", [SMALL, MIXTURE, *WORKLOADS.values()])
@pytest.mark.parametrize("tensor", [1, 8])
def test_weights_are_counted_alike_everywhere(workload: Workload, tensor: int) -> None:
    """The exact shapes, the times' weights and the model's parameters are the same numbers."""
    strategy = Strategy(data=8, batch=8, tensor=tensor)
    dense, experts = (sum(map(prod, shapes)) for shapes in block_shapes(workload, strategy))
    head, embedding = (sum(map(prod, shapes)) for shapes in end_shapes(workload, strategy))
    h = held(workload, strategy)
    # Row-wise biases are whole on every rank of a tensor group; the times divide them too.
    slack = (1 - 1 / tensor) * 2 * workload.width * workload.biases
    assert dense + experts == pytest.approx(h.dense + h.experts, abs=slack + 1e-6)
    assert (head, embedding) == (h.head, h.embedding)
    if tensor == 1:
        whole = workload.layers * (dense + experts) + embedding + head
        assert whole - workload.tied_embeddings * workload.vocabulary * workload.width == parameters(workload)


@pytest.mark.parametrize(("name", "billions"), [("7b", 6.74), ("13b", 13.02), ("70b", 68.98)])
def test_llama_2_has_its_published_size(name: str, billions: float) -> None:
    assert parameters(WORKLOADS[f"llama-2-{name}"]) / 1e9 == pytest.approx(billions, abs=0.006)


def test_mfu_follows_the_published_convention() -> None:
    """fms-fsdp's README: 4550 tokens/s on an A100 is an MFU of 0.68, 9600 on an H100 0.46 (sheet c.)."""
    flops = model_flops(WORKLOADS["llama-2-7b"])
    assert 4550 * flops / 312e12 == pytest.approx(0.68, abs=0.006)
    assert 9600 * flops / 989e12 == pytest.approx(0.46, abs=0.006)


# ---- memory against the published points of the sheet, section f ----

MEMORY: dict[str, tuple[int, int, int, int, float, float, float, tuple[float, float, float, float]]] = {
    "22b": (1, 1, 4, 4, 45.5625, 59.25, 9.5625, (66.84, 49.42, 16.18, 7.64)),
    "175b": (8, 3, 64, 1, 45.5625, 66.84, 12.35, (62.04, 56.53, 18.49, 8.71)),
    "530b": (35, 3, 280, 1, 31.64, 114.02, 23.08, (58.31, 62.04, 20.27, 9.42)),
    "1t": (64, 1, 512, 1, 32.96, 131.25, 26.56, (58.31, 62.04, 20.27, 9.42)),
}


@pytest.mark.parametrize("name", MEMORY)
def test_memory_is_the_published_one(name: str) -> None:
    """Within 3 % (the formulas are public, nothing is fitted). The figures leave out embedding and output."""
    stages, chunks, batch, micro, states, none, best, shares = MEMORY[name]

    def kept(recomputation: str, sequence_parallel: bool) -> Any:
        strategy = Strategy(
            data=1,
            batch=batch,
            micro_batch=micro,
            shard="ddp",
            tensor=8,
            sequence_parallel=sequence_parallel,
            pipeline=stages,
            interleave=chunks,
            recomputation=recomputation,  # type: ignore[arg-type]
        )
        workload, cluster = WORKLOADS[f"megatron-{name}"], CLUSTERS["a100"]
        assert problems(workload, cluster, strategy) == []
        return step(workload, cluster, strategy, CALIBRATION).memory

    whole = kept("none", False)
    assert (whole.parameters + whole.gradients + whole.optimizer)[0] / GIB == pytest.approx(states, rel=0.03)
    assert whole.activations[0] / GIB == pytest.approx(none, rel=0.03)
    assert kept("selective", True).activations[0] / GIB == pytest.approx(best, rel=0.03)
    kinds = [("none", True), ("selective", False), ("selective", True), ("full", False)]
    made = [100 * kept(*kind).activations[0] / whole.activations[0] for kind in kinds]
    assert made == pytest.approx(shares, rel=0.03)


@given(situations())
@FAST
def test_memory_falls_with_sharding(situation: tuple[Workload, Cluster, Strategy]) -> None:
    workload, _, strategy = situation
    strategy = replace(strategy, expert=1, replicas=1, batch=strategy.batch * 4)

    def kept(changed: Strategy) -> Any:
        return step(workload, CLUSTERS["h100"], changed, CALIBRATION).memory

    def states(changed: Strategy) -> float:
        m = kept(changed)
        return float((m.parameters + m.gradients + m.optimizer + m.ends)[0])

    shards = [states(replace(strategy, shard=kind)) for kind in ("ddp", "zero2", "fsdp")]
    assert all(more >= less * (1 - 1e-12) for more, less in pairwise(shards))
    assert strategy.data * strategy.context == 1 or shards[0] > shards[2]
    sharded = replace(strategy, shard="fsdp", reduce_each_micro_batch=True)
    assert states(replace(sharded, data=2 * strategy.data)) < states(sharded)
    assert states(replace(sharded, tensor=2 * strategy.tensor)) < states(sharded)
    context = kept(replace(strategy, context=2 * strategy.context))
    assert context.activations[0] < kept(strategy).activations[0]
    kinds = [kept(replace(strategy, recomputation=kind)).activations[0] for kind in ("none", "selective", "full")]
    assert kinds[0] > kinds[1] > kinds[2]


# ---- compute ----


def test_kernels_are_less_efficient_when_small() -> None:
    """A curve by size, not one scalar; and a thin product is bound by memory."""
    rates = gpu(CLUSTERS["a100"], CALIBRATION)

    def efficiency(*shape: float) -> float:
        return float(2 * np.prod(shape) / (rates.product(*shape, 2) * rates.peak))

    sizes = [efficiency(n, n, n) for n in (256, 1024, 4096, 16384)]
    assert all(small < large for small, large in pairwise(sizes))
    assert sizes[0] < 0.75 * sizes[-1] < CALIBRATION.ampere.gemm_ceiling
    assert efficiency(1, 4096, 4096) < 0.01
    assert efficiency(128, 4096, 4096) == pytest.approx(efficiency(4096, 4096, 128))


def test_materialised_scores_cost_memory_traffic() -> None:
    """Megatron of 2022 against the same with fused attention: slower, and by more for longer sequences."""

    def ratio(length: int) -> float:
        plain = replace(OLD, sequence=length)
        strategy = Strategy(data=1, batch=1)
        fused = seconds(replace(plain, flash_attention=True), CLUSTERS["a100"], strategy)
        return seconds(plain, CLUSTERS["a100"], strategy) / fused

    assert 1.05 < ratio(2048) < ratio(8192)


def test_recomputation_costs_a_forward_pass() -> None:
    """Full: about 4/3 of the computation; selective: far less."""
    none, some, full = (
        float(
            step(OLD, CLUSTERS["a100"], Strategy(data=1, batch=1, recomputation=kind), CALIBRATION).spent["compute"][0]
        )
        for kind in ("none", "selective", "full")
    )
    assert none < some < none + 0.5 * (full - none)
    assert full / none == pytest.approx(4 / 3, abs=0.03)


# ---- search ----


def test_the_search_ranks_what_fits_and_says_what_binds() -> None:
    workload, cluster = WORKLOADS["llama-2-70b"], CLUSTERS["h100"]
    answer = search(workload, cluster, CALIBRATION, gpus=256, batch_tokens=256 * 4096)
    assert len(answer.options) == 10
    assert answer.problem is None
    assert all(a.seconds <= b.seconds for a, b in pairwise(answer.options))
    options = found(workload, cluster, 256, 256)
    steps = step(workload, cluster, options, CALIBRATION)
    assert answer.options[0].seconds == np.min(steps.seconds[steps.fits])
    for option in answer.options:
        assert world(option.strategy) == 256
        assert option.memory_bytes <= 80 * GIB
        assert sum(option.shares.values()) == pytest.approx(1)
    slow = replace(cluster, nic_gb_s=0.5)
    bound = search(SMALL, slow, CALIBRATION, gpus=256, batch_tokens=256 * 2048).options[0].bound
    assert bound != "compute"
    dear = search(workload, replace(cluster, dollars_per_gpu_hour=4.0), CALIBRATION, gpus=256, batch_tokens=256 * 4096)
    cost = answer.options[0].dollars_per_billion_tokens
    assert dear.options[0].dollars_per_billion_tokens == pytest.approx(2 * cost)


def test_infeasible_requests_say_why_and_what_is_nearest() -> None:
    workload, cluster = WORKLOADS["llama-2-70b"], CLUSTERS["h100"]
    answer = search(workload, cluster, CALIBRATION, gpus=4, batch_tokens=2**22)
    assert answer.options == []
    assert answer.problem is not None
    assert "GiB on a GPU of 80 GiB" in answer.problem
    assert answer.nearest is not None
    enough = int(answer.nearest.split()[0])
    assert search(workload, cluster, CALIBRATION, gpus=enough, batch_tokens=2**22).options
    odd = search(SMALL, cluster, CALIBRATION, gpus=7, batch_tokens=3 * 2048)
    assert odd.problem == "a batch of 3 sequences does not divide over 7 data-parallel ranks in micro-batches of 1"
    assert odd.nearest == "8 GPUs"


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (Strategy(data=3, batch=4), "a batch of 4 sequences does not divide over 3"),
        (Strategy(data=1, batch=1, tensor=16), "8 key-value heads do not divide over tensor degree 16"),
        (Strategy(data=1, batch=1, tensor=16), "tensor degree 16 does not fit into nodes of 8"),
        (Strategy(data=9, batch=9), "9 GPUs are not whole nodes of 8"),
        (Strategy(data=1, batch=1, context=3), "2048 tokens does not divide over context degree 3"),
        (Strategy(data=1, batch=1, sequence_parallel=True), "needs a tensor degree above 1"),
        (Strategy(data=1, batch=16, pipeline=16), "8 layers are fewer than 16 stages"),
        (Strategy(data=1, batch=3, pipeline=2, interleave=2), "a multiple of 2 micro-batches, not 3"),
        (Strategy(data=8, batch=8, interleave=2), "more than one pipeline stage"),
        (Strategy(data=8, batch=8, replicas=3), "3 replicas do not divide 8"),
        (Strategy(data=8, batch=8, shard="ddp", replicas=2), "DDP has no replicas"),
        (Strategy(data=8, batch=8, expert=2), "expert degree 2 does not divide 1 experts"),
    ],
)
def test_each_constraint_in_words(strategy: Strategy, words: str) -> None:
    assert any(words in problem for problem in problems(SMALL, CLUSTERS["h100"], strategy))
    assert not valid(as_columns(SMALL), as_columns(CLUSTERS["h100"]), columns([strategy]))[0]


def test_the_nearest_valid_strategy_keeps_what_it_can() -> None:
    asked = Strategy(data=8, batch=64, tensor=8, pipeline=1, interleave=2)
    near = nearest_valid(SMALL, CLUSTERS["h100"], CALIBRATION, asked)
    assert near is not None
    assert problems(SMALL, CLUSTERS["h100"], near) == []
    assert (near.data, near.tensor, near.pipeline, near.interleave) == (8, 8, 1, 1)


# ---- points and the fit ----

EXAMPLE = yaml.safe_load((points.__doc__ or "").split("An example:")[1])


def test_the_example_of_a_point_is_read() -> None:
    timed, collective = points.read_points(EXAMPLE)
    assert isinstance(timed, points.StepPoint)
    assert timed.workload == WORKLOADS["llama-2-7b"]
    assert timed.cluster == replace(CLUSTERS["a100"], rails=2)
    assert observed_seconds(timed) == pytest.approx(2 * 4096 / 4550)
    from_mfu = timed.model_copy(update={"tokens_per_second_per_gpu": None})
    assert observed_seconds(from_mfu) == pytest.approx(observed_seconds(timed), rel=0.01)
    assert isinstance(collective, points.CollectivePoint)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"evidence": "GUESS"}, "evidence"),
        ({"workload": {"preset": "llama-9"}}, "there is no workload 'llama-9'"),
        ({"cluster": {"preset": "a100", "nic_gbit": 200}}, "nic_gbit"),
        ({"tokens_per_second_per_gpu": None, "mfu": None}, "give step_seconds"),
        ({"tokens_per_second_per_gpu": -1.0}, "greater than 0"),
        ({"speed": 3.0}, "speed"),
    ],
)
def test_a_wrong_point_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match="point fms-fsdp-7b-a100") as raised:
        points.read_points([EXAMPLE[0] | change])
    assert words in str(raised.value)
    with pytest.raises(ValueError, match="two of this id"):
        points.read_points([EXAMPLE[0], EXAMPLE[0]])


def made_points(truth: Calibration) -> list[points.Point]:
    """Figures that the simulator itself gives under a calibration, with their sources."""
    rows = []
    for number, (name, cluster, strategy) in enumerate(
        [
            ("llama-2-7b", "a100", {"data": 128, "batch": 256, "micro_batch": 2}),
            ("llama-2-13b", "a100", {"data": 128, "batch": 256, "recomputation": "full"}),
            ("megatron-22b", "a100", {"data": 1, "batch": 4, "micro_batch": 4, "tensor": 8, "shard": "ddp"}),
            ("llama-3-8b", "h100", {"data": 8, "batch": 8}),
            ("llama-2-7b", "h100", {"data": 1024, "batch": 1024}),
            ("llama-2-70b", "h100", {"data": 64, "batch": 512, "tensor": 8, "recomputation": "full"}),
        ]
    ):
        head = {"id": f"step-{number}", "source": f"source-{number}", "locator": "made", "evidence": "R"}
        work = {"workload": {"preset": name}, "cluster": {"preset": cluster}, "strategy": strategy}
        rows.append({"kind": "step", **head, **work, "step_seconds": 1.0})
    for nodes in (2, 16, 128):
        for size in (2**24, 2**28, 2**32):
            head = {"id": f"all-reduce-{nodes}-{size}", "source": "nccl", "locator": "made", "evidence": "DIG"}
            kind = {"collective": "all_reduce", "nodes": nodes, "message_bytes": size, "cluster": {"preset": "h100"}}
            rows.append({"kind": "collective", **head, **kind, "bus_bandwidth_gb_s": 1.0})
    seen = predict(points.read_points(rows), truth)
    for row in rows:
        row["step_seconds" if row["kind"] == "step" else "bus_bandwidth_gb_s"] = float(np.exp(seen[str(row["id"])]))
    return points.read_points(rows)


def test_the_fit_finds_what_made_the_figures() -> None:
    """Predictions, not every parameter: what no figure speaks of stays at its prior, and shows in the draws."""
    truth = replace(
        CALIBRATION,
        ampere=Kernels(gemm_ceiling=0.7, gemm_scale=250.0, attention_ceiling=0.5),
        hopper=Kernels(gemm_ceiling=0.6, gemm_scale=200.0, attention_ceiling=0.3),
        nic_efficiency=0.7,
        tree_hop_us=25.0,
    )
    made = made_points(truth)
    before = predict(made, CALIBRATION)
    fitted = fit(made, draws=8, seed=3)
    after = predict(made, fitted.calibration)
    assert max(map(abs, after.values())) < 0.06 < max(map(abs, before.values()))
    assert fitted.log_ratios.keys() == after.keys()
    assert fitted.calibration.nic_efficiency == pytest.approx(0.7, rel=0.07)
    assert fitted.calibration.volta == CALIBRATION.volta
    assert fitted.calibration.reserved_gib == CALIBRATION.reserved_gib
    spread = [draw.volta.gemm_ceiling for draw in fitted.draws]
    assert len(set(spread)) > 4
    again = fit(made, draws=2, seed=3)
    assert again.calibration.digest() == fitted.calibration.digest()
    assert again.draws == fitted.draws[:2]
    values = np.array([seconds(SMALL, CLUSTERS["a100"], Strategy(data=64, batch=64), draw) for draw in fitted.draws])
    low, high = interval(values, fitted.scatter)
    assert low < seconds(SMALL, CLUSTERS["a100"], Strategy(data=64, batch=64), truth) < high


def test_a_calibration_survives_json() -> None:
    changed = replace(CALIBRATION, launch_us=4.5)
    values = json.loads(json.dumps(asdict(changed)))
    kernels = {name: Kernels(**values.pop(name)) for name in ("volta", "ampere", "hopper")}
    assert Calibration(**kernels, **values).digest() == changed.digest()
    assert flatten(changed)["hopper.gemm_ceiling"] == CALIBRATION.hopper.gemm_ceiling


def test_the_paper_s_results_are_nowhere_in_the_model() -> None:
    """A number printed from a constant would be no prediction (sheet e.)."""
    text = "".join(path.read_text() for path in Path(points.__file__).parent.glob("*.py"))
    for number in ("37.2", "5.87", "59.67", "40.77", "658", "620", "52.6"):
        assert number not in text


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="must be below max_w"):
        Accelerator(family="hopper", peak_tflops=1.0, memory_gib=1.0, memory_gb_s=1.0, idle_w=9.0, max_w=8.0)
    with pytest.raises(ValueError, match="multiple of the 16 heads"):
        replace(SMALL, width=1025)
    with pytest.raises(ValueError, match="only 8 experts"):
        replace(MIXTURE, top_k=9)
