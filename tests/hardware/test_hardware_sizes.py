"""The training simulator in exact numbers: collectives, volumes, memory and kernels against published figures."""

from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import pytest
from hardware_situations import CALIBRATION, FAST, GIB, MIXTURE, OLD, SMALL, seconds, situations
from hypothesis import given
from hypothesis import strategies as st

from models.hardware import collectives
from models.hardware.cluster import CLUSTERS, Cluster
from models.hardware.columns import as_columns
from models.hardware.compute import compute, gpu, held
from models.hardware.search import problems
from models.hardware.step import step
from models.hardware.strategy import Strategy
from models.hardware.volumes import block_shapes, buckets, end_shapes, volumes
from models.hardware.workload import WORKLOADS, Workload, model_flops, parameters

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
    """The formulas on 2 nodes of 8 with round numbers: 15 hops, 2 of them over the network."""
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
    wide = replace(cluster, nic_gb_s=100.0)  # eight of them carry more than NVLink
    assert collectives.all_gather(16e9, g, wide, plain) == pytest.approx(33e-6 + 15e9 / 450e9)
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
    """fms-fsdp's README: 4550 tokens/s on an A100 is an MFU of 0.68, 9600 on an H100 0.46."""
    flops = model_flops(WORKLOADS["llama-2-7b"])
    assert 4550 * flops / 312e12 == pytest.approx(0.68, abs=0.006)
    assert 9600 * flops / 989e12 == pytest.approx(0.46, abs=0.006)


# ---- memory against the published points of Megatron ----

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
    # In all, for the fullest stage may be another one then, with more activations and no logits.
    assert kept(replace(strategy, context=2 * strategy.context)).total[0] < kept(strategy).total[0]
    kinds = [kept(replace(strategy, recomputation=kind)).activations[0] for kind in ("none", "selective", "full")]
    assert kinds[0] > kinds[1] > kinds[2]


# ---- compute ----


def test_kernels_are_less_efficient_when_small() -> None:
    """A curve by size, not one scalar; and a thin product is bound by memory."""
    rates = gpu(OLD, CLUSTERS["a100"], CALIBRATION)

    def efficiency(*shape: float) -> float:
        return float(2 * np.prod(shape) / (rates.product(*shape, 2) * rates.peak))

    sizes = [efficiency(n, n, n) for n in (256, 1024, 4096, 16384)]
    assert all(small < large for small, large in pairwise(sizes))
    assert sizes[0] < 0.75 * sizes[-1] < CALIBRATION.ampere.gemm_ceiling
    assert efficiency(1, 4096, 4096) < 0.01
    assert efficiency(128, 4096, 4096) == pytest.approx(efficiency(4096, 4096, 128))


def test_fused_attention_skips_the_causal_half() -> None:
    """Two products of 2 s² d a head, half of them; forward 2 and backward 5 of them (Dao et al. 2022)."""
    inputs = (as_columns(r) for r in (SMALL, CLUSTERS["a100"], Strategy(data=1, batch=1), CALIBRATION))
    made = compute(*inputs)
    flops = 2 * SMALL.sequence**2 * SMALL.width
    rate = 312e12 * CALIBRATION.ampere.attention_ceiling / (1 + CALIBRATION.ampere.gemm_scale / SMALL.sequence)
    launch = 1e-6 * CALIBRATION.launch_us
    assert made.attention[0] == pytest.approx(flops / rate + launch)
    assert made.attention_backward[0] == pytest.approx(2.5 * flops / rate + launch)


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
