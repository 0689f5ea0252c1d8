"""Beam search against all alignments one by one, against flashlight's decoder, in pieces and in batches."""

import itertools
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.speech import Flashlight
from models.speech.beam_search import BeamSearch
from models.speech.lexicon import Lexicon, free
from models.speech.ngram import BEGIN, END, Automaton, Backoff, estimate
from models.speech.settings import Search

LETTERS = "ab|"
TOKENS = {letter: number for number, letter in enumerate(LETTERS, 1)}
EXACT = Search(beam=400, threshold=1e9)


def spelt(*words: str) -> Lexicon:
    return Lexicon({word: [TOKENS[letter] for letter in word + "|"] for word in words}, 4, TOKENS["|"])


LEXICON = spelt("a", "ab", "aa", "b")
MODEL = estimate([["a", "ab"], ["ab"], ["b", "aa"], ["a", "a"]], 2)


def emissions(utterances: int, frames: int, tokens: int, seed: int = 0, sharp: float = 1.5) -> NDArray[np.float32]:
    scores = np.random.default_rng(seed).standard_normal((utterances, frames, tokens)) * sharp
    return (scores - np.log(np.exp(scores).sum(-1, keepdims=True))).astype(np.float32)


def search(settings: Search, lexicon: Lexicon = LEXICON, model: Backoff | None = None) -> BeamSearch:
    return BeamSearch(lexicon, settings, Automaton(model, lexicon.words) if model else None)


def brute_force(logs: NDArray[np.float32], settings: Search, model: Backoff | None) -> dict[str, float]:
    """The score of every text of whole words, by all alignments: repetitions joined, blanks dropped, words split."""
    ways: dict[str, list[float]] = defaultdict(list)
    for alignment in itertools.product(range(4), repeat=len(logs)):
        joined = "".join("-ab|"[token] for token, _ in itertools.groupby(alignment)).replace("-", "")
        if joined and not joined.endswith("|"):
            continue
        ways[" ".join(filter(None, joined.split("|")))].append(sum(float(logs[f, t]) for f, t in enumerate(alignment)))
    scores = {}
    for text, each in ways.items():
        words = text.split()
        if set(words) <= set(LEXICON.words):
            sound = np.logaddexp.reduce(each) if settings.merge == "sum" else max(each)
            language = 0.0
            for at, word in enumerate([*words, END]):
                language += model.log10(word, tuple([BEGIN, *words][: at + 1])) * math.log(10) if model else 0.0
            scores[text] = sound + settings.model_weight * language + settings.word_score * len(words)
    return scores


@pytest.mark.parametrize("merge", ["sum", "max"])
@pytest.mark.parametrize("model", [None, MODEL])
@pytest.mark.parametrize("seed", range(4))
def test_a_beam_that_holds_everything_finds_every_text_with_its_score(
    merge: str, model: Backoff | None, seed: int
) -> None:
    """Alignments counted twice or lost, a model asked too early, a bonus forgotten: each changes a score."""
    settings = Search(beam=400, threshold=1e9, merge=merge, model_weight=0.7, word_score=-0.3)  # type: ignore[arg-type]
    logs = emissions(1, 6, 4, seed)
    found = search(settings, model=model)(logs, np.array([6]), best=50)[0]
    expected = brute_force(logs[0], settings, model)
    assert len({each.text for each in found}) == len(found)
    assert {each.text: each.score for each in found} == pytest.approx(
        dict(sorted(expected.items(), key=lambda item: -item[1])[: len(found)]), abs=1e-4
    )
    assert found[0].text == max(expected, key=lambda text: expected[text])


@pytest.mark.parametrize(
    "settings", [Search(beam=5), Search(beam=8, tokens=2), Search(beam=5, merge="max", threshold=4)]
)
def test_a_batch_gives_what_each_gives_alone_and_pieces_what_the_whole_gives(settings: Search) -> None:
    """Padding that leaks, or a state that loses what the next piece needs."""
    logs, frames = emissions(5, 20, 4, 7), np.array([20, 13, 1, 17, 0])
    found = search(settings, model=MODEL)
    whole = found(logs, frames, best=3)
    for row in range(5):
        assert found(logs[[row], : max(frames[row], 1)], frames[[row]], best=3)[0] == whole[row]
    beams = found.begin(5)
    for start in range(0, 20, 6):
        piece = logs[:, start : start + 6]
        found.advance(beams, piece, np.clip(frames - start, 0, piece.shape[1]))
    assert found.results(beams, 3) == whole


def test_the_frames_of_tokens_are_those_of_the_best_alignment() -> None:
    """Times that drift would pass every test of texts."""
    logs = np.full((1, 12, 4), -20.0, np.float32)
    for frame, token in enumerate((0, 1, 1, 0, 2, 3, 3, 0, 0, 2, 0, 3)):
        logs[0, frame, token] = -0.01
    (found,) = search(EXACT)(logs, np.array([12]))[0]
    assert [(word.text, word.begin, word.end) for word in found.words] == [("ab", 1, 5), ("b", 9, 10)]
    assert found.frames == (1, 4, 5, 9, 11)


