"""Passages for a question, over one hop or more, of both scopes: what is like the question, and where that leads."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tools.ask.passage_index import Encoder

if TYPE_CHECKING:
    from models.retrieval.index import Hits
    from models.retrieval.scopes import Mask, Policy, Query, Scope

FIRST = 8
"""Passages of each scope that are looked at in a hop's answer to the question itself."""

LEADS = 3
"""Passages of each scope that are followed. The same number of each, so that what is sent says nothing of how the
private passages compare."""

NAMES = 8
"""Names in a passage that are followed, each in a query of its own."""

FOLLOWED = 3
"""Passages of each scope that are looked at for each such query."""

COPIES = 2
"""Times as many of the user's own passages that are looked at, for people keep the same mail in several folders."""

FADES = 0.9
"""What the similarity of a passage counts that was found by way of another."""

SHARE = 2
"""Passages of each scope that are like the question itself and among the first ones, however good others are."""

SHOWN = 8
"""The first ones."""

PRIVATE_BONUS = 0.054
"""What a mail's cosine counts more: so much less alike it is than an article that is as likely the right one. By a
logistic regression on the candidates of ConcurrentQA's training questions (`bench/ask.py --calibrate`): 48 questions at
quick, whose candidates hold two right mails only, so it is rough."""

_CAPITAL = f"[{''.join(letter for letter in map(chr, range(0x590)) if letter.isupper())}]"
_NAME = re.compile(rf"{_CAPITAL}[\w'’-]*(?:[ -](?:of|the|and|de|{_CAPITAL})[\w'’-]*)*")


class Searched(Protocol):
    """An index that can say what its passages say."""

    @property
    def ids(self) -> list[str]: ...

    def permits(self, query: "Query") -> "Mask": ...

    def search(self, query: "Query", k: int) -> "Hits": ...

    def texts(self, positions: Sequence[int]) -> list[str]: ...


@dataclass(frozen=True)
class Found:
    """A passage, its likeness (a cosine, comparable across scopes), and the passages by whose way it was found."""

    id: str
    scope: "Scope"
    text: str
    score: float
    by: tuple["Found", ...] = ()


def find(
    question: str, policy: "Policy", indexes: "Mapping[Scope, Searched]", encoder: Encoder, hops: int
) -> tuple[list[Found], float]:
    """The passages that were found, each once, the likeliest first, no scope crowded out of the first ones; and how
    like the question itself the likeliest is."""
    import numpy as np

    from models.retrieval.scopes import Query

    asked = Query(encoder.encode([question]), policy)
    best: dict[str, Found] = {}
    direct = leads = _searched(asked, [()], indexes, FIRST, best)
    alike = max((lead.score for lead in leads), default=0.0)
    for _ in range(hops - 1):
        grown, by = [], []
        for lead in _of_each(leads, LEADS):
            texts = ways_on(question, lead.text)
            # Composed with the passage, so whatever forbids to send that forbids to send these.
            derived = asked
            for passage in (*lead.by, lead):
                derived = derived.derive(derived.values, np.zeros(1, np.int64), passage.scope)
            grown.append(derived.derive(encoder.encode(texts), np.zeros(len(texts), np.int64), lead.scope))
            by += [(*lead.by, lead)] * len(texts)
        if not grown:
            break
        leads = _searched(Query.join(grown), by, indexes, FOLLOWED, best)
    ordered = sorted(best.values(), key=lambda found: (-found.score, found.id))
    return with_shares(ordered, [each.id for each in _of_each(direct, SHARE)]), alike


def ways_on(question: str, passage: str) -> list[str]:
    """What to ask next: the question with all of a passage, and each name in it that the question lacks, alone and with
    the question, whose words would otherwise bring back what is worded like it."""
    known = set(_words(question))
    body = passage.partition("\n")[2] or passage
    names = dict.fromkeys(name for name in _NAME.findall(body) if not set(_words(name)) <= known)
    asked = [way for name in list(names)[:NAMES] for way in (f"{question} {name}", name)]
    return [f"{question} {passage}", *asked]


def with_shares(found: Sequence[Found], needed: Sequence[str]) -> list[Found]:
    """The same in an order in which those that are `needed`, by their ids, are among the SHOWN first ones."""
    needed = needed[:SHOWN]
    others = [each for each in found if each.id not in needed][: SHOWN - len(needed)]
    first = [each for each in found if each.id in needed or each in others]
    return [*first, *(each for each in found if each not in first)]


def _searched(
    query: "Query",
    by: Sequence[tuple[Found, ...]],
    indexes: "Mapping[Scope, Searched]",
    width: int,
    best: dict[str, Found],
) -> list[Found]:
    """What each row of the query finds in each scope where it may go, by what it says, the best first; noted in `best`
    as well."""
    import numpy as np

    from models.retrieval.scopes import Scope

    new: dict[str, Found] = {}
    for scope, index in indexes.items():
        rows = np.flatnonzero(index.permits(query))
        if not len(rows):
            continue
        # Passages on the way there are found again, and left out; so are copies of the user's own mails.
        copies = COPIES * width if scope is Scope.PRIVATE else 0
        hits = index.search(query.take(rows), width + copies + max(map(len, by)))
        positions = sorted({at for row in hits.positions.tolist() for at in row if at >= 0})
        texts = dict(zip(positions, index.texts(positions), strict=True))
        for row, places, scores in zip(rows.tolist(), hits.positions.tolist(), hits.scores.tolist(), strict=True):
            way = by[row]
            there = {each.text for each in way}
            for at, score in zip(places, scores, strict=True):
                if at < 0 or texts[at] in there or len(there) == width + len(way):
                    continue
                there.add(texts[at])
                bonus = PRIVATE_BONUS if scope is Scope.PRIVATE else 0.0
                found = Found(index.ids[at], scope, texts[at], (score + bonus) * FADES ** len(way), way)
                if found.text not in new or found.score > new[found.text].score:
                    new[found.text] = found
    for text, found in new.items():
        if text not in best or found.score > best[text].score:
            best[text] = found
    return sorted(new.values(), key=lambda found: (-found.score, found.id))


def _of_each(found: Sequence[Found], count: int) -> list[Found]:
    """The first `count` of each scope."""
    scopes = sorted({each.scope for each in found})
    return [each for scope in scopes for each in [each for each in found if each.scope == scope][:count]]


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())
