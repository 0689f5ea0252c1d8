"""Multi-hop beam search over a public and a private index (Arora et al. 2023, section 5; MDR, Xiong et al. 2021).

A path's score is the sum of its hops' scores. What a searcher does not permit is never asked: the authors' code
searches the public index with everything and masks the paths afterwards, by when the queries have left the machine.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.retrieval.index import DenseIndex, Hits, Remembering, SparseIndex, id_order
from models.retrieval.scopes import Chain, Integers, Mask, Query, Scope, Values

Compose: TypeAlias = Callable[[Integers, Chain, Integers], Values]
"""How a path becomes the next hop's query: `compose(questions, chain, passages) -> values`.

`questions` (rows,) are rows of the raw questions, `chain` the scopes of the passages found so far, the same for all
rows, and `passages` (rows, hops so far) their positions, each in the index of its scope. It returns vectors
(rows, width) or as many texts. The search itself marks what comes back with the scopes of `chain`.
"""


class Searcher(Protocol):
    """An index as the search sees it, wherever it is."""

    @property
    def ids(self) -> list[str]:
        """The passages' ids, by position."""

    def permits(self, query: Query) -> Mask:
        """Which rows of `query` it may be asked, (rows,)."""

    def search(self, query: Query, k: int) -> Hits:
        """The best k passages for each row."""


class Local:
    """An index on the user's own machine: it may be asked anything, for nothing leaves."""

    def __init__(self, index: DenseIndex | SparseIndex | Remembering) -> None:
        self.index = index
        self.ids = index.ids

    def permits(self, query: Query) -> Mask:
        """Every row."""
        return np.ones(len(query), bool)

    def search(self, query: Query, k: int) -> Hits:
        """The best k passages for each row; vectors go to a dense index, texts to a sparse one."""
        return self.index.search(query.values, k)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Beam:
    """How wide the search is, and what it keeps.

    After each hop but the last, `beam` paths of a question go on; after the last, `top` are its result. With `quota` a
    path goes on to that many passages of each scope, and that many paths into each go on, so that one scope cannot
    crowd out the other. `rank` "overall" compares all paths of a question; "separate" keeps `beam` and `top` of each
    chain of scopes. `public_first` makes all public hops before the first private one: it leaves out every path with a
    public passage after a private one, and keeps `beam` all-public paths beside `beam` others.

    With "overall" and neither quota nor public_first, private passages compete with public ones for the beam, so how
    many public paths are asked about says something of the private corpus, though no query derives from it. With any
    of the three, what is sent under document privacy is the same whatever the private corpus holds.
    """

    hops: int = 2
    beam: int = 25
    top: int = 25
    rank: Literal["overall", "separate"] = "overall"
    quota: Mapping[Scope, int] | None = None
    public_first: bool = False

    def width(self, scope: Scope) -> int:
        """How many passages of `scope` a path may go on with."""
        return self.beam if self.quota is None else self.quota.get(scope, 0)


@dataclass(frozen=True)
class Paths:
    """What was found: one row a path, those of a question together, best first.

    `questions` (paths,), `scopes` (paths, hops) as indices into `order`, `positions` (paths, hops) in the indexes of
    their scopes, `hop_scores` (paths, hops).
    """

    questions: Integers
    scopes: Integers
    positions: Integers
    hop_scores: NDArray[np.float64]
    order: tuple[Scope, ...]
    ids: Mapping[Scope, list[str]]

    @property
    def scores(self) -> NDArray[np.float64]:
        """The sum of the hops' scores, (paths,)."""
        total: NDArray[np.float64] = self.hop_scores.sum(1)
        return total

    def chains(self) -> list[Chain]:
        """The scopes of each path."""
        return [tuple(self.order[scope] for scope in row) for row in self.scopes.tolist()]

    def passages(self) -> list[tuple[str, ...]]:
        """The ids of each path."""
        rows = zip(self.chains(), self.positions.tolist(), strict=True)
        return [tuple(self.ids[scope][at] for scope, at in zip(*row, strict=True)) for row in rows]