def test_skipping_sure_blanks_keeps_what_they_tell_apart() -> None:
    """A blank between equal letters has to stay: "aa" would become "a"."""
    logs = np.full((1, 14, 4), -20.0, np.float32)
    for frame, token in enumerate((0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 3, 0, 0, 0)):
        logs[0, frame, token] = -1e-4
    for share, left_out in ((1.0, 0), (0.95, 2 + 2 + 1 + 2)):
        decoder = search(Search(beam=4, blank_skip=share))
        beams = decoder.begin(1)
        for start in range(14):
            decoder.advance(beams, logs[:, [start]], np.array([1]))
        assert decoder.results(beams)[0][0].text == "aa"
        assert beams.skipped == left_out


def test_a_hotword_is_found_where_it_is_nearly_as_likely() -> None:
    logs = np.full((1, 4, 4), -20.0, np.float32)
    logs[0, :, 0], logs[0, 3, 3] = -4.0, -0.1
    logs[0, 0, 1] = logs[0, 1, 2] = -0.8
    logs[0, 1, 0] = -0.2
    plain = search(EXACT)(logs, np.array([4]))[0][0].text
    hot = BeamSearch(LEXICON, EXACT, None, {"ab": 2.0})(logs, np.array([4]))[0][0].text
    assert (plain, hot) == ("a", "ab")
    with pytest.raises(ValueError, match="hotword 'c'"):
        BeamSearch(LEXICON, EXACT, None, {"c": 2.0})


def test_without_a_lexicon_all_tokens_are_words() -> None:
    logs = emissions(1, 5, 3, 3)
    found = BeamSearch(free(3), EXACT)(logs, np.array([5]), best=1000)[0]
    ways: dict[tuple[int, ...], list[float]] = defaultdict(list)
    for alignment in itertools.product(range(3), repeat=5):
        text = tuple(token for token, _ in itertools.groupby(alignment) if token)
        ways[text].append(sum(float(logs[0, f, t]) for f, t in enumerate(alignment)))
    expected = {text: float(np.logaddexp.reduce(each)) for text, each in ways.items()}
    assert {each.tokens: each.score for each in found} == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("words", "says"), [({"": []}, "no token"), ({"a": [1]}, "separator"), ({"a": [3, 1, 3]}, "separator")]
)
def test_a_spelling_that_cannot_be_told_from_others_is_named(words: dict[str, list[int]], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Lexicon(words, 4, 3)
    with pytest.raises(ValueError, match="beginning of another"):
        Lexicon({"a": [1], "ab": [1, 2]}, 4)


@pytest.mark.parametrize(
    "settings",
    [
        Search(beam=40, threshold=25, model_weight=0.5, word_score=0.4, merge="max"),
        Search(beam=40, threshold=25, model_weight=0.5, word_score=0.4, merge="sum"),
        Search(beam=200, tokens=8, threshold=8, model_weight=0.7, merge="max"),
    ],
)
def test_flashlight_finds_the_same(tmp_path: Path, settings: Search) -> None:
    """The same best text of noisy utterances, with the same score, in 99 of a hundred, where the beam drops much.

    A beam that counts prefixes where flashlight counts hypotheses, or a threshold without the model's own score of
    whole words, is a search of its own: it agreed on nine of ten.
    """
    chance = np.random.default_rng(5)
    letters = 12
    spellings = {tuple(chance.integers(1, letters, chance.integers(1, 6))) for _ in range(150)}
    words = {f"w{number}": [*(int(t) for t in spelling), letters] for number, spelling in enumerate(sorted(spellings))}
    lexicon = Lexicon(words, letters + 1, letters)
    names = list(words)
    model = estimate([[names[at] for at in chance.zipf(1.5, 4) % len(names)] for _ in range(300)], 3)
    ours = search(settings, lexicon, model)
    theirs = Flashlight(lexicon, settings, model, tmp_path)
    utterances, frames = 120, 40
    logs = np.empty((utterances, frames, letters + 1), np.float32)
    for row in range(utterances):
        path = [t for at in chance.integers(len(names), size=3) for t in words[names[at]]]
        scores = chance.standard_normal((frames, letters + 1)) * 1.2
        for at, frame in enumerate(np.sort(chance.choice(frames, len(path), replace=False))):
            scores[frame, path[at]] += 6
        scores[:, 0] += 3
        logs[row] = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    found = ours(logs, np.full(utterances, frames))
    best = [(found[row][0], *theirs(logs[row])[0]) for row in range(utterances)]
    assert len({ours.text for ours, _, _ in best}) > 100
    assert np.mean([ours.text == text for ours, text, _ in best]) >= 0.99
    scores = [(ours.score, score) for ours, text, score in best if ours.text == text]
    assert [each for each, _ in scores] == pytest.approx([each for _, each in scores], abs=1e-3)
