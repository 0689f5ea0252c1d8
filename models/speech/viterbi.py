"""Exact forced alignment by CTC in little memory: the best of all alignments that say a given text.

An hour of sound and its text have some 90,000 frames and 100,000 states: whole back-pointers of two bits would take
2 GB. Here the forward scores are kept every `STRIDE` frames, and back-pointers, two bits each, are made again for one
stretch of frames at a time, and only for the states that the path can have come through: at most two a frame. The
result is that of the whole lattice, to the bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.speech.settings import BLANK

STRIDE = 2048
"""Frames between kept scores: at an hour, 44 rows of scores are kept, and 2 MB of back-pointers at a time."""

Floats = NDArray[np.float64]


class TooShort(ValueError):
    """The sound has fewer frames than the text needs."""


@dataclass(frozen=True)
class Path:
    """The best alignment: the token's place in the text at each frame, or -1 for blank, and its log probability."""

    places: NDArray[np.int64]
    score: float


def with_star(emissions: NDArray[np.float32], penalty: float) -> NDArray[np.float32]:
    """Emissions with one more token, the last, that stands for anything at the cost of `penalty` nats a frame.

    It takes the place of speech that the text does not have (the star of MMS, Pratap et al. 2023, at penalty 0).
    """
    star = np.full((len(emissions), 1), -penalty, np.float32)
    return np.concatenate([emissions, star], 1)


def align(emissions: NDArray[np.float32], tokens: Sequence[int] | NDArray[np.int64], stride: int = STRIDE) -> Path:
    """The best alignment of the tokens to emissions [frames, tokens], which are log probabilities.

    Raises:
        TooShort: there are fewer frames than tokens and, between equal ones, blanks.
    """
    lattice = _Lattice(emissions, np.asarray(tokens, np.int64))
    kept = lattice.forward(stride)
    return lattice.back(kept, stride)


def needed(tokens: NDArray[np.int64]) -> int:
    """Frames that a text needs at least."""
    return len(tokens) + int((tokens[1:] == tokens[:-1]).sum())


class _Lattice:
    """States blank, token, blank, …, and what it costs to go through them."""

    def __init__(self, emissions: NDArray[np.float32], tokens: NDArray[np.int64]) -> None:
        if len(emissions) < max(1, needed(tokens)):
            raise TooShort(f"the text needs at least {max(1, needed(tokens))} frames, and there are {len(emissions)}")
        self.emissions = emissions
        self.labels = np.full(2 * len(tokens) + 1, BLANK)
        self.labels[1::2] = tokens
        self.skips = np.full(len(self.labels), -np.inf)
        self.skips[3::2] = np.where(tokens[1:] != tokens[:-1], 0.0, -np.inf)

    def forward(self, stride: int) -> list[tuple[int, Floats]]:
        """The scores at every `stride`-th frame and the last, each with its first state: only states in reach."""
        frames, states = len(self.emissions), len(self.labels)
        # Two buffers with two places before the first state, which nothing reaches.
        now, then = np.full(states + 2, -np.inf), np.full(states + 2, -np.inf)
        now[2:4] = self.emissions[0, self.labels[:2]]
        kept = []
        for frame in range(frames):
            low, high = self.reach(frame)
            if frame:
                now, then = then, now
                window = now[low + 2 : high + 2]
                np.add(then[low:high], self.skips[low:high], out=window)
                np.maximum(window, then[low + 1 : high + 1], out=window)
                np.maximum(window, then[low + 2 : high + 2], out=window)
                window += np.take(self.emissions[frame], self.labels[low:high])
            if frame % stride == 0 or frame == frames - 1:
                kept.append((low, now[low + 2 : high + 2].copy()))
        return kept

    def reach(self, frame: int) -> tuple[int, int]:
        """The states that can be reached from the beginning, and from which the end can be reached."""
        frames, states = len(self.emissions), len(self.labels)
        return max(0, states - 2 * (frames - frame)), min(states, 2 * frame + 2)

    def back(self, kept: list[tuple[int, Floats]], stride: int) -> Path:
        frames, states = len(self.emissions), len(self.labels)
        low, last = kept[-1]
        ends = [state for state in (states - 1, states - 2) if state >= low]
        state = max(ends, key=lambda each: last[each - low])
        score = float(last[state - low])
        path = np.empty(frames, np.int64)
        path[-1] = state
        for place in range((frames - 1) // stride, -1, -1):
            begin, end = place * stride, min((place + 1) * stride, frames - 1)
            if begin < end:
                self._segment(kept[place], begin, end, path)
        return Path(np.where(path % 2, path // 2, -1), score)

    def _segment(self, kept: tuple[int, Floats], begin: int, end: int, path: NDArray[np.int64]) -> None:
        """The path from frame `end`, where it is known, back to frame `begin`."""
        top = int(path[end]) + 1
        bottom = max(0, top - 1 - 2 * (end - begin))
        low, scores = kept
        width = top - bottom
        now = np.full(width + 2, -np.inf)
        first = max(bottom - 2, low)
        stop = min(top, low + len(scores))
        if first < stop:
            now[first - bottom + 2 : stop - bottom + 2] = scores[first - low : stop - low]
        pointers = np.empty((end - begin, 2, -(-width // 8)), np.uint8)
        for frame in range(begin + 1, end + 1):
            stay, one, two = now[2:], now[1:-1], now[:-2] + self.skips[bottom:top]
            best = np.maximum(np.maximum(stay, one), two)
            moved = stay < best
            pointers[frame - begin - 1, 0] = np.packbits(moved)
            pointers[frame - begin - 1, 1] = np.packbits(moved & (one < best))
            now[2:] = best + self.emissions[frame, self.labels[bottom:top]]
            now[:2] = -np.inf  # what lies below the window, the path cannot have come through
        for frame in range(end, begin, -1):
            place = int(path[frame]) - bottom
            row, bit = pointers[frame - begin - 1], 7 - place % 8
            steps = int(row[0, place // 8] >> bit & 1) + int(row[1, place // 8] >> bit & 1)
            path[frame - 1] = path[frame] - steps