@dataclass(frozen=True)
class _Frontier:
    """Paths under way, with the query that each has become."""

    query: Query
    scopes: Integers
    positions: Integers
    hop_scores: NDArray[np.float64]


@dataclass(frozen=True)
class _Steps:
    """Paths one hop longer: `parents` are rows of the frontier that they extend."""

    parents: Integers
    scopes: Integers
    positions: Integers
    scores: NDArray[np.float64]


def beam_search(
    question: Query,
    indexes: Mapping[Scope, Searcher],
    compose: Compose,
    beam: Beam,
    domains: Sequence[Chain] | None = None,
) -> Paths:
    """The best paths of each raw question through one index a scope, which may be fewer where little is permitted.

    A path never takes a passage twice. Equal scores come in the order of ids, so that two exact dense indexes give
    exactly what one index over all their passages gives, for the best `beam` paths. `domains` are the gold chains, one
    a question: only those are followed (an upper bound, never a system). Raises ValueError where there is no index or
    an id is in two, or where a number in `beam` is less than one.
    """
    if not indexes:
        raise ValueError("there is no index to search")
    if min(beam.hops, beam.beam, beam.top) < 1:
        raise ValueError("hops, beam and top are at least 1")
    order = tuple(scope for scope in Scope if scope in indexes)
    places = _places([indexes[scope].ids for scope in order])
    rows = len(question)
    paths = _Frontier(question, np.zeros((rows, 0), np.int64), np.zeros((rows, 0), np.int64), np.zeros((rows, 0)))
    for hop in range(beam.hops):
        steps = _join([_asked(paths, indexes[scope], at, order, beam, domains) for at, scope in enumerate(order)])
        grown = _Frontier(
            paths.query,
            np.column_stack([paths.scopes[steps.parents], steps.scopes]),
            np.column_stack([paths.positions[steps.parents], steps.positions]),
            np.column_stack([paths.hop_scores[steps.parents], steps.scores]),
        )
        last = hop == beam.hops - 1
        kept = _kept(grown, paths.query.questions[steps.parents], places, order, beam, last)
        paths = _extended(grown, steps.parents, kept, order, None if last else compose)
    return Paths(
        paths.query.questions, paths.scopes, paths.positions, paths.hop_scores, order,
        {scope: indexes[scope].ids for scope in order},
    )  # fmt: skip


def _asked(
    paths: _Frontier, searcher: Searcher, at: int, order: tuple[Scope, ...], beam: Beam, domains: Sequence[Chain] | None
) -> _Steps:
    """One hop into one scope, from the paths that may go there."""
    scope, hop = order[at], paths.scopes.shape[1]
    may = searcher.permits(paths.query)
    if beam.public_first and scope is Scope.PUBLIC and Scope.PRIVATE in order:
        may = may & (paths.scopes != order.index(Scope.PRIVATE)).all(1)
    if domains is not None:
        may = may & np.array([domains[question][hop] == scope for question in paths.query.questions.tolist()], bool)
    rows, width = np.flatnonzero(may), beam.width(scope)
    if not len(rows) or not width:
        return _Steps(rows[:0], rows[:0], rows[:0], np.zeros(0))
    # Passages already on the path are asked for as well, and left out here.
    hits = searcher.search(paths.query.take(rows), width + hop)
    found = hits.positions >= 0
    for before in range(hop):
        again = (paths.scopes[rows, before] == at)[:, None] & (paths.positions[rows, before][:, None] == hits.positions)
        found &= ~again
    found &= found.cumsum(1) <= width
    row, column = np.nonzero(found)
    positions = hits.positions[row, column]
    return _Steps(rows[row], np.full(len(row), at), positions, hits.scores[row, column].astype(np.float64))


