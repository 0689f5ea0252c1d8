"""Public shapes of known models, by name; a user's own come from a file of the same fields."""

from models.hardware.workload import Workload


def _llama(
    width: int, layers: int, heads: int, key_value: int, feed_forward: int, vocabulary: int, sequence: int
) -> Workload:
    return Workload(
        width=width,
        layers=layers,
        heads=heads,
        key_value_heads=key_value,
        feed_forward=feed_forward,
        vocabulary=vocabulary,
        sequence=sequence,
    )


MODELS: dict[str, Workload] = {
    "llama-2-7b": _llama(4096, 32, 32, 32, 11008, 32000, 4096),
    "llama-2-13b": _llama(5120, 40, 40, 40, 13824, 32000, 4096),
    "llama-2-70b": _llama(8192, 80, 64, 8, 28672, 32000, 4096),
    "llama-3-8b": _llama(4096, 32, 32, 8, 14336, 128256, 8192),
    "llama-3-70b": _llama(8192, 80, 64, 8, 28672, 128256, 8192),
    "llama-3-405b": _llama(16384, 126, 128, 8, 53248, 128256, 8192),
    "gpt-3-175b": Workload(
        width=12288, layers=96, heads=96, key_value_heads=96, feed_forward=49152, vocabulary=51200, sequence=2048,
        gated=False, tied_embeddings=True, biases=True, positions=True,
    ),
    "mixtral-8x7b": Workload(
        width=4096, layers=32, heads=32, key_value_heads=8, feed_forward=14336, vocabulary=32000, sequence=4096,
        experts=8, top_k=2,
    ),
}  # fmt: skip
"""Llama 2 (Touvron et al. 2023), Llama 3 (arXiv 2407.21783), GPT-3 (Brown et al. 2020), Mixtral (Jiang et al. 2024)."""
