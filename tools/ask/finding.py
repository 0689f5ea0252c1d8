"""Passages for a question, over one hop or more, of both scopes: what is like the question, and where that leads."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

MISSED = 0.3
"""What counts as the similarity of a passage to a query that did not find it, which another one did."""

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
    """A passage, its likeness (a cosine, comparable across scopes), and the passages by whose way it was found.

    The likeness of one that was found by way of another is the mean of that one's and of its own to what was asked
    then.
    """

    id: str
    scope: "Scope"
    text: str
    score: float
    by: tuple["Found", ...] = ()


def find(
    question: str, policy: "Policy", indexes: "Mapping[Scope, Searched]", encoder: Encoder, hops: int
) -> tuple[list[Found], float]:
    """The passages that were found, each once, and how like the question itself the likeliest is.

    There is a ranking of each scope by likeness to the question, and in each later hop one of what mails and one of
    what articles led to. They are interleaved, so that none is crowded out of the first ones by one that is louder.
    """
    import numpy as np

    from models.retrieval.scopes import Query

    asked = Query(encoder.encode([question]), policy)
    leads = _sorted(Found(hit.id, hit.scope, hit.text, hit.score) for hit in _hits(asked, indexes, FIRST, 0))
    alike = max((lead.score for lead in leads), default=0.0)
    rankings = [[lead for lead in leads if lead.scope is scope] for scope in sorted(indexes)]
    for hop in range(1, hops):
        grown, ways = [], []
        for lead in _of_each(leads, LEADS):
            texts = ways_on(question, lead.text)
            # Composed with the passage, so whatever forbids to send that forbids to send these.
            derived = asked
            for passage in (*lead.by, lead):
                derived = derived.derive(derived.values, np.zeros(1, np.int64), passage.scope)
            grown.append(derived.derive(encoder.encode(texts), np.zeros(len(texts), np.int64), lead.scope))
            ways += [(lead, number) for number in range(len(texts))]
        if not grown:
            break
        leads = _led_to(ways, _hits(Query.join(grown), indexes, FOLLOWED, hop))
        rankings += [[lead for lead in leads if lead.by[0].scope is scope] for scope in sorted(indexes)]
    return interleaved(rankings), alike


def ways_on(question: str, passage: str) -> list[str]:
    """What to ask next: the question with all of a passage, and each name in it that the question lacks, alone and with
    the question, whose words would otherwise bring back what is worded like it."""
    known = set(_words(question))
    body = passage.partition("\n")[2] or passage
    names = dict.fromkeys(name for name in _NAME.findall(body) if not set(_words(name)) <= known)
    asked = [way for name in list(names)[:NAMES] for way in (f"{question} {name}", name)]
    return [f"{question} {passage}", *asked]


def interleaved(rankings: Sequence[Sequence[Found]]) -> list[Found]:
    """All that is ranked: first the first of each ranking, then the second ones; among those the likeliest first."""
    best: dict[str, tuple[int, float, Found]] = {}
    for ranking in rankings:
        for place, found in enumerate(ranking):
            there = best.get(found.text)
            if there is None or (place, -found.score) < there[:2]:
                best[found.text] = (place, -found.score, found)
    return [found for _, _, found in sorted(best.values(), key=lambda each: (each[0], each[1], each[2].id))]


@dataclass(frozen=True)
class _Hit:
    """What one row of a query found, and its likeness."""

    row: int
    id: str
    scope: "Scope"
    text: str
    score: float


def _hits(query: "Query", indexes: "Mapping[Scope, Searched]", width: int, before: int) -> Iterator[_Hit]:
    """What each row of the query finds in each scope where it may go; `before` passages on the way there are found
    again, and have to be left out."""
    import numpy as np

    from models.retrieval.scopes import Scope

    for scope, index in indexes.items():
        rows = np.flatnonzero(index.permits(query))
        if not len(rows):
            continue
        bonus, copies = (PRIVATE_BONUS, COPIES * width) if scope is Scope.PRIVATE else (0.0, 0)
        hits = index.search(query.take(rows), width + before + copies)
        positions = sorted({at for row in hits.positions.tolist() for at in row if at >= 0})
        texts = dict(zip(positions, index.texts(positions), strict=True))
        for row, places, scores in zip(rows.tolist(), hits.positions.tolist(), hits.scores.tolist(), strict=True):
            there: set[str] = set()
            for at, score in zip(places, scores, strict=True):
                if at >= 0 and texts[at] not in there and len(there) < width + before:
                    there.add(texts[at])
                    yield _Hit(row, index.ids[at], scope, texts[at], score + bonus)


def _led_to(ways: Sequence[tuple[Found, int]], hits: Iterable[_Hit]) -> list[Found]:
    """What the ways on, each of a passage and with its number in `ways_on`, have led to.

    A name is asked for by itself and with the question: what both find is the likeliest, and what one finds alone is
    worded like the question, or something of that name.
    """
    each: dict[tuple[str, str], dict[int, list[float]]] = {}
    found: dict[tuple[str, str], tuple[Found, _Hit]] = {}
    for hit in hits:
        lead, number = ways[hit.row]
        if hit.text not in {passage.text for passage in (*lead.by, lead)}:
            each.setdefault((lead.text, hit.text), {}).setdefault((number + 1) // 2, []).append(hit.score)
            found[lead.text, hit.text] = (lead, hit)
    best: dict[tuple[str, str], Found] = {}
    for pair, (lead, hit) in found.items():
        names = each[pair]
        alike = max((sum(some) + MISSED * (2 - len(some))) / 2 if name else some[0] for name, some in names.items())
        led = Found(hit.id, hit.scope, hit.text, (lead.score + alike) / 2, (*lead.by, lead))
        place = (str(led.by[0].scope), led.text)
        if place not in best or led.score > best[place].score:
            best[place] = led
    return _sorted(best.values())


def _sorted(found: Iterable[Found]) -> list[Found]:
    return sorted(found, key=lambda each: (-each.score, each.id))


def _of_each(found: Sequence[Found], count: int) -> list[Found]:
    """The first `count` of each scope."""
    scopes = sorted({each.scope for each in found})
    return [each for scope in scopes for each in [each for each in found if each.scope == scope][:count]]


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())
