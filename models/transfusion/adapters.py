"""What is specific to images: from a noised image to one vector a patch, and back (section 3.1).

Both adapters see the time. The U-Net's up block also sees what its down block saw of the same image, by skips, so that
with it pixels reach other patches' outputs without the transformer. What the transformer made of each patch scales and
shifts the up block's channels, as a class does in guided diffusion (Dhariwal & Nichol 2021, section 3): else noise is
foretold from the skips alone long before anything is taken of the prompt.
"""

from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.transfusion.settings import TIMES, Sizes

FREQUENCIES = 32
"""Pairs of sine and cosine that a time is told by."""

Skips = list[Tensor]
"""What the way down leaves for the way up, outermost first."""


class Adapter(Protocol):
    """Between images (N, channels, side, side) at times (N) and vectors (N, patches, width)."""

    def into(self, images: Tensor, time: Tensor) -> tuple[Tensor, Skips]: ...

    def out_of(self, hidden: Tensor, time: Tensor, skips: Skips) -> Tensor: ...


class Clock(nn.Module):
    """A time as a vector: sines and cosines of it through two layers (Ho et al. 2020)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        speeds = torch.exp(-torch.arange(FREQUENCIES) / FREQUENCIES * torch.log(torch.tensor(10 * TIMES)))
        self.register_buffer("speeds", speeds, persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time: Tensor) -> Tensor:
        """(N) whole numbers to (N, width)."""
        angle = time[:, None].float() * cast(Tensor, self.speeds)
        return cast(Tensor, self.layers(torch.cat([angle.sin(), angle.cos()], -1)))


class LinearPatches(nn.Module):
    """One linear layer from the pixels of a patch to its vector, with the time added, and one back."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.patch, self.side = sizes.patch, sizes.side
        pixels = sizes.channels * sizes.patch**2
        self.clock = Clock(sizes.transformer.width)
        self.inward = nn.Linear(pixels, sizes.transformer.width)
        self.outward = nn.Linear(sizes.transformer.width, pixels)

    def into(self, images: Tensor, time: Tensor) -> tuple[Tensor, Skips]:
        cut = functional.unfold(images, self.patch, stride=self.patch).transpose(1, 2)
        return self.inward(cut) + self.clock(time)[:, None], []

    def out_of(self, hidden: Tensor, time: Tensor, skips: Skips) -> Tensor:
        pixels = self.outward(hidden).transpose(1, 2)
        return functional.fold(pixels, (self.side, self.side), self.patch, stride=self.patch)


class Residual(nn.Module):
    """Two convolutions after a normalisation each, shifted and scaled by the time, and added to the input.

    With `state`, so many channels of the patches' states shift and scale, too, each patch its own pixels.
    """

    def __init__(self, channels: int, made: int, clock: int, state: int = 0) -> None:
        super().__init__()
        self.norm, self.norm_2 = nn.GroupNorm(4, channels), nn.GroupNorm(4, made)
        self.first = nn.Conv2d(channels, made, 3, padding=1)
        self.second = nn.Conv2d(made, made, 3, padding=1)
        self.by_time = nn.Linear(clock, 2 * made)
        self.by_state = nn.Conv2d(state, 2 * made, 1) if state else None
        self.past = nn.Conv2d(channels, made, 1) if channels != made else nn.Identity()
        if not state:  # a block begins as what is passed by it, but for those through which the states are heard
            nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor, clock: Tensor, state: Tensor | None = None) -> Tensor:
        """(N, channels, side, side) to (N, made, side, side); `state` is (N, state, places, places)."""
        inner = self.first(functional.silu(self.norm(x)))
        by = self.by_time(clock)[:, :, None, None]
        if self.by_state is not None:
            by = by + functional.interpolate(self.by_state(state), inner.shape[2:])
        scale, shift = by.chunk(2, 1)
        inner = self.second(functional.silu(self.norm_2(inner) * (1 + scale) + shift))
        return cast(Tensor, self.past(x) + inner)


class UNetPatches(nn.Module):
    """The down blocks of a U-Net to a vector a patch, and its up blocks back, with skips between them.

    There is one pair of blocks for each halving of the side.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width, inner, halvings = sizes.transformer.width, sizes.inner, sizes.patch.bit_length() - 1
        self.places = sizes.side // sizes.patch
        self.clock = Clock(width)
        self.first = nn.Conv2d(sizes.channels, inner, 3, padding=1)
        self.down = nn.ModuleList(Residual(inner, inner, width) for _ in range(halvings))
        self.halve = nn.ModuleList(nn.Conv2d(inner, inner, 2, stride=2) for _ in range(halvings))
        self.inward = nn.Linear(inner, width)
        self.outward = nn.Linear(width, inner)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(inner, inner, 2, stride=2) for _ in range(halvings))
        self.up = nn.ModuleList(Residual(2 * inner, inner, width, width) for _ in range(halvings))
        self.norm = nn.GroupNorm(4, inner)
        self.last = nn.Conv2d(inner, sizes.channels, 3, padding=1)

    def into(self, images: Tensor, time: Tensor) -> tuple[Tensor, Skips]:
        clock = self.clock(time)
        x, skips = self.first(images), []
        for block, halve in zip(self.down, self.halve, strict=True):
            x = block(x, clock)
            skips.append(x)
            x = halve(x)
        return self.inward(x.flatten(2).transpose(1, 2)) + clock[:, None], skips

    def out_of(self, hidden: Tensor, time: Tensor, skips: Skips) -> Tensor:
        clock = self.clock(time)
        x, state = (
            each.transpose(1, 2).unflatten(2, (self.places, self.places)) for each in (self.outward(hidden), hidden)
        )
        for grow, block, skip in zip(self.grow, self.up, reversed(skips), strict=True):
            x = block(torch.cat([grow(x), skip], 1), clock, state)
        return cast(Tensor, self.last(functional.silu(self.norm(x))))
