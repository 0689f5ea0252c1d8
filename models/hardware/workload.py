"""The transformer that is trained: its parameters, its layers and its model FLOPs.

`workload` in the functions is a `Workload` or `Columns` of its fields.
"""

from dataclasses import replace

from models.config import Count, config
from models.hardware.columns import Numbers, Record


@config
class Workload:
    """A decoder-only transformer and the length of its training sequences.

    `width`, `feed_forward` and `sequence` count elements and tokens. `gated`: three matrices in a feed-forward
    block (SwiGLU), not two. `flash_attention`: the scores are never written to memory, and the causal half is skipped.
    `fused`: norms, activations, residuals and rotary positions run as fused kernels (torch.compile, Megatron's
    kernels). `dropout`: masks are made and kept (Megatron 2022). `biases`: linear layers and norms have biases.
    `positions`: a learned position table. With `experts` > 1 each feed-forward block is `experts` of them, `top_k`
    active for a token.
    """

    width: Count
    layers: Count
    heads: Count
    key_value_heads: Count
    feed_forward: Count
    vocabulary: Count
    sequence: Count
    gated: bool = True
    tied_embeddings: bool = False
    flash_attention: bool = True
    fused: bool = True
    dropout: bool = False
    biases: bool = False
    positions: bool = False
    experts: Count = 1
    top_k: Count = 1

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of the {self.heads} heads")
        if self.heads % self.key_value_heads:
            raise ValueError(f"{self.heads} heads must be a multiple of the {self.key_value_heads} key-value heads")
        if self.top_k > self.experts:
            raise ValueError(f"top_k is {self.top_k}, but there are only {self.experts} experts")


def key_value_width(workload: Record) -> Numbers:
    """Elements of a token's keys (or values) in one layer."""
    return workload.width // workload.heads * workload.key_value_heads


def attention_parameters(workload: Record) -> Numbers:
    """Weights of a layer's four projections; half of them are split by columns, half by rows in tensor parallelism."""
    w = workload
    return 2 * w.width**2 + 2 * w.width * key_value_width(w) + w.biases * (2 * w.width + 2 * key_value_width(w))


def expert_parameters(workload: Record) -> Numbers:
    """Weights of one feed-forward block (one expert of a mixture)."""
    w = workload
    return (2 + w.gated) * w.width * w.feed_forward + w.biases * ((1 + w.gated) * w.feed_forward + w.width)


def shared_parameters(workload: Record) -> Numbers:
    """Weights of a layer that every rank of a tensor group holds whole: two norms and a mixture's router."""
    w = workload
    return 2 * w.width * (1 + w.biases) + (w.experts > 1) * w.width * w.experts


def layer_parameters(workload: Record) -> Numbers:
    """Weights of one layer, all experts included."""
    w = workload
    return attention_parameters(w) + w.experts * expert_parameters(w) + shared_parameters(w)


def embedding_parameters(workload: Record) -> Numbers:
    """Weights of the token table and, if learned, the position table: on the first pipeline stage."""
    return workload.vocabulary * workload.width + workload.positions * workload.sequence * workload.width


def head_parameters(workload: Record) -> Numbers:
    """Weights of the last norm and the output matrix: on the last stage (a tied output is held there too)."""
    return workload.vocabulary * workload.width + workload.width * (1 + workload.biases)


def parameters(workload: Record) -> Numbers:
    """All weights, N; a tied output counts once."""
    w = workload
    head = head_parameters(w) - w.tied_embeddings * w.vocabulary * w.width
    return w.layers * layer_parameters(w) + embedding_parameters(w) + head


def active_parameters(workload: Record) -> Numbers:
    """Weights that work on one token: of a mixture only the `top_k` experts."""
    w = workload
    return parameters(w) - w.layers * (w.experts - w.top_k) * expert_parameters(w)


def model_flops(workload: Record) -> Numbers:
    """Operations of training on one token, 6 N + 12 L d s (PaLM, appendix B: causal-unaware, no recomputation)."""
    w = workload
    return 6.0 * active_parameters(w) + 12.0 * w.layers * w.width * w.sequence


def _llama(width: int, layers: int, heads: int, kv: int, feed_forward: int, vocabulary: int, sequence: int) -> Workload:
    return Workload(
        width=width,
        layers=layers,
        heads=heads,
        key_value_heads=kv,
        feed_forward=feed_forward,
        vocabulary=vocabulary,
        sequence=sequence,
    )


def _megatron(width: int, layers: int, heads: int) -> Workload:
    return Workload(
        width=width,
        layers=layers,
        heads=heads,
        key_value_heads=heads,
        feed_forward=4 * width,
        vocabulary=51200,
        sequence=2048,
        gated=False,
        tied_embeddings=True,
        flash_attention=False,
        dropout=True,
        biases=True,
        positions=True,
    )


WORKLOADS: dict[str, Workload] = {
    "llama-2-7b": _llama(4096, 32, 32, 32, 11008, 32000, 4096),
    "llama-2-13b": _llama(5120, 40, 40, 40, 13824, 32000, 4096),
    "llama-2-34b": _llama(8192, 48, 64, 8, 22016, 32000, 4096),
    "llama-2-70b": _llama(8192, 80, 64, 8, 28672, 32000, 4096),
    "llama-3-8b": _llama(4096, 32, 32, 8, 14336, 128256, 8192),
    "llama-3-70b": _llama(8192, 80, 64, 8, 28672, 128256, 8192),
    "llama-3-405b": _llama(16384, 126, 128, 8, 53248, 128256, 8192),
    "megatron-22b": _megatron(6144, 48, 64),
    "megatron-175b": _megatron(12288, 96, 96),
    "megatron-530b": _megatron(20480, 105, 128),
    "megatron-1t": _megatron(25600, 128, 160),
    "mixtral-8x7b": replace(_llama(4096, 32, 32, 8, 14336, 32000, 4096), experts=8, top_k=2),
}
"""Public shapes: Llama 2 and 3 (34B is as wide as Code Llama's), Megatron (2205.05198), Mixtral (2401.04088)."""
