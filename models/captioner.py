"""A captioner that re-aligns alt-text: `[visual][alt, left-padded][caption]` (Altogether, section on the captioner).

As in the paper a mapping network turns what a frozen encoder sees into prefix tokens (ClipCap, Mokady et al. 2021), and
a decoder reads them, the alt-text and the caption so far. The paper's decoder is a pretrained language model, which
copies by itself; ours is small and trained from scratch, so it has a pointer to the alt-text (See et al. 2017).
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import Count, Fraction, config

PAD, BEGIN, END = 0, 1, 2
"""Ids that every vocabulary begins with."""

Cache = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer."""


@config
class CaptionerSizes:
    """`prefix` visual tokens, at most `alt` tokens of alt-text and `caption` of caption, the end included.

    A picture comes as a grid of tokens with `channels`, a `palette` and the vector `shared` of the dual encoder.
    """

    vocabulary: Count
    channels: Count
    palette: Count
    shared: Count
    width: Count = 128
    heads: Count = 4
    layers: Count = 3
    prefix: Count = 8
    pooled: Count = 64
    alt: Count = 24
    caption: Count = 40
    dropout: Fraction = 0.1

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of the {self.heads} heads")


class Pictures(NamedTuple):
    """What the encoders saw of B pictures: `tokens` [B, places, channels], `palette` [B, bins], `vector` [B, shared],
    and which of them are blanked, `blank` [B]: of those nothing is read."""

    tokens: Tensor
    palette: Tensor
    vector: Tensor
    blank: Tensor


class Scale(nn.Module):
    """Centre and spread of each channel over the training pictures: it makes channels comparable."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(channels))
        self.register_buffer("spread", torch.ones(channels))

    def fit(self, values: Tensor) -> None:
        """Take them from `values` [n, channels]."""
        self.centre = values.float().mean(0)
        self.spread = values.float().std(0, correction=0) + 1e-3

    def forward(self, values: Tensor) -> Tensor:
        return (values.float() - self.centre) / self.spread


class Mapping(nn.Module):
    """From a picture to prefix tokens: its grid, pooled by soft maximum and mean, its palette and its vector.

    The soft maximum finds a small thing wherever it is in the picture.
    """

    def __init__(self, sizes: CaptionerSizes) -> None:
        super().__init__()
        self.shape = (sizes.prefix, sizes.width)
        self.token_scale, self.palette_scale = Scale(sizes.channels), Scale(sizes.palette)
        self.project = nn.Linear(sizes.channels, sizes.pooled)
        self.dropout = nn.Dropout(sizes.dropout)
        self.map = nn.Linear(2 * sizes.pooled + sizes.palette + sizes.shared, sizes.prefix * sizes.width)
        self.nothing = nn.Parameter(0.02 * torch.randn(self.shape))

    def forward(self, pictures: Pictures) -> Tensor:
        """The prefix [B, prefix, width]; where a picture is blanked, a learned one that knows nothing of it."""
        projected = self.project(self.token_scale(pictures.tokens))
        colours = self.palette_scale(pictures.palette)
        read = torch.cat([projected.logsumexp(1), projected.mean(1), colours, pictures.vector], 1)
        prefix = self.map(self.dropout(read)).unflatten(1, self.shape)
        return torch.where(pictures.blank[:, None, None], self.nothing, prefix)


class Layer(nn.Module):
    """Attention and a feed-forward, each after a normalisation and added to its input."""

    def __init__(self, sizes: CaptionerSizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.before_attention = nn.LayerNorm(sizes.width)
        self.attention = nn.Linear(sizes.width, 3 * sizes.width)
        self.out = nn.Linear(sizes.width, sizes.width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(sizes.width),
            nn.Linear(sizes.width, 4 * sizes.width),
            nn.GELU(),
            nn.Linear(4 * sizes.width, sizes.width),
        )
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, x: Tensor, may: Tensor, past: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor, Tensor]:
        """`x` [B, T, width] attends where `may` [B, 1, T, keys] to what is `past` and to itself; also its keys and
        values, those past included."""
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.attention(self.before_attention(x)).chunk(3, -1)
        )
        if past is not None:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=may)
        x = x + self.dropout(self.out(attended.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.feed_forward(x)), key, value


class Given(NamedTuple):
    """What a caption is written from: the layers' keys and values, which of them count, and the alt-text."""

    cache: Cache
    real: Tensor
    alt: Tensor
    alt_states: Tensor


