"""The order of operators as an integer program with one binary variable an operator and step: "done by t".

A storage is live at t when its creator is done by t and a user is not done by t - 1; that it is live need not be a
binary variable. About as many variables as the paper's formulation, and a tighter relaxation in the pilot.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from math import gcd

import pulp

from models.olla.graph import Graph
from models.olla.lifetime_ilp import Pruning, Scheduled, Times, steps_for, times_of
from models.olla.solvers import Solver, solve


class _Model:
    def __init__(self, graph: Graph, pruning: Pruning) -> None:
        self.graph = graph
        self.times: Times = times_of(graph, pruning.stretch, pruning.spans)
        self.one_each = not pruning.stretch
        self.unit = reduce(gcd, (graph.storages[s].size for s in graph.created), 0) or 1
        self.done: dict[tuple[int, int], pulp.LpVariable] = {}
        self.live: dict[tuple[int, int], pulp.LpVariable] = {}
        self.peak = pulp.LpVariable("peak", lowBound=0)

    def by(self, v: int, t: int) -> "pulp.LpVariable | int":
        """Whether operator v is done by the end of step t."""
        if t < self.times.earliest[v]:
            return 0
        return 1 if t >= self.times.latest[v] else self.done[v, t]

    def build(self) -> pulp.LpProblem:
        model = pulp.LpProblem("steps", pulp.LpMinimize)
        model += self.peak
        for v in range(len(self.graph.operators)):
            for t in range(self.times.earliest[v], self.times.latest[v]):
                self.done[v, t] = pulp.LpVariable(f"z_{v}_{t}", cat="Binary")
        for v, earlier in enumerate(self.graph.before):
            for t in range(self.times.earliest[v], self.times.latest[v]):
                _add(model, self.by(v, t - 1), self.by(v, t))
            for u in earlier:
                for t in range(self.times.earliest[v], self.times.latest[u] + 1):
                    _add(model, self.by(v, t), self.by(u, t - 1))
        if self.one_each:
            for t in range(self.times.horizon):
                model += pulp.lpSum(self.by(v, t) for v in range(len(self.graph.operators))) <= t + 1
        memory: dict[int, list[pulp.LpAffineExpression]] = {}
        for s in self.graph.created:
            storage, users = self.graph.storages[s], self.graph.users[s]
            size, creator = storage.size // self.unit, storage.creator
            assert creator is not None
            last = self.times.horizon if storage.kept else max(self.times.latest[u] for u in users) + 1
            for t in range(self.times.earliest[creator], last if size else 0):
                made = self.by(creator, t)
                certain = made == 1 and (storage.kept or any(t <= self.times.earliest[u] for u in users))
                if isinstance(made, int) and certain:
                    memory.setdefault(t, []).append(pulp.LpAffineExpression(constant=size))
                    continue
                live = self.live[s, t] = pulp.LpVariable(f"l_{s}_{t}", lowBound=0, upBound=1)
                for u in users if not storage.kept else ():
                    model += live >= made - self.by(u, t - 1)
                if storage.kept:
                    model += live >= made
                memory.setdefault(t, []).append(size * live)
        for found in memory.values():
            model += self.peak >= pulp.lpSum(found)
        return model

    def start_from(self, order: Sequence[int]) -> dict[str, float] | None:
        step = steps_for(order, self.graph, self.times, self.one_each)
        if step is None:
            return None
        values = {f"z_{v}_{t}": float(step[v] <= t) for v, t in self.done}
        bytes_at: dict[int, int] = {}
        for s in self.graph.created:
            storage = self.graph.storages[s]
            assert storage.creator is not None
            end = self.times.horizon - 1 if storage.kept else max(step[u] for u in self.graph.users[s])
            for t in range(step[storage.creator], end + 1):
                bytes_at[t] = bytes_at.get(t, 0) + storage.size // self.unit
                if (s, t) in self.live:
                    values[f"l_{s}_{t}"] = 1.0
        values |= {f"l_{s}_{t}": values.get(f"l_{s}_{t}", 0.0) for s, t in self.live}
        return values | {"peak": float(max(bytes_at.values(), default=0))}


def _add(model: pulp.LpProblem, low: "pulp.LpVariable | int", high: "pulp.LpVariable | int") -> None:
    """low <= high, where that says anything."""
    if low is high or (isinstance(low, int) and low == 0) or (isinstance(high, int) and high == 1):
        return
    model += pulp.lpSum([low]) <= pulp.lpSum([high])


def schedule_by_steps(
    graph: Graph,
    stretch: float = 1.01,
    solver: Solver = "HiGHS",
    seconds: float = 60.0,
    gap: float = 0.005,
    start: Sequence[int] | None = None,
) -> Scheduled:
    """An order by the step formulation; `stretch` and the others as for `lifetime_ilp.schedule`."""
    made = _Model(graph, Pruning(stretch=stretch))
    model = made.build()
    solved = solve(model, solver, seconds, gap, made.start_from(start) if start is not None else None)
    order: tuple[int, ...] = ()
    if solved.values:
        ends = [_first(made, v, solved.values) for v in range(len(graph.operators))]
        order = tuple(sorted(range(len(ends)), key=lambda v: (ends[v], v)))
    return Scheduled(order, solved.objective * made.unit, solved.bound * made.unit, made.one_each, solved)


def _first(made: _Model, v: int, values: Mapping[str, float]) -> int:
    low, high = made.times.earliest[v], made.times.latest[v]
    return next((t for t in range(low, high) if values[f"z_{v}_{t}"] > 0.5), high)
