"""How a training step is split over the GPUs.

Ranks are numbered with tensor parallelism innermost, then context, then data (an FSDP shard group inside, replicas
outside), and pipeline stages outermost, as Megatron and torchtitan place them.
"""

from typing import Literal

from models.config import Count, Fraction, Positive, config
from models.hardware.columns import Numbers, Record


@config
class Strategy:
    """One way to train: the world is data × tensor × pipeline × context GPUs.

    `batch` and `micro_batch` count sequences: of a step over all ranks, and of one pass of one data-parallel rank.
    `shard`: "ddp" replicates; "zero2" shards gradients and optimizer; "fsdp" shards parameters too (ZeRO-3), over
    data × context / `replicas` ranks: more than one replica is HSDP. `reshard`: FSDP frees the parameters after the
    forward pass and gathers them again for the backward pass. `reduce_each_micro_batch`: gradients are reduced in
    every micro-batch's backward pass (what fully_shard does unless told otherwise), not once a step.
    `sequence_parallel`: reduce-scatter and all-gather in place of tensor parallelism's all-reduce; with `regather`
    only a rank's part of the gathered inputs is kept, and gathered again in the backward pass (Megatron).
    `interleave`: model chunks a pipeline stage (1 is plain 1F1B). `expert`: ranks, among the data-parallel ones, over
    which a mixture's experts are spread. `recomputation`: "selective" recomputes the attention core (its scores), or
    with flash attention the norms and activations; "full" whole layers, `recomputed_share` of them.
    `parameter_bytes`: an element of weights and activations as computed with and sent; `gradient_bytes`: an element
    of gradients as kept and reduced; `optimizer_bytes`: optimizer state of a parameter (12: fp32 weight and two
    moments). `bucket_mib`: DDP's bucket.
    """

    data: Count
    batch: Count
    micro_batch: Count = 1
    shard: Literal["ddp", "zero2", "fsdp"] = "fsdp"
    replicas: Count = 1
    reshard: bool = True
    reduce_each_micro_batch: bool = True
    tensor: Count = 1
    sequence_parallel: bool = False
    regather: bool = True
    pipeline: Count = 1
    interleave: Count = 1
    context: Count = 1
    expert: Count = 1
    recomputation: Literal["none", "selective", "full"] = "none"
    recomputed_share: Fraction = 1.0
    parameter_bytes: Count = 2
    gradient_bytes: Count = 4
    optimizer_bytes: Count = 12
    bucket_mib: Positive = 25.0


def world(strategy: Record) -> Numbers:
    """The number of GPUs."""
    return strategy.data * strategy.tensor * strategy.pipeline * strategy.context


def micro_batches(strategy: Record) -> Numbers:
    """Micro-batches of a step on one data-parallel rank (whole where the strategy is valid)."""
    return strategy.batch // (strategy.data * strategy.micro_batch)


def shard_ranks(strategy: Record) -> Numbers:
    """Ranks over which a replica's parameters are sharded (FSDP, ZeRO-2) or its gradients averaged (DDP)."""
    return strategy.data * strategy.context // strategy.replicas


def layers_in_chunk(workload: Record, strategy: Record) -> Numbers:
    """Layers of one pipeline chunk; where they do not divide, those of the fullest chunk, which paces the rest."""
    return -(-workload.layers // (strategy.pipeline * strategy.interleave))
