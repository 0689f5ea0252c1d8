"""The layers of the paper's synthetic networks, in plain torch, so that every exporter can read them."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Self-attention in heads of 32; `x` [batch, tokens, width]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(1, width // 32)
        self.projected = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        width = x.shape[2]
        q, k, v = (
            one.unflatten(2, (self.heads, width // self.heads)).transpose(1, 2)
            for one in self.projected(x).chunk(3, dim=2)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class EncoderLayer(nn.Module):
    """Attention and a feed-forward of four widths, normed after each (Vaswani et al. 2017)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = Attention(width)
        self.first, self.second = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm, self.last_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x + self.attention(x))
        out: Tensor = self.last_norm(x + self.second(functional.gelu(self.first(x))))
        return out


class Recurrent(nn.Module):
    """An LSTM that gives its outputs; `x` [batch, tokens, width]."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.lstm(x)[0]
        return out


class FirstOutput(nn.Module):
    """A model of `transformers` that gives its first output alone, a tensor."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Any:
        return self.model(x, return_dict=False)[0]
