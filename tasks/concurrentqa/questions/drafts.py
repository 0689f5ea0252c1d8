"""What the makers of questions over e-mails share: drawing by turns, and what a two-hop answer has to keep to."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import TypeVar

from tasks.concurrentqa.questions.archive import Archive
from tasks.concurrentqa.questions.details import Cue
from tasks.encyclopedia.passages import Passage

T = TypeVar("T")

EACH = 10
"""In how many wordings a question is asked: a benchmark keeps one, that of the split its senders belong to."""


class Draws:
    """Draws that depend on the seed and on what is drawn from, not on a random generator's state."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._turns: Counter[str] = Counter()

    def shuffled(self, things: Iterable[T], name: Callable[[T], str]) -> list[T]:
        """The things in the order of the hashes of their names."""
        return sorted(things, key=lambda thing: sha256(f"{self._seed} {name(thing)}".encode()).digest())

    def turn(self, family: str, choices: int) -> int:
        """Which of a family's `choices` comes next; all come equally often."""
        self._turns[family] += 1
        return (self._turns[family] - 1 + self._seed) % choices

    def wordings(self, family: str, forms: Sequence[str], each: int) -> list[tuple[int, str]]:
        """The next `each` wordings of a family with their numbers, far from one another, since splits share none."""
        start = self.turn(family, len(forms))
        step = max(1, len(forms) // each)
        numbers = [(start + place * step) % len(forms) for place in range(min(each, len(forms)))]
        return [(number, forms[number]) for number in numbers]


def bridge_holds(question: str, answer: str, first: Passage, second: Passage) -> bool:
    """Whether the answer is short, stands in the second hop, and neither in the question nor in the first hop."""
    said = answer.lower()
    return (
        0 < len(answer.split()) <= 6
        and answer in second.rendered
        and said not in question.lower()
        and said not in first.rendered.lower()
        and not _MASKED.search(question + answer)
    )


_MASKED = re.compile(r"\[address\]|\[telephone\]|@")


def rarest(archive: Archive, themes: Sequence[Cue]) -> Cue:
    """The theme that tells most while others write about it, too: two adjacent words, used by others, and rare."""
    return min(themes, key=lambda theme: _common(archive, theme))


def _common(archive: Archive, theme: Cue) -> tuple[bool, bool, float, str]:
    others = len(archive.holding(theme.words)) - 1
    together = sum(math.log(len(archive.holding([word]))) for word in theme.words)
    return " and " in theme.phrase, not 0 < others <= 40, together, theme.phrase


def commonest(archive: Archive, themes: Sequence[Cue]) -> Cue:
    """A theme that others write about, too, which alone does not find the mail; of two adjacent words if possible."""
    return min(
        themes,
        key=lambda theme: (
            len(archive.holding(theme.words)) < 3,
            len(theme.words) == 1,
            " and " in theme.phrase,
            -len(archive.holding(theme.words)),
            theme.phrase,
        ),
    )
