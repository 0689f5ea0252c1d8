"""Orders by rules of thumb, on the same graph: PyTorch's own, early updates, and inductor's three rules, written anew.

Inductor's are in torch/_inductor/memory.py (pull request 134874, which cites the paper).
"""

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from models.olla.graph import Graph
from models.olla.search import Deltas, start

Rule = Callable[[Graph], list[int]]


def pytorch(graph: Graph) -> list[int]:
    """The order in which PyTorch runs the step."""
    return list(range(len(graph.operators)))


def update_operators(graph: Graph) -> set[int]:
    """The optimiser's operators: those from the first that overwrites a weight or its state on."""
    updated = {index for index, storage in enumerate(graph.storages) if storage.role in ("weight", "state")}
    writing = (index for index, operator in enumerate(graph.operators) if updated.intersection(operator.writes))
    first = next(writing, len(graph.operators))
    return set(range(first, len(graph.operators)))


def early_update(graph: Graph) -> list[int]:
    """PyTorch's order, but each weight is updated as soon as its gradient is there.

    This is what deep-learning frameworks do with a hook on each gradient, and needs no solver.
    """
    updates = update_operators(graph)
    return _by_priority(graph, lambda operator: (operator not in updates, operator))


def breadth_first(graph: Graph) -> list[int]:
    """Operators in the order in which they become ready."""
    order: list[int] = []
    waits = [len(earlier) for earlier in graph.before]
    queue = [operator for operator, count in enumerate(waits) if not count]
    for operator in queue:
        order.append(operator)
        for later in graph.after[operator]:
            waits[later] -= 1
            if not waits[later]:
                queue.append(later)
    return order


def depth_first(graph: Graph) -> list[int]:
    """From each last operator back: the predecessor with the largest result first, each before what needs it."""
    made = Deltas(graph).creates
    order: list[int] = []
    done = [False] * len(graph.operators)
    roots = [operator for operator in range(len(graph.operators)) if not graph.after[operator]]
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        operator, open_again = stack.pop()
        if done[operator]:
            continue
        if open_again:
            done[operator] = True
            order.append(operator)
            continue
        stack.append((operator, True))
        ranked = sorted(graph.before[operator], key=lambda one: (made[one], -one))
        stack += [(one, False) for one in ranked if not done[one]]
    return order


def least_peak_first(graph: Graph) -> list[int]:
    """Always the ready operator that raises the peak least, then the one that leaves least live (LPMF)."""
    deltas = Deltas(graph)
    keys = [0] * len(graph.operators)
    state = start(deltas, 0)
    order = []
    while state.ready:
        rated = []
        for operator in state.ready:
            high = state.live + deltas.creates[operator]
            rated.append((max(high, state.peak), high - state.frees[operator], operator))
        order.append(min(rated)[2])
        state.run(order[-1], deltas, keys)
    return order


def least_delta_first(graph: Graph) -> list[int]:
    """Always the ready operator after which the fewest bytes are live, whatever it needs in between."""
    deltas = Deltas(graph)
    keys = [0] * len(graph.operators)
    state = start(deltas, 0)
    order = []
    while state.ready:
        rated = [(deltas.creates[one] - state.frees[one], one) for one in state.ready]
        order.append(min(rated)[1])
        state.run(order[-1], deltas, keys)
    return order


def late_copies(graph: Graph, order: Sequence[int]) -> list[int]:
    """The order with every copy moved to just before its first reader.

    On a graph that has forgotten its overwrites (see `connect`) this moves copies past what they protect.
    """
    copies = {v for v in order if graph.operators[v].target.startswith("aten.clone")}
    waiting = {v: set(graph.after[v]) for v in copies}
    moved: list[int] = []

    def run(v: int) -> None:
        for copy in sorted(waiting):
            if copy in waiting and v in waiting[copy]:
                del waiting[copy]
                run(copy)
        moved.append(v)

    for v in order:
        if v not in copies:
            run(v)
    return moved + sorted(waiting)


def _by_priority(graph: Graph, key: Callable[[int], Any]) -> list[int]:
    waits = [len(earlier) for earlier in graph.before]
    ready = [(key(operator), operator) for operator, count in enumerate(waits) if not count]
    heapify(ready)
    order = []
    while ready:
        _, operator = heappop(ready)
        order.append(operator)
        for later in graph.after[operator]:
            waits[later] -= 1
            if not waits[later]:
                heappush(ready, (key(later), later))
    return order


RULES: dict[str, Rule] = {
    "pytorch": pytorch,
    "early update": early_update,
    "least peak first": least_peak_first,
    "least delta first": least_delta_first,
    "breadth first": breadth_first,
    "depth first": depth_first,
}
"""By the names under which the paper's tables show them."""
