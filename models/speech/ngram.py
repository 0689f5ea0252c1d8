"""N-gram models of words: interpolated Kneser and Ney (Chen and Goodman 1999), ARPA files, look-ups in bulk."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
NEVER = -99.0
"""What ARPA files write for the logarithm of 0."""

Gram = tuple[str, ...]


@dataclass(frozen=True)
class Backoff:
    """log10 of probabilities and of backoff weights, by n-gram; the ARPA file's content.

    p(w | h) is that of the n-gram h w where there is one, else the backoff weight of h times p(w | h without its
    first word).
    """

    order: int
    probability: Mapping[Gram, float]
    weight: Mapping[Gram, float]

    def log10(self, word: str, history: Gram) -> float:
        """log10 p(word | history), of at most order - 1 words."""
        history = history[-(self.order - 1) :] if self.order > 1 else ()
        gram = (*history, word)
        if gram in self.probability:
            return self.probability[gram]
        if not history:
            return self.probability.get((UNKNOWN,), NEVER)
        return self.weight.get(history, 0.0) + self.log10(word, history[1:])


def estimate(sentences: Iterable[Sequence[str]], order: int) -> Backoff:
    """The model of sentences of words; shares of what is discounted go to every word and, once, to an unknown one.

    Raises:
        ValueError: there is no sentence, or the order is not at least 1.
    """
    counts: list[Counter[Gram]] = [Counter() for _ in range(order + 1)]
    for sentence in sentences:
        words = (BEGIN, *sentence, END)
        for length in range(1, order + 1):
            counts[length].update(words[at : at + length] for at in range(len(words) - length + 1))
    if order < 1 or not counts[1]:
        raise ValueError("an n-gram model needs an order of at least 1 and a sentence")
    for length in range(order - 1, 0, -1):
        # Below the highest order a word counts once for each word that it follows; nothing precedes a beginning.
        continued = Counter(gram[1:] for gram in counts[length + 1])
        for gram in counts[length]:
            if gram[0] != BEGIN:
                counts[length][gram] = continued[gram]
    del counts[1][(BEGIN,)]
    probability: dict[Gram, float] = {(BEGIN,): 0.0}
    weight: dict[Gram, float] = {}
    vocabulary = [*(gram[0] for gram in counts[1]), UNKNOWN]
    for length in range(1, order + 1):
        discount = _discount(counts[length])
        total: Counter[Gram] = Counter()
        kinds: Counter[Gram] = Counter()
        for gram, count in counts[length].items():
            total[gram[:-1]] += count
            kinds[gram[:-1]] += 1
        for history in total:
            weight[history] = discount * kinds[history] / total[history]
        if length == 1:
            floor = weight.pop(()) / len(vocabulary)
            for word in vocabulary:
                kept = max(counts[1][(word,)] - discount, 0.0) / total[()]
                probability[(word,)] = kept + floor
            continue
        for gram, count in counts[length].items():
            history = gram[:-1]
            lower = probability[gram[1:]]
            probability[gram] = (count - discount) / total[history] + weight[history] * lower
    logs = {gram: math.log10(value) for gram, value in probability.items() if gram != (BEGIN,)}
    return Backoff(order, {(BEGIN,): NEVER, **logs}, {gram: math.log10(value) for gram, value in weight.items()})


def _discount(counts: Counter[Gram]) -> float:
    """n1 / (n1 + 2 n2), within (0, 1): a corpus in which nothing occurs once still keeps a share for the unseen."""
    once, twice = (sum(count == times for count in counts.values()) for times in (1, 2))
    return min(max(once / (once + 2 * twice), 0.1), 0.9) if once + twice else 0.5


def write_arpa(model: Backoff, path: Path) -> None:
    """The model as an ARPA file, in the order of its n-grams."""
    lines = ["\\data\\"]
    by_length: dict[int, list[Gram]] = defaultdict(list)
    for gram in sorted(model.probability):
        by_length[len(gram)].append(gram)
    lines += [f"ngram {length}={len(by_length[length])}" for length in range(1, model.order + 1)]
    for length in range(1, model.order + 1):
        lines += ["", f"\\{length}-grams:"]
        for gram in by_length[length]:
            weight = f"\t{model.weight[gram]:.7g}" if gram in model.weight else ""
            lines.append(f"{model.probability[gram]:.7g}\t{' '.join(gram)}{weight}")
    path.write_text("\n".join([*lines, "", "\\end\\", ""]), encoding="utf-8")


def read_arpa(path: Path) -> Backoff:
    """The model of an ARPA file.

    Raises:
        ValueError: the file is none, or breaks off; says in which line.
    """
    probability: dict[Gram, float] = {}
    weight: dict[Gram, float] = {}
    length = order = 0
    ended = False
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            text = line.strip()
            if text == "\\end\\":
                ended = True
            elif text.startswith("\\") and text.endswith("-grams:"):
                length = int(text[1 : -len("-grams:")])
                order = max(order, length)
            elif length and text:
                parts = text.split()
                if len(parts) not in (length + 1, length + 2):
                    raise ValueError(f"line {number} of {path.name} has not the words of a {length}-gram")
                try:
                    gram = tuple(parts[1 : length + 1])
                    probability[gram] = float(parts[0])
                    if len(parts) == length + 2:
                        weight[gram] = float(parts[-1])
                except ValueError:
                    raise ValueError(f"line {number} of {path.name} has no number where one is needed") from None
    if not ended or not order:
        raise ValueError(f"{path.name} is no whole ARPA file: it has no n-grams, or no \\end\\")
    return Backoff(order, probability, weight)


class Automaton:
    """An n-gram model as states: what has been said as far as it matters, for look-ups of many words at once.

    Words are numbers, their places in `words`; one that the model does not know is its unknown word. Scores are natural
    logarithms. State 0 knows nothing; `start` is the state after a sentence's beginning.
    """

    def __init__(self, model: Backoff, words: Sequence[str]) -> None:
        known = {gram[0] for gram in model.probability if len(gram) == 1}
        names = [*words, END]
        own = [word if word in known else UNKNOWN for word in names]
        states: dict[Gram, int] = {(): 0}
        for gram in sorted(model.probability, key=len):
            if 0 < len(gram) < model.order and gram[-1] != END:
                states.setdefault(gram, len(states))
        self._words = len(names)
        self._end = len(names) - 1
        self.backoff = np.zeros(len(states))
        self.suffix = np.zeros(len(states), np.int32)
        for gram, state in states.items():
            self.backoff[state] = model.weight.get(gram, 0.0) * math.log(10)
            self.suffix[state] = states[_longest(gram[1:], states)] if gram else 0
        by_name: dict[str, list[int]] = defaultdict(list)
        for place, word in enumerate(own):
            by_name[word].append(place)
        keys, scores, following = [], [], []
        for gram, log10 in model.probability.items():
            history, word = gram[:-1], gram[-1]
            if history not in states:
                continue
            for place in by_name.get(word, ()):
                keys.append(states[history] * self._words + place)
                scores.append(log10 * math.log(10))
                following.append(states[_longest(gram[-(model.order - 1) :] if model.order > 1 else (), states)])
        if (UNKNOWN,) not in model.probability and by_name.get(UNKNOWN):
            for place in by_name[UNKNOWN]:
                keys.append(place)
                scores.append(NEVER * math.log(10))
                following.append(0)
        order = np.argsort(keys)
        self._keys = np.array(keys, np.int64)[order]
        self._scores = np.array(scores)[order]
        self._following = np.array(following, np.int32)[order]
        self.start = states.get((BEGIN,), 0)

    def score(
        self, states: NDArray[np.int32], words: NDArray[np.int32]
    ) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """log p(word | state) and the state after it, for each pair."""
        at = states.astype(np.int64)
        scores = np.zeros(len(at))
        following = np.zeros(len(at), np.int32)
        open_ = np.arange(len(at))
        while len(open_):
            keys = at[open_] * self._words + words[open_]
            places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            found = self._keys[places] == keys
            scores[open_[found]] += self._scores[places[found]]
            following[open_[found]] = self._following[places[found]]
            open_ = open_[~found]
            scores[open_] += self.backoff[at[open_]]
            at[open_] = self.suffix[at[open_]]
        return scores, following

    def final(self, states: NDArray[np.int32]) -> NDArray[np.float64]:
        """log p(the sentence ends | state)."""
        return self.score(states, np.full(len(states), self._end, np.int32))[0]


def _longest(gram: Gram, states: Mapping[Gram, int]) -> Gram:
    while gram not in states:
        gram = gram[1:]
    return gram
