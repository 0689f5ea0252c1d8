"""A step in parts: where one operator must follow all that precede it, what is before and after is planned apart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from models.olla.graph import Graph, Operator


@dataclass(frozen=True)
class Part:
    """A stretch of a step as a graph of its own, and its operators' places in the whole.

    The part's operator 0 stands for all that ran before: it creates what that left live.
    """

    graph: Graph
    operators: tuple[int, ...]


def cut_points(graph: Graph) -> list[int]:
    """Operators that are before or after every other one, in order."""
    known = graph.ancestors.sum(axis=0) + graph.ancestors.sum(axis=1)
    return [int(v) for v in range(len(graph.operators)) if known[v] == len(graph.operators) + 1]


def parts(graph: Graph) -> list[Part]:
    """The stretches between cut points, each with the cut point at its end."""
    found: list[Part] = []
    taken: set[int] = set()
    for cut in [*cut_points(graph), None]:
        if cut is None:
            own = [v for v in range(len(graph.operators)) if v not in taken]
        else:
            own = [v for v in range(len(graph.operators)) if v not in taken and graph.ancestors[cut, v]]
        if own:
            found.append(_part(graph, own, taken))
            taken.update(own)
    return found


def order_in_parts(graph: Graph, planner: Callable[[Graph], Sequence[int]]) -> list[int]:
    """An order of all operators, planned part by part; its peak is the highest of the parts'."""
    order: list[int] = []
    for part in parts(graph):
        order += [part.operators[v - 1] for v in planner(part.graph) if v]
    return order


def _part(graph: Graph, own: Sequence[int], before: set[int]) -> Part:
    place = {v: index for index, v in enumerate(own, 1)}
    inside = set(own)
    storages, arriving = [], []
    for s, storage in enumerate(graph.storages):
        users = graph.users[s]
        later = storage.kept or any(user not in inside and user not in before for user in users)
        if storage.creator is None:
            storages.append(storage)
        elif storage.creator in inside:
            storages.append(replace(storage, creator=place[storage.creator], kept=later))
        elif storage.creator in before and (later or inside.intersection(users)):
            storages.append(replace(storage, creator=0, kept=later))
            arriving.append(s)
        else:
            storages.append(replace(storage, creator=None, size=0, kept=False))
    first = Operator("before", "before", creates=tuple(arriving))
    operators = (first, *(graph.operators[v] for v in own))
    edges = [tuple(sorted({0, *(place[u] for u in graph.before[v] if u in inside)})) for v in own]
    return Part(Graph(operators, tuple(storages), ((), *edges)), tuple(own))
