"""From images to noise and back: DDPM with the cosine schedule (section 2.2), and flow matching, an arm of ours.

Times are whole numbers from 0, the clean image, to T, noise alone.
"""

from typing import Protocol

import torch
from torch import Tensor

from models.transfusion.settings import TIMES, Process


class Noising(Protocol):
    """A way from images to noise, and what a model must foretell to walk it back."""

    def mixed(self, images: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """The images at these times, x_t; `images` and `noise` are (N, channels, side, side), `time` is (N)."""
        ...

    def target(self, images: Tensor, noise: Tensor) -> Tensor:
        """What the model is to foretell from them."""
        ...

    def back(
        self, x: Tensor, foretold: Tensor, at: tuple[int, int], noise: Tensor, fresh: float, bound: float
    ) -> Tensor:
        """x at the second of the two times `at`, which is earlier; `fresh` and `bound` as in `Sampling`."""
        ...


class Diffusion:
    """DDPM: the target is the noise, ε. The cosine schedule is Nichol & Dhariwal's (2021, section 3.2)."""

    def __init__(self) -> None:
        share = (torch.arange(TIMES + 1, dtype=torch.float64) / TIMES + 0.008) / 1.008
        kept = torch.cos(share * torch.pi / 2) ** 2
        # At the end a step's variance is held below one, as there.
        steps = (kept[1:] / kept[:-1]).clamp(min=1e-3)
        self.kept = torch.cat([torch.ones(1, dtype=torch.float64), steps.cumprod(0)]).float()
        """ᾱ by time, (T + 1)."""

    def mixed(self, images: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        kept = self.kept.to(images.device)[time][:, None, None, None]
        return kept.sqrt() * images + (1 - kept).sqrt() * noise

    def target(self, images: Tensor, noise: Tensor) -> Tensor:
        return noise

    def back(
        self, x: Tensor, foretold: Tensor, at: tuple[int, int], noise: Tensor, fresh: float, bound: float
    ) -> Tensor:
        now, then = (float(self.kept[time]) for time in at)
        clean = (x - (1 - now) ** 0.5 * foretold) / now**0.5
        if bound:
            clean = clean.clamp(-bound, bound)
            foretold = (x - now**0.5 * clean) / (1 - now) ** 0.5
        # The variance of DDPM's step from t to s, times `fresh` (Song et al. 2021, equation 16).
        spread = float(fresh * ((1 - then) / (1 - now) * (1 - now / then)) ** 0.5)
        left = float(max(0.0, 1 - then - spread**2) ** 0.5)
        earlier: Tensor = then**0.5 * clean + left * foretold + spread * noise
        return earlier


class Flow:
    """Rectified flow (Liu et al. 2023): a straight line from image to noise, the target is its velocity."""

    def mixed(self, images: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        share = (time.to(images.dtype) / TIMES)[:, None, None, None]
        return (1 - share) * images + share * noise

    def target(self, images: Tensor, noise: Tensor) -> Tensor:
        return noise - images

    def back(
        self, x: Tensor, foretold: Tensor, at: tuple[int, int], noise: Tensor, fresh: float, bound: float
    ) -> Tensor:
        time, to = at
        clean = x - time / TIMES * foretold
        if bound:
            clean = clean.clamp(-bound, bound)
            foretold = (x - clean) / (time / TIMES)
        return x - (time - to) / TIMES * foretold


def noising(process: Process) -> Noising:
    """The way of that name."""
    return Diffusion() if process == "diffusion" else Flow()


def times(steps: int) -> list[int]:
    """The times of a sampling with so many steps, from T down to 0: steps + 1 of them.

    Raises:
        ValueError: there are more steps than times.
    """
    if not 1 <= steps <= TIMES:
        raise ValueError(f"there are {TIMES} times, so there are 1 to {TIMES} sampling steps, not {steps}")
    return [round(TIMES * (steps - step) / steps) for step in range(steps + 1)]
