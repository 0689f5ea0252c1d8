"""How a first hop leads to the bridge, in hand-written phrases: "the birthplace of {a}"."""

from dataclasses import dataclass

from tasks.language.tables import read_table


@dataclass(frozen=True)
class Leading:
    """How a relation leads from an article {a} to the bridge, which is of kind {kind} ("city").

    `group` is the first half of a family's name. Other slots are {verb}, the text's own verb, and {role}, what the
    maker of such a work is called. `that` takes up the bridge after one of the `clauses`.
    """

    group: str
    phrases: tuple[str, ...]
    clauses: tuple[str, ...]
    that: str


LEADING: dict[str, Leading] = {
    relation: Leading(
        group=leading["group"],
        phrases=tuple(leading["phrases"].splitlines()),
        clauses=tuple(leading["clauses"].splitlines()),
        that=leading["that"],
    )
    for relation, leading in read_table("data/concurrentqa/wordings.yaml")["leading"].items()
}
"""The relations of first hops; "mentions" is only that the article names one person of a kind."""
