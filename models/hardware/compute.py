"""Seconds that one GPU computes: matrix products by size, the rest by bytes of memory traffic, launches by number.

Backward costs twice the forward's matrix products; fused attention 2.5 times, for it recomputes its scores
(Dao et al. 2022). All functions take arrays.
"""

from dataclasses import dataclass

import numpy as np

from models.hardware.calibration import kernels
from models.hardware.columns import Numbers, Record
from models.hardware.workload import (
    attention_parameters,
    embedding_parameters,
    expert_parameters,
    head_parameters,
    key_value_width,
    shared_parameters,
)


@dataclass(frozen=True)
class Gpu:
    """The rates of one GPU under a calibration: flop/s, bytes/s, seconds a launch, and the GEMM curve."""

    peak: Numbers
    memory: Numbers
    launch: Numbers
    ceiling: Numbers
    scale: Numbers
    attention: Numbers

    def product(self, m: Numbers, n: Numbers, k: Numbers, element: Numbers, count: Numbers = 1.0) -> Numbers:
        """Seconds of `count` products (m, k) × (k, n): bound by arithmetic or by memory, whichever is slower."""
        mean = 3.0 / (1.0 / m + 1.0 / n + 1.0 / k)
        arithmetic = 2.0 * m * n * k * (1.0 + self.scale / mean) / (self.peak * self.ceiling)
        return count * np.maximum(arithmetic, element * (m * k + k * n + m * n) / self.memory)


def gpu(workload: Record, cluster: Record, calibration: Record) -> Gpu:
    """The cluster's GPU, as the workload's kernels use it."""
    accelerator = cluster.accelerator
    kept = np.where(workload.fused, 1.0, calibration.eager_efficiency)
    return Gpu(
        peak=1e12 * accelerator.peak_tflops,
        memory=1e9 * accelerator.memory_gb_s * calibration.memory_efficiency,
        launch=1e-6 * calibration.launch_us,
        ceiling=kept * kernels("gemm_ceiling", cluster, calibration),
        scale=kernels("gemm_scale", cluster, calibration),
        attention=kept * kernels("attention_ceiling", cluster, calibration),
    )


@dataclass(frozen=True)
class Compute:
    """Seconds of computation for one micro-batch, without communication.

    Of a layer: `products` (forward, with their launches), `attention` (the core, forward), `attention_backward`,
    `elementwise` (forward); `weight_gradient` is the part of the backward pass behind which a regathering of inputs
    hides; `again` is what recomputation adds to the backward pass, `layers_again` the share of layers whose forward
    pass, communication too, runs again. Of the ends: `embedding`, either way, and `head` with the loss.
    """

    products: Numbers
    attention: Numbers
    attention_backward: Numbers
    elementwise: Numbers
    weight_gradient: Numbers
    again: Numbers
    layers_again: Numbers
    embedding: Numbers
    head: Numbers
    head_backward: Numbers


def local_tokens(workload: Record, strategy: Record) -> Numbers:
    """Tokens of a micro-batch on one rank, before sequence parallelism splits the norms."""
    return strategy.micro_batch * workload.sequence / strategy.context


def compute(workload: Record, cluster: Record, strategy: Record, calibration: Record) -> Compute:
    """The times of one micro-batch on one GPU."""
    w, s, rates = workload, strategy, gpu(workload, cluster, calibration)
    element, t = s.parameter_bytes, s.tensor
    tokens = local_tokens(w, s)
    split = tokens / np.where(s.sequence_parallel, t, 1)
    kv = key_value_width(w)

    expert_rows = tokens * w.top_k * s.expert / w.experts
    experts_here = w.experts / s.expert
    up = rates.product(expert_rows, (1 + w.gated) * w.feed_forward / t, w.width, element, experts_here)
    down = rates.product(expert_rows, w.width, w.feed_forward / t, element, experts_here)
    router = (w.experts > 1) * rates.product(tokens, w.experts, w.width, element)
    qkv = rates.product(tokens, (w.width + 2 * kv) / t, w.width, element)
    out = rates.product(tokens, w.width, w.width / t, element)
    plain = qkv + out + up + down + router
    mixed = w.experts > 1
    products = plain + rates.launch * (4 + np.where(w.fused, 0, 2 + w.gated) + 3 * mixed)

    attention, attention_backward = _attention(w, s, rates)
    elementwise, activation = _elementwise(w, s, rates, tokens, split)

    whole = (s.recomputation == "full") * s.recomputed_share
    some = s.recomputation == "selective"
    again = whole * (products + attention + elementwise)
    again = again + some * np.where(w.flash_attention, activation, attention)

    embedding = 2 * element * w.width * tokens / rates.memory + 2 * rates.launch
    vocabulary = np.ceil(w.vocabulary / t)
    logits = rates.product(tokens, vocabulary, w.width, element)
    loss = tokens * vocabulary * (element + 8) / rates.memory + 5 * rates.launch
    norm = 2 * element * w.width * split / rates.memory
    return Compute(
        products=products,
        attention=attention,
        attention_backward=attention_backward,
        elementwise=elementwise,
        weight_gradient=plain,
        again=again,
        layers_again=whole,
        embedding=embedding,
        head=logits + loss + norm,
        head_backward=2 * logits + loss + 2 * norm,
    )


