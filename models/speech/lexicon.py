"""Words as a trie of their spellings in tokens, in arrays."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.speech.settings import BLANK

ROOT = 0


class Lexicon:
    """A trie: `children` [nodes, tokens] holds the next node or -1, `word` [nodes] the word that ends there or -1.

    `spellings` are each word's tokens, at least one. With a `separator` (the token between words) each of them has to
    end in it and has it nowhere else; more than one of them in a row say what one says. Words that share a spelling
    are told apart by nothing here: the first of them is meant.

    Raises:
        ValueError: a spelling is empty, is the beginning of another one, or has the separator in the wrong place.
    """

    def __init__(self, spellings: Mapping[str, Sequence[int]], tokens: int, separator: int = -1) -> None:
        self.words = list(spellings)
        self.spellings = [tuple(each) for each in spellings.values()]
        self.separator = separator
        paths: list[dict[int, int]] = [{}]
        ends: dict[int, int] = {}
        self._path: list[list[int]] = []
        for word, spelling in enumerate(self.spellings):
            if not spelling or (separator >= 0 and (spelling[-1] != separator or separator in spelling[:-1])):
                raise ValueError(f"{self.words[word]!r} is spelt in no token, or not with one separator, at its end")
            node, path = ROOT, []
            for token in spelling:
                if token not in paths[node]:
                    paths[node][token] = len(paths)
                    paths.append({})
                node = paths[node][token]
                path.append(node)
            self._path.append(path)
            ends.setdefault(node, word)
        self.children = np.full((len(paths), tokens), -1, np.int32)
        for node, following in enumerate(paths):
            for token, child in following.items():
                self.children[node, token] = child
        self.word = np.full(len(paths), -1, np.int32)
        for node, word in ends.items():
            if paths[node]:
                raise ValueError(f"{self.words[word]!r} is the beginning of another word: end words in a separator")
            self.word[node] = word

    def smeared(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """The best score of any word below each node; 0 at the root, where nothing has been decided yet."""
        made = np.full(len(self.word), -np.inf)
        for path, score in zip(self._path, scores, strict=True):
            made[path] = np.maximum(made[path], score)
        made[ROOT] = 0.0
        return made


def free(tokens: int, blank: int = BLANK) -> Lexicon:
    """Every token is a word of its own: decoding without a lexicon, with a model of tokens."""
    return Lexicon({str(token): (token,) for token in range(tokens) if token != blank}, tokens)