def _join(steps: list[_Steps]) -> _Steps:
    """All of them, one after the other."""
    return _Steps(
        np.concatenate([each.parents for each in steps]),
        np.concatenate([each.scopes for each in steps]),
        np.concatenate([each.positions for each in steps]),
        np.concatenate([each.scores for each in steps]),
    )


def _kept(
    grown: _Frontier, questions: Integers, places: list[Integers], order: tuple[Scope, ...], beam: Beam, last: bool
) -> Integers:
    """The rows of `grown` that stay, question by question, best first."""
    scores = grown.hop_scores.sum(1)
    limit = np.full(len(scores), beam.top if last else beam.beam)
    groups = questions
    if beam.rank == "separate":
        for hop in range(grown.scopes.shape[1]):
            groups = groups * len(order) + grown.scopes[:, hop]
    elif beam.quota is not None and not last:
        groups = groups * len(order) + grown.scopes[:, -1]
        limit = np.array([beam.width(scope) for scope in order])[grown.scopes[:, -1]]
    elif beam.public_first and not last and Scope.PRIVATE in order:
        groups = groups * 2 + (grown.scopes == order.index(Scope.PRIVATE)).any(1)
    ties = np.zeros_like(grown.positions)
    for at, place in enumerate(places):
        mine = grown.scopes == at
        ties[mine] = place[grown.positions[mine]]
    chosen = _best(groups, scores, ties, limit)
    return chosen[np.lexsort((*ties[chosen].T[::-1], -scores[chosen], questions[chosen]))]


def _best(groups: Integers, scores: NDArray[np.float64], ties: Integers, limit: Integers) -> Integers:
    """The rows that are among the `limit` best of their group; equal scores in the order of `ties` (rows, hops)."""
    by_score = np.lexsort((-scores, groups))
    rank = _ranks(groups[by_score])
    # Ties matter only where a group's last place is shared: everything above it or level with it is looked at again.
    worst = np.full(int(groups.max(initial=-1)) + 1, np.inf)
    inside = by_score[rank < limit[by_score]]
    np.minimum.at(worst, groups[inside], scores[inside])
    level = np.flatnonzero(scores >= worst[groups])
    ordered = level[np.lexsort((*ties[level].T[::-1], -scores[level], groups[level]))]
    rank = _ranks(groups[ordered])
    return ordered[rank < limit[ordered]]


def _ranks(groups: Integers) -> Integers:
    """Each row's place within its run of equal groups."""
    fresh = np.ones(len(groups), bool)
    fresh[1:] = groups[1:] != groups[:-1]
    places: Integers = np.arange(len(groups))
    return places - np.maximum.accumulate(np.where(fresh, places, 0))


def _extended(
    grown: _Frontier, parents: Integers, kept: Integers, order: tuple[Scope, ...], compose: Compose | None
) -> _Frontier:
    """The kept paths with their next queries, composed for all paths of one chain at once; none after the last hop."""
    scopes, positions, query = grown.scopes[kept], grown.positions[kept], grown.query.take(parents[kept])
    if compose is not None and len(kept):
        chains, inverse = np.unique(scopes, axis=0, return_inverse=True)
        parts, rows_of = [], []
        for number, codes in enumerate(chains.tolist()):
            rows = np.flatnonzero(inverse.reshape(-1) == number)
            chain = tuple(order[code] for code in codes)
            values = compose(query.questions[rows], chain, positions[rows])
            parts.append(query.derive(values, rows, chain[-1]))
            rows_of.append(rows)
        query = Query.join(parts).take(np.concatenate(rows_of).argsort())
    return _Frontier(query, scopes, positions, grown.hop_scores[kept])


def _places(ids: list[list[str]]) -> list[Integers]:
    """Each passage's place in the alphabetical order of the ids of all indexes."""
    order = id_order([each for some in ids for each in some])
    return np.split(order, np.cumsum([len(some) for some in ids])[:-1])
