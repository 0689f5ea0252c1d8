"""The judge's statistics on simulated papers: how often they are wrong, and what they find."""

import math
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tasks.judging.intervals import (
    Ensemble,
    Estimate,
    Kind,
    decide,
    edges,
    nearest_edge,
    of_clusters,
    of_pairs,
    region,
    sign_flip_p,
)

PAPERS = 1000
ALPHA = 0.05


def within_binomial_error(hits: int, low: float, high: float, trials: int = PAPERS) -> bool:
    """Whether the observed rate's 95 % interval meets a true rate between `low` and `high`."""
    interval = stats.binomtest(hits, trials).proportion_ci(0.95)
    return bool(interval.low <= high and interval.high >= low)


def test_the_yardstick_itself_can_fail() -> None:
    """A coverage of 90 %, or a false rate of 7 %, is refused."""
    assert not within_binomial_error(900, 0.93, 0.97)
    assert not within_binomial_error(70, 0, ALPHA)
    assert within_binomial_error(950, 0.93, 0.97)


def test_seed_pairs_cover_and_rarely_support_a_null() -> None:
    chance = np.random.default_rng(1)
    estimates = [of_pairs(chance.normal(0.3, 1, 8)) for _ in range(PAPERS)]
    covered = sum(low <= 0.3 <= high for low, high in (e.interval(0.95) for e in estimates))
    assert within_binomial_error(covered, 0.93, 0.97)
    for kind, margin in (("less", -0.3), ("greater", 0.3), ("at most", 0.3)):
        supported = sum(decide(kind, margin, e.interval(0.95)) == "SUPPORTED" for e in estimates)  # type: ignore[arg-type]
        assert within_binomial_error(supported, 0, ALPHA / 2), "a one-sided null is supported with half of alpha"
        assert supported > 0, "the interval is not so wide that it never errs"


@pytest.mark.parametrize(("effect", "power"), [(1.0, 0.68), (1.5, 0.951), (2.0, 0.998)])
def test_power_is_as_documented(effect: float, power: float) -> None:
    assert stats.nct.sf(stats.t.ppf(0.975, 7), 7, effect * math.sqrt(8)) == pytest.approx(power, abs=0.001)
    chance = np.random.default_rng(2)
    found = sum(
        decide("greater", 0, of_pairs(chance.normal(effect, 1, 8)).interval(0.95)) == "SUPPORTED" for _ in range(PAPERS)
    )
    assert within_binomial_error(found, power, power)


def test_a_difference_on_the_margin_is_rarely_called_equivalent() -> None:
    chance = np.random.default_rng(5)
    supported = sum(
        decide("equivalent", 1.0, of_pairs(chance.normal(sign, 0.3, 8)).interval(0.95)) == "SUPPORTED"
        for sign in (-1, 1)
        for _ in range(PAPERS)
    )
    assert within_binomial_error(supported, 0, ALPHA, 2 * PAPERS)
    assert supported > 0


