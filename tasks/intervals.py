"""The statistics behind a verdict: intervals of differences, and where they lie against what is claimed.

Everything rests on scipy.stats. The interval decides; p-values stand beside it.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

Kind = Literal["less", "greater", "at most", "equivalent"]
Verdict = Literal["SUPPORTED", "CONTRADICTED", "INCONCLUSIVE"]

REPLICATES = 2000
"""Bootstrap replicates and, where not all can be tried, sign flips."""


@dataclass(frozen=True)
class Estimate:
    """A mean difference with its standard error and the degrees of freedom of its t distribution."""

    effect: float
    error: float
    freedom: int

    def interval(self, level: float) -> tuple[float, float]:
        """The two-sided interval at a confidence level; of no width where all differences are equal."""
        from scipy import stats

        half = float(stats.t.ppf((1 + level) / 2, self.freedom)) * self.error
        return self.effect - half, self.effect + half

    def p(self, edge: float) -> float:
        """The two-sided p-value of the true mean being `edge`."""
        from scipy import stats

        distance = abs(self.effect - edge)
        if self.error == 0:
            return 1.0 if distance == 0 else 0.0
        return float(2 * stats.t.sf(distance / self.error, self.freedom))


def of_pairs(differences: "np.ndarray") -> Estimate:
    """Student's t over independent differences, such as one a seed; at least two of them.

    In simulations of 1,000 papers its 95 % interval covers 95 % at 6 to 10 seeds, where bias-corrected
    bootstraps cover 86 to 90 %. With 8 seeds an effect of 1.5 standard deviations of the differences is found
    with probability 0.96, and one of 1 with 0.69, at level 0.95.
    """
    count = len(differences)
    return Estimate(float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(count), count - 1)


def of_clusters(differences: "np.ndarray", clusters: "np.ndarray") -> Estimate:
    """A bootstrap of whole clusters of differences, such as all the examples of one seed.

    The standard error is that of the mean over resampled clusters, put right for their number C by
    C / (C - 1), and the interval is Student's with C - 1 degrees of freedom: percentiles of the bootstrap are too
    narrow for few clusters. At least two clusters.
    """
    import numpy as np

    _, members = np.unique(clusters, return_inverse=True)
    sums, sizes = np.bincount(members, differences), np.bincount(members)
    count = len(sums)
    drawn = np.random.default_rng(0).integers(count, size=(REPLICATES, count))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    error = float(means.std(ddof=1)) * math.sqrt(count / (count - 1))
    return Estimate(float(differences.mean()), error, count - 1)


def sign_flip_p(differences: "np.ndarray", edge: float) -> float:
    """The two-sided p-value of differences that lie symmetrically about `edge`, by flipping their signs.

    All flips are tried up to 2,000 of them (10 differences), else as many random ones.
    """
    import numpy as np
    from scipy import stats

    shifted = differences - edge
    if not shifted.any():
        return 1.0
    tested = stats.permutation_test(
        (shifted,),
        lambda values, axis: np.mean(values, axis=axis),
        permutation_type="samples",
        n_resamples=REPLICATES,
        rng=np.random.default_rng(0),
    )
    return float(tested.pvalue)


def edges(kind: Kind, margin: float) -> tuple[float, float]:
    """The open region in which the difference must lie for the comparison to hold."""
    return {
        "less": (-math.inf, -margin),
        "greater": (margin, math.inf),
        "at most": (-math.inf, margin),
        "equivalent": (-margin, margin),
    }[kind]


def nearest_edge(kind: Kind, margin: float, effect: float) -> float:
    """The finite edge of the claimed region that lies nearest to the effect."""
    finite = [edge for edge in edges(kind, margin) if math.isfinite(edge)]
    return min(finite, key=lambda edge: abs(effect - edge))


def decide(kind: Kind, margin: float, interval: tuple[float, float]) -> Verdict:
    """SUPPORTED if the whole interval is in the claimed region, CONTRADICTED if none of it is."""
    low, high = edges(kind, margin)
    if low < interval[0] and interval[1] < high:
        return "SUPPORTED"
    if interval[1] < low or high < interval[0]:
        return "CONTRADICTED"
    return "INCONCLUSIVE"


def holm(estimates: "list[tuple[Kind, float, Estimate]]", alpha: float) -> list[float]:
    """The confidence level of each comparison's interval, so that all decisions together err with `alpha`.

    Step-down (Holm 1979): the comparison with the smallest p, against the nearest edge of its region, gets
    1 - alpha / m, the next one 1 - alpha / (m - 1), and so on; from the first interval that does not decide
    the level stays.
    """
    ranked = sorted(
        range(len(estimates)),
        key=lambda index: estimates[index][2].p(nearest_edge(*estimates[index][:2], estimates[index][2].effect)),
    )
    levels = [0.0] * len(estimates)
    level, stopped = 0.0, False
    for rank, index in enumerate(ranked):
        kind, margin, estimate = estimates[index]
        if not stopped:
            level = 1 - alpha / (len(estimates) - rank)
            stopped = decide(kind, margin, estimate.interval(level)) == "INCONCLUSIVE"
        levels[index] = level
    return levels
