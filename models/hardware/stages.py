"""The parts of a model that each kind of pipeline stage runs, as inputs of the closed form and of the events."""

from dataclasses import dataclass

import numpy as np

from models.hardware.columns import Numbers, Record
from models.hardware.communication import Communication, communication
from models.hardware.compute import Compute, Held, compute, held, optimizer
from models.hardware.passes import Part
from models.hardware.strategy import layers_in_chunk, shard_ranks


@dataclass(frozen=True)
class Times:
    """Everything that a step is put together from: seconds of computation and messages, and when messages are sent.

    `gather_first` and `gather_other`: weights are gathered in the first and in the later micro-batches' forward
    passes; `gather_backward`: again in the backward passes; `reduce_other`: gradients are reduced in every
    micro-batch, not in the last one only. `optimizer` in seconds of a step.
    """

    compute: Compute
    communication: Communication
    held: Held
    layer_forward: Numbers
    layer_backward: Numbers
    tensor_layer: Numbers
    context_layer: Numbers
    experts_layer: Numbers
    gather_first: Numbers
    gather_other: Numbers
    gather_backward: Numbers
    reduce_other: Numbers
    optimizer: Numbers
    interference: Numbers
    chunk_layers: Numbers


def times(workload: Record, cluster: Record, strategy: Record, calibration: Record) -> Times:
    """The times of one micro-batch under a strategy."""
    s = strategy
    cost = compute(workload, cluster, s, calibration)
    weights = held(workload, s)
    core = (cost.attention, cost.attention_backward)
    messages = communication(workload, cluster, s, calibration, weights, core, cost.weight_gradient)
    again = 1 + cost.layers_again
    tensor = messages.tensor_forward * again + messages.tensor_backward
    context = messages.context_forward * again + messages.context_backward
    experts = messages.experts * (again + 1)
    plain = cost.products + cost.attention + cost.elementwise
    backward = 2 * cost.products + cost.attention_backward + 2 * cost.elementwise + cost.again
    forward_messages = messages.tensor_forward + messages.context_forward + messages.experts
    sharded = s.shard == "fsdp"
    whole = s.shard == "ddp"
    shard = np.where(whole, 1, shard_ranks(s))
    layers = layers_in_chunk(workload, s) * s.interleave
    ends = np.maximum(weights.embedding, weights.head)
    both = weights.embedding + np.where(workload.tied_embeddings, 0.0, weights.head)
    ends = np.where(s.pipeline > 1, ends, both)
    updated = layers * (weights.dense / shard + weights.experts / np.where(whole, 1, np.maximum(shard / s.expert, 1)))
    return Times(
        compute=cost,
        communication=messages,
        held=weights,
        layer_forward=plain + forward_messages,
        layer_backward=backward + tensor + context + experts - forward_messages,
        tensor_layer=tensor,
        context_layer=context,
        experts_layer=experts,
        gather_first=~whole,
        gather_other=sharded & (s.reshard | s.reduce_each_micro_batch),
        gather_backward=sharded & s.reshard,
        reduce_other=s.reduce_each_micro_batch,
        optimizer=optimizer(cluster, s, calibration, updated + ends / shard),
        interference=calibration.interference,
        chunk_layers=layers_in_chunk(workload, s),
    )


def part(t: Times, strategy: Record, *, first: Numbers, last: Numbers) -> Part:
    """One chunk of the model; with the embedding if it is the `first`, with the head if it is the `last`."""
    cost, messages = t.compute, t.communication
    buckets = strategy.shard == "ddp"
    gather_root = np.where(
        first & last, messages.gather_root, first * messages.gather_embedding + last * messages.gather_head
    )
    reduce_root = np.where(
        first & last, messages.reduce_root, first * messages.reduce_embedding + last * messages.reduce_head
    )
    untied = np.where(
        first & last, np.maximum(messages.reduce_root - messages.reduce_embedding, 0.0), messages.reduce_head
    )
    return Part(
        layers=t.chunk_layers,
        forward=t.layer_forward,
        backward=t.layer_backward,
        embedding=first * (cost.embedding + messages.tensor_embedding),
        embedding_backward=first * cost.embedding,
        head=last * cost.head,
        head_backward=last * (cost.head_backward + messages.tensor_head),
        gather=t.communication.gather,
        gather_root=gather_root,
        reduce=t.communication.reduce,
        reduce_root=np.where(buckets, 0.0, reduce_root),
        reduce_head=np.where(buckets, last * untied, 0.0),
        reduce_embedding=np.where(buckets, first * messages.reduce_embedding, 0.0),
        interference=t.interference,
    )
