"""Forced alignment against every alignment, against the whole lattice, and in memory that does not grow with it."""

import itertools
import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from models.speech.alignment import STAR, align_words, by_pauses, by_peaks, uniform
from models.speech.subtitles import Timed, lines, srt, textgrid, vtt
from models.speech.viterbi import TooShort, align, needed


def emissions(frames: int, tokens: int, seed: int = 0) -> NDArray[np.float32]:
    scores = np.random.default_rng(seed).standard_normal((frames, tokens)) * 2
    return (scores - np.log(np.exp(scores).sum(-1, keepdims=True))).astype(np.float32)


def said(alignment: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(token for token, _ in itertools.groupby(alignment) if token)


@pytest.mark.parametrize("text", [(1,), (1, 1), (2, 1, 2), (1, 1, 1), (1, 2, 2, 1), ()])
@pytest.mark.parametrize("stride", [1, 2, 3, 100])
def test_the_score_is_the_best_of_all_alignments(text: tuple[int, ...], stride: int) -> None:
    """A wrong transition or window would find another one. The path has to have the score that it claims."""
    logs = emissions(6, 3, len(text))
    found = align(logs, text, stride)
    every = [each for each in itertools.product(range(3), repeat=6) if said(each) == text]
    best = max(sum(float(logs[frame, token]) for frame, token in enumerate(each)) for each in every)
    assert found.score == pytest.approx(best, abs=1e-5)
    path = tuple(0 if place < 0 else text[place] for place in found.places)
    assert said(path) == text
    assert sum(float(logs[frame, token]) for frame, token in enumerate(path)) == pytest.approx(best, abs=1e-5)
    places = [place for place in found.places if place >= 0]
    assert places == sorted(places)
    assert set(places) == set(range(len(text)))


@pytest.mark.parametrize("frames", [40, 61, 200])
@pytest.mark.parametrize("stride", [1, 7, 16, 64, 1000])
def test_windows_give_the_whole_lattices_path(frames: int, stride: int) -> None:
    """A window that is too narrow would cut the path off."""
    logs = emissions(frames, 9, frames)
    text = np.random.default_rng(1).integers(1, 9, 30)
    text = text[: frames - needed(text) + len(text)] if needed(text) > frames else text
    whole, found = align(logs, text, 10**6), align(logs, text, stride)
    assert np.array_equal(whole.places, found.places)
    assert whole.score == found.score


def test_a_text_that_needs_every_frame_is_aligned_and_a_longer_one_is_refused() -> None:
    logs = emissions(5, 3)
    assert align(logs, [1, 1, 2, 1], 2).places.tolist() == [0, -1, 1, 2, 3]
    with pytest.raises(TooShort, match="needs at least 6 frames, and there are 5"):
        align(logs, [1, 1, 2, 1, 2])
    with pytest.raises(TooShort):
        align(logs[:0], [])


def test_long_sound_takes_little_memory() -> None:
    """12 minutes and a text as dense as speech: whole back-pointers of two bits would take 90 MB, of bytes 360."""
    frames, count = 18_000, 10_000
    logs = emissions(frames, 5)
    text = np.random.default_rng(0).integers(1, 5, count)
    tracemalloc.start()
    found = align(logs, text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(set(found.places)) == count + 1
    assert peak < 12e6


WORDS = ["ab", "ba", "aa"]
SPELT = [[1, 2, 3], [2, 1, 3], [1, 1, 3]]


def spoken(path: tuple[int, ...]) -> NDArray[np.float32]:
    logs = np.full((len(path), 4), np.log(0.01), np.float32)
    logs[np.arange(len(path)), path] = np.log(0.97)
    return logs


def test_words_get_the_frames_of_their_letters() -> None:
    path = (0, 0, 1, 1, 2, 3, 0, 2, 0, 1, 3, 0, 0, 0, 1, 0, 1, 3, 0)
    found = align_words(spoken(path), WORDS, SPELT, 1.0)
    assert [(each.word, each.begin, each.end) for each in found.spans] == [("ab", 2, 5), ("ba", 7, 10), ("aa", 14, 17)]
    assert all(each.confidence == pytest.approx(0.97, abs=1e-4) for each in found.spans)


def test_a_word_that_is_not_said_has_no_confidence() -> None:
    """Every text can be aligned to every sound: only the confidence tells."""
    path = (0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 3, 0)
    found = align_words(spoken(path), WORDS, SPELT, 1.0)
    assert [each.confidence > 0.5 for each in found.spans] == [True, False, True]
    assert found.spans[1].confidence < 0.05


def test_a_star_takes_what_the_text_lacks() -> None:
    """Without it the next word is dragged into the speech that was left out."""
    path = (1, 2, 3, 0, 2, 1, 3, 2, 1, 3, 0, 0, 1, 0, 1, 3)
    spelt = [SPELT[0], [], SPELT[2]]
    found = align_words(spoken(path), ["ab", STAR, "aa"], spelt, 0.5)
    assert [(each.begin, each.end) for each in (found.spans[0], found.spans[2])] == [(0, 2), (12, 15)]
    assert 3 <= found.spans[1].begin < found.spans[1].end <= 12


def test_a_delay_that_was_put_in_is_measured() -> None:
    path = (0, 1, 2, 3, 0, 2, 0, 1, 3, 0, 1, 0, 1, 3)
    before = align_words(spoken(path), WORDS, SPELT, 1.0)
    after = align_words(spoken((0,) * 17 + path), WORDS, SPELT, 1.0)
    assert [each.begin - 17 for each in after.spans] == [each.begin for each in before.spans]


def test_the_baselines_are_no_straw_men() -> None:
    """Where words are equally spaced the uniform split is right, and where all peaks are clear they are."""
    path = (1, 2, 3, 2, 1, 3, 1, 0, 1, 3)
    assert [round(begin) for begin, _ in uniform(9, ["ab", "ba", "aa"])] == [0, 3, 6]
    assert by_peaks(spoken(path), [t for word in SPELT for t in word]).tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    assert by_pauses([(0.0, 6.0)], ["ab", "ba"]) == uniform(6.0, ["ab", "ba"]) == [(0.0, 2.0), (3.0, 5.0)]
    split = by_pauses([(1.0, 3.0), (7.0, 9.5)], ["ab", "ba", "aa"])  # the pause falls nearest to the end of "ab"
    assert [round(begin, 2) for begin, _ in split] == [1.0, 7.0, 8.25]
    noisy = by_pauses([(1.0, 3.0), (7.0, 7.1), (8.0, 10.0)], ["ab", "ba"])  # a click has no end of a word
    assert [begin for begin, _ in noisy] == [1.0, 7.0]
    missing = by_peaks(spoken((0, 1, 0, 0, 0, 3)), [1, 2, 3])
    assert missing.tolist() == [1, 3, 5]


def test_subtitles_hold_lines_that_can_be_read() -> None:
    words = [Timed(f"word{n}", n * 0.4, n * 0.4 + 0.3) for n in range(40)] + [Timed("later", 20.0, 20.5)]
    made = lines(words)
    assert all(len(each.text) <= 42 and each.end - each.begin <= 6.0 for each in made)
    assert " ".join(each.text for each in made).split() == [each.text for each in words]
    assert made[-1] == Timed("later", 20.0, 20.5)
    text = srt([Timed("one", 3599.9996, 3661.5)])
    assert text == "1\n01:00:00,000 --> 01:01:01,500\none\n"
    assert "00:00:01.000 --> 00:00:02.000\na &lt;b&gt; &amp; c" in vtt([Timed("a <b> & c", 1, 2)])


def test_intervals_of_a_textgrid_leave_no_gap() -> None:
    """Praat refuses a file with one."""
    text = textgrid([Timed('say "x"', 0.5, 1.0), Timed("y", 0.9, 1.5), Timed("z", 2.0, 9.0)], 3.0)
    edges = [float(line.split("=")[1]) for line in text.splitlines() if "    xm" in line and line.startswith(" " * 12)]
    assert edges[0] == 0
    assert edges[-1] == 3.0
    assert edges[1:-1:2] == edges[2::2]
    assert '"say ""x"""' in text
