"""A step under a limit on its memory: compute again, or spill to the host and fetch back (OLLA, sections 3.1 and 6).

The paper's formulation with its three kinds of variables: C runs an operator (more than once, with rematerialisation),
P keeps a storage from the step before, R fetches it back. Each has a price: operations that are done again, and twice
the bytes fetched (out and back). For small graphs: the program has no pruning.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulp

from models.olla.graph import Graph
from models.olla.simulator import Event
from models.olla.solvers import Solved, Solver, solve


@dataclass(frozen=True)
class Budgeted:
    """What runs, is fetched and is dropped, in order; the operations done again and the bytes moved."""

    events: tuple[Event, ...]
    operations_again: float
    bytes_moved: int
    solved: Solved


def within(
    graph: Graph,
    limit: int,
    rematerialise: bool = True,
    spill: bool = False,
    operations: Sequence[float] | None = None,
    price_of_byte: float = 1.0,
    extra_steps: int = 2,
    solver: Solver = "HiGHS",
    seconds: float = 60.0,
) -> Budgeted:
    """The cheapest course of a step that never has more than `limit` bytes live.

    Args:
        graph: the step.
        limit: bytes for what the step creates; weights and state are not counted.
        rematerialise: whether operators may run again.
        spill: whether storages may be dropped and fetched back from the host.
        operations: what running each operator costs; by default the bytes that it creates.
        price_of_byte: what moving a byte costs, in operations.
        extra_steps: steps beyond one for each operator, for those that run again.
        solver, seconds: see `solve`.
    """
    count = len(graph.operators)
    horizon = count + (extra_steps if rematerialise else 0)
    planned = [s for s in graph.created if graph.storages[s].size]
    sizes = {s: graph.storages[s].size for s in planned}
    cost = list(operations or [sum(graph.storages[s].size for s in o.creates) for o in graph.operators])
    creators = {s: graph.users[s][0] for s in planned}
    written = {s for o in graph.operators for s in o.writes}
    model = pulp.LpProblem("budget", pulp.LpMinimize)
    runs = {(v, t): pulp.LpVariable(f"C_{v}_{t}", cat="Binary") for v in range(count) for t in range(horizon)}
    keeps = {(s, t): pulp.LpVariable(f"P_{s}_{t}", cat="Binary") for s in planned for t in range(horizon)}
    fetches = {
        (s, t): pulp.LpVariable(f"R_{s}_{t}", cat="Binary") if spill and s not in written else 0
        for s in planned
        for t in range(horizon)
    }
    # What draws random numbers, or stands beside an overwrite, runs once and in its place.
    again = [
        v
        for v, o in enumerate(graph.operators)
        if rematerialise and not o.random and not o.writes and not written.intersection(o.touches)
    ]
    for v in range(count):
        total = pulp.lpSum(runs[v, t] for t in range(horizon))
        model += (total >= 1) if v in again else (total == 1)
    for t in range(horizon):
        model += pulp.lpSum(runs[v, t] for v in range(count)) <= 1
        for v, operator in enumerate(graph.operators):
            for s in operator.touches:
                if s in sizes and s not in operator.creates:
                    model += runs[v, t] <= keeps[s, t] + fetches[s, t]
            for u in graph.before[v]:
                model += runs[v, t] <= pulp.lpSum(runs[u, before] for before in range(t))
    for s in planned:
        creator = creators[s]
        for t in range(horizon):
            before = keeps[s, t - 1] + runs[creator, t - 1] + fetches[s, t - 1] if t else 0
            model += keeps[s, t] <= before
            model += keeps[s, t] + runs[creator, t] + fetches[s, t] <= 1
            if not isinstance(fetches[s, t], int):
                model += fetches[s, t] <= pulp.lpSum(runs[creator, earlier] for earlier in range(t))
        if graph.storages[s].kept:
            model += keeps[s, horizon - 1] + runs[creator, horizon - 1] + fetches[s, horizon - 1] == 1
    for t in range(horizon):
        model += pulp.lpSum(sizes[s] * (keeps[s, t] + runs[creators[s], t] + fetches[s, t]) for s in planned) <= limit
    done_again = pulp.lpSum(cost[v] * runs[v, t] for v in again for t in range(horizon)) - sum(cost[v] for v in again)
    moved = pulp.lpSum(2 * sizes[s] * fetches[s, t] for s in planned for t in range(horizon))
    model += done_again + price_of_byte * moved
    solved = solve(model, solver, seconds)
    if not solved.values:
        return Budgeted((), float("inf"), 0, solved)
    return _read(graph, planned, horizon, cost, solved)


def _read(graph: Graph, planned: Sequence[int], horizon: int, cost: Sequence[float], solved: Solved) -> Budgeted:
    """The events of a solution; a fetched storage counts once at each fetch."""

    def said(name: str) -> bool:
        return solved.values.get(name, 0.0) > 0.5

    events: list[Event] = []
    live: set[int] = set()
    again, moved, ran = 0.0, 0, set()
    for t in range(horizon):
        dropped = {s for s in live if not said(f"P_{s}_{t}")}
        events += [("drop", s) for s in sorted(dropped)]
        live -= dropped
        for s in planned:
            if said(f"R_{s}_{t}"):
                events.append(("fetch", s))
                live.add(s)
                moved += 2 * graph.storages[s].size
        for v in range(len(graph.operators)):
            if said(f"C_{v}_{t}"):
                events.append(("run", v))
                live.update(s for s in graph.operators[v].creates if graph.storages[s].size)
                again += cost[v] if v in ran else 0.0
                ran.add(v)
    return Budgeted(tuple(events), again, moved, solved)
