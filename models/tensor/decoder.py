"""The Llama-style decoder of `models/transformer.py` on this library, under the same names of weights."""

import numpy as np

from models import tensor as ft
from models.config import Transformer
from models.tensor import nn
from models.tensor.tensor import Tensor


class Attention(nn.Module):
    """Causal attention of several heads with rotary positions; one matrix for queries, keys and values."""

    def __init__(self, config: Transformer) -> None:
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """(batch, length, width) to the same shape; the angles are (length, 1, head width / 2)."""
        batch, length, width = x.shape
        parts = self.qkv(x).reshape(batch, length, 3, self.heads, width // self.heads)
        query, key = (turned(parts[:, :, place], cosines, sines).transpose(1, 2) for place in range(2))
        value = parts[:, :, 2].transpose(1, 2)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        found: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return found


def turned(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Each pair of neighbouring channels of (batch, length, heads, channels) turned by its position's angle."""
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    one, other = pairs[..., 0], pairs[..., 1]
    return ft.stack([one * cosines - other * sines, one * sines + other * cosines], -1).reshape(*x.shape)


class FeedForward(nn.Module):
    """SwiGLU: down(silu(gate x) * up x), gate and up in one matrix, gate first."""

    def __init__(self, config: Transformer) -> None:
        self.gate_up = nn.Parameter(ft.randn(2 * config.feed_forward, config.width) * 0.02)
        self.down = nn.Parameter(ft.randn(config.width, config.feed_forward) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to the same shape."""
        both = nn.functional.linear(x, self.gate_up)
        hidden = self.gate_up.shape[0] // 2
        gate, up = both[..., :hidden], both[..., hidden:]
        return nn.functional.linear(ft.silu(gate) * up, self.down)


class Block(nn.Module):
    """Attention and a feed-forward, each on a normalised input and added back."""

    def __init__(self, config: Transformer) -> None:
        self.attention_norm, self.attention = nn.RMSNorm(config.width), Attention(config)
        self.feed_forward_norm, self.feed_forward = nn.RMSNorm(config.width), FeedForward(config)

    def forward(self, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x), cosines, sines)
        added: Tensor = self.feed_forward(self.feed_forward_norm(x))
        return x + added


class Decoder(nn.Module):
    """Scores of the next token: (batch, length) whole numbers to (batch, length, vocabulary)."""

    def __init__(self, config: Transformer) -> None:
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.norm = nn.RMSNorm(config.width)
        self.head = None if config.tied_embeddings else nn.Linear(config.width, config.vocabulary, bias=False)
        pairs = config.width // config.heads // 2
        angles = np.outer(np.arange(config.context), 10000.0 ** (-np.arange(pairs) / pairs)).astype(np.float32)
        self._angles = np.cos(angles), np.sin(angles)

    def forward(self, tokens: Tensor) -> Tensor:
        cosines, sines = (ft.tensor(x[: tokens.shape[1], None]) for x in self._angles)
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, cosines, sines)
        weight = self.embedding.weight if self.head is None else self.head.weight
        return nn.functional.linear(self.norm(x), weight)
