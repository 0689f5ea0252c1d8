"""The hand-written wordings of comparison questions.

{x} and {y} are the two articles. {more} is the word that decides which of them is the answer: of each pair of words the
first asks for the larger number and the second for the smaller one.
"""

from dataclasses import dataclass

from tasks.language.tables import read_table


@dataclass(frozen=True)
class Comparing:
    """How articles are compared by a relation whose value is a number.

    `kinds` names sets of nouns: things are compared with others of their set. `pair` are the words for more and less.
    """

    relation: str
    kinds: tuple[str, ...]
    pair: tuple[str, str]
    wordings: tuple[str, ...]


_TABLE = read_table("data/concurrentqa/wordings.yaml")

KINDS: dict[str, frozenset[str]] = {name: frozenset(nouns) for name, nouns in _TABLE["kinds"].items()}
"""Sets of fine types whose members can be compared."""

COMPARING: dict[str, Comparing] = {
    relation: Comparing(
        relation,
        kinds=tuple(comparing["kinds"]),
        pair=tuple(comparing["pair"]),
        wordings=tuple(comparing["wordings"].splitlines()),
    )
    for relation, comparing in _TABLE["comparing"].items()
}

SAME: dict[str, tuple[str, ...]] = {
    relation: tuple(wordings.splitlines()) for relation, wordings in _TABLE["same"].items()
}
"""Yes-or-no questions, by the relation of which two articles may have the same value."""
