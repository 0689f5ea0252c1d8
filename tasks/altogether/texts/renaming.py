"""Training pairs with other names: what a captioner copies must not hang on which names the training has.

The paper's decoder, pretrained on all of the web's text, can repeat any name. Ours meets a thousand names in training
and hundreds of others in the test, so in some pairs the words that the alt-text and the caption share are replaced in
both, by words drawn from other pairs or by pieced-together ones that no text has.
"""

import re
from collections.abc import Mapping, Sequence

from tasks.altogether.texts.attributes import mentions, plain, words
from tasks.altogether.texts.splits import draw

_KEPT = frozenset(
    ("skin", "tone", "hair", "person", "people", "child", "facing", "with", "and", "the", "of", "in", "on", "a", "to",
     "flag", "keycap", "button")
)  # fmt: skip
"""Words of the captions' form, which a new name does not touch."""


def renamed(alt: str, wanted: str, pool: Sequence[str], seed: int, *names: str) -> tuple[str, str]:
    """The two plain texts with each name that both have replaced in both by another, drawn by the seed and names."""
    alt, wanted = plain(alt), plain(wanted)
    stating = {word for text in (alt, wanted) for m in mentions(text) for word in words(text[m.start : m.end])}
    shared = [word for word in dict.fromkeys(words(wanted)) if word in words(alt) and word not in stating | _KEPT]
    others = {word: _other(pool, seed, word, *names) for word in shared if not word.isdigit()}
    return _replaced(alt, others), _replaced(wanted, others)


def _other(pool: Sequence[str], seed: int, *names: str) -> str:
    """A word of the pool, or the beginning of one and the end of another."""
    number = int(draw(seed, "renamed", *names), 16)
    one, two = pool[number % len(pool)], pool[number // len(pool) % len(pool)]
    return one if number // len(pool) ** 2 % 2 else one[: (len(one) + 1) // 2] + two[len(two) // 2 :]


def _replaced(text: str, others: Mapping[str, str]) -> str:
    return re.sub(r"[^\W_]+(?:[-'’][^\W_]+)*", lambda match: others.get(match[0], match[0]), text)
