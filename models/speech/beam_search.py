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
    """Prefixes, one a place, in the order of their utterances."""

    row: NDArray[np.int64]
    """The utterance."""
    blank: Floats
    """The log score of its alignments that end in blank; -inf where that hypothesis is not in the beam."""
    token: Floats
    """The same of those that do not."""
    node: Ints
    last: Ints
    """The last token."""
    model: Ints
    key: Hashes
    parent: Hashes
    """The key of the prefix without its last token."""
    event: NDArray[np.int64]
    """The last event."""

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
        states = States(
            row=np.arange(utterances),
            blank=np.full(utterances, -np.inf),
            token=np.zeros(utterances),
            node=np.full(utterances, ROOT, np.int32),
            last=np.full(utterances, NOTHING, np.int32),
            model=np.full(utterances, self.model.start if self.model else 0, np.int32),
            key=_mixed(np.zeros(utterances, np.uint64), np.arange(utterances)),
            parent=np.zeros(utterances, np.uint64),
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
        states = _together(*finished, states)
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
        """The prefixes after one more frame: [utterances, tokens], which is the `frame`-th of each utterance."""
        lexicon, row, node = self.lexicon, states.row, states.node

        # 1. The prefix stays: another blank, or its last token once more. Between words, separators say nothing.
        between = (node == ROOT) & (lexicon.separator >= 0)
        again = np.where(between, lexicon.separator, states.last)
        silent, same = emitted[row, BLANK], np.where(again == NOTHING, -np.inf, emitted[row, again])
        blank = states.blank + silent, states.token + silent
        token = np.where(between, states.blank + same, -np.inf), states.token + same

        # 2. A token is appended that the lexicon allows. Inside of a word, the best word ahead counts.
        source, said, child = self._children(states, emitted)
        at = row[source]
        gained = emitted[at, said] + self._ahead[child] - self._ahead[node[source]]
        longer = (
            states.blank[source] + gained,
            np.where(said == states.last[source], -np.inf, states.token[source] + gained),
        )
        word = lexicon.word[child]
        best = np.full(len(emitted), -np.inf)
        np.maximum.at(best, row, np.maximum(np.maximum(*blank), np.maximum(*token)))
        nearest = np.maximum(*longer)
        np.maximum.at(best, at[word < 0], nearest[word < 0])
        more, following = self._whole(states, source, word, child, nearest, (best - self.settings.threshold)[at])
        nearest += more
        np.maximum.at(best, at, nearest)

        # 3. What is too far from the best is dropped; where two ways lead to one hypothesis, they are one.
        edge = best - self.settings.threshold
        stay_blank = self._joined(*blank, edge[row])
        stay_token = self._joined(*token, edge[row])
        longer_score = self._joined(longer[0] + more, longer[1] + more, edge[at])
        prefix, way = _meetings(states, source, said, emitted.shape[1])
        later = nearest[way] > np.maximum(*token)[prefix]
        stay_token[prefix] = self._combine(stay_token[prefix], longer_score[way])
        longer_score[way] = -np.inf

        # 4. The best of each utterance go on.
        scores = np.concatenate([stay_blank, stay_token, longer_score])
        rows = np.concatenate([row, row, at])
        alive = np.flatnonzero(scores > -np.inf)
        alive = alive[np.argsort(rows[alive], kind="stable")]
        going = np.zeros(len(scores), bool)
        going[alive] = _best(rows[alive], scores[alive], self.settings.beam, len(emitted))
        stays_blank, stays_token, grows = np.split(going, [len(row), 2 * len(row)])
        # A prefix that met a better way to itself says its last token where that way says it.
        prefix, way = prefix[later], way[later]
        event = states.event.copy()
        event[prefix] = events.add(event[source[way]], said[way], word[way], frame[at[way]])
        stayed = replace(
            states,
            blank=np.where(stays_blank, stay_blank, -np.inf),
            token=np.where(stays_token, stay_token, -np.inf),
            event=event,
        ).take(stays_blank | stays_token)
        source, said, child, word = source[grows], said[grows], child[grows], word[grows]
        key = states.key[source]
        grown = States(
            row=row[source],
            blank=np.full(len(source), -np.inf),
            token=longer_score[grows],
            node=np.where(word >= 0, ROOT, child),
            last=said,
            model=np.where(word >= 0, following[grows], states.model[source]),
            key=_mixed(key, said),
            parent=key,
            event=events.add(states.event[source], said, word, frame[row[source]]),
        )
        return _together(stayed, grown)

    def _children(self, states: States, emitted: Floats) -> tuple[NDArray[np.int64], Ints, Ints]:
        """The prefixes that grow, the tokens by which they do and the nodes that they reach; of likely tokens alone."""
        children, count = self.lexicon.children, self.settings.tokens
        if not count or count >= emitted.shape[1]:
            found = children[states.node]
            source, token = np.nonzero(found >= 0)
            return source, token.astype(np.int32), found[source, token]
        likely = np.sort(np.argpartition(-emitted, count - 1, 1)[:, :count], 1)[states.row].astype(np.int32)
        found = children[states.node[:, None], likely]
        source, place = np.nonzero(found >= 0)
        return source, likely[source, place], found[source, place]

    def _whole(
        self, states: States, source: NDArray[np.int64], word: Ints, child: Ints, score: Floats, edge: Floats
    ) -> tuple[Floats, Ints]:
        """What a whole word's own score is more than that of the word that was looked ahead to; the state after it.

        A word that is below the edge whatever the model says (its logarithms are at most 0) needs no look-up.
        """
        more, following = np.zeros(len(word)), np.zeros(len(word), np.int32)
        whole = np.flatnonzero(word >= 0)
        more[whole] = self._bonus[word[whole]] - self._ahead[child[whole]]
        if self.model is not None:
            near = score[whole] + more[whole] >= edge[whole]
            more[whole[~near]] = -np.inf
            whole = whole[near]
            said, following[whole] = self.model.score(states.model[source[whole]], word[whole])
            more[whole] += self.settings.model_weight * said
        return more, following

    def _joined(self, one: Floats, other: Floats, edge: Floats) -> Floats:
        """The score of two ways to one hypothesis, of which those below the edge do not count."""
        return self._combine(np.where(one < edge, -np.inf, one), np.where(other < edge, -np.inf, other))

    def results(self, beams: Beams, best: int = 1) -> list[list[Hypothesis]]:
        """The best texts so far, as if the utterances ended here: whole words, where any prefix has ended in one."""
        states = beams.states
        score = self._combine(states.blank, states.token)
        if self.model is not None:
            score += self.settings.model_weight * self.model.final(states.model)
        edges = np.searchsorted(states.row, np.arange(len(beams.frame) + 1))
        found = []
        for begin, end in itertools.pairwise(edges):
            places = np.arange(begin, end)
            whole = places[states.node[begin:end] == ROOT]
            places = whole if len(whole) else places
            order = places[np.argsort(-score[places], kind="stable")][:best]
            found.append([self._hypothesis(beams, int(states.event[place]), float(score[place])) for place in order])
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


def _together(*parts: States) -> States:
    """All prefixes, in the order of their utterances."""
    joined = States(*(np.concatenate([getattr(each, of.name) for each in parts]) for of in fields(States)))
    return joined.take(np.argsort(joined.row, kind="stable"))


def _meetings(
    states: States, source: NDArray[np.int64], said: Ints, tokens: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The prefixes that another one becomes by one token more, and which of the appended tokens (in order) that is."""
    order = np.argsort(states.key)
    place = np.minimum(np.searchsorted(states.key[order], states.parent), len(order) - 1)
    parent = order[place]
    prefix = np.flatnonzero(states.key[parent] == states.parent)
    numbers = source * tokens + said
    wanted = parent[prefix] * tokens + states.last[prefix]
    way = np.minimum(np.searchsorted(numbers, wanted), len(numbers) - 1)
    there = numbers[way] == wanted if len(numbers) else np.zeros(len(prefix), bool)
    return prefix[there], way[there]


def _best(rows: NDArray[np.int64], scores: Floats, beam: int, utterances: int) -> NDArray[np.bool_]:
    """Whether each candidate is among the best of its utterance; of equal ones the first. `rows` are in order."""
    counts = np.bincount(rows, minlength=utterances)
    widest = int(counts.max(initial=0))
    if widest <= beam:
        return np.ones(len(rows), bool)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((utterances, widest), np.inf)
    table[rows, place] = -scores
    last = np.partition(table, beam - 1, 1)[:, [beam - 1]]
    better, equal = table < last, table == last
    left = beam - better.sum(1, keepdims=True)
    going: NDArray[np.bool_] = (better | (equal & (np.cumsum(equal, 1) <= left)))[rows, place]
    return going


def _mixed(keys: Hashes, tokens: NDArray[Any]) -> Hashes:
    """The key of a prefix with one token more (the finaliser of SplitMix64): two meet once in 10^15 frames."""
    with np.errstate(over="ignore"):
        made = (keys + np.uint64(0x9E3779B97F4A7C15)) ^ (tokens.astype(np.uint64) + np.uint64(1))
        made = (made ^ (made >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        made = (made ^ (made >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(made ^ (made >> np.uint64(31)))
