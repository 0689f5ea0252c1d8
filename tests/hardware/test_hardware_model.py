"""The training simulator: every input matters, its properties, and its two ways of counting time."""

import typing
from collections import Counter
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hardware_situations import CALIBRATION, FAST, MIXTURE, OLD, SMALL, found, numbers, seconds, situations
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.hardware.calibration import Calibration
from models.hardware.cluster import CLUSTERS, Cluster
from models.hardware.columns import columns
from models.hardware.events import COMPUTE, MESSAGES, Operation, Pass, _pipeline, run_streams, schedule, step_seconds
from models.hardware.step import MESSAGES as KINDS
from models.hardware.step import PARTS, step
from models.hardware.strategy import Strategy, micro_batches, world
from models.hardware.volumes import volumes
from models.hardware.workload import WORKLOADS, Workload

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
    (
        replace(OLD, flash_attention=True, fused=False),
        CLUSTERS["v100"],
        Strategy(data=8, batch=8, shard="ddp"),
        CALIBRATION,
    ),
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
    """A new field that does nothing fails here (a simulator blind to its inputs)."""
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
    options = found(workload, cluster, world(strategy), strategy.batch)[::97]
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
@settings(max_examples=100, deadline=None)
def test_closed_form_agrees_with_the_events(situation: tuple[Workload, Cluster, Strategy]) -> None:
    workload, cluster, strategy = situation
    steps = step(workload, cluster, strategy, CALIBRATION)
    assume(steps.assumed[0])
    assert steps.seconds[0] == pytest.approx(step_seconds(workload, cluster, strategy, CALIBRATION), rel=0.02)


def test_the_assumptions_are_seldom_broken() -> None:
    """Agreement where they hold would be cheap if they never held."""
    options = found(WORKLOADS["llama-2-70b"], CLUSTERS["h100"], 512, 512)
    held_by = step(WORKLOADS["llama-2-70b"], CLUSTERS["h100"], options, CALIBRATION).assumed
    assert np.mean(held_by) > 0.7
    piped = [strategy.pipeline > 1 for strategy in options]
    assert np.mean(held_by[piped]) > 0.7


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
    """(p-1)/m of 1F1B, (p-1)/(v m) interleaved (Narayanan et al. 2021, section 2.2)."""
    f, b = Pass(1 / chunks, 1 / chunks), Pass(2 / chunks, 2 / chunks)
    kinds = {"first": f, "other": f, "backward": b, "last": b}
    ends = [(x, y) for x in (True, False) for y in (True, False)]
    strategy = Strategy(data=1, batch=count, pipeline=stages, interleave=chunks)
    took = _pipeline(dict.fromkeys(ends, kinds), strategy, count, 0.0)
    assert took == pytest.approx(3 * count * (1 + (stages - 1) / (chunks * count)))
    for stage in range(stages):
        order = list(schedule(stage, stages, chunks, count))
        assert len(set(order)) == len(order) == 2 * count * chunks
