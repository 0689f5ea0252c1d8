"""Scores of answers, chains and confidences, against values known by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.retrieval.scoring import (
    aurc,
    coverage_within,
    exact_match,
    normalised,
    recall,
    risk_coverage,
    token_f1,
)


def test_normalisation_is_squads() -> None:
    """EM without normalisation calls right answers wrong."""
    assert normalised("  The  Bank, of (an) England! ") == "bank of england"
    assert exact_match("The U.S.", "us") == 1.0
    assert exact_match("anthem", "them") == 0.0


@pytest.mark.parametrize(
    ("answer", "gold", "f1"),
    [
        ("the Eiffel Tower", "Eiffel tower", 1.0),
        ("Paris, France", "Paris", 2 / 3),
        ("a a b", "a b b", 2 / 3),  # articles go: one b against two
        ("x x y", "x y y", 2 / 3),
        ("London", "Paris", 0.0),
        ("", "Paris", 0.0),
        ("the", "a", 1.0),  # nothing is left of either
        ("yes", "yes", 1.0),
        ("yes it is", "yes", 0.0),
        ("no", "no way", 0.0),
        ("noanswer", "answer", 0.0),
    ],
)
def test_token_f1(answer: str, gold: str, f1: float) -> None:
    """Words count as often as they occur; yes, no and noanswer are whole answers, as in HotpotQA."""
    assert token_f1(answer, gold) == pytest.approx(f1)


@given(st.text("abc the", max_size=20), st.text("abc the", max_size=20))
def test_f1_is_symmetric_and_one_for_equal_answers(first: str, second: str) -> None:
    assert token_f1(first, second) == token_f1(second, first)
    assert token_f1(first, first) == 1.0
    assert exact_match(first, second) <= token_f1(first, second) <= 1.0


def test_recall_of_chains() -> None:
    gold = ("a", "b")
    assert vars(recall([("b", "a")], gold)) == {"any": 1, "both": 1, "first": 1, "path": 1}
    # Both are found, but in two chains: that is P-EM, and no path.
    assert vars(recall([("x", "a"), ("x", "b")], gold)) == {"any": 1, "both": 1, "first": 0, "path": 0}
    assert vars(recall([("a", "x")], gold)) == {"any": 1, "both": 0, "first": 1, "path": 0}
    assert vars(recall([("x", "y")], gold)) == {"any": 0, "both": 0, "first": 0, "path": 0}
    assert vars(recall([], gold)) == {"any": 0, "both": 0, "first": 0, "path": 0}


def test_a_chain_with_one_passage_twice_is_no_path() -> None:
    assert recall([("a", "a")], ("a", "b")).path == 0


def test_risk_and_coverage_by_hand() -> None:
    coverage, risk = risk_coverage(np.array([0.1, 0.9, 0.5]), np.array([1.0, 0.0, 0.5]))
    np.testing.assert_allclose(coverage, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(risk, [0, 0.25, 0.5])
    assert aurc(np.array([0.1, 0.9, 0.5]), np.array([1.0, 0.0, 0.5])) == pytest.approx(0.25)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_confidence_that_says_nothing_is_random_rejection(losses: list[float]) -> None:
    """Equal confidences in a lucky order must not look like good ones."""
    given_losses = np.array(losses)
    area = aurc(np.zeros(len(losses)), given_losses)
    assert area == pytest.approx(given_losses.mean())
    assert aurc(-given_losses, given_losses) <= area + 1e-12 <= aurc(given_losses, given_losses) + 2e-12


def test_aurc_of_random_confidence_is_the_mean_loss_on_average() -> None:
    generator = np.random.default_rng(0)
    losses = generator.random(40)
    areas = [aurc(generator.random(40), losses) for _ in range(2000)]
    assert np.mean(areas) == pytest.approx(losses.mean(), abs=0.005)


def test_coverage_within_a_loss() -> None:
    confidence = np.array([4.0, 3.0, 2.0, 1.0])
    restricted, free = np.array([1.0, 0.5, 1.0, 0.0]), np.array([1.0, 1.0, 0.8, 1.0])
    # Losses after each: 0, 0.5/4, 0.3/4, 1.3/4.
    assert coverage_within(confidence, restricted, free, 0.0) == 0.25
    assert coverage_within(confidence, restricted, free, 0.08) == 0.75
    assert coverage_within(confidence, restricted, free, 0.33) == 1.0
    # Equal confidences are taken together or not at all.
    assert coverage_within(np.array([4.0, 1.0, 1.0, 1.0]), restricted, free, 0.1) == 0.25
    assert coverage_within(confidence, free - 1, free, 0.0) == 0.0
