"""What may go where: queries carry the scopes they derive from (Arora et al. 2023, section 3)."""

from collections.abc import Sequence
from enum import StrEnum
from itertools import product
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Integers: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]
Values: TypeAlias = Floats | Sequence[str]
"""What an index is asked with: vectors (rows, width) or as many texts."""


class Scope(StrEnum):
    """Where a passage lives: with an untrusted party, or on the user's machine."""

    PUBLIC = "public"
    PRIVATE = "private"


Chain: TypeAlias = tuple[Scope, ...]
"""The scopes of a path's passages, in order."""

_BITS = {Scope.PUBLIC: 1, Scope.PRIVATE: 2}


class Policy(StrEnum):
    """What may leave the machine.

    `NONE`: everything. `DOCUMENT`: nothing that derives from a private passage, so no public hop follows a private one.
    `QUERY`: the question is private as well, so nothing leaves. `PRIVATE_ONLY`: there is no public index.
    """

    NONE = "none"
    DOCUMENT = "document"
    QUERY = "query"
    PRIVATE_ONLY = "private-only"

    @property
    def question_is_private(self) -> bool:
        """Whether the question itself counts as private."""
        return self in (Policy.QUERY, Policy.PRIVATE_ONLY)

    def allows(self, chain: Sequence[Scope]) -> bool:
        """Whether a path through these scopes can be found without a leak, every public hop being another party's."""
        tainted = self.question_is_private
        for scope in chain:
            if tainted and scope is Scope.PUBLIC and self is not Policy.NONE:
                return False
            tainted = tainted or scope is Scope.PRIVATE
        return True

    def chains(self, hops: int) -> list[Chain]:
        """The allowed chains of that many hops."""
        return [chain for chain in product(Scope, repeat=hops) if self.allows(chain)]

    def permits(self, query: "Query") -> Mask:
        """Which rows of `query` may be sent to another party, (rows,)."""
        if self is Policy.PRIVATE_ONLY:
            return np.zeros(len(query), bool)
        return np.ones(len(query), bool) if self is Policy.NONE else ~query.tainted


class Leak(Exception):
    """A query that derives from something private was about to leave the machine; it did not."""


class Query:
    """A batch of queries, each with the scopes that it derives from.

    A new `Query` is made of raw questions: its rows derive from nothing, or from the private scope where the policy
    holds the question private. All other queries come of `derive`, `take` and `join`, which only ever add scopes. The
    rows cannot be changed in place, so that nothing private can be written into an untainted query.

    `values` are vectors (rows, width) of float32, or a tuple of texts; `questions` (rows,) says of which row of the
    raw questions each row comes.
    """

    __slots__ = ("_origins", "questions", "values")
    values: Floats | tuple[str, ...]
    questions: Integers
    _origins: NDArray[np.uint8]

    def __init__(self, values: Values, policy: Policy) -> None:
        frozen = _frozen(values)
        origin = _BITS[Scope.PRIVATE] if policy.question_is_private else 0
        self._set(frozen, np.arange(len(frozen)), np.full(len(frozen), origin))

    def derive(self, values: Values, parents: Integers, scope: Scope) -> "Query":
        """Queries made of rows `parents` of this one, each together with a passage of `scope`.

        `values` and `parents` have one entry a new query, which derives from whatever its parent derives from, and
        from `scope`. Raises ValueError where the two differ in length.
        """
        frozen, parents = _frozen(values), np.asarray(parents, np.int64)
        if len(frozen) != len(parents):
            raise ValueError(f"{len(frozen)} values for {len(parents)} parents")
        return self._made(frozen, self.questions[parents], self._origins[parents] | _BITS[scope])

    def take(self, rows: NDArray[Any]) -> "Query":
        """The rows that a mask (rows,) or indices pick."""
        indices = np.arange(len(self))[rows]
        values = self.values
        picked = values[indices] if isinstance(values, np.ndarray) else tuple(values[i] for i in indices)
        return self._made(_frozen(picked), self.questions[indices], self._origins[indices])

    @classmethod
    def join(cls, queries: Sequence["Query"]) -> "Query":
        """All rows of at least one query, one after the other; they are all vectors or all texts."""
        values: Values
        if all(isinstance(query.values, np.ndarray) for query in queries):
            values = np.concatenate([query.values for query in queries])
        else:
            values = [text for query in queries for text in query.values]
        questions = np.concatenate([query.questions for query in queries])
        return cls._made(_frozen(values), questions, np.concatenate([query._origins for query in queries]))

    @property
    def tainted(self) -> Mask:
        """Which rows derive from something private, (rows,)."""
        return (self._origins & _BITS[Scope.PRIVATE]) > 0

    @property
    def raw(self) -> Mask:
        """Which rows derive from nothing: questions as they were asked, not held private, (rows,)."""
        raw: Mask = self._origins == 0
        return raw

    @property
    def origins(self) -> list[frozenset[Scope]]:
        """The scopes that each row derives from."""
        return [frozenset(scope for scope, bit in _BITS.items() if bits & bit) for bits in self._origins.tolist()]

    def __len__(self) -> int:
        return len(self.values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a query's {name} cannot be set: derive a new query")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a query's {name} cannot be deleted: derive a new query")

    @classmethod
    def _made(cls, values: Floats | tuple[str, ...], questions: Integers, origins: NDArray[Any]) -> Self:
        made = object.__new__(cls)
        made._set(values, questions, origins)
        return made

    def _set(self, values: Floats | tuple[str, ...], questions: Integers, origins: NDArray[Any]) -> None:
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "questions", _read_only(np.asarray(questions, np.int64)))
        object.__setattr__(self, "_origins", _read_only(np.asarray(origins, np.uint8)))


def _frozen(values: Values) -> Floats | tuple[str, ...]:
    """The same values, where nobody else can reach them."""
    if isinstance(values, np.ndarray):
        if values.ndim != 2:
            raise ValueError(f"vectors are (rows, width), not {values.shape}")
        return _read_only(np.asarray(values, np.float32))
    if isinstance(values, str):
        raise ValueError("a batch of texts is a sequence of strings, not one string")
    return tuple(values)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A copy over immutable bytes: numpy itself refuses to make it writeable again."""
    return np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)
