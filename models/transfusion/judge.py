"""A classifier, in whose features generated images are near to real ones or far (Heusel et al. 2017)."""

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.config import Count, config

Floats = NDArray[np.float64]


@config
class JudgeSizes:
    """Images of `channels` × `side` × `side`, so many `kinds` and `features`."""

    channels: Count = 1
    side: Count = 8
    kinds: Count = 10
    inner: Count = 32
    features: Count = 64


class Judge(nn.Module):
    """Convolutions, then `features` numbers, then a score for each kind."""

    def __init__(self, sizes: JudgeSizes) -> None:
        super().__init__()
        self.sizes = sizes
        inner = sizes.inner
        self.read = nn.Sequential(
            nn.Conv2d(sizes.channels, inner, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(inner, 2 * inner, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * inner, 2 * inner, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(2 * inner * ((sizes.side + 1) // 2) ** 2, sizes.features),
            nn.ReLU(),
        )
        self.say = nn.Linear(sizes.features, sizes.kinds)

    def features(self, images: Tensor) -> Tensor:
        """(N, channels, side, side) between -1 and 1 to (N, features)."""
        return cast(Tensor, self.read(images))

    def forward(self, images: Tensor) -> Tensor:
        """Scores (N, kinds)."""
        return cast(Tensor, self.say(self.features(images)))


def moments(features: Tensor) -> tuple[Floats, Floats]:
    """Mean and covariance of features (n, width)."""
    values = features.double().numpy()
    return values.mean(0), np.atleast_2d(np.cov(values, rowvar=False))


def frechet_distance(one: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> float:
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½), of means and covariances.

    The trace of the root is the sum of the roots of the eigenvalues of Σ₁ Σ₂, which are those of Σ₁^½ Σ₂ Σ₁^½.
    """
    (mean, covariance), (mean_2, covariance_2) = one, other
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    roots = np.sqrt(np.linalg.eigvalsh(root @ covariance_2 @ root).clip(0))
    return float(((mean - mean_2) ** 2).sum() + np.trace(covariance) + np.trace(covariance_2) - 2 * roots.sum())


def features_of(judge: Judge, images: Tensor, batch: int = 512) -> Tensor:
    """The features of images, a batch at a time."""
    with torch.inference_mode():
        return torch.cat([judge.features(part) for part in torch.split(images, batch)])
