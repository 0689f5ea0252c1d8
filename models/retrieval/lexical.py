"""Bags of words as short dense vectors, so that one inner product compares meaning and words.

Each word has a fixed sparse random vector (Kane & Nelson 2014, sparse Johnson-Lindenstrauss transforms), made from a
checksum of the word alone: two parties give a word the same vector without sharing a vocabulary.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Checksums = NDArray[np.uint32]

NONZERO = 8
"""Numbers of a word's vector that are not zero, each +1 or -1 divided by sqrt(NONZERO)."""


def places_and_signs(words: Checksums, width: int) -> tuple[Integers, Floats]:
    """Where the vectors of words are not zero, and what is there: both have the shape of `words` and one axis more.

    Raises ValueError where `width` is no multiple of NONZERO.
    """
    if width % NONZERO:
        raise ValueError(f"the width {width} is no multiple of {NONZERO}")
    block = width // NONZERO
    number = np.arange(NONZERO, dtype=np.uint64)
    numbers: NDArray[np.uint64] = words[..., None].astype(np.uint64) << np.uint64(3) | number
    mixed = _mixed(numbers)
    places = (mixed >> np.uint64(1)) % np.uint64(block) + number * np.uint64(block)
    signs = np.where(mixed & np.uint64(1), 1.0, -1.0) / np.sqrt(NONZERO)
    return places.astype(np.int64), signs.astype(np.float32)


class Lexicon:
    """How rare words are among some texts: log((1 + texts) / (1 + texts with the word)); what is no word weighs 0.

    A query is weighed by a lexicon of public texts alone, so that it says nothing of private ones.
    """

    def __init__(self, words: Checksums, starts: Integers) -> None:
        """`words` are those of all texts, one after the other; `starts` [texts + 1] says where each text's begin."""
        _, found = distinct(words, starts)
        self._known, counts = np.unique(found, return_counts=True)
        texts = len(starts) - 1
        self._rarity = np.append(np.log((1 + texts) / (1 + counts)), np.log(1 + texts)).astype(np.float32)

    def rarity(self, words: Checksums) -> Floats:
        """The rarity of each word, of the shape of `words`; a word that no text has is as rare as can be."""
        at = np.searchsorted(self._known, words)
        known = at < len(self._known)
        known[known] = self._known[at[known]] == words[known]
        rarity: Floats = np.where(words == 0, np.float32(0), self._rarity[np.where(known, at, len(self._known))])
        return rarity


def distinct(words: Checksums, starts: Integers) -> tuple[Integers, Checksums]:
    """Each word of each text once: the texts' numbers and the words, in the order of both."""
    texts = np.repeat(np.arange(len(starts) - 1, dtype=np.uint64), np.diff(starts))
    pairs = np.unique(texts << np.uint64(32) | words.astype(np.uint64))
    return (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.uint32)


def bags(words: Checksums, starts: Integers, weights: Floats, width: int) -> Floats:
    """Sums of the vectors of each text's words, made of length 1: [texts, width].

    `words` and `starts` are as in `Lexicon`, `weights` one for each of `words`; a word that a text has several times
    counts once, with the largest of its weights.
    """
    texts = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    order = np.lexsort((-weights, words, texts))
    first = np.ones(len(order), bool)
    first[1:] = (words[order][1:] != words[order][:-1]) | (texts[order][1:] != texts[order][:-1])
    kept = order[first]
    places, signs = places_and_signs(words[kept], width)
    flat = texts[kept][:, None] * width + places
    count = len(starts) - 1
    values = signs * weights[kept][:, None]
    sums = np.bincount(flat.ravel(), values.ravel(), count * width).reshape(count, width)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    made: Floats = (sums / np.maximum(lengths, 1e-9)).astype(np.float32)
    return made


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 (Steele et al. 2014): neighbouring numbers become unlike ones."""
    with np.errstate(over="ignore"):
        mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))
