"""Transcripts as letters: what is said of them in words and tokens."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from models.speech.settings import BLANK

if TYPE_CHECKING:
    from models.speech.lexicon import Lexicon

SEPARATOR = "|"
"""Stands after each word."""


def normalised(text: str, numerals: Mapping[str, str] | None = None) -> str | None:
    """A transcript as words of lower-case letters and apostrophes; None where it says more than letters do.

    Numbers are words where `numerals` has them. Notes in brackets say that there is no speech, and question marks
    inside of words that letters were lost.
    """
    text = unicodedata.normalize("NFC", text).lower()
    if re.search(r"[\[\]<>{}#*=@&]|\w\?\w|\?\?", text):
        return None
    text = re.sub(r"\d+", lambda found: f" {(numerals or {}).get(found.group(), found.group())} ", text)
    text = text.replace("\u2019", "'").replace("`", "'")
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)*'?", text)
    joined = " ".join(words)
    return joined if joined and all(letter.isalpha() or letter in " '" for letter in joined) else None


class Alphabet:
    """Letters as tokens: 0 is blank, the separator is last."""

    def __init__(self, letters: Sequence[str]) -> None:
        self.letters = [*letters]
        self._token = {letter: token for token, letter in enumerate([*letters, SEPARATOR], BLANK + 1)}

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Alphabet":
        """All letters of the texts."""
        return cls(sorted({letter for text in texts for letter in text} - {" "}))

    def __len__(self) -> int:
        return len(self.letters) + 2

    @property
    def separator(self) -> int:
        return len(self.letters) + 1

    def spelt(self, word: str) -> list[int] | None:
        """A word's tokens with the separator; None where a letter of it is not known."""
        tokens = [self._token.get(letter, -1) for letter in word + SEPARATOR]
        return None if -1 in tokens else tokens

    def tokens(self, text: str) -> list[int] | None:
        """The tokens of all words; None where a letter is not known."""
        spelt = [self.spelt(word) for word in text.split()]
        return None if None in spelt else [token for word in spelt if word for token in word]

    def text(self, tokens: Iterable[int]) -> str:
        """The words that tokens say."""
        letters = [" " if token == self.separator else self.letters[token - 1] for token in tokens]
        return " ".join("".join(letters).split())

    def lexicon(self, words: Iterable[str]) -> "Lexicon":
        """The words that can be spelt, in order."""
        from models.speech.lexicon import Lexicon

        spelt = {word: self.spelt(word) for word in sorted(set(words))}
        known = {word: tokens for word, tokens in spelt.items() if tokens}
        return Lexicon(known, len(self), self.separator)
