"""A bound on the peak of every order, without a solver: what must be live around each operator."""

from collections.abc import Sequence

from models.olla.graph import Graph


def cut_bound(graph: Graph) -> tuple[int, int]:
    """Bytes that are live while some operator runs, in every legal order, and that operator.

    Around operator v a storage is live when its creator comes before v, or is v, in every order and one of its users
    comes after v, or is v, or when it is kept to the end.
    """
    import numpy as np

    earlier = graph.ancestors
    later = earlier.T
    bytes_around = np.zeros(len(graph.operators), dtype=np.int64)
    for storage in graph.created:
        found = graph.storages[storage]
        if found.size:
            assert found.creator is not None
            around = later[found.creator]
            if not found.kept:
                around = around & earlier[list(graph.users[storage])].any(axis=0)
            bytes_around += found.size * around
    at = int(bytes_around.argmax()) if len(bytes_around) else 0
    return (int(bytes_around[at]) if len(bytes_around) else 0), at


def flow_bound(graph: Graph, live: Sequence[int], bound: int, most: int = 400) -> int:
    """A higher bound than `bound`, by minimum cuts: so many bytes are live at an operator, whatever ran before it.

    Before operator v run its ancestors, none of its descendants, and any closed set of the others. Of all such sets the
    one with the fewest bytes live is a minimum cut. An order that is known has that many bytes live at v or more, so
    only operators at which it has more than `bound` can raise it.

    Args:
        graph: the step.
        live: bytes live at each operator, by index, in an order that is known.
        bound: a bound that is known.
        most: operators that are tried, those with the most bytes live first.

    Returns:
        The higher of `bound` and what was found, in bytes.
    """
    candidates = sorted((v for v in range(len(live)) if live[v] > bound), key=lambda v: (-live[v], v))
    for operator in candidates[:most]:
        if live[operator] > bound:
            bound = max(bound, least_live_at(graph, operator))
    return bound


def least_live_at(graph: Graph, operator: int) -> int:
    """The fewest bytes that can be live while an operator runs, over all sets of operators that can have run before."""
    import numpy as np
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_flow

    count = len(graph.operators)
    earlier, later = graph.ancestors[operator], graph.ancestors[:, operator]
    # Node 0 is the source: all that must have run. Node 1 is the sink: all that cannot have.
    node = np.arange(2, count + 2)
    node[earlier] = 0
    node[later] = 1
    unit = max(1, -(-sum(s.size for s in graph.storages) // 2**30))  # scipy's capacities have 32 bits
    infinite = 2**31 - 1
    edges: dict[tuple[int, int], int] = {}

    def edge(one: int, other: int, capacity: int) -> None:
        if one != other and one != 1 and other != 0:
            edges[one, other] = min(infinite, edges.get((one, other), 0) + capacity)

    for index, before in enumerate(graph.before):
        for one in before:
            edge(int(node[index]), int(node[one]), infinite)
    certain = 0
    for place, storage in enumerate(graph.created):
        found = graph.storages[storage]
        assert found.creator is not None
        users = {int(node[user]) for user in graph.users[storage]} - {0}
        if found.kept:
            users = {1}
        at = 0 if found.creator == operator else int(node[found.creator])
        if at == 1 or not users or not found.size:
            continue
        if at == 0 and 1 in users:
            certain += found.size
            continue
        aux = count + 2 + place
        edge(at, aux, found.size // unit)
        for user in users:
            edge(aux, user, infinite)
    if not edges:
        return certain
    rows, columns = zip(*edges, strict=True)
    size = count + 2 + len(graph.created)
    matrix = csr_array((np.array(list(edges.values()), dtype=np.int32), (rows, columns)), shape=(size, size))
    return certain + unit * int(maximum_flow(matrix, 0, 1).flow_value)
