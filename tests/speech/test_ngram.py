"""N-gram models: probabilities that add up, the file that others read, and look-ups in bulk."""

from pathlib import Path

import numpy as np
import pytest
from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary
from hypothesis import given
from hypothesis import strategies as st

from models.speech.ngram import BEGIN, END, UNKNOWN, Automaton, Backoff, estimate, read_arpa, write_arpa

SENTENCES = [text.split() for text in ("a b c", "a b b", "c a", "b", "a c b a", "a b c a")]
WORDS = ["a", "b", "c"]
CORPORA = st.lists(st.lists(st.sampled_from(WORDS), max_size=5), min_size=1, max_size=12)


@given(sentences=CORPORA, order=st.integers(1, 4), history=st.lists(st.sampled_from([*WORDS, BEGIN]), max_size=4))
def test_the_probabilities_of_all_that_may_follow_add_up_to_one(
    sentences: list[list[str]], order: int, history: list[str]
) -> None:
    """Scores of anything else would favour some words for nothing."""
    model = estimate(sentences, order)
    follows = sorted({gram[0] for gram in model.probability if len(gram) == 1} - {BEGIN})
    assert sum(10 ** model.log10(word, tuple(history)) for word in follows) == pytest.approx(1)


def test_kneser_and_ney_by_hand() -> None:
    """ "x y" twice and "z y" once: below, y counts once for each of two words before it, and x, z and END once."""
    model = estimate([["x", "y"], ["x", "y"], ["z", "y"]], 2)
    # Pairs: (BEGIN x) 2, (x y) 2, (y END) 3, (BEGIN z) 1, (z y) 1: two occur once, two twice.
    discount = 2 / (2 + 2 * 2)
    kinds = {"x": 1, "y": 2, "z": 1, END: 1}  # three of four occur once and one twice
    lower = 3 / (3 + 2 * 1)
    floor = lower * 4 / 5 / 5
    below = {word: max(count - lower, 0) / 5 + floor for word, count in kinds.items()}
    assert 10 ** model.log10("y", ("x",)) == pytest.approx((2 - discount) / 2 + discount / 2 * below["y"])
    assert 10 ** model.log10("z", (BEGIN,)) == pytest.approx((1 - discount) / 3 + discount * 2 / 3 * below["z"])
    assert 10 ** model.log10("z", ("x",)) == pytest.approx(discount / 2 * below["z"])
    assert 10 ** model.log10("never", ()) == pytest.approx(floor)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_file_is_read_as_it_was_written(tmp_path: Path, order: int) -> None:
    model = estimate(SENTENCES, order)
    write_arpa(model, tmp_path / "x.arpa")
    found = read_arpa(tmp_path / "x.arpa")
    assert found.order == order
    assert found.probability == pytest.approx(dict(model.probability), abs=1e-6)
    assert found.weight == pytest.approx(dict(model.weight), abs=1e-6)


@pytest.mark.parametrize(
    "text",
    ["", "no model", "\\data\\\n\\1-grams:\n-1 a\n", "\\1-grams:\n-1 a b c\n\\end\\", "\\1-grams:\nx a\n\\end\\"],
)
def test_a_file_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.arpa").write_text(text)
    with pytest.raises(ValueError, match=r"x\.arpa"):
        read_arpa(tmp_path / "x.arpa")


@given(sentences=CORPORA, order=st.integers(1, 4), said=st.lists(st.sampled_from([*WORDS, "d"]), max_size=6))
def test_states_give_what_histories_give(sentences: list[list[str]], order: int, said: list[str]) -> None:
    """A state that forgets too much, or a backoff that is left out, changes what a sentence is worth."""
    model = estimate(sentences, order)
    words = [*WORDS, "d"]
    automaton = Automaton(model, words)
    state, total = np.array([automaton.start], np.int32), 0.0
    history = [BEGIN]
    for word in said:
        score, state = automaton.score(state, np.array([words.index(word)], np.int32))
        expected = model.log10(word, tuple(history))
        assert score[0] == pytest.approx(expected * np.log(10), abs=1e-9)
        known = (word,) in model.probability
        history.append(word if known else UNKNOWN)
    total = automaton.final(state)[0]
    assert total == pytest.approx(model.log10(END, tuple(history)) * np.log(10), abs=1e-9)


def test_many_look_ups_are_the_single_ones() -> None:
    automaton = Automaton(estimate(SENTENCES, 3), WORDS)
    states = np.arange(len(automaton.backoff), dtype=np.int32).repeat(3)
    words = np.tile(np.arange(3, dtype=np.int32), len(automaton.backoff))
    scores, following = automaton.score(states, words)
    for place in range(len(states)):
        one, state = automaton.score(states[[place]], words[[place]])
        assert (one[0], state[0]) == (scores[place], following[place])


def test_kenlm_reads_the_file_and_gives_the_same(tmp_path: Path) -> None:
    """The reader of another project, which is the one that others' tools have; its scores are log10."""
    model: Backoff = estimate(SENTENCES, 3)
    write_arpa(model, tmp_path / "x.arpa")
    words = Dictionary(WORDS)
    theirs = KenLM(str(tmp_path / "x.arpa"), words)
    for sentence in SENTENCES:
        ours = sum(model.log10(word, tuple([BEGIN, *sentence][: at + 1])) for at, word in enumerate([*sentence, END]))
        state, total = theirs.start(False), 0.0
        for word in sentence:
            state, score = theirs.score(state, words.get_index(word))
            total += score
        assert total + theirs.finish(state)[1] == pytest.approx(ours, abs=1e-4)


def test_nothing_to_learn_from_is_named() -> None:
    with pytest.raises(ValueError, match="a sentence"):
        estimate([], 2)
