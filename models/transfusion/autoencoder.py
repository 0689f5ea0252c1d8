"""Images as latents: a small convolutional autoencoder, and the same trunk with a codebook (section 4.1).

Transfusion reads the continuous latents, the discrete twin the codes; only the bottleneck differs: a KL term, or a
codebook with a commitment loss of β = 0.25 (van den Oord et al. 2017).
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.config import Count, Index, NotNegative, config


@config
class AutoencoderSizes:
    """Images of `channels` × `side` × `side`, halved so many times, to `latent` channels; `codes` of a codebook, or 0.

    `kl` weighs the KL term (a mean over latents), `commitment` the codebook's.
    """

    channels: Count = 1
    side: Count = 8
    halvings: Count = 1
    inner: Count = 48
    latent: Count = 4
    codes: Index = 0
    kl: NotNegative = 1e-3
    commitment: NotNegative = 0.25

    @property
    def latent_side(self) -> int:
        return int(self.side // 2**self.halvings)


class Coded(NamedTuple):
    """Latents (N, latent, side, side) and the bottleneck's loss; `codes` (N, places) where there is a codebook."""

    latents: Tensor
    loss: Tensor
    codes: Tensor


class Smoothed(nn.Module):
    """Two convolutions added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(4, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(4, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.layers(x))


class Autoencoder(nn.Module):
    """Encoder, bottleneck and decoder. Images are (N, channels, side, side) between -1 and 1.

    `centre` is the mean of each channel of its latents over the training images and `scale` what they are divided by,
    so that whoever denoises them has every channel about 0 and equally spread; `reach` is the largest size of one of
    them then, and `used` how often each code was, of late.
    """

    centre: Tensor
    scale: Tensor
    reach: Tensor
    used: Tensor

    def __init__(self, sizes: AutoencoderSizes) -> None:
        super().__init__()
        self.sizes = sizes
        inner = sizes.inner
        down: list[nn.Module] = [nn.Conv2d(sizes.channels, inner, 3, padding=1)]
        up: list[nn.Module] = [nn.Conv2d(sizes.latent, inner, 3, padding=1), Smoothed(inner)]
        # At the full side there is one convolution either way: there it costs most.
        for level in range(sizes.halvings):
            down += [nn.Conv2d(inner, inner, 2, stride=2), Smoothed(inner)]
            up += [*([Smoothed(inner)] if level else []), nn.ConvTranspose2d(inner, inner, 2, stride=2)]
        down += [nn.GroupNorm(4, inner), nn.SiLU()]
        up += [nn.GroupNorm(4, inner), nn.SiLU(), nn.Conv2d(inner, sizes.channels, 3, padding=1)]
        self.down, self.up = nn.Sequential(*down), nn.Sequential(*up)
        self.mean = nn.Conv2d(inner, sizes.latent, 1)
        self.spread = nn.Conv2d(inner, sizes.latent, 1) if not sizes.codes else None
        self.codebook = nn.Embedding(sizes.codes, sizes.latent) if sizes.codes else None
        self.register_buffer("centre", torch.zeros(sizes.latent, 1, 1))
        self.register_buffer("scale", torch.ones(sizes.latent, 1, 1))
        self.register_buffer("reach", torch.ones(1))
        if sizes.codes:
            self.register_buffer("used", torch.zeros(sizes.codes))

    def encode(self, images: Tensor, noise: Tensor | None = None, quantise: bool = True) -> Coded:
        """Latents of images; with `noise`, drawn from their distribution; without `quantise`, before the codebook."""
        read = self.down(images)
        mean = self.mean(read)
        none = torch.zeros(len(images), 0, dtype=torch.long, device=images.device)
        if self.codebook is None:
            assert self.spread is not None
            logs = self.spread(read).clamp(-12, 4)
            kl = 0.5 * (mean**2 + logs.exp() - 1 - logs).mean()
            latents = mean if noise is None else mean + noise * (0.5 * logs).exp()
            return Coded(latents, self.sizes.kl * kl, none)
        if not quantise:
            return Coded(mean, torch.zeros((), device=images.device), none)
        flat = mean.flatten(2).transpose(1, 2)
        codes = torch.cdist(flat.reshape(-1, flat.shape[-1]), self.codebook.weight).argmin(-1).view(flat.shape[:2])
        chosen = self.of_codes(codes)
        loss = ((chosen - mean.detach()) ** 2).mean() + self.sizes.commitment * ((mean - chosen.detach()) ** 2).mean()
        return Coded(mean + (chosen - mean).detach(), loss, codes)

    def of_codes(self, codes: Tensor) -> Tensor:
        """The latents (N, latent, side, side) that codes (N, places) stand for."""
        assert self.codebook is not None
        side = self.sizes.latent_side
        return cast(Tensor, self.codebook(codes).transpose(1, 2).unflatten(2, (side, side)))

    def decode(self, latents: Tensor) -> Tensor:
        """Images of latents."""
        return cast(Tensor, self.up(latents))

    def measure(self, latents: Tensor, spread: float) -> None:
        """Let `standard` give latents like these (n, latent, side, side) this spread in every channel."""
        self.centre.copy_(latents.mean((0, 2, 3))[:, None, None])
        self.scale.copy_(latents.std((0, 2, 3))[:, None, None] / spread)
        self.reach.fill_(float(self.standard(latents).abs().max()))

    def standard(self, latents: Tensor) -> Tensor:
        """Latents as generators read them: centred, and scaled."""
        return (latents - self.centre) / self.scale

    def own(self, latents: Tensor) -> Tensor:
        """The way back from `standard`."""
        return latents * self.scale + self.centre

    def revive(self, vectors: Tensor, least: float, generator: torch.Generator) -> None:
        """Put vectors (n, latent) that the encoder makes now in the place of codes that are used less than `least`."""
        assert self.codebook is not None
        unused = (self.used < least).nonzero()[:, 0]
        drawn = torch.randint(len(vectors), (len(unused),), generator=generator)
        with torch.no_grad():
            self.codebook.weight[unused] = vectors[drawn].to(self.codebook.weight)


def reconstruction_loss(made: Tensor, images: Tensor) -> Tensor:
    """Mean absolute and squared error, in equal parts."""
    return functional.l1_loss(made, images) + functional.mse_loss(made, images)
