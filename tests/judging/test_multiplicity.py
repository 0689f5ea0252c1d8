"""A paper's claims together: one false verdict in twenty papers at most, whatever the claims are made of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.judging.intervals import Estimate, decide, nearest_edge, of_pairs
from tasks.judging.multiplicity import Evidence, claim_p, holm, share

PAPERS, ALPHA = 1000, 0.05


def evidence(estimate: Estimate) -> Evidence:
    """Of the comparison "less than 0"."""
    return Evidence(estimate.p(nearest_edge("less", 0.0, estimate.effect)), estimate.effect < 0)


def verdict(parts: list[Estimate], needed: int, alpha: float) -> str:
    found = [
        decide("less", 0.0, part.interval(1 - alpha / share(part.effect < 0, len(parts), needed))) for part in parts
    ]
    if found.count("SUPPORTED") >= needed:
        return "SUPPORTED"
    return "CONTRADICTED" if found.count("CONTRADICTED") > len(parts) - needed else "INCONCLUSIVE"


@pytest.mark.parametrize("true_effects", [0, 5])
def test_one_paper_in_twenty_has_a_false_verdict_at_most(true_effects: int) -> None:
    """Ten claims a paper, of which some are true: Holm spends on the rest what those leave, not more."""
    chance = np.random.default_rng(6)
    wrong = plain = 0
    for _ in range(PAPERS):
        effects = [-3.0] * true_effects + [0.0] * (10 - true_effects)
        estimates = [of_pairs(chance.normal(effect, 1, 8)) for effect in effects]
        alphas = holm([evidence(one).p for one in estimates], ALPHA)
        nulls = list(zip(estimates, alphas, strict=True))[true_effects:]
        wrong += any(verdict([e], 1, alpha) != "INCONCLUSIVE" for e, alpha in nulls)
        plain += any(verdict([e], 1, ALPHA) != "INCONCLUSIVE" for e, _ in nulls)
    assert 0 < wrong <= 0.064 * PAPERS, "two binomial errors above alpha"
    assert plain > 0.15 * PAPERS, "without Holm many papers have a false verdict"


@pytest.mark.parametrize(("needed", "effects", "false"), [
    (3, (-9.0, -9.0, 0.0), "SUPPORTED"),
    (1, (9.0, 9.0, 0.0), "CONTRADICTED"),
    (3, (0.0, 0.0, 0.0), "CONTRADICTED"),
    (1, (0.0, 0.0, 0.0), "SUPPORTED"),
    (2, (-9.0, 0.0, 0.0), "SUPPORTED"),
])  # fmt: skip
def test_a_claim_of_several_comparisons_errs_with_half_of_alpha(
    needed: int, effects: tuple[float, ...], false: str
) -> None:
    """At its worst: as many comparisons decided as leave the claim to the ones that are exactly on the edge."""
    chance = np.random.default_rng(7)
    wrong = 0
    for _ in range(PAPERS):
        parts = [of_pairs(chance.normal(effect, 1, 8)) for effect in effects]
        assert (claim_p([evidence(one) for one in parts], needed) <= ALPHA) == (
            verdict(parts, needed, ALPHA) != "INCONCLUSIVE"
        )
        wrong += verdict(parts, needed, ALPHA) == false
    assert 0 < wrong <= 0.037 * PAPERS


def test_holm_steps_down_and_stops() -> None:
    """Two clear claims and two that are not: alpha / 4, / 3, and / 2 for all that is left."""
    assert holm([0.5, 1e-6, 1e-5, 0.5], 0.06) == pytest.approx([0.03, 0.015, 0.02, 0.03])
    assert holm([], ALPHA) == []


def test_inside_a_claim_of_all_only_a_contradiction_is_adjusted() -> None:
    clear, open_ = Evidence(0.04, True), Evidence(0.04, False)
    assert claim_p([clear] * 9, 9) == pytest.approx(0.04)
    assert claim_p([*[clear] * 8, open_], 9) == pytest.approx(0.36)
    assert claim_p([clear, clear, open_], 1) == pytest.approx(0.12)
    assert claim_p([Evidence(1.0, False), clear], 2) == 1.0


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(0.05, 1)), min_size=1, max_size=8))
def test_holm_by_intervals_is_holm_by_p(parts: list[tuple[float, float]]) -> None:
    """What the intervals decide is what the textbook's adjusted p-values reject."""
    estimates = [Estimate(effect, error, 7) for effect, error in parts]
    p = [evidence(one).p for one in estimates]
    alphas = holm(p, ALPHA)
    worst = 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        worst = max(worst, p[index] * (len(p) - rank))
        decided = verdict([estimates[index]], 1, alphas[index]) != "INCONCLUSIVE"
        if abs(worst - ALPHA) > 1e-9 and abs(estimates[index].effect) > 1e-9:
            assert decided == (worst < ALPHA)