def _attention(w: Record, s: Record, rates: Gpu) -> tuple[Numbers, Numbers]:
    """Forward and backward seconds of the attention core of a layer.

    Fused: half the scores (the causal ones). Otherwise two batched products over all scores, and softmax and dropout
    that read and write them.
    """
    element, queries = s.parameter_bytes, w.sequence / s.context
    heads = s.micro_batch * w.heads / s.tensor
    size = w.width // w.heads
    flops = 0.5 * 4.0 * heads * queries * w.sequence * size
    fused = flops * (1.0 + rates.scale / queries) / (rates.peak * rates.attention)
    scores = heads * queries * w.sequence
    written = rates.product(queries, w.sequence, size, element, heads)
    written = written + rates.product(queries, size, w.sequence, element, heads)
    traffic = scores * (2 * element + w.dropout * (2 * element + 1)) / rates.memory * np.where(w.fused, 1.0, 3.0)
    plain = written + traffic + (3 + w.dropout) * rates.launch
    forward = np.where(w.flash_attention, fused + rates.launch, plain)
    return forward, np.where(w.flash_attention, 2.5 * fused + rates.launch, 2 * plain)


def _elementwise(w: Record, s: Record, rates: Gpu, tokens: Numbers, split: Numbers) -> tuple[Numbers, Numbers]:
    """Forward seconds of a layer's norms, residuals, rotary positions and activation; and of norms and activation.

    Unfused norms and rotary positions go through memory about three times as often (casts to fp32 and back), an
    activation 5/3 times.
    """
    element, t = s.parameter_bytes, s.tensor
    passes = np.where(w.fused, 1.0, 3.0)
    norms = 2 * 2 * element * w.width * split * passes
    residuals = 2 * (3 * element + w.dropout) * w.width * split
    rotary = np.where(w.positions, 0.0, 2.0) * element * (w.width + key_value_width(w)) / t * tokens * passes
    activation = (2 + w.gated) * element * w.feed_forward / t * tokens * w.top_k * np.where(w.fused, 1.0, 5 / 3)
    routing = (w.experts > 1) * 4 * element * w.width * tokens * w.top_k
    launches = np.where(w.fused, 6, 18) + 2 * (w.experts > 1)
    cheap = (norms + activation) / rates.memory
    everything = cheap + (residuals + rotary + routing) / rates.memory + launches * rates.launch
    return everything, cheap + np.where(w.fused, 3, 10) * rates.launch


@dataclass(frozen=True)
class Held:
    """Weights on one rank, before data-parallel sharding: of one layer outside and inside experts, of the two ends."""

    dense: Numbers
    experts: Numbers
    embedding: Numbers
    head: Numbers


def held(workload: Record, strategy: Record) -> Held:
    """Weights left to a rank by tensor and expert parallelism (the vocabulary is padded to a multiple of the ranks)."""
    w, t = workload, strategy.tensor
    padding = np.ceil(w.vocabulary / t) - w.vocabulary / t
    table = embedding_parameters(w) - w.vocabulary * w.width
    norm = head_parameters(w) - w.vocabulary * w.width
    vocabulary = (w.vocabulary / t + padding) * w.width
    return Held(
        dense=attention_parameters(w) / t + shared_parameters(w) + (w.experts == 1) * expert_parameters(w) / t,
        experts=(w.experts > 1) * w.experts / strategy.expert * expert_parameters(w) / t,
        embedding=vocabulary + table,
        head=vocabulary + norm,
    )


def optimizer(cluster: Record, strategy: Record, calibration: Record, weights: Numbers) -> Numbers:
    """Seconds in which a rank updates so many weights: gradient read, state read and written, weight written."""
    s = strategy
    moved = s.gradient_bytes + 2 * s.optimizer_bytes + s.parameter_bytes
    memory = 1e9 * cluster.accelerator.memory_gb_s * calibration.memory_efficiency
    return weights * moved / memory + 4e-6 * calibration.launch_us