class Captioner(nn.Module):
    """The mapping and the decoder.

    The picture and the alt-text are given, so they are read in both directions; only the caption is causal. They do
    not see the caption, so they are read once, however long it gets.
    """

    def __init__(self, sizes: CaptionerSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.mapping = Mapping(sizes)
        self.embedding = nn.Embedding(sizes.vocabulary, sizes.width)
        nn.init.normal_(self.embedding.weight, std=sizes.width**-0.5)
        self.prefix_slots, self.alt_slots, self.caption_slots = (
            nn.Parameter(0.02 * torch.randn(count, sizes.width)) for count in (sizes.prefix, sizes.alt, sizes.caption)
        )
        self.layers = nn.ModuleList(Layer(sizes) for _ in range(sizes.layers))
        self.last = nn.LayerNorm(sizes.width)
        self.pointer_query = nn.Linear(sizes.width, sizes.width)
        self.pointer_key = nn.Linear(sizes.width, sizes.width)
        self.match = nn.Parameter(torch.tensor(8.0))
        self.generates = nn.Linear(sizes.width, 1)

    def forward(self, pictures: Pictures, alt: Tensor, caption: Tensor) -> Tensor:
        """Log-probabilities [B, T, vocabulary] of the token after each of `caption` [B, T], which begins with BEGIN."""
        return self.following(self.given(pictures, alt), caption)[0]

    def given(self, pictures: Pictures, alt: Tensor) -> Given:
        """Read the pictures and their alt-texts [B, T], padded on the left, so that their ends meet the caption.

        Slots are counted from that end, and padding is not attended to, so that more of it changes nothing. The
        released code attends to it.
        """
        prefix = self.mapping(pictures) + self.prefix_slots
        text = self.embedding(alt) + self.alt_slots[len(self.alt_slots) - alt.shape[1] :]
        real = torch.cat([torch.ones_like(prefix[..., 0], dtype=torch.bool), alt != PAD], 1)
        hidden, cache = self._through(torch.cat([prefix, text], 1), real[:, None, None], None)
        return Given(cache, real, alt, hidden[:, prefix.shape[1] :])

    def following(self, given: Given, caption: Tensor, past: Cache | None = None) -> tuple[Tensor, Cache]:
        """As `forward`, and the cache with which to go on: then `caption` has only the tokens after those `past`."""
        cache = given.cache if past is None else past
        before = cache[0][0].shape[2] - given.real.shape[1]
        new = caption.shape[1]
        text = self.embedding(caption) + self.caption_slots[before : before + new]
        causal = torch.ones(new, before + new, dtype=torch.bool, device=caption.device).tril(before)
        may = torch.cat([given.real[:, None].expand(-1, new, -1), causal.expand(len(caption), -1, -1)], 2)
        hidden, cache = self._through(text, may[:, None], cache)
        return self._with_copies(self.last(hidden), caption, given), cache

    def _through(self, hidden: Tensor, may: Tensor, past: Cache | None) -> tuple[Tensor, Cache]:
        cache: Cache = []
        for number, layer in enumerate(self.layers):
            hidden, key, value = layer(hidden, may, past[number] if past is not None else None)
            cache.append((key, value))
        return hidden, cache

    def _with_copies(self, read: Tensor, caption: Tensor, given: Given) -> Tensor:
        """What the vocabulary says, mixed with what the pointer says of the alt-text's own tokens.

        The pointer looks for a token by its state and by the token before it: a name that training never had is
        copied piece after piece, each found by the one that was just said.
        """
        vocabulary = (read @ self.embedding.weight.T).log_softmax(-1)
        padding = (given.alt == PAD)[:, None]
        # Without an alt-text there is nothing to point at: the weight of the pointer is zero.
        empty = padding.all(-1, keepdim=True)
        if not given.alt.shape[1] or bool(empty.all()):
            return vocabulary
        before = F.pad(given.alt[:, :-1], (1, 0), value=PAD)
        before = before.masked_fill(before == PAD, BEGIN)
        scores = self.pointer_query(read) @ self.pointer_key(given.alt_states).transpose(1, 2) / read.shape[-1] ** 0.5
        said, found = (F.normalize(self.embedding(ids), dim=-1) for ids in (caption, before))
        scores = scores + self.match * said @ found.transpose(1, 2)
        pointed = scores.masked_fill(padding & ~empty, -torch.inf).softmax(-1)
        tokens = given.alt[:, None].expand(-1, read.shape[1], -1)
        copied = torch.zeros_like(vocabulary).scatter_add(2, tokens, pointed.to(vocabulary.dtype))
        gate = self.generates(read)
        mixed = torch.logaddexp(F.logsigmoid(gate) + vocabulary, F.logsigmoid(-gate) + copied.clamp(min=1e-9).log())
        return torch.where(empty, vocabulary, mixed)


class Conditioned(Protocol):
    """A captioner as sampling sees it: `Captioner`, or one with a pretrained decoder."""

    sizes: CaptionerSizes

    def given(self, pictures: Pictures, alt: Tensor) -> Given: ...

    def following(self, given: Given, caption: Tensor, past: Cache | None = None) -> tuple[Tensor, Cache]: ...


def caption_loss(log_probabilities: Tensor, targets: Tensor) -> Tensor:
    """Mean negative log-likelihood of the caption's tokens [B, T] in nats; padding, on the right, does not count."""
    return F.nll_loss(log_probabilities.transpose(1, 2), targets, ignore_index=PAD)


@torch.inference_mode()
def write_captions(
    model: Conditioned, pictures: Pictures, alt: Tensor, temperature: float, top_p: float, generator: torch.Generator
) -> Tensor:
    """Sampled captions [B, sizes.caption], padded after END: nucleus sampling (Holtzman et al. 2020).

    The paper's settings are temperature 0.2 and top-p 0.7. The same generator state gives the same captions.
    """
    given = model.given(pictures, alt)
    token = torch.full((len(alt), 1), BEGIN, device=alt.device)
    done = torch.zeros(len(alt), dtype=torch.bool, device=alt.device)
    written, past = [], None
    for _ in range(model.sizes.caption):
        said, past = model.following(given, token, past)
        scores = said[:, -1] / temperature
        scores[:, [PAD, BEGIN]] = -torch.inf
        token = torch.multinomial(nucleus(scores.softmax(-1), top_p), 1, generator=generator)
        token = torch.where(done[:, None], PAD, token)
        written.append(token)
        done |= token[:, 0] == END
        if done.all():
            break
    return F.pad(torch.cat(written, 1), (0, model.sizes.caption - len(written)), value=PAD)


def nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """The smallest set of most probable tokens that reaches `top_p`, made to sum to one; the others are zero."""
    ordered, places = probabilities.sort(-1, descending=True)
    kept = ordered.cumsum(-1) - ordered < top_p
    chosen = torch.zeros_like(probabilities).scatter(-1, places, ordered * kept)
    return chosen / chosen.sum(-1, keepdim=True)
