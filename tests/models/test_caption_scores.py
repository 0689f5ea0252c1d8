"""Scores of captions against values worked out by hand, and what a score must not reward."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.caption_scores import Cider, overlap, rouge_l

TEXTS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1, max_size=8)


def test_rouge_l_is_that_of_the_longest_common_subsequence() -> None:
    """police killed the gunman / police kill the gunman: three words of four in order (Lin 2004)."""
    assert rouge_l(["police", "kill", "the", "gunman"], ["police", "killed", "the", "gunman"]) == pytest.approx(0.75)
    assert rouge_l(["the", "gunman", "kill", "police"], ["police", "killed", "the", "gunman"]) == pytest.approx(0.5)


def test_cider_of_a_small_corpus() -> None:
    """One word in common of two, each of them in one reference of two: weights ln 2, cosine one half in unigrams."""
    references = [["red", "heart"], ["blue", "sky"]]
    cider = Cider(references)
    # Unigrams: min(w, w) * w / (w sqrt 2)^2 = 1/2; bigrams 0; no trigrams.
    assert cider.score(["red", "sky"], references[0]) == pytest.approx(10 * (0.5 + 0) / 4)
    # The same text has cosine 1 for both sizes that it has.
    assert cider.score(references[0], references[0]) == pytest.approx(10 * 2 / 4)
    # Four words too many cost exp(-16 / 72) of what is left.
    ends = ["red", "heart", *["x"] * 4]
    cosine = (math.sqrt(2) / math.sqrt(2 + 16) + 1 / math.sqrt(1 + 1 + 9)) / 4
    assert cider.score(ends, references[0]) == pytest.approx(10 * math.exp(-16 / 72) * cosine)


def test_repeating_a_right_word_does_not_pay() -> None:
    references = [["red", "heart"], ["blue", "sky"]]
    cider = Cider(references)
    assert cider.score(["red"] * 4, references[0]) < cider.score(["red", "heart"], references[0]) / 2


def test_what_every_reference_says_is_worth_nothing() -> None:
    references = [["a", "red"], ["a", "blue"]]
    assert Cider(references).score(["a"], references[0]) == 0


def test_words_of_the_alt_do_not_count_where_they_are_left_out() -> None:
    found = overlap({"red", "heart", "love"}, {"red", "heart", "big"}, left_out={"heart"})
    assert (found.precision, found.recall, found.f1) == (0.5, 0.5, 0.5)
    copied = overlap({"heart"}, {"heart", "red"}, left_out={"heart"})
    assert (copied.precision, copied.recall, copied.f1) == (0, 0, 0)
    nothing_to_add = overlap({"heart"}, {"heart"}, left_out={"heart"})
    assert nothing_to_add.f1 == 1


@given(TEXTS, TEXTS)
def test_scores_are_shares_and_one_for_the_same_text(one: list[str], two: list[str]) -> None:
    assert 0 <= rouge_l(one, two) <= 1
    assert rouge_l(one, one) == pytest.approx(1)
    assert 0 <= overlap(one, two).f1 <= 1
    assert Cider([one, two, ["x"]]).score(one, two) <= 10 + 1e-9
