"""A captioner that re-aligns alt-text: `[visual][alt, left-padded][caption]` (Altogether, section on the captioner).

As in the paper a mapping network turns what a frozen encoder sees into prefix tokens (ClipCap, Mokady et al. 2021), and
a decoder reads them, the alt-text and the caption so far. The paper's decoder is a pretrained language model, which
copies by itself; ours is small and trained from scratch, so it has a pointer to the alt-text (See et al. 2017).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import Count, Fraction, config

PAD, BEGIN, END = 0, 1, 2
"""Ids that every vocabulary begins with."""


@config
class CaptionerSizes:
    """`prefix` visual tokens, at most `alt` tokens of alt-text and `caption` of caption, the end included."""

    vocabulary: Count
    channels: Count
    palette: Count
    width: Count = 192
    heads: Count = 4
    layers: Count = 3
    mapping_layers: Count = 2
    prefix: Count = 8
    alt: Count = 24
    caption: Count = 40
    dropout: Fraction = 0.1


class Pictures(NamedTuple):
    """What the encoder saw of B pictures: `tokens` [B, places, channels], `palette` [B, bins], and which of them are
    blanked, `blank` [B]: of those nothing is read."""

    tokens: Tensor
    palette: Tensor
    blank: Tensor


class MappingNetwork(nn.Module):
    """Learned constants that attend to the picture's tokens and its palette and become the prefix."""

    def __init__(self, sizes: CaptionerSizes, places: int) -> None:
        super().__init__()
        self.tokens = nn.Linear(sizes.channels, sizes.width)
        self.place = nn.Parameter(0.02 * torch.randn(places, sizes.width))
        self.palette = nn.Linear(sizes.palette, sizes.width)
        self.constants = nn.Parameter(0.02 * torch.randn(sizes.prefix, sizes.width))
        self.nothing = nn.Parameter(0.02 * torch.randn(sizes.prefix, sizes.width))
        self.layers = _layers(sizes, sizes.mapping_layers)

    def forward(self, pictures: Pictures) -> Tensor:
        """The prefix [B, prefix, width]; where a picture is blanked, a learned one that knows nothing of it."""
        seen = self.tokens(pictures.tokens) + self.place
        colours = self.palette(pictures.palette)[:, None]
        batch = len(seen)
        mapped = self.layers(torch.cat([seen, colours, self.constants.expand(batch, -1, -1)], 1))
        prefix = mapped[:, -len(self.constants) :]
        return torch.where(pictures.blank[:, None, None], self.nothing, prefix)


