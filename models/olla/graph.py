"""A training step as operators and the storages that they create, read and overwrite (OLLA, section 3.1).

Views are no operators: what reads a view reads its storage. In-place operators are, and keep their place between the
reads before and after them. The original drops them, so that a copy may move past the overwrite it protects.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Operator:
    """One operator: the storages it creates, reads and overwrites, by index, and whether it draws random numbers.

    `node` is its name in the traced module, `target` the operator's own, `line` where in the source it was called.
    """

    node: str
    target: str
    creates: tuple[int, ...] = ()
    reads: tuple[int, ...] = ()
    writes: tuple[int, ...] = ()
    random: bool = False
    line: str = ""

    @cached_property
    def touches(self) -> frozenset[int]:
        """All storages that must be there while it runs."""
        return frozenset((*self.creates, *self.reads, *self.writes))


@dataclass(frozen=True)
class Storage:
    """Bytes that an operator creates, or that were there before the step (`creator` is None).

    `kept` ones live to the step's end. `shape` and `dtype` are those of the first tensor on it, `role` says what a
    storage of before is: "weight", "state", "buffer" or "input".
    """

    size: int
    creator: int | None
    kept: bool = False
    name: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = ""
    role: str = ""


@dataclass(frozen=True)
class Graph:
    """Operators in the order in which PyTorch runs them, and all storages.

    `before[v]` holds the operators that v must follow: those whose data it reads or overwrites, those that read what it
    overwrites, and the one that drew random numbers before it.
    """

    operators: tuple[Operator, ...]
    storages: tuple[Storage, ...]
    before: tuple[tuple[int, ...], ...] = field(repr=False)

    @cached_property
    def after(self) -> tuple[tuple[int, ...], ...]:
        """The operators that must follow each operator directly."""
        found: list[list[int]] = [[] for _ in self.operators]
        for operator, earlier in enumerate(self.before):
            for one in earlier:
                found[one].append(operator)
        return tuple(map(tuple, found))

    @cached_property
    def users(self) -> tuple[tuple[int, ...], ...]:
        """The operators that touch each storage, its creator among them, in PyTorch's order."""
        found: list[list[int]] = [[] for _ in self.storages]
        for index, operator in enumerate(self.operators):
            for storage in operator.touches:
                found[storage].append(index)
        return tuple(map(tuple, found))

    @cached_property
    def created(self) -> tuple[int, ...]:
        """The storages that the step itself creates: what is planned."""
        return tuple(index for index, storage in enumerate(self.storages) if storage.creator is not None)

    @cached_property
    def resident_bytes(self) -> int:
        """Bytes of weights, buffers, optimiser state and inputs, which are there all the time."""
        return sum(storage.size for storage in self.storages if storage.creator is None)

    @cached_property
    def ancestors(self) -> "NDArray[np.bool_]":
        """Boolean (n, n): row v marks the operators that come before v in every order, and v itself."""
        import numpy as np

        rows = np.zeros((len(self.operators), len(self.operators)), dtype=bool)
        for index, earlier in enumerate(self.before):
            for one in earlier:
                rows[index] |= rows[one]
            rows[index, index] = True
        return rows

    def bytes_of(self, role: str) -> int:
        """Bytes of the storages of before with a role."""
        return sum(storage.size for storage in self.storages if storage.role == role)

    def with_sizes(self, sizes: Sequence[int]) -> "Graph":
        """The same graph with other bytes for its storages."""
        storages = (replace(storage, size=size) for storage, size in zip(self.storages, sizes, strict=True))
        return Graph(self.operators, tuple(storages), self.before)

    def to_json(self) -> dict[str, Any]:
        """The graph as JSON data."""
        return {
            "operators": [
                [o.node, o.target, list(o.creates), list(o.reads), list(o.writes), o.random, o.line]
                for o in self.operators
            ],
            "storages": [[s.size, s.creator, s.kept, s.name, list(s.shape), s.dtype, s.role] for s in self.storages],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Graph":
        """The graph of JSON data; the order that it must keep is worked out anew."""
        operators = [
            Operator(node, target, tuple(creates), tuple(reads), tuple(writes), random, line)
            for node, target, creates, reads, writes, random, line in data["operators"]
        ]
        storages = [
            Storage(size, creator, kept, name, tuple(shape), dtype, role)
            for size, creator, kept, name, shape, dtype, role in data["storages"]
        ]
        return connect(operators, storages)


def connect(operators: Sequence[Operator], storages: Sequence[Storage], overwrites: bool = True) -> Graph:
    """The graph of operators in PyTorch's order, with what each must follow.

    `overwrites=False` forgets that an operator must not overwrite what others have still to read, as the original
    planner does; its orders can be wrong, and are made for comparison only.
    """
    written: dict[int, int] = {}
    read_since: dict[int, list[int]] = {}
    before: list[tuple[int, ...]] = []
    drew: int | None = None
    for index, operator in enumerate(operators):
        follows = {written[storage] for storage in operator.touches if storage in written}
        for storage in operator.writes:
            if overwrites:
                follows.update(read_since.get(storage, ()))
        if operator.random:
            follows.update(() if drew is None else (drew,))
            drew = index
        for storage in operator.touches:
            if storage in operator.writes or storage in operator.creates:
                written[storage] = index
                read_since[storage] = []
            else:
                read_since.setdefault(storage, []).append(index)
        before.append(tuple(sorted(follows - {index})))
    return Graph(tuple(operators), tuple(storages), tuple(before))


def of_edges(sizes: Sequence[int], edges: Iterable[tuple[int, int]], kept: Iterable[int] = ()) -> Graph:
    """A plain graph: operator v creates one storage of sizes[v] bytes, and an edge (u, v) says that v reads u's."""
    reads: list[list[int]] = [[] for _ in sizes]
    for source, sink in edges:
        reads[sink].append(source)
    operators = [Operator(f"v{v}", "made", creates=(v,), reads=tuple(sorted(set(reads[v])))) for v in range(len(sizes))]
    kept = set(kept)
    storages = [Storage(size, v, v in kept, f"v{v}") for v, size in enumerate(sizes)]
    return connect(operators, storages)
