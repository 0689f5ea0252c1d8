"""Order and addresses in one integer program, for graphs of a few operators (section 3.1, as first stated)."""

from dataclasses import dataclass
from itertools import combinations

import pulp

from models.olla.graph import Graph
from models.olla.solvers import Solved, Solver, solve


@dataclass(frozen=True)
class Joint:
    """An order with addresses, the arena in bytes, and the solver's bound on it."""

    order: tuple[int, ...]
    addresses: dict[int, int]
    arena: int
    bound: float
    solved: Solved


def plan_jointly(graph: Graph, solver: Solver = "HiGHS", seconds: float = 60.0) -> Joint:
    """The smallest arena over all orders and addresses, one operator a step; weights and state lie elsewhere."""
    count = len(graph.operators)
    planned = [s for s in graph.created if graph.storages[s].size]
    sizes = {s: graph.storages[s].size for s in planned}
    top = sum(sizes.values())
    model = pulp.LpProblem("joint", pulp.LpMinimize)
    arena = pulp.LpVariable("arena", 0, top)
    model += arena
    done = {(v, t): pulp.LpVariable(f"z_{v}_{t}", cat="Binary") for v in range(count) for t in range(count)}

    def by(v: int, t: int) -> "pulp.LpVariable | int":
        return done[v, t] if t >= 0 else 0

    for t in range(count):
        model += pulp.lpSum(done[v, t] for v in range(count)) == t + 1
        for v in range(count):
            model += pulp.lpSum([by(v, t - 1)]) <= done[v, t]
            for u in graph.before[v]:
                model += done[v, t] <= pulp.lpSum([by(u, t - 1)])
    live = {}
    for s in planned:
        storage = graph.storages[s]
        assert storage.creator is not None
        for t in range(count):
            live[s, t] = pulp.LpVariable(f"l_{s}_{t}", 0, 1)
            if storage.kept:
                model += live[s, t] >= done[storage.creator, t]
            for u in graph.users[s]:
                model += live[s, t] >= done[storage.creator, t] - by(u, t - 1)
    places = {s: pulp.LpVariable(f"A_{s}", 0, top - sizes[s], cat="Integer") for s in planned}
    for s in planned:
        model += arena >= places[s] + sizes[s]
    for one, other in combinations(planned, 2):
        below, above = (pulp.LpVariable(f"{name}_{one}_{other}", cat="Binary") for name in "ab")
        model += below + above <= 1
        for t in range(count):
            model += below + above >= live[one, t] + live[other, t] - 1
        model += places[one] + sizes[one] - places[other] <= (1 - below) * top
        model += places[other] + sizes[other] - places[one] <= (1 - above) * top
    solved = solve(model, solver, seconds)
    if not solved.values:
        return Joint((), {}, 0, solved.bound, solved)
    ends = [next(t for t in range(count) if solved.values[f"z_{v}_{t}"] > 0.5) for v in range(count)]
    addresses = {s: round(solved.values[f"A_{s}"]) for s in planned}
    order = tuple(sorted(range(count), key=lambda v: ends[v]))
    return Joint(order, addresses, round(solved.objective), solved.bound, solved)