Sizes = Callable[[np.random.Generator], np.ndarray]
LAYOUTS: dict[str, Sizes] = {
    "eight seeds of 200 examples": lambda chance: np.full(8, 200),
    "hundreds of uneven clusters": lambda chance: chance.integers(1, 12, 150),
    "five uneven clusters": lambda chance: chance.integers(20, 401, 5),
    "thirty clusters, some of them huge": lambda chance: (chance.pareto(1.2, 30) * 10 + 1).astype(int).clip(1, 3000),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_clusters_of_examples_cover(layout: str) -> None:
    """The clusters are the independent draws, the examples are not: treated as such, they would cover far less."""
    chance = np.random.default_rng(3)
    covered = naive = supported = 0
    for _ in range(PAPERS):
        sizes = LAYOUTS[layout](chance)
        clusters = np.repeat(np.arange(len(sizes)), sizes)
        values = np.repeat(chance.normal(0, 0.5, len(sizes)), sizes) + chance.exponential(1, sizes.sum())
        low, high = of_clusters(np.bincount(clusters, values) / sizes, sizes).interval(0.95)
        covered += low <= 1 <= high
        supported += decide("greater", 1.0, (low, high)) == "SUPPORTED"
        low, high = of_pairs(values).interval(0.95)
        naive += low <= 1 <= high
    assert within_binomial_error(covered, 0.93, 0.97)
    assert within_binomial_error(supported, 0, ALPHA)
    assert naive < 0.9 * PAPERS


def test_one_cluster_that_is_nearly_everything_gives_a_wide_and_finite_interval() -> None:
    values = np.random.default_rng(4).normal(1, 1, 10_001)
    low, high = of_clusters(np.array([values[:-1].mean(), values[-1]]), np.array([10_000, 1])).interval(0.95)
    assert math.isfinite(low)
    assert math.isfinite(high)
    assert high - low > of_pairs(values).interval(0.95)[1] - of_pairs(values).interval(0.95)[0]


ENDS = st.tuples(st.floats(-9, 9), st.floats(-9, 9)).map(lambda ends: (min(ends), max(ends)))


@given(kind=st.sampled_from(get_args(Kind)), margin=st.floats(0, 5), ends=ENDS)
@settings(max_examples=300)
def test_the_interval_decides(kind: Kind, margin: float, ends: tuple[float, float]) -> None:
    """Exactly: all of its points in the region, none of them, or some; the ends and the edges are enough to see."""
    low, high = edges(kind, margin)
    points = [*ends, *(edge for edge in (low, high) if ends[0] <= edge <= ends[1])]
    # An edge inside of the interval has claimed points on one side and others on the other.
    touched = len(points) > 2
    inside = [low < point < high for point in ends]
    expected = "INCONCLUSIVE" if touched else "SUPPORTED" if all(inside) else "CONTRADICTED"
    assert decide(kind, margin, ends) == expected
    assert region(kind, margin)


@given(margin=st.floats(0, 5), more=st.floats(0, 5), ends=ENDS)
def test_a_larger_margin_is_harder_to_beat_and_easier_to_keep(
    margin: float, more: float, ends: tuple[float, float]
) -> None:
    order = ["CONTRADICTED", "INCONCLUSIVE", "SUPPORTED"]
    for kind in ("less", "greater"):
        assert order.index(decide(kind, margin + more, ends)) <= order.index(decide(kind, margin, ends))  # type: ignore[arg-type]
    for kind in ("at most", "equivalent"):
        assert order.index(decide(kind, margin + more, ends)) >= order.index(decide(kind, margin, ends))  # type: ignore[arg-type]


@given(effect=st.floats(-3, 3), error=st.floats(0.01, 2), kind=st.sampled_from(get_args(Kind)))
def test_p_and_interval_agree(effect: float, error: float, kind: Kind) -> None:
    """The interval at level 1 - p just touches the nearest edge."""
    estimate, edge = Estimate(effect, error, 7), nearest_edge(kind, 1.0, effect)
    p = estimate.p(edge)
    if 1e-6 < p < 0.999:
        assert min(abs(end - edge) for end in estimate.interval(1 - p)) == pytest.approx(0, abs=1e-6)


def test_all_sign_flips_of_eight_seeds_are_tried() -> None:
    values = np.array([-1.0, -2, -3, -1, -2, -3, -1, -2])
    assert sign_flip_p(values, 0.0) == pytest.approx(2 / 256)
    assert sign_flip_p(values, -1.875) > 0.9
    many = np.random.default_rng(9).normal(0.2, 1, 30)
    assert sign_flip_p(many, 0.0) == sign_flip_p(many, 0.0), "random flips are the same ones every time"


def test_a_simulators_own_error_widens_what_its_draws_leave_open() -> None:
    draws = tuple(np.random.default_rng(10).normal(-0.3, 0.08, 400).tolist())
    plain, wide = Ensemble(draws), Ensemble(draws, 0.06)
    assert wide.effect == plain.effect
    ends = stats.norm.interval(0.95, np.mean(draws), math.hypot(np.std(draws), 0.06))
    assert wide.interval(0.95) == pytest.approx(ends, abs=0.015)
    for level in (0.5, 0.95, 0.99):
        low, high = wide.interval(level)
        assert wide.p(low) == pytest.approx(1 - level, abs=1e-6)
        assert wide.p(high) == pytest.approx(1 - level, abs=1e-6)
        assert low < plain.interval(level)[0]


@pytest.mark.filterwarnings("error")
def test_equal_differences_need_no_special_care() -> None:
    estimate = of_pairs(np.full(8, -1.0))
    assert estimate.interval(0.95) == (-1.0, -1.0)
    assert (estimate.p(0.0), estimate.p(-1.0)) == (0.0, 1.0)
    assert sign_flip_p(np.full(8, -1.0), 0.0) == pytest.approx(2 / 256)
    assert sign_flip_p(np.zeros(8), 0.0) == 1.0
    assert decide("less", 1.0, estimate.interval(0.95)) == "INCONCLUSIVE", "exactly on the edge"
