"""A Llama-style decoder: RMSNorm, rotary positions, SwiGLU, no biases (Touvron et al. 2023, section 2)."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.config import Transformer


class Attention(nn.Module):
    """Causal multi-head attention with rotary positions (Su et al. 2021) and one matrix for q, k and v."""

    def __init__(self, config: Transformer) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x: Tensor, rotation: Tensor) -> Tensor:
        """Map (batch, length, width) to the same shape; `rotation` is complex, (length, head width / 2)."""
        batch, length, width = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads)
        # A rotation of each pair of channels is one complex product for queries and keys together.
        pairs = torch.view_as_complex(qkv[:, :, :2].float().unflatten(-1, (-1, 2)))
        turned = torch.view_as_real(pairs * rotation[:, None, None]).flatten(-2).to(qkv.dtype)
        query, key = turned.transpose(1, 3).unbind(2)
        value = qkv[:, :, 2].transpose(1, 2)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return cast(Tensor, self.out(mixed.transpose(1, 2).reshape(batch, length, width)))


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020): down(silu(gate x) * up x), gate and up in one matrix, gate first."""

    def __init__(self, config: Transformer) -> None:
        super().__init__()
        self.gate_up = nn.Parameter(torch.empty(2 * config.feed_forward, config.width))
        self.down = nn.Parameter(torch.empty(config.width, config.feed_forward))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to the same shape."""
        return swiglu(x, self.gate_up, self.down)


def swiglu(x: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    """Apply one SwiGLU block whose weights are (2 hidden, width) and (width, hidden)."""
    gate, up = functional.linear(x, gate_up).chunk(2, dim=-1)
    return functional.linear(functional.silu(gate) * up, down)


class Block(nn.Module):
    """One layer: attention, then a feed-forward, each on a normalised input and added back."""

    def __init__(self, config: Transformer, feed_forward: nn.Module) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.width, eps=1e-5)
        self.attention = Attention(config)
        self.feed_forward_norm = nn.RMSNorm(config.width, eps=1e-5)
        self.feed_forward = feed_forward

    def forward(self, x: Tensor, rotation: Tensor) -> Tensor:
        """Map (batch, length, width) to the same shape."""
        x = x + self.attention(self.attention_norm(x), rotation)
        return x + cast(Tensor, self.feed_forward(self.feed_forward_norm(x)))


class Decoder(nn.Module):
    """The language model. Weights are drawn from torch's global generator, normal with deviation 0.02.

    `feed_forward` makes the block of each layer; the default is one dense SwiGLU.
    """

    def __init__(self, config: Transformer, feed_forward: Callable[[Transformer], nn.Module] = FeedForward) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.blocks = nn.ModuleList(Block(config, feed_forward(config)) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, eps=1e-5)
        self.head = None
        if not config.tied_embeddings:
            self.head = nn.Linear(config.width, config.vocabulary, bias=False)
        self.register_buffer("rotation", rotations(config), persistent=False)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                # What is added to the residual stream is scaled down with depth (GPT-2, section 2.3).
                residual = name.endswith((".out.weight", ".down"))
                nn.init.normal_(weight, std=0.02 / (2 * config.layers) ** 0.5 if residual else 0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Predict the token after each position: (batch, length) of token ids to (batch, length, vocabulary).

        Only tokens go in: a model is never told the domain of its text.
        """
        hidden = self.hidden(self.embedding(tokens))
        return functional.linear(hidden, self.embedding.weight if self.head is None else self.head.weight)

    def hidden(self, embedded: Tensor) -> Tensor:
        """Run the layers on embedded input, (batch, length, width), up to and with the last norm."""
        rotation = cast(Tensor, self.rotation)[: embedded.shape[1]]
        for block in self.blocks:
            embedded = block(embedded, rotation)
        return cast(Tensor, self.norm(embedded))


def rotations(config: Transformer) -> Tensor:
    """The unit complex numbers that turn channel pair j at position t by t / 10000^(j / pairs) radians.

    Shape (context, head width / 2).
    """
    pairs = config.width // config.heads // 2
    speed = 10000.0 ** (-torch.arange(pairs) / pairs)
    angle = torch.outer(torch.arange(config.context), speed)
    return torch.polar(torch.ones_like(angle), angle)


def next_token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats of (batch, length, vocabulary) logits against (batch, length) targets."""
    return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
