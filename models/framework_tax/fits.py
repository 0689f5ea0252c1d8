"""Latency over batches in few numbers: an affine fit, the paper's regimes as the larger of two times, the knee."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Affine:
    """t(b) = fixed + each · b, in the units of the latencies that were given.

    What is fixed is the host's work, and also weights read from memory and kernels too small to be quick. `error` is
    the root mean square of the relative errors of the fit.
    """

    fixed: float
    each: float
    error: float = 0.0

    def tax(self, batch: float) -> float:
        """The share of a call that does not grow with the batch."""
        return self.fixed / (self.fixed + self.each * batch)

    @property
    def even(self) -> float:
        """The batch at which what grows takes as long as what does not."""
        return self.fixed / self.each if self.each > 0 else math.inf


def affine(batches: Sequence[float], latencies: Sequence[float]) -> Affine:
    """Fit both terms, neither below zero, by least squares of relative errors.

    Raises:
        ValueError: fewer than three batches.
    """
    import numpy as np

    if len(set(batches)) < 3:
        raise ValueError("an affine fit needs three batches")
    return _line(np.array(batches, float), np.array(latencies, float))


@dataclass(frozen=True)
class Regimes:
    """t(b) = max(framework, kernel_fixed + kernel_each · b): kernels run while the host dispatches the next ones.

    The paper's picture of a GPU. `error` is the root mean square of the relative errors of the fit. Where fewer than
    two batches are flat, `identified` is false: `framework` is no more than the latency of batch 1, an upper bound.
    """

    framework: float
    kernel_fixed: float
    kernel_each: float
    error: float
    identified: bool = True

    @property
    def knee(self) -> float:
        """The batch at which kernels take as long as their dispatch; 1 where they do from the start."""
        return max(1.0, (self.framework - self.kernel_fixed) / self.kernel_each)

    def at(self, batch: float, faster: float = 1.0) -> float:
        """The latency of a batch, on hardware whose kernels are so many times faster while the host is the same."""
        return max(self.framework, (self.kernel_fixed + self.kernel_each * batch) / faster)

    def tax(self, batch: float, faster: float = 1.0) -> float:
        """The share of the latency in which no kernel runs."""
        return 1 - (self.kernel_fixed + self.kernel_each * batch) / faster / self.at(batch, faster)


def regimes(batches: Sequence[float], latencies: Sequence[float]) -> Regimes:
    """Fit by least squares of relative errors: every split of the batches is tried, the flat part first.

    Raises:
        ValueError: fewer than four batches.
    """
    import numpy as np

    if len(set(batches)) < 4:
        raise ValueError("a fit of both regimes needs four batches")
    b, t = np.array(batches, float), np.array(latencies, float)
    order = np.argsort(b)
    b, t = b[order], t[order]
    best: Regimes | None = None
    for flat in range(len(b) - 1):  # at least two batches are left to the kernels
        kernels = _line(b[flat:], t[flat:])
        level = _level(t[:flat]) if flat else 0.0
        made = np.maximum(level, kernels.fixed + kernels.each * b)
        error = float(np.sqrt(np.mean((made / t - 1) ** 2)))
        if kernels.each > 0 and (best is None or error < best.error):
            framework = level or float(kernels.fixed + kernels.each * b[0])
            best = Regimes(framework, kernels.fixed, kernels.each, error, flat >= 2)
    if best is None:
        raise ValueError("latency does not grow with the batch")
    return best


def _line(b: "np.ndarray", t: "np.ndarray") -> Affine:
    """The affine fit of two points or more."""
    import numpy as np
    from scipy.optimize import nnls

    (fixed, each), _ = nnls(np.stack([1 / t, b / t], axis=1), np.ones(len(t)))
    return Affine(float(fixed), float(each), float(np.sqrt(np.mean(((fixed + each * b) / t - 1) ** 2))))


def _level(t: "np.ndarray") -> float:
    """The level with the least squares of relative errors."""
    return float((1 / t).sum() / (1 / t**2).sum())


def knee(batches: Sequence[int], latencies: Sequence[float], slack: float = 0.1) -> int:
    """The largest batch up to which every batch takes at most 1 + `slack` of the first one's latency."""
    pairs = sorted(zip(batches, latencies, strict=True))
    last = pairs[0][0]
    for batch, latency in pairs:
        if latency > (1 + slack) * pairs[0][1]:
            break
        last = batch
    return last


def elasticity(work: Sequence[float], latencies: Sequence[float]) -> float:
    """d log latency / d log work, the slope of a line through two points or more."""
    import numpy as np

    slope: float = np.polyfit(np.log(work), np.log(latencies), 1)[0]
    return float(slope)
