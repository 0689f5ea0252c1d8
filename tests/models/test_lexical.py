"""Dense bags of words: what a vector keeps of a bag, and that it depends on the words alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.retrieval.lexical import NONZERO, Lexicon, bags, distinct, places_and_signs

WIDTH = 1024


def flat(texts: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    words = np.array([word for text in texts for word in text], np.uint32)
    return words, np.cumsum([0, *map(len, texts)])


@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_a_words_vector_has_length_one_and_is_the_same_everywhere(word: int, blocks: int) -> None:
    """Two parties must give a word one vector, whatever else they know."""
    width = blocks * NONZERO
    places, signs = places_and_signs(np.array([word], np.uint32), width)
    again = places_and_signs(np.array([[7, word]], np.uint32), width)
    np.testing.assert_array_equal(places[0], again[0][0, 1])
    np.testing.assert_array_equal(signs[0], again[1][0, 1])
    assert len(set(places[0].tolist())) == NONZERO
    assert 0 <= places.min() <= places.max() < width
    assert np.sum(signs**2) == pytest.approx(1)


def test_inner_products_of_bags_are_those_of_the_words() -> None:
    """The noise of an inner product falls as one over the square root of the width."""
    random = np.random.default_rng(0)
    texts = [random.choice(2**32, 40, replace=False).tolist() for _ in range(60)]
    texts += [[*text[:10], *random.choice(2**32, 30, replace=False).tolist()] for text in texts]
    words, starts = flat(texts)
    made = bags(words, starts, np.ones(len(words), np.float32), WIDTH)
    products = made @ made.T
    shared = np.array([products[row, row + 60] for row in range(60)])
    others = products[:60, :60][~np.eye(60, dtype=bool)]
    assert shared.mean() == pytest.approx(10 / 40, abs=0.03)
    assert others.mean() == pytest.approx(0, abs=0.01)
    assert others.std() == pytest.approx(1 / np.sqrt(WIDTH), rel=0.25)


@given(st.lists(st.lists(st.integers(1, 6), max_size=8), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_rarity_counts_texts_not_occurrences(texts: list[list[int]]) -> None:
    lexicon = Lexicon(*flat(texts))
    for word in range(1, 8):
        have = sum(word in text for text in texts)
        expected = np.log((1 + len(texts)) / (1 + have))
        assert lexicon.rarity(np.array([word], np.uint32))[0] == pytest.approx(expected, abs=1e-6)
    assert lexicon.rarity(np.array([0], np.uint32))[0] == 0
    numbers, found = distinct(*flat(texts))
    pairs = list(zip(numbers.tolist(), found.tolist(), strict=True))
    assert pairs == sorted({(row, word) for row, text in enumerate(texts) for word in text})


def test_a_word_counts_once_with_its_largest_weight() -> None:
    words, starts = flat([[3, 4, 3], [4], []])
    made = bags(words, starts, np.array([1, 2, 5, 1], np.float32), WIDTH)
    places, signs = places_and_signs(np.array([3, 4], np.uint32), WIDTH)
    expected = np.zeros(WIDTH)
    np.add.at(expected, places[0], 5 * signs[0])
    np.add.at(expected, places[1], 2 * signs[1])
    np.testing.assert_allclose(made[0], expected / np.linalg.norm(expected), atol=1e-6)
    assert not made[2].any()


def test_a_width_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="no multiple"):
        places_and_signs(np.array([1], np.uint32), NONZERO + 1)
