"""When each word of a known text is said: spans with confidences, out of the best alignment of its tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.speech.viterbi import align, with_star

STAR = "*"
"""In a text: any speech, or none."""


@dataclass(frozen=True)
class Span:
    """A word, or a star: its first frame, the frame after its last one, and how well the sound agrees.

    The confidence is the geometric mean, over the word's letters, of each one's best probability within its frames.
    """

    word: str
    begin: int
    end: int
    confidence: float


@dataclass(frozen=True)
class Aligned:
    """The spans of all words, stars among them, and the log probability of the alignment."""

    spans: tuple[Span, ...]
    score: float


def align_words(
    emissions: NDArray[np.float32], words: Sequence[str], spelt: Sequence[Sequence[int]], penalty: float
) -> Aligned:
    """The best alignment of words that are spelt in tokens, of which the last one is the separator after the word.

    A word that is a star has no spelling that matters: it stands for any speech, at `penalty` nats a frame. `emissions`
    are log probabilities, [frames, tokens].

    Raises:
        viterbi.TooShort: the sound has fewer frames than the text needs.
    """
    star = emissions.shape[1]
    tokens: list[int] = []
    letters: list[tuple[int, int]] = []
    for word, spelling in zip(words, spelt, strict=True):
        begin = len(tokens)
        tokens += [star] if word == STAR else spelling
        letters.append((begin, len(tokens) if word == STAR else len(tokens) - 1))
    path = align(with_star(emissions, penalty), tokens)
    begins, ends, best = _spans(emissions, np.asarray(tokens), path.places)
    spans = []
    for word, (first, stop) in zip(words, letters, strict=True):
        confidence = float(np.exp(best[first:stop].mean())) if word != STAR else 1.0
        spans.append(Span(word, int(begins[first]), int(ends[stop - 1]), confidence))
    return Aligned(tuple(spans), path.score)


def _spans(
    emissions: NDArray[np.float32], tokens: NDArray[np.int64], places: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Of each token its first frame, the one after its last, and its best log probability in between."""
    frames = np.flatnonzero(places >= 0)
    at = places[frames]
    begins = np.full(len(tokens), len(places))
    ends = np.zeros(len(tokens), np.int64)
    best = np.full(len(tokens), -np.inf)
    np.minimum.at(begins, at, frames)
    np.maximum.at(ends, at, frames + 1)
    known = tokens[at] < emissions.shape[1]
    np.maximum.at(best, at[known], emissions[frames[known], tokens[at[known]]])
    return begins, ends, best


def uniform(length: float, words: Sequence[str]) -> list[tuple[float, float]]:
    """Begin and end of each word if all letters, and the spaces after words, took as long: the plainest baseline."""
    widths = np.array([len(word) + 1 for word in words], float)
    letter = length / widths.sum()
    ends = np.cumsum(widths) * letter
    return [(float(end - width * letter), float(end - letter)) for end, width in zip(ends, widths, strict=True)]


def by_pauses(stretches: Sequence[tuple[float, float]], words: Sequence[str]) -> list[tuple[float, float]]:
    """The same of loud stretches alone, [begin, end]: a pause lies at the word's end where it would most nearly fall.

    Of the baselines that do not listen to letters, the stronger one.
    """
    widths = np.array([len(word) + 1 for word in words], float)
    loud = np.array([end - begin for begin, end in stretches])
    pauses = np.cumsum(loud)[:-1] / loud.sum()
    edges = (np.cumsum(widths) / widths.sum())[:-1]
    parts = [(0, *stretches[0])]
    """First word, begin and end of each part."""
    for pause, (begin, end) in zip(pauses, stretches[1:], strict=True):
        word = int(np.abs(edges - pause).argmin()) + 1 if len(edges) else 0
        if word > parts[-1][0]:
            parts.append((word, begin, end))
        else:  # a stretch without an end of a word in it, as noise has
            parts[-1] = (parts[-1][0], parts[-1][1], end)
    made = []
    for (first, begin, end), after in zip(parts, [*(part[0] for part in parts[1:]), len(words)], strict=True):
        made += [(begin + b, begin + e) for b, e in uniform(end - begin, words[first:after])]
    return made


def by_peaks(emissions: NDArray[np.float32], tokens: Sequence[int]) -> NDArray[np.float64]:
    """A frame for each token: that of the greedy text's token which edit distance matches with it.

    Tokens without a match lie evenly between their neighbours. A baseline: the peaks alone, no lattice.
    """
    from rapidfuzz.distance import Levenshtein

    best = emissions.argmax(1)
    changes = np.flatnonzero(np.diff(best, prepend=-1))
    peaks = [(int(best[at]), int(at)) for at in changes if best[at] != 0]
    frames = np.full(len(tokens), np.nan)
    for piece in Levenshtein.opcodes([token for token, _ in peaks], list(tokens)):
        if piece.tag == "equal":
            for step in range(piece.src_end - piece.src_start):
                frames[piece.dest_start + step] = peaks[piece.src_start + step][1]
    known = np.flatnonzero(~np.isnan(frames))
    edges = np.concatenate([[-1], known, [len(tokens)]])
    values = np.concatenate([[0.0], frames[known], [float(len(emissions))]])
    found: NDArray[np.float64] = np.interp(np.arange(len(tokens)), edges, values)
    return found
