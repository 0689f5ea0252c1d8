"""One transformer for both: text by next token, images by denoising; only the edges know which is which (section 3)."""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.transformer import Attention, Block, Decoder
from models.transfusion.adapters import Adapter, LinearPatches, Skips, UNetPatches
from models.transfusion.rows import NOTHING, Rows, may_attend
from models.transfusion.settings import Sizes

Cache = list[tuple[Tensor, Tensor]]
"""Keys, turned to their positions, and values of each layer, (rows, heads, positions, head width)."""


class Read(NamedTuple):
    """What the model makes of rows: states (rows, length, width), and for each image what it foretells of it."""

    hidden: Tensor
    foretold: Tensor


class Trunk(Decoder):
    """The shared decoder with a mask and a cache given from outside; its weights are a plain decoder's."""

    def run(self, embedded: Tensor, may: Tensor, past: Cache | None = None) -> tuple[Tensor, Cache]:
        """States after the last norm, (rows, length, width), and the cache with these positions after those `past`.

        `may` is (rows, length, past + length): what each position may look at.
        """
        before = past[0][0].shape[2] if past else 0
        rotation = cast(Tensor, self.rotation)[before : before + embedded.shape[1]]
        # Once for all layers: given truth values, each layer would turn them into these numbers again.
        mask = torch.zeros(may.shape, dtype=embedded.dtype, device=may.device).masked_fill_(~may, -torch.inf)[:, None]
        cache: Cache = []
        for number, block in enumerate(cast("list[Block]", list(self.blocks))):
            normed = block.attention_norm(embedded)
            mixed, entry = attend(block.attention, normed, rotation, mask, past[number] if past else None)
            cache.append(entry)
            embedded = embedded + mixed
            embedded = embedded + block.feed_forward(block.feed_forward_norm(embedded))
        return cast(Tensor, self.norm(embedded)), cache


def attend(
    attention: Attention, x: Tensor, rotation: Tensor, mask: Tensor, past: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The shared attention, with its own weights, and the keys and values, `past` ones first.

    `mask` is added to the scores: (rows, 1, length, past + length).
    """
    rows, length, width = x.shape
    qkv = attention.qkv(x).view(rows, length, 3, attention.heads, width // attention.heads)
    pairs = torch.view_as_complex(qkv[:, :, :2].float().unflatten(-1, (-1, 2)))
    turned = torch.view_as_real(pairs * rotation[:, None, None]).flatten(-2).to(qkv.dtype)
    query, key = turned.transpose(1, 3).unbind(2)
    value = qkv[:, :, 2].transpose(1, 2)
    if past is not None:
        key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
    mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return cast(Tensor, attention.out(mixed.transpose(1, 2).reshape(rows, length, width))), (key, value)


class Transfusion(nn.Module):
    """The trunk with an adapter for images. One and the same weights speak and paint.

    The discrete twin (Chameleon's recipe, section 4.2) is the same module without an adapter: its images are ids.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.trunk = Trunk(sizes.transformer)
        self.adapter: nn.Module | None = None
        if not sizes.codes:
            self.adapter = UNetPatches(sizes) if sizes.adapter == "unet" else LinearPatches(sizes)

    @property
    def bidirectional(self) -> bool:
        """Whether patches of one image see each other, those behind them too."""
        return self.sizes.attention == "bidirectional"

    def forward(self, rows: Rows, images: Tensor, time: Tensor) -> Read:
        """Read rows with their images (N, channels, side, side) at times (N); row by row, one image a row that has one.

        Without images, as in rows of text alone, pass none: N is 0.
        """
        embedded = self.trunk.embedding(rows.tokens)
        which = (rows.starts != NOTHING).nonzero()[:, 0]
        if len(which) != len(images):
            raise ValueError(f"the rows have room for {len(which)} images, and {len(images)} were given")
        skips: Skips = []
        places = rows.starts[which][:, None] + torch.arange(self.sizes.patches, device=embedded.device)
        if len(images):
            patches, skips = self.patches.into(images, time)
            embedded = embedded.index_put((which[:, None], places), patches.to(embedded.dtype))
        hidden, _ = self.trunk.run(embedded, may_attend(rows.image, self.bidirectional))
        foretold = images
        if len(images):
            foretold = self.patches.out_of(hidden[which[:, None], places], time, skips)
        return Read(hidden, foretold)

    @property
    def patches(self) -> Adapter:
        """The adapter.

        Raises:
            ValueError: this is the twin, which has none.
        """
        if self.adapter is None:
            raise ValueError("a model of discrete image tokens has no patches")
        return cast(Adapter, self.adapter)

    def logits(self, hidden: Tensor) -> Tensor:
        """What comes next after each state: (…, width) to (…, ids)."""
        head = self.trunk.head
        return functional.linear(hidden, self.trunk.embedding.weight if head is None else head.weight)


def text_loss(model: Transfusion, hidden: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats over the positions that foretell something (L_LM; targets as in `Rows`)."""
    foretelling = targets != NOTHING
    return functional.cross_entropy(model.logits(hidden[foretelling]).float(), targets[foretelling])


def image_loss(foretold: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each image, over its pixels, averaged over images (L_DDPM)."""
    return ((foretold.float() - target) ** 2).mean()
