"""How captions are scored: ROUGE-L, CIDEr-D, words, and whether an attribute is stated.

BLEU and chrF come from sacrebleu. Texts are compared as lists of words.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

Words = Sequence[str]

BETA = 1.2
"""Weight of recall in ROUGE-L, as captions are scored (Chen et al. 2015, COCO caption evaluation)."""

SIGMA = 6.0
"""Of CIDEr-D's Gaussian penalty on a difference in length (Vedantam et al. 2015)."""


def rouge_l(caption: Words, reference: Words) -> float:
    """F of the longest common subsequence (Lin 2004), 0 to 1."""
    common = _longest_common(caption, reference)
    if not common:
        return 0.0
    precision, recall = common / len(caption), common / len(reference)
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


class Cider:
    """CIDEr-D over n-grams of 1 to 4 words, each caption against one reference, 0 to 10 (Vedantam et al. 2015).

    How rare an n-gram is comes from `references` alone: from captions it would reward a system for its own habits.
    """

    def __init__(self, references: Sequence[Words]) -> None:
        counts: Counter[tuple[str, ...]] = Counter()
        for reference in references:
            counts.update({gram for size in range(1, 5) for gram in _grams(reference, size)})
        self._counts, self._log_total = counts, math.log(len(references))

    def score(self, caption: Words, reference: Words) -> float:
        """The mean over n of ten times the clipped cosine, with the penalty for another length."""
        penalty = math.exp(-((len(caption) - len(reference)) ** 2) / (2 * SIGMA**2))
        return 10 * penalty * sum(self._similarity(caption, reference, size) for size in range(1, 5)) / 4

    def _similarity(self, caption: Words, reference: Words, size: int) -> float:
        said, wanted = (self._weights(words, size) for words in (caption, reference))
        norms = math.sqrt(_square(said) * _square(wanted))
        if not norms:
            return 0.0
        return sum(min(weight, wanted.get(gram, 0.0)) * wanted.get(gram, 0.0) for gram, weight in said.items()) / norms

    def _weights(self, words: Words, size: int) -> dict[tuple[str, ...], float]:
        counts = Counter(_grams(words, size))
        return {
            gram: count * (self._log_total - math.log(max(1, self._counts[gram]))) for gram, count in counts.items()
        }


@dataclass(frozen=True)
class Overlap:
    """Shares of words that two texts have in common, 0 to 1: of the caption's, of the reference's, and their mean."""

    precision: float
    recall: float
    f1: float


def overlap(caption: Collection[str], reference: Collection[str], left_out: Collection[str] = ()) -> Overlap:
    """The overlap of two sets of words without those `left_out`, such as what the alt-text said already.

    Where the reference has no word left, all three are 1 if the caption has none either, else 0.
    """
    said, wanted = (set(words) - set(left_out) for words in (caption, reference))
    if not wanted or not said:
        value = float(not wanted and not said)
        return Overlap(value, value, value)
    common = len(said & wanted)
    precision, recall = common / len(said), common / len(wanted)
    return Overlap(precision, recall, 2 * common / (len(said) + len(wanted)))


def phrases(text: str) -> list[str]:
    """The phrases of a caption: what stands between its commas, semicolons and colons, as words.

    They stand for the noun phrases of the paper, which a parser finds in sentences; these captions are lists of them.
    """
    parts = re.split(r"[,;:]", text.lower())
    return [" ".join(part.split()) for part in parts if part.strip()]


def _grams(words: Words, size: int) -> list[tuple[str, ...]]:
    return [tuple(words[start : start + size]) for start in range(len(words) - size + 1)]


def _square(weights: Mapping[tuple[str, ...], float]) -> float:
    return sum(weight * weight for weight in weights.values())


def _longest_common(one: Words, two: Words) -> int:
    before = [0] * (len(two) + 1)
    for word in one:
        row = [0]
        for at, other in enumerate(two):
            row.append(before[at] + 1 if word == other else max(before[at + 1], row[at]))
        before = row
    return before[-1]
