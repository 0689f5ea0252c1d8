"""Beam search over prefixes for CTC: many utterances at once, with a lexicon, an n-gram model and hotwords.

A prefix is what has been said, word by word and token by token; it has the probability of all (or of the best of) its
alignments, those that end in blank and those that end in its last token apart, for only a blank lets the same token
come again. The n-gram model is looked ahead: a prefix inside of a word has the score of the best word that it may still
become, as in flashlight's decoder. All utterances of a batch go a frame at a time, as arrays.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

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


@dataclass
class Beams:
    """The prefixes of each utterance, [utterances, beam], best first; -inf where there are fewer.

    `blank` and `token` are the log scores of their alignments by how they end. `events` are what was appended to
    prefixes so far, each with the one before it: a prefix is its last event.
    """

    blank: Floats
    token: Floats
    node: Ints
    last: Ints
    model: Ints
    key: Hashes
    parent: Hashes
    event: NDArray[np.int64]
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
        shape = (utterances, self.settings.beam)
        blank = np.full(shape, -np.inf)
        blank[:, 0] = 0.0
        model = np.full(shape, self.model.start if self.model else 0, np.int32)
        return Beams(
            blank,
            np.full(shape, -np.inf),
            np.full(shape, ROOT, np.int32),
            np.full(shape, NOTHING, np.int32),
            model,
            np.ones(shape, np.uint64),
            np.zeros(shape, np.uint64),
            np.full(shape, NOTHING, np.int64),
            np.zeros(utterances, np.int64),
            np.zeros(utterances, bool),
        )

    def advance(self, beams: Beams, emissions: NDArray[np.float32], frames: NDArray[np.int64]) -> None:
        """Take the next frames of each utterance into account: what comes in pieces gives what it gives as a whole."""
        kept, places = self._kept(beams, emissions, frames)
        for step in range(int(kept.max(initial=0))):
            active = np.flatnonzero(step < kept)
            at = places[active, step]
            self._step(beams, active, emissions[active, at].astype(np.float64), beams.frame[active] + at)
        beams.frame += frames
        beams.event = beams.events.keep(beams.event)

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

    def _step(self, beams: Beams, active: NDArray[np.int64], emitted: Floats, frame: NDArray[np.int64]) -> None:
        """One frame of the utterances `active`: stay, append a token, meet where two ways lead to one prefix."""
        lexicon, combine = self.lexicon, self._combine
        blank, token, node = beams.blank[active], beams.token[active], beams.node[active]
        last, key, event = beams.last[active], beams.key[active], beams.event[active]
        rows = np.arange(len(active))[:, None]
        total = combine(blank, token)

        # 1. The prefix stays: another blank, or its last token once more. Between words, separators say nothing.
        stay_blank = total + emitted[:, [BLANK]]
        again = np.where(last == NOTHING, -np.inf, token + emitted[rows, last])
        stay_token = (
            np.where(node == ROOT, total + emitted[:, [lexicon.separator]], again) if lexicon.separator >= 0 else again
        )

        # 2. A token is appended that the lexicon allows. Inside of a word, the best word ahead counts.
        likely = self._likely(emitted)
        child = lexicon.children[node[:, :, None], likely[:, None, :]]
        base = np.where(likely[:, None, :] == last[:, :, None], blank[:, :, None], total[:, :, None])
        gained = self._ahead[child] - self._ahead[node][:, :, None]
        longer = np.where(child < 0, -np.inf, base + emitted[rows, likely][:, None, :] + gained)
        if self.settings.threshold < np.inf:
            edge = np.maximum(combine(stay_blank, stay_token).max(1), longer.max((1, 2))) - self.settings.threshold
        ends = np.nonzero((lexicon.word[child] >= 0) & (longer > -np.inf))
        words = lexicon.word[child[ends]]
        longer[ends] += self._said(beams.model[active][ends[0], ends[1]], words, child[ends])

        # 3. Where appending leads to a prefix that is there already, both are one.
        there = (beams.parent[active][:, :, None] == key[:, None, :]) & (total > -np.inf)[:, :, None]
        where = np.full((len(active), emitted.shape[1]), NOTHING)
        where[rows, likely] = np.arange(likely.shape[1])
        which, prefix = np.nonzero(there.any(2))
        parent = there[which, prefix].argmax(1)
        slot = where[which, last[which, prefix]]
        which, prefix, parent, slot = (each[slot != NOTHING] for each in (which, prefix, parent, slot))
        meeting = longer[which, parent, slot]
        later = meeting > stay_token[which, prefix]
        stay_token[which, prefix] = combine(stay_token[which, prefix], meeting)
        longer[which, parent, slot] = -np.inf

        # 4. The best of all go on.
        stay = combine(stay_blank, stay_token)
        every = np.concatenate([stay, longer.reshape(len(active), -1)], 1)
        if self.settings.threshold < np.inf:
            every[every < edge[:, None]] = -np.inf
        beam = self.settings.beam
        chosen = np.argpartition(-every, beam - 1, 1)[:, :beam] if every.shape[1] > beam else np.arange(beam)[None]
        chosen = np.take_along_axis(chosen, np.argsort(-every[rows, chosen], 1, kind="stable"), 1)
        alive = every[rows, chosen] > -np.inf
        grown = (chosen >= stay.shape[1]) & alive
        source = np.where(grown, (chosen - stay.shape[1]) // likely.shape[1], np.minimum(chosen, stay.shape[1] - 1))
        new = {
            "blank": np.where(grown | ~alive, -np.inf, stay_blank[rows, source]),
            "token": np.where(grown, every[rows, chosen], np.where(alive, stay_token[rows, source], -np.inf)),
            "node": node[rows, source],
            "last": last[rows, source],
            "model": beams.model[active][rows, source],
            "key": key[rows, source],
            "parent": beams.parent[active][rows, source],
            "event": event[rows, source],
        }
        # A prefix that met a better way to itself says its last token where that way says it.
        if later.any():
            moved = which[later], prefix[later]
            rewritten = event.copy()
            old = beams.events.rows[event[moved]]
            rewritten[moved] = beams.events.add(
                event[which[later], parent[later]],
                old[:, 1].astype(np.int32),
                old[:, 2].astype(np.int32),
                frame[which[later]],
            )
            new["event"] = rewritten[rows, source]
        at = np.nonzero(grown)
        slots = (chosen[at] - stay.shape[1]) % likely.shape[1]
        said = likely[at[0], slots].astype(np.int32)
        reached = child[at[0], source[at], slots]
        ended = lexicon.word[reached]
        new["node"][at] = np.where(ended >= 0, ROOT, reached)
        new["last"][at] = said
        new["parent"][at] = new["key"][at]
        new["key"][at] = _mixed(new["key"][at], said)
        new["event"][at] = beams.events.add(new["event"][at], said, ended, frame[at[0]])
        if self.model is not None:
            whole = ended >= 0
            place = at[0][whole], at[1][whole]
            new["model"][place] = self.model.score(new["model"][place], ended[whole])[1]
        for name, value in new.items():
            getattr(beams, name)[active] = value

    def _likely(self, emitted: Floats) -> NDArray[np.int64]:
        """The tokens that are tried, [utterances, tokens]: the likeliest ones, or all."""
        count = self.settings.tokens
        if not count or count >= emitted.shape[1]:
            return np.broadcast_to(np.arange(emitted.shape[1]), emitted.shape)
        return np.argpartition(-emitted, count - 1, 1)[:, :count]

    def _said(self, states: Ints, words: Ints, nodes: Ints) -> Floats:
        """What a whole word's own score is more than the best word's that was looked ahead to."""
        score = self._bonus[words] - self._ahead[nodes]
        if self.model is not None:
            score += self.settings.model_weight * self.model.score(states, words)[0]
        return score

    def results(self, beams: Beams, best: int = 1) -> list[list[Hypothesis]]:
        """The best texts so far, as if the utterances ended here: whole words, where any prefix has ended in one."""
        found = []
        score = self._combine(beams.blank, beams.token)
        for row in range(len(score)):
            alive = np.flatnonzero(score[row] > -np.inf)
            whole = alive[beams.node[row, alive] == ROOT]
            final = score[row].copy()
            if self.model is not None and len(whole):
                final[whole] += self.settings.model_weight * self.model.final(beams.model[row, whole])
            places = whole if len(whole) else alive
            order = places[np.argsort(-final[places], kind="stable")][:best]
            found.append(
                [self._hypothesis(beams, int(beams.event[row, place]), float(final[place])) for place in order]
            )
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


def _mixed(keys: Hashes, tokens: Ints) -> Hashes:
    """The key of a prefix with one token more (the finaliser of SplitMix64): two meet once in 10^15 frames."""
    with np.errstate(over="ignore"):
        made = (keys ^ (tokens.astype(np.uint64) + np.uint64(1))) * np.uint64(0x9E3779B97F4A7C15)
        made = (made ^ (made >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        made = (made ^ (made >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(made ^ (made >> np.uint64(31)))
