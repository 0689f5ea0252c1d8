"""Beam search over prefixes for CTC: many utterances at once, with a lexicon, an n-gram model and hotwords.

A prefix is what has been said, word by word and token by token. A hypothesis is a prefix whose last frame was blank, or
one whose last frame was not, for only a blank lets the same token come again; its score is that of all its alignments,
or of the best of them. The n-gram model is looked ahead: a prefix inside of a word has the score of the best word that
it may still become. What counts against the beam, the threshold and where hypotheses meet are those of flashlight's
decoder (Kahn et al. 2022), which TorchAudio wraps. All utterances of a batch go a frame at a time, as arrays.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.speech.lexicon import ROOT, Lexicon
from models.speech.ngram import Automaton
from models.speech.settings import BLANK, Search

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Hashes = NDArray[np.uint64]

NOTHING = -1
"""No token, no word, no event."""
FLIP = np.uint64(0xD6E8FEB86659FD93)
"""Tells the key of a prefix that ended in blank from that of the same one that did not."""


@dataclass(frozen=True)
class Word:
    """A word that was found: the frame of its first token, and the one after that of its last (not its separator)."""

    text: str
    begin: int
    end: int


@dataclass(frozen=True)
class Hypothesis:
    """A text with its score in nats (sound, n-gram model, words) and when each of its tokens is said first."""

    words: tuple[Word, ...]
    score: float
    tokens: tuple[int, ...]
    frames: tuple[int, ...]

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True)
class States:
    """Hypotheses, one a place, in the order of their utterances."""

    row: NDArray[np.int64]
    """The utterance."""
    score: Floats
    blank: NDArray[np.bool_]
    """Whether the last frame was blank."""
    node: Ints
    last: Ints
    """The prefix's last token."""
    model: Ints
    key: Hashes
    """A hash of the prefix and of `blank`."""
    event: NDArray[np.int64]
    """The last event of the prefix."""

    def take(self, which: NDArray[Any]) -> "States":
        """Some of them."""
        return States(*(getattr(self, each.name)[which] for each in fields(self)))


@dataclass
class Beams:
    """The hypotheses of all utterances; `events` are what was appended to prefixes so far, each with the one before."""

    states: States
    frame: NDArray[np.int64]
    """How many frames each utterance has had."""
    was_blank: NDArray[np.bool_]
    """Whether the frame before was one that may be skipped."""
    skipped: int = 0
    events: "Events" = field(default_factory=lambda: Events())


class Events:
    """Tokens appended to prefixes: the event before, the token, the word that it ends or -1, the frame."""

    def __init__(self) -> None:
        self.rows = np.zeros((1024, 4), np.int64)
        self.count = 0

    def add(self, before: NDArray[np.int64], token: Ints, word: Ints, frame: NDArray[np.int64]) -> NDArray[np.int64]:
        """Append events and give their numbers."""
        while self.count + len(before) > len(self.rows):
            self.rows = np.concatenate([self.rows, np.zeros_like(self.rows)])
        made = np.arange(self.count, self.count + len(before))
        self.rows[made] = np.stack([before, token, word, frame], 1)
        self.count += len(before)
        return made

    def before(self, event: int) -> list[tuple[int, int, int]]:
        """Token, word and frame of all events up to this one, in order."""
        found = []
        while event != NOTHING:
            before, token, word, frame = (int(each) for each in self.rows[event])
            found.append((token, word, frame))
            event = before
        return found[::-1]

    def keep(self, living: NDArray[np.int64]) -> NDArray[np.int64]:
        """Forget what no living prefix has in it, and give their events' new numbers."""
        needed = np.zeros(self.count + 1, bool)  # the last place is that of NOTHING
        wave = np.unique(living)
        while len(wave := wave[(wave != NOTHING) & ~needed[wave]]):
            needed[wave] = True
            wave = np.unique(self.rows[wave, 0])
        needed[-1] = False
        renamed = np.full(self.count + 1, NOTHING, np.int64)
        kept = np.flatnonzero(needed)
        renamed[kept] = np.arange(len(kept))
        self.rows[: len(kept)] = self.rows[kept]
        self.rows[: len(kept), 0] = renamed[self.rows[: len(kept), 0]]
        self.count = len(kept)
        return renamed[living]


