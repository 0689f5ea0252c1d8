"""Small graphs for the tests: random ones, with overwrites and kept storages, and exhaustive search on them."""

from collections.abc import Iterator

from hypothesis import strategies as st

from models.olla.graph import Graph, Operator, Storage, connect


@st.composite
def graphs(draw: st.DrawFn, most: int = 7) -> Graph:
    """A random graph of operators that create storages, read earlier ones and sometimes overwrite one."""
    count = draw(st.integers(1, most))
    operators: list[Operator] = []
    storages = [Storage(draw(st.integers(1, 9)), None, name="weight", role="weight")]
    for v in range(count):
        known = list(range(len(storages)))
        reads = draw(st.lists(st.sampled_from(known), max_size=3, unique=True))
        writes = draw(st.lists(st.sampled_from(known), max_size=1)) if draw(st.integers(0, 3)) == 0 else []
        creates = []
        if not writes or draw(st.booleans()):
            creates = [len(storages)]
            kept = draw(st.integers(0, 5)) == 0
            storages.append(Storage(draw(st.integers(1, 9)), v, kept, f"s{len(storages)}"))
        random = draw(st.integers(0, 7)) == 0
        own = tuple(sorted(set(reads) - set(writes)))
        operators.append(Operator(f"v{v}", "made", tuple(creates), own, tuple(writes), random))
    return connect(operators, storages)


def orders(graph: Graph) -> Iterator[tuple[int, ...]]:
    """Every order that the graph's edges allow."""

    def grow(order: tuple[int, ...], left: frozenset[int]) -> Iterator[tuple[int, ...]]:
        if not left:
            yield order
        for v in sorted(left):
            if not left.intersection(graph.before[v]):
                yield from grow((*order, v), left - {v})

    yield from grow((), frozenset(range(len(graph.operators))))
