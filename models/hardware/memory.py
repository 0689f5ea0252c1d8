"""Bytes on the fullest GPU, by kind.

Activations follow Korthikanti et al. 2022 (equations 2 to 4, section 4.2.3). Of a layer they are, with dropout, unfused
attention and two bytes an element, s b h (10 + 24/t + 5 a s/(h t)) bytes; s b h (34/t + 5 a s/(h t)) with sequence
parallelism; without the a s/h term with selective recomputation; 2 s b h with full. Here the same terms are added up
one by one, so that gated blocks, grouped queries, fused attention and other element sizes follow. The first stage of
a 1F1B pipeline holds up to p micro-batches, so all L layers' activations; interleaved, L (1 + (p-1)/(p v)) layers'.
"""

from dataclasses import dataclass

import numpy as np

from models.hardware.columns import Numbers, Record
from models.hardware.compute import held, local_tokens
from models.hardware.strategy import layers_in_chunk, micro_batches, shard_ranks
from models.hardware.workload import key_value_width


@dataclass(frozen=True)
class Memory:
    """Bytes: `parameters`, `gradients` and `optimizer` of the layers, `ends` all three of embedding and output;
    `activations` of the layers, `logits`; `buffers` of gathered weights, gradients under way, buckets and the layer
    that is being recomputed; `reserved` by CUDA and NCCL.
    """

    parameters: Numbers
    gradients: Numbers
    optimizer: Numbers
    ends: Numbers
    activations: Numbers
    logits: Numbers
    buffers: Numbers
    reserved: Numbers
    total: Numbers


def layer_activations(workload: Record, strategy: Record) -> tuple[Numbers, Numbers, Numbers]:
    """Bytes kept on one rank of one layer and micro-batch: without recomputation, with selective, with full."""
    w, s = workload, strategy
    element, t = s.parameter_bytes, s.tensor
    tokens = local_tokens(w, s)
    split = np.where(s.sequence_parallel, t, 1)
    gathered = np.where(s.sequence_parallel & s.regather, t, 1)
    norm_inputs = 2 * element * w.width / split
    inputs = 2 * element * w.width / gathered
    masks = 2 * w.dropout * w.width / split
    qkv_and_context = element * (2 * w.width + 2 * key_value_width(w)) / t
    middle = element * np.where(w.gated, 3 + (1 - w.fused), 2) * w.feed_forward / t * w.top_k
    routed = (w.experts > 1) * element * w.width * 2 * w.top_k
    statistics = w.flash_attention * 4 * w.heads / t
    scores = np.where(w.flash_attention, 0.0, 1.0) * (element + w.dropout * (element + 1)) * w.heads * w.sequence / t
    kept = norm_inputs + masks + qkv_and_context + routed + statistics
    everything = kept + inputs + middle + scores
    # Fused attention has no scores to drop: then norms' outputs and the activation function's are made again.
    cheap = np.where(w.flash_attention, inputs + element * w.gated * w.feed_forward / t * w.top_k, 0.0)
    selective = everything - scores - cheap
    full = element * w.width / split
    return tokens * everything, tokens * selective, tokens * full


def memory(workload: Record, strategy: Record, calibration: Record) -> Memory:
    """Bytes on the fuller of the first and the last stage (the same where there is no pipeline)."""
    w, s = workload, strategy
    h, p, v = held(w, s), s.pipeline, s.interleave
    chunk = layers_in_chunk(w, s)
    layers = chunk * v
    sharded = np.where(s.shard == "ddp", 1, shard_ranks(s))
    split = np.maximum(sharded // s.expert, 1)
    whole_parameters = s.shard != "fsdp"
    # Reduced in every micro-batch, gradients are kept as shards; else whole until the last.
    whole_gradients = (s.shard == "ddp") | (~s.reduce_each_micro_batch & (micro_batches(s) > 1))
    states = (
        (s.parameter_bytes, whole_parameters),
        (s.gradient_bytes, whole_gradients),
        (s.optimizer_bytes, s.shard == "ddp"),
    )

    def kept(dense: Numbers, experts: Numbers, size: Numbers, whole: Numbers) -> Numbers:
        return size * (dense / np.where(whole, 1, sharded) + experts / np.where(whole, 1, split))

    parameters, gradients, optimizer = (kept(layers * h.dense, layers * h.experts, *state) for state in states)
    embedding, head = (sum(kept(end, 0.0, *state) for state in states) for end in (h.embedding, h.head))
    both = sum(kept(h.embedding + np.where(w.tied_embeddings, 0.0, h.head), 0.0, *state) for state in states)

    everything, selective, full = layer_activations(w, s)
    layer = np.where(s.recomputation == "selective", selective, everything)
    share = (s.recomputation == "full") * s.recomputed_share
    layer = share * full + (1 - share) * layer
    under_way = np.where(v > 1, v * p + p - 1, p)
    first = np.minimum(under_way, micro_batches(s) * v) * chunk * layer
    last = np.where(v > 1, np.minimum((v - 1) * p + 1, micro_batches(s) * v), 1) * chunk * layer
    tokens = local_tokens(w, s)
    logits = tokens * np.ceil(w.vocabulary / s.tensor) * (s.parameter_bytes + 4)

    weights = h.dense + h.experts
    resharded = (s.shard == "fsdp") & s.reshard
    gathered = np.where(resharded, np.minimum(2, layers), layers) * weights * s.parameter_bytes * (s.shard == "fsdp")
    reduced = np.where((s.shard != "ddp") & ~whole_gradients, np.minimum(2, layers), 0) * weights * s.gradient_bytes
    buckets = np.where(s.shard == "ddp", 2 * s.bucket_mib * 2**20, 0.0)
    again = (share > 0) * (everything - full) + (s.recomputation == "selective") * (everything - selective)
    buffers = gathered + reduced + buckets + again

    alone = p == 1
    ends_first, ends_last = np.where(alone, both, embedding), np.where(alone, both, head)
    logits_first = np.where(alone, logits, 0.0)
    at_first = ends_first + first + logits_first >= ends_last + last + logits
    activations = np.where(at_first, first, last)
    ends, logits = np.where(at_first, ends_first, ends_last), np.where(at_first, logits_first, logits)
    reserved = calibration.reserved_gib * 2**30 + 0.0 * activations
    total = parameters + gradients + optimizer + ends + activations + logits + buffers + reserved
    return Memory(parameters, gradients, optimizer, ends, activations, logits, buffers, reserved, total)