class BeamSearch:
    """The search for words of a lexicon; without a model `model_weight` has nothing to weigh.

    `hotwords` are added to the scores of these words, which have to be in the lexicon.

    Raises:
        ValueError: a hotword is not in the lexicon.
    """

    def __init__(
        self,
        lexicon: Lexicon,
        settings: Search,
        model: Automaton | None = None,
        hotwords: Mapping[str, float] | None = None,
    ) -> None:
        self.lexicon, self.settings, self.model = lexicon, settings, model
        places = {word: place for place, word in enumerate(lexicon.words)}
        self._bonus = np.full(len(lexicon.words), settings.word_score)
        hot = np.zeros(len(lexicon.words))
        for word, score in (hotwords or {}).items():
            if word not in places:
                raise ValueError(f"the hotword {word!r} is not in the lexicon")
            hot[places[word]] = score
        self._bonus += hot
        ahead = hot
        if model is not None:
            every = np.arange(len(lexicon.words), dtype=np.int32)
            ahead = hot + settings.model_weight * model.score(np.full(len(every), model.start, np.int32), every)[0]
        self._ahead = lexicon.smeared(ahead)
        self._combine = np.logaddexp if settings.merge == "sum" else np.maximum

    def __call__(
        self, emissions: NDArray[np.float32], frames: NDArray[np.int64], best: int = 1
    ) -> list[list[Hypothesis]]:
        """The best texts of each utterance, best first.

        `emissions` [utterances, frames, tokens] are log probabilities, of which the first `frames` count.
        """
        beams = self.begin(len(emissions))
        self.advance(beams, emissions, frames)
        return self.results(beams, best)

    def begin(self, utterances: int) -> Beams:
        """Nothing has been said yet."""
        rows = np.arange(utterances)
        states = States(
            row=rows,
            score=np.zeros(utterances),
            blank=np.zeros(utterances, bool),
            node=np.full(utterances, ROOT, np.int32),
            last=np.full(utterances, NOTHING, np.int32),
            model=np.full(utterances, self.model.start if self.model else 0, np.int32),
            key=_mixed(np.full(utterances, FLIP), rows),
            event=np.full(utterances, NOTHING, np.int64),
        )
        return Beams(states, np.zeros(utterances, np.int64), np.zeros(utterances, bool))

    def advance(self, beams: Beams, emissions: NDArray[np.float32], frames: NDArray[np.int64]) -> None:
        """Take the next frames of each utterance into account: what comes in pieces gives what it gives as a whole."""
        kept, places = self._kept(beams, emissions, frames)
        states, finished = beams.states, []
        every = np.arange(len(emissions))
        for step in range(int(kept.max(initial=0))):
            over = kept[states.row] == step
            if over.any():
                finished.append(states.take(over))
                states = states.take(~over)
            at = places[:, step]
            states = self._step(states, beams.events, emissions[every, at].astype(np.float64), beams.frame + at)
        together = [*finished, states]
        joined = States(*(np.concatenate([getattr(each, of.name) for each in together]) for of in fields(States)))
        states = joined.take(np.argsort(joined.row, kind="stable"))
        beams.states = replace(states, event=beams.events.keep(states.event))
        beams.frame += frames

    def _kept(
        self, beams: Beams, emissions: NDArray[np.float32], frames: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How many frames of each utterance are searched, and which: [utterances, frames], in order."""
        within = np.arange(emissions.shape[1]) < frames[:, None]
        if self.settings.blank_skip < 1:
            sure = (emissions[:, :, BLANK] >= np.log(self.settings.blank_skip)) & within
            before = np.concatenate([beams.was_blank[:, None], sure[:, :-1]], 1)
            there = np.flatnonzero(frames)
            beams.was_blank[there] = sure[there, frames[there] - 1]
            beams.skipped += int((sure & before).sum())
            within &= ~(sure & before)
        return within.sum(1), np.argsort(~within, 1, kind="stable")

    def _step(self, states: States, events: Events, emitted: Floats, frame: NDArray[np.int64]) -> States:
        """The hypotheses after one more frame: [utterances, tokens], which is the `frame`-th of each utterance."""
        lexicon, row, node = self.lexicon, states.row, states.node
        count = len(row)

        # 1. The prefix stays: another blank, or its last token once more. Between words, separators say nothing.
        between = (node == ROOT) & (lexicon.separator >= 0)
        again = np.where(between, lexicon.separator, states.last)
        may = between | (~states.blank & (again != NOTHING))
        stay_blank = states.score + emitted[row, BLANK]
        stay_token = np.where(may, states.score + emitted[row, again], -np.inf)

        # 2. A token is appended that the lexicon allows. Inside of a word, the best word ahead counts.
        likely = self._likely(emitted)
        children = lexicon.children[node[:, None], likely[row]] if likely is not None else lexicon.children[node]
        source, slot = np.nonzero(children >= 0)
        token = likely[row[source], slot] if likely is not None else slot
        new = states.blank[source] | (token != states.last[source])
        source, slot, token = source[new], slot[new], token[new].astype(np.int32)
        child, at = children[source, slot], row[source]
        longer = states.score[source] + emitted[at, token] + self._ahead[child] - self._ahead[node[source]]
        word = lexicon.word[child]
        best = np.full(len(emitted), -np.inf)
        np.maximum.at(best, row, np.maximum(stay_blank, stay_token))
        np.maximum.at(best, at[word < 0], longer[word < 0])
        following = self._end_words(states, source, word, child, longer, best[at] - self.settings.threshold)
        np.maximum.at(best, at, longer)

        # 3. What is too far from the best is dropped; where two ways lead to one hypothesis, they are one.
        scores = np.concatenate([stay_blank, stay_token, longer])
        rows = np.concatenate([row, row, at])
        alive = np.flatnonzero(scores >= (best - self.settings.threshold)[rows])
        alive = alive[np.argsort(rows[alive], kind="stable")]
        grown = alive[alive >= 2 * count] - 2 * count
        keys = np.empty(len(alive), np.uint64)
        stays = alive < 2 * count
        origin = alive[stays] % count
        keys[stays] = states.key[origin] ^ np.where(states.blank[origin] == (alive[stays] < count), 0, FLIP).astype(
            np.uint64
        )
        parents = source[grown]
        keys[~stays] = _mixed(
            states.key[parents] ^ np.where(states.blank[parents], FLIP, 0).astype(np.uint64), token[grown]
        )
        alive, merged, keys = self._met(alive, scores[alive], keys)

        # 4. The best of each utterance go on.
        going = _best(rows[alive], merged, self.settings.beam, len(emitted))
        alive, merged, keys = alive[going], merged[going], keys[going]
        longer_now = alive >= 2 * count
        grown = alive[longer_now] - 2 * count
        origin = alive % count
        origin[longer_now] = source[grown]
        after = replace(states.take(origin), score=merged, blank=alive < count, key=keys)
        after.node[longer_now] = np.where(word[grown] >= 0, ROOT, child[grown])
        after.last[longer_now] = token[grown]
        after.model[longer_now] = np.where(word[grown] >= 0, following[grown], after.model[longer_now])
        after.event[longer_now] = events.add(after.event[longer_now], token[grown], word[grown], frame[at[grown]])
        return after

    def _likely(self, emitted: Floats) -> NDArray[np.int64] | None:
        """The tokens that are tried, [utterances, tokens], where these are not all."""
        count = self.settings.tokens
        if not count or count >= emitted.shape[1]:
            return None
        return np.argpartition(-emitted, count - 1, 1)[:, :count]

    def _end_words(
        self, states: States, source: NDArray[np.int64], word: Ints, child: Ints, longer: Floats, edge: Floats
    ) -> Ints:
        """Give whole words their own score in place of the one that was looked ahead to, and the model's state after.

        Those that are below the edge whatever the model says (its logarithms are at most 0) get no score.
        """
        following = np.zeros(len(word), np.int32)
        whole = np.flatnonzero(word >= 0)
        longer[whole] += self._bonus[word[whole]] - self._ahead[child[whole]]
        if self.model is not None:
            near = longer[whole] >= edge[whole]
            longer[whole[~near]] = -np.inf
            whole = whole[near]
            score, following[whole] = self.model.score(states.model[source[whole]], word[whole])
            longer[whole] += self.settings.model_weight * score
        return following

    def _met(
        self, candidates: NDArray[np.int64], scores: Floats, keys: Hashes
    ) -> tuple[NDArray[np.int64], Floats, Hashes]:
        """Candidates of which each has a key of its own, in their order; the best of equal ones stands for them."""
        # The place of each is put into the lowest bits of its key: one sort of numbers, and equal ones stay in order.
        bits = np.uint64(len(keys).bit_length())
        whole = keys >> bits << bits
        ordered = np.sort(whole | np.arange(len(keys), dtype=np.uint64))
        order = (ordered & ~(~np.uint64(0) << bits)).astype(np.int64)
        ordered >>= bits
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        if len(starts) == len(order):
            return candidates, scores, keys
        top = np.maximum.reduceat(scores[order], starts)
        sizes = np.diff(starts, append=len(order))
        firsts = np.minimum.reduceat(np.where(scores[order] == np.repeat(top, sizes), order, len(order)), starts)
        merged = scores.copy()
        merged[firsts] = self._combine.reduceat(scores[order], starts)
        firsts.sort()
        return candidates[firsts], merged[firsts], keys[firsts]

    def results(self, beams: Beams, best: int = 1) -> list[list[Hypothesis]]:
        """The best texts so far, as if the utterances ended here: whole words, where any prefix has ended in one."""
        states = beams.states
        score = states.score.copy()
        if self.model is not None:
            score += self.settings.model_weight * self.model.final(states.model)
        prefix = states.key ^ np.where(states.blank, FLIP, 0).astype(np.uint64)
        edges = np.searchsorted(states.row, np.arange(len(beams.frame) + 1))
        found = []
        for begin, end in itertools.pairwise(edges):
            places = np.arange(begin, end)
            whole = places[states.node[begin:end] == ROOT]
            places, scores, _ = self._met(
                *(each[whole if len(whole) else places] for each in (np.arange(len(score)), score, prefix))
            )
            order = np.argsort(-scores, kind="stable")[:best]
            found.append([self._hypothesis(beams, int(states.event[places[at]]), float(scores[at])) for at in order])
        return found

    def _hypothesis(self, beams: Beams, event: int, score: float) -> Hypothesis:
        events = beams.events.before(event)
        words, begin, before = [], None, 0
        for token, word, frame in events:
            begin = frame if begin is None else begin
            if word >= 0:
                last = before if token == self.lexicon.separator else frame
                words.append(Word(self.lexicon.words[word], begin, last + 1))
                begin = None
            before = frame
        tokens, frames = tuple(token for token, _, _ in events), tuple(frame for _, _, frame in events)
        return Hypothesis(tuple(words), score, tokens, frames)


def _best(rows: NDArray[np.int64], scores: Floats, beam: int, utterances: int) -> NDArray[np.bool_]:
    """Whether each candidate is among the best of its utterance; of equal ones the first. `rows` are in order."""
    counts = np.bincount(rows, minlength=utterances)
    widest = int(counts.max(initial=0))
    if widest <= beam:
        return np.ones(len(rows), bool)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((utterances, widest), -np.inf)
    table[rows, place] = scores
    last = np.partition(table, widest - beam, 1)[:, [widest - beam]]
    better, equal = table > last, table == last
    left = beam - better.sum(1, keepdims=True)
    going: NDArray[np.bool_] = (better | (equal & (np.cumsum(equal, 1) <= left)))[rows, place]
    return going


def _mixed(keys: Hashes, tokens: NDArray[Any]) -> Hashes:
    """The key of a prefix with one token more (the finaliser of SplitMix64).

    Some 51 bits of it are compared, among some thousand candidates a frame: two meet by chance once in 10^8 frames.
    """
    with np.errstate(over="ignore"):
        made = (keys ^ (tokens.astype(np.uint64) + np.uint64(1))) * np.uint64(0x9E3779B97F4A7C15)
        made = (made ^ (made >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        made = (made ^ (made >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(made ^ (made >> np.uint64(31)))
