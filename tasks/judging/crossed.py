"""The interval of a mean over seeds and items, both drawn at random: a learned system is judged on new ones of each.

The model is d[s, i] = mean + seed[s] + item[i] + residual[s, i]. The variance of the mean is that of clusters by seed,
plus that of clusters by item, minus what both count twice, as in Cameron, Gelbach and Miller (2011). What is counted
twice is not the squares of the cells, which with eight seeds are an eighth too much of what items add, but such that
the variance is unbiased for whichever cells were measured, by the method of moments (Searle, Casella and McCulloch
1992, chapter 5). In a full table it is the residual's part, and the variance is (MS_seed + MS_item - MS_residual) /
(S I); where every seed was asked items of its own, it is all that items add, which the seeds' means hold already.
Degrees of freedom are Satterthwaite's (1946), with the effective number of clusters of Carter, Schnepel and
Steigerwald (2017).
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tasks.judging.intervals import Estimate

if TYPE_CHECKING:
    import numpy as np

DIGITS = 7
"""Significant digits of the means by item: so they are published, and from these the interval is computed."""

SAME = 1e-9
"""Sums of squares that differ by less, relatively, are the same one in two forms."""


@dataclass(frozen=True)
class Crossed:
    """What suffices for the crossed interval: means by seed and by item with their shares, and what they share.

    `seeds` and `items` are (share of the weight, mean difference); the shares add up to 1. `residual` is what the
    variances by seed and by item count twice: what the residuals alone contribute to the variance of the mean, and
    where seeds were asked different items, what items do. With equal weights in a full table these are the classical
    sufficient statistics of the two-way model of random effects.
    """

    seeds: tuple[tuple[float, float], ...]
    items: tuple[tuple[float, float], ...]
    residual: float

    @cached_property
    def estimate(self) -> Estimate:
        """The mean difference with its crossed standard error."""
        import numpy as np

        (shares, means), (item_shares, item_means) = np.array(self.seeds).T, np.array(self.items).T
        error, freedom = crossed_error(shares, means, item_shares, item_means, np.array(self.residual))
        return Estimate(float((shares * means).sum()), float(error), float(freedom))

    def about(self, fixed: str) -> Estimate:
        """The estimate for new seeds and items; with `fixed` "items" or "seeds", for these very ones of that kind."""
        import numpy as np

        if not fixed:
            return self.estimate
        shares, means = np.array(self.seeds if fixed == "items" else self.items).T
        effect = math.fsum(share * mean for share, mean in self.seeds)
        return Estimate(effect, float(np.sqrt(_one_way(shares, means))), float(_effective(shares) - 1))

    def written(self) -> dict[str, Any]:
        """As JSON; shares only where they are not equal."""
        return {**_written("seed", self.seeds), **_written("item", self.items), "residual": self.residual}

    @classmethod
    def read(cls, written: dict[str, Any]) -> "Crossed":
        """What `written` made."""
        return cls(_read("seed", written), _read("item", written), written["residual"])


def _written(what: str, groups: tuple[tuple[float, float], ...]) -> dict[str, list[float]]:
    shares, means = zip(*groups, strict=True)
    even = all(share == shares[0] for share in shares)
    return {f"{what}_means": list(means), **({} if even else {f"{what}_shares": list(shares)})}


def _read(what: str, written: dict[str, Any]) -> tuple[tuple[float, float], ...]:
    means = written[f"{what}_means"]
    shares = written.get(f"{what}_shares", [1 / len(means)] * len(means))
    return tuple(zip(shares, means, strict=True))


def of_crossed(
    differences: "np.ndarray", seeds: "np.ndarray", items: "np.ndarray", weights: "np.ndarray | None" = None
) -> Crossed:
    """The statistics of differences, one for each pair of a seed and an item that was measured."""
    import numpy as np

    _, row = np.unique(seeds, return_inverse=True)
    _, column = np.unique(items, return_inverse=True)
    table = np.zeros((2, row.max() + 1, column.max() + 1))
    table[0, row, column] = differences
    table[1, row, column] = 1.0 if weights is None else weights
    shares, means, item_shares, item_means, residual = moments(table[0], table[1])
    return Crossed(_groups(shares, means), _groups(item_shares, item_means), float(residual))


def _groups(shares: "np.ndarray", means: "np.ndarray") -> tuple[tuple[float, float], ...]:
    """Shares and means in pairs, with the digits that are published; equal shares are equal to the last digit."""
    import numpy as np

    count = len(shares)
    even = bool(np.allclose(shares, 1 / count, rtol=1e-9))
    rounded = [float(f"{mean:.{DIGITS}g}") for mean in means]
    return tuple(
        (1 / count if even else float(f"{share:.{DIGITS}g}"), mean) for share, mean in zip(shares, rounded, strict=True)
    )


def moments(differences: "np.ndarray", weights: "np.ndarray") -> "tuple[np.ndarray, ...]":
    """Shares and means by seed, the same by item, and what the variances by seed and by item count twice.

    The last two axes are seeds and items, so that many tables can be reduced at once; a cell that was not
    measured has the weight 0.
    """
    import numpy as np

    share = weights / weights.sum((-2, -1), keepdims=True)
    by_seed, by_item = share.sum(-1), share.sum(-2)
    seed_means = (share * differences).sum(-1) / by_seed
    item_means = (share * differences).sum(-2) / by_item
    left = share * (differences - (share * differences).sum((-2, -1), keepdims=True))
    squares = [(left.sum(-1) ** 2).sum(-1), (left.sum(-2) ** 2).sum(-1), (left**2).sum((-2, -1))]
    variance = (_unbiased_sum(share) * np.stack(squares, -1)).sum(-1)
    twice = _one_way(by_seed, seed_means) + _one_way(by_item, item_means) - variance
    return by_seed, seed_means, by_item, item_means, twice


def _unbiased_sum(share: "np.ndarray") -> "np.ndarray":
    """The factors with which squares by seed, by item and by cell add up to the variance of the mean, on average.

    How much of the variance that seeds have, or items or residuals, is expected in each of the three sums of squares
    follows from the shares alone: deviations from the mean are (own - all), and a square of these has three terms.
    Where items are nested in seeds, squares by item and by cell are the same, and so are their factors.
    """
    import numpy as np

    def total(values: "np.ndarray") -> "np.ndarray":
        summed: np.ndarray = values.sum((-2, -1))
        return summed

    groups = (share.sum(-1, keepdims=True), share.sum(-2, keepdims=True), share)
    by = [total(share * group) for group in groups]
    expected = [
        [
            (by[one] if one == other else by[2]) - 2 * total(share * groups[one] * groups[other]) + by[one] * by[other]
            for other in range(3)
        ]
        for one in range(3)
    ]
    matrix, wanted = np.stack([np.stack(row, -1) for row in expected], -2), np.stack(by, -1)
    factors: np.ndarray = (np.linalg.pinv(matrix, rcond=SAME, hermitian=True) @ wanted[..., None])[..., 0]
    return factors


def crossed_error(
    seed_shares: "np.ndarray",
    seed_means: "np.ndarray",
    item_shares: "np.ndarray",
    item_means: "np.ndarray",
    twice: "np.ndarray",
) -> "tuple[np.ndarray, np.ndarray]":
    """The standard error of the mean and its degrees of freedom, never below the error by the fewer groups alone.

    In simulations of 8 seeds and 30 to 500 items at level 0.95, asked of all seeds, of some or of one, the interval
    covers 93.5 to 97 %, whichever of seeds, items and residuals varies most. Two floors, by seed and by item, would be
    the larger of two estimates of one variance where residuals rule or items are nested: 98 %.
    """
    import numpy as np

    by_seed, by_item = _one_way(seed_shares, seed_means), _one_way(item_shares, item_means)
    seeds, items = _effective(seed_shares) - 1, _effective(item_shares) - 1
    variance = np.maximum(by_seed + by_item - twice, np.where(seeds <= items, by_seed, by_item))
    spread = by_seed**2 / seeds + by_item**2 / items + twice**2 / (seeds * items)
    least = np.minimum(seeds, items)
    freedom = np.divide(variance**2, spread, out=np.array(least, dtype=float), where=spread > 0)
    return np.sqrt(variance), np.maximum(np.maximum(freedom, least), 1.0)


def _one_way(shares: "np.ndarray", means: "np.ndarray") -> "np.ndarray":
    """The variance of the mean if only these groups were drawn at random."""
    centre = (shares * means).sum(-1, keepdims=True)
    variance: np.ndarray = (shares**2 * (means - centre) ** 2).sum(-1) * _unbiased(shares)
    return variance


def _unbiased(shares: "np.ndarray") -> "np.ndarray":
    """n / (n - 1), with the effective number of groups; a single one tells nothing of others."""
    import numpy as np

    effective = _effective(shares)
    factor: np.ndarray = np.divide(effective, effective - 1, out=np.ones_like(effective), where=effective > 1)
    return factor


def _effective(shares: "np.ndarray") -> "np.ndarray":
    import numpy as np

    return np.asarray(1 / (shares**2).sum(-1))
