"""Seconds of every collective of a layer and of the two ends of the model, for one micro-batch.

All functions take arrays. FSDP sends one message a layer and one for what is left at the ends (PyTorch's
fully_shard on each block and on the root); DDP sends buckets.
"""

from dataclasses import dataclass

import numpy as np

from models.hardware.collectives import Group, all_gather, all_reduce, all_to_all, group, reduce_scatter, send
from models.hardware.columns import Numbers, Record
from models.hardware.compute import Held, local_tokens
from models.hardware.strategy import shard_ranks
from models.hardware.workload import key_value_width


def overlapped(work: Numbers, messages: Numbers, interference: Numbers) -> Numbers:
    """Seconds of `work` with `messages` beside it, which slow it while they run: max(messages, work + share lost)."""
    return np.maximum(messages, work + interference * messages)


@dataclass(frozen=True)
class Groups:
    """The process groups of one rank."""

    tensor: Group
    context: Group
    shard: Group
    replicas: Group
    expert: Group
    expert_shard: Group
    pipeline: Group


def groups(cluster: Record, strategy: Record) -> Groups:
    """Tensor innermost, then context, then data with the experts' and the shards' ranks inside, then pipeline."""
    s, n = strategy, shard_ranks(strategy)
    return Groups(
        tensor=group(s.tensor, 1, cluster),
        context=group(s.context, s.tensor, cluster),
        shard=group(n, s.tensor, cluster),
        replicas=group(s.replicas, s.tensor * n, cluster),
        expert=group(s.expert, s.tensor * s.context, cluster),
        expert_shard=group(np.maximum(n // s.expert, 1), s.tensor * s.expert, cluster),
        pipeline=group(s.pipeline, s.tensor * s.context * s.data, cluster),
    )


@dataclass(frozen=True)
class Communication:
    """Seconds of messages. `gather` and `reduce` are those of one layer's weights and gradients, `_embedding` and
    `_head` those of the ends, `_root` of both at once; `tensor_…`, `context_…` and `experts` those of a layer's
    activations in one micro-batch, forward or backward (the ends: both ways together), as far as nothing hides them;
    `context_busy` the ring's time both ways; `send` from a stage to the next.
    """

    gather: Numbers
    gather_embedding: Numbers
    gather_head: Numbers
    gather_root: Numbers
    reduce: Numbers
    reduce_embedding: Numbers
    reduce_head: Numbers
    reduce_root: Numbers
    tensor_forward: Numbers
    tensor_backward: Numbers
    tensor_embedding: Numbers
    tensor_head: Numbers
    context_forward: Numbers
    context_backward: Numbers
    context_busy: Numbers
    experts: Numbers
    send: Numbers


def communication(
    workload: Record,
    cluster: Record,
    strategy: Record,
    calibration: Record,
    held: Held,
    attention: tuple[Numbers, Numbers],
    weight_gradient: Numbers,
) -> Communication:
    """The times of one micro-batch's messages; `attention` are the core's seconds, forward and backward."""
    w, c, s, k = workload, cluster, strategy, calibration
    g = groups(c, s)
    element = s.parameter_bytes
    tokens = local_tokens(w, s)
    activations = tokens * w.width * element

    def weights_and_gradients(dense: Numbers, experts: Numbers) -> tuple[Numbers, Numbers]:
        gathered = all_gather(dense * element, g.shard, c, k)
        gathered = gathered + np.where(experts > 0, all_gather(experts * element, g.expert_shard, c, k), 0.0)
        size = dense * s.gradient_bytes
        reduced = reduce_scatter(size, g.shard, c, k) + all_reduce(size / g.shard.ranks, g.replicas, c, k)
        mixed = experts * s.gradient_bytes
        more = reduce_scatter(mixed, g.expert_shard, c, k)
        more = more + all_reduce(mixed / g.expert_shard.ranks, g.replicas, c, k)
        reduced = reduced + np.where(experts > 0, more, 0.0)
        return gathered * (s.shard != "ddp"), np.where(s.shard == "ddp", buckets(dense, experts), reduced)

    def buckets(dense: Numbers, experts: Numbers) -> Numbers:
        everything = w.layers / s.pipeline * (held.dense + held.experts) + held.embedding + held.head
        bucket = np.minimum(s.bucket_mib * 2**20, everything * s.gradient_bytes)
        seconds = dense * s.gradient_bytes / bucket * all_reduce(bucket, g.shard, c, k)
        return seconds + experts * s.gradient_bytes / bucket * all_reduce(bucket, g.expert_shard, c, k)

    gather, reduce = weights_and_gradients(held.dense, held.experts)
    gather_embedding, reduce_embedding = weights_and_gradients(held.embedding, 0 * held.experts)
    gather_head, reduce_head = weights_and_gradients(held.head, 0 * held.experts)
    tied = np.where(w.tied_embeddings, 0.0, held.head)
    gather_root, reduce_root = weights_and_gradients(held.embedding + tied, 0 * held.experts)

    once = _tensor_collective(activations, g.tensor, c, s, k)
    again = np.where(s.sequence_parallel & s.regather, all_gather(activations, g.tensor, c, k), 0.0)
    hidden = np.maximum(0.0, 2 * again - weight_gradient)
    losses = 3 * all_reduce(4 * tokens, g.tensor, c, k)

    pass_on = send(2 * tokens * key_value_width(w) / s.tensor * element, g.context, c, k)
    turns = s.context - 1

    def ring(core: Numbers, pass_on: Numbers) -> Numbers:
        whole = core / s.context + turns * overlapped(core / s.context, pass_on, k.interference)
        return np.where(s.context > 1, whole - core, 0.0)

    routed = activations / np.where(s.sequence_parallel, s.tensor, 1) * w.top_k
    boundary = activations / np.where(s.sequence_parallel, s.tensor, 1)
    return Communication(
        gather=gather,
        gather_embedding=gather_embedding,
        gather_head=gather_head,
        gather_root=gather_root,
        reduce=reduce,
        reduce_embedding=reduce_embedding,
        reduce_head=reduce_head,
        reduce_root=reduce_root,
        tensor_forward=2 * once,
        tensor_backward=2 * once + hidden,
        tensor_embedding=once,
        tensor_head=once + losses,
        context_forward=ring(attention[0], pass_on),
        context_backward=ring(attention[1], 2 * pass_on),
        context_busy=3 * turns * pass_on,
        experts=2 * all_to_all(routed, g.expert, c, k),
        send=send(boundary, g.pipeline, c, k),
    )


def _tensor_collective(size: Numbers, g: Group, cluster: Record, strategy: Record, calibration: Record) -> Numbers:
    """An all-reduce of activations, or the all-gather and reduce-scatter that stand in for it."""
    pair = all_gather(size, g, cluster, calibration) + reduce_scatter(size, g, cluster, calibration)
    return np.where(strategy.sequence_parallel, pair, all_reduce(size, g, cluster, calibration))