class Captioner(nn.Module):
    """The mapping network and the decoder."""

    def __init__(self, sizes: CaptionerSizes, places: int) -> None:
        super().__init__()
        self.sizes = sizes
        self.mapping = MappingNetwork(sizes, places)
        self.embedding = nn.Embedding(sizes.vocabulary, sizes.width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        slots = sizes.prefix + sizes.alt + sizes.caption
        self.slot = nn.Parameter(0.02 * torch.randn(slots, sizes.width))
        self.layers = _layers(sizes, sizes.layers)
        self.last = nn.LayerNorm(sizes.width)
        self.pointer_query = nn.Linear(sizes.width, sizes.width)
        self.pointer_key = nn.Linear(sizes.width, sizes.width)
        self.generates = nn.Linear(sizes.width, 1)

    def forward(self, pictures: Pictures, alt: Tensor, caption: Tensor) -> Tensor:
        """Log-probabilities [B, T, vocabulary] of the token after each of `caption` [B, T], which begins with BEGIN.

        `alt` [B, sizes.alt] is padded on the left, so that its last token stands next to the caption. Padding is not
        attended to: the released code attends to it.
        """
        prefix = self.mapping(pictures)
        text = self.embedding(torch.cat([alt, caption], 1))
        length = prefix.shape[1] + text.shape[1]
        hidden = torch.cat([prefix, text], 1) + self.slot[:length]
        real = torch.cat([torch.ones_like(prefix[..., 0], dtype=torch.bool), alt != PAD, caption != PAD], 1)
        # The prefix and the alt-text are given, so only the caption is causal; a slot sees itself, padding or not.
        given = prefix.shape[1] + alt.shape[1]
        order = torch.arange(length, device=alt.device)
        may = (order[None, :] <= order[:, None]) | (order[None, :] < given)
        may = (may & real[:, None, :]) | torch.eye(length, dtype=torch.bool, device=alt.device)
        mask = torch.zeros_like(may, dtype=hidden.dtype).masked_fill(~may, -torch.inf)
        hidden = self.layers(hidden, mask=mask.repeat_interleave(self.sizes.heads, 0))
        read = self.last(hidden[:, given:])
        return self._with_copies(read, hidden[:, prefix.shape[1] : given], alt)

    def _with_copies(self, read: Tensor, alt_states: Tensor, alt: Tensor) -> Tensor:
        """What the vocabulary says, mixed with what the pointer says of the alt-text's own tokens."""
        vocabulary = (read @ self.embedding.weight.T).log_softmax(-1)
        scores = self.pointer_query(read) @ self.pointer_key(alt_states).transpose(1, 2) / read.shape[-1] ** 0.5
        padding = (alt == PAD)[:, None]
        # Without an alt-text there is nothing to point at: the weight of the pointer is zero.
        empty = padding.all(-1, keepdim=True)
        pointed = scores.masked_fill(padding & ~empty, -torch.inf).softmax(-1)
        copied = torch.zeros_like(vocabulary).scatter_add(2, alt[:, None].expand(-1, read.shape[1], -1), pointed)
        gate = self.generates(read)
        generated = torch.where(empty, torch.zeros_like(gate), F.logsigmoid(gate)) + vocabulary
        copying = F.logsigmoid(-gate) + copied.clamp(min=1e-9).log()
        return torch.where(empty, generated, torch.logaddexp(generated, copying))


def caption_loss(log_probabilities: Tensor, targets: Tensor) -> Tensor:
    """Mean negative log-likelihood of the caption's tokens [B, T] in nats; padding, on the right, does not count."""
    return F.nll_loss(log_probabilities.transpose(1, 2), targets, ignore_index=PAD)


@torch.inference_mode()
def write_captions(
    model: Captioner, pictures: Pictures, alt: Tensor, temperature: float, top_p: float, generator: torch.Generator
) -> Tensor:
    """Sampled captions [B, sizes.caption], padded after END: nucleus sampling (Holtzman et al. 2020).

    The paper's settings are temperature 0.2 and top-p 0.7. The same generator state gives the same captions.
    """
    written = torch.full((len(alt), 1), BEGIN, device=alt.device)
    done = torch.zeros(len(alt), dtype=torch.bool, device=alt.device)
    for _ in range(model.sizes.caption - 1):
        scores = model(pictures, alt, written)[:, -1] / temperature
        scores[:, [PAD, BEGIN]] = -torch.inf
        drawn = torch.multinomial(nucleus(scores.softmax(-1), top_p), 1, generator=generator)[:, 0]
        written = torch.cat([written, torch.where(done, PAD, drawn)[:, None]], 1)
        done |= drawn == END
        if done.all():
            break
    missing = model.sizes.caption - (written.shape[1] - 1)
    return F.pad(written[:, 1:], (0, missing), value=PAD)


def nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """The smallest set of most probable tokens that reaches `top_p`, made to sum to one; the others are zero."""
    ordered, places = probabilities.sort(-1, descending=True)
    kept = ordered.cumsum(-1) - ordered < top_p
    chosen = torch.zeros_like(probabilities).scatter(-1, places, ordered * kept)
    return chosen / chosen.sum(-1, keepdim=True)


def _layers(sizes: CaptionerSizes, count: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        sizes.width, sizes.heads, 4 * sizes.width, sizes.dropout, F.gelu, batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, count, enable_nested_tensor=False)
