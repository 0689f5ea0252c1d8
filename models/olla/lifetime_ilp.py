"""The order of operators as an integer program, in the paper's formulation (sections 3.2 to 3.4 and 4).

For each storage e and time step t, C[e, t] says that it is created at t and P[e, t] that it is kept from before; with
spilling R[e, t] says that it is fetched back. Several operators may share a time step and the memory of a step counts
all of their storages, so with fewer steps than operators neither the optimum nor the bound is that of the real peak.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import ceil, gcd

import pulp

from models.olla.graph import Graph
from models.olla.solvers import Solved, Solver, solve


@dataclass(frozen=True)
class Pruning:
    """What keeps the program small (section 4).

    `spans`: variables only between the earliest and the latest step; `must_live`: what certainly lives is no variable;
    `sparse`: steps in which nothing can change are left out; `control`: weights are updated early and empty tensors are
    made late by added edges, which can cost optimality. `stretch` is the number of steps over the longest path (1.01 in
    the released code); 0 gives every operator a step of its own: only then is a proved optimum one of the real peak.
    """

    spans: bool = True
    must_live: bool = True
    sparse: bool = False
    control: bool = False
    stretch: float = 1.01


@dataclass(frozen=True)
class Scheduled:
    """An order from an integer program.

    `modelled` is the program's own peak in bytes, at which several operators of a step count together; `exact` says
    whether each operator had a step of its own, so that `bound` holds for every order.
    """

    order: tuple[int, ...]
    modelled: float
    bound: float
    exact: bool
    solved: Solved


@dataclass(frozen=True)
class Times:
    """The steps that there are, and the earliest and latest for each operator; the first step is 0."""

    horizon: int
    earliest: tuple[int, ...]
    latest: tuple[int, ...]


def times_of(graph: Graph, stretch: float, spans: bool = True) -> Times:
    """Earliest and latest steps from the longest paths; with `spans=False` every operator may run at any step."""
    count = len(graph.operators)
    early, tail = [0] * count, [0] * count
    for v in range(count):
        early[v] = max((early[u] + 1 for u in graph.before[v]), default=0)
    for v in reversed(range(count)):
        tail[v] = max((tail[u] + 1 for u in graph.after[v]), default=0)
    longest = max(early, default=-1) + 1
    horizon = count if not stretch else min(ceil(stretch * longest), count)
    if not spans:
        return Times(horizon, (0,) * count, (horizon - 1,) * count)
    if stretch == 0:  # one operator a step: all ancestors come before, all descendants after
        before, after = graph.ancestors.sum(axis=1), graph.ancestors.sum(axis=0)
        early = [int(one) - 1 for one in before]
        tail = [int(one) - 1 for one in after]
    return Times(horizon, tuple(early), tuple(horizon - 1 - t for t in tail))


def with_control_edges(graph: Graph) -> Graph:
    """The graph with the paper's control edges, anew from its description: updates early, empty tensors late.

    An operator that only overwrites a weight or its state must run before whatever follows, in PyTorch's order, the
    next operator of the backward pass that becomes possible with it. The anchor is the first later operator on the
    longest chain that does not need the update.
    """
    levels = times_of(graph, 1.0)
    before = [set(earlier) for earlier in graph.before]
    resident = {index for index, storage in enumerate(graph.storages) if storage.creator is None}
    reach = graph.ancestors
    for v, operator in enumerate(graph.operators):
        if operator.creates or not resident.intersection(operator.writes) or graph.after[v]:
            continue
        later = [
            u
            for u in range(len(graph.operators))
            if levels.earliest[u] > levels.earliest[v] and graph.after[u] and not reach[v, u] and not reach[u, v]
        ]
        if later:
            anchor = min(later, key=lambda u: (levels.latest[u], levels.earliest[u], u))
            if not _reaches(before, v, anchor):
                before[anchor].add(v)
    return Graph(graph.operators, graph.storages, tuple(tuple(sorted(one)) for one in before))


def _reaches(before: Sequence[set[int]], source: int, sink: int) -> bool:
    """Whether `source` already has to come after `sink`."""
    pending, seen = [source], {source}
    while pending:
        for one in before[pending.pop()]:
            if one == sink:
                return True
            if one not in seen:
                seen.add(one)
                pending.append(one)
    return False


class _Model:
    """Variables and constraints of the paper's formulation, built step by step."""

    def __init__(self, graph: Graph, pruning: Pruning) -> None:
        self.graph = with_control_edges(graph) if pruning.control else graph
        self.times = _topological_times(self.graph, pruning)
        self.pruning = pruning
        self.planned = [s for s in graph.created]
        sizes = [graph.storages[s].size for s in self.planned if graph.storages[s].size]
        self.unit = reduce(gcd, sizes, 0) or 1
        self.model = pulp.LpProblem("lifetimes", pulp.LpMinimize)
        self.runs: dict[tuple[int, int], pulp.LpVariable] = {}
        self.keeps: dict[tuple[int, int], pulp.LpVariable | int] = {}
        self.peak = pulp.LpVariable("peak", lowBound=0)

    def build(self) -> pulp.LpProblem:
        self.model += self.peak
        self._operators()
        self._storages()
        self._memory()
        return self.model

    def _operators(self) -> None:
        """Each operator runs at one step of its span (3); outputs of one operator are created together (5)."""
        for v in range(len(self.graph.operators)):
            for t in range(self.times.earliest[v], self.times.latest[v] + 1):
                self.runs[v, t] = pulp.LpVariable(f"C_{v}_{t}", cat="Binary")
            self.model += pulp.lpSum(self._at(v)) == 1
        if not self.pruning.stretch:
            for t in range(self.times.horizon):
                self.model += pulp.lpSum(self._run(v, t) for v in range(len(self.graph.operators))) <= 1

    def _at(self, v: int) -> list[pulp.LpVariable]:
        return [self.runs[v, t] for t in range(self.times.earliest[v], self.times.latest[v] + 1)]

    def _run(self, v: int, t: int) -> "pulp.LpVariable | int":
        return self.runs.get((v, t), 0)

    def _storages(self) -> None:
        """A storage is kept only if it was there (1), not created then too (2), and its users find it (4, 7, 8)."""
        for s in self.planned:
            storage = self.graph.storages[s]
            creator = storage.creator
            assert creator is not None
            users = [u for u in self.graph.users[s] if u != creator]
            first = self.times.earliest[creator] + 1
            last = self.times.horizon if storage.kept else max((self.times.latest[u] for u in users), default=-1) + 1
            must_from = self.times.latest[creator] + 1
            must_to = (
                self.times.horizon - 1 if storage.kept else max((self.times.earliest[u] for u in users), default=-1)
            )
            steps = range(first, last)
            for t in steps:
                certain = self.pruning.must_live and must_from <= t <= must_to
                if certain:
                    self.keeps[s, t] = 1
                elif self._nothing_changes(creator, users, t) and (s, t - 1) in self.keeps:
                    self.keeps[s, t] = self.keeps[s, t - 1]
                else:
                    self.keeps[s, t] = pulp.LpVariable(f"P_{s}_{t}", cat="Binary")
            for t in steps:
                now, before = self.keeps[s, t], self.keeps.get((s, t - 1), 0)
                if not isinstance(now, int):
                    self.model += now <= before + self._run(creator, t - 1)
                    if (creator, t) in self.runs:
                        self.model += now + self.runs[creator, t] <= 1
                elif before != 1:
                    self.model += before + self._run(creator, t - 1) >= 1
            for u in users:
                for t in range(self.times.earliest[u], self.times.latest[u] + 1):
                    kept = self.keeps.get((s, t), 0)
                    if kept != 1:
                        self.model += self.runs[u, t] <= kept
            if storage.kept:
                last_step = self.times.horizon - 1
                end = self.keeps.get((s, last_step), 0) + self._run(creator, last_step)
                if not isinstance(end, int):
                    self.model += end >= 1
        for v, earlier in enumerate(self.graph.before):
            for u in earlier:
                self._precedes(u, v)

    def _nothing_changes(self, creator: int, users: Sequence[int], t: int) -> bool:
        """Whether neither the creator nor a user can have run at the step before, or can run at t."""
        if not self.pruning.sparse:
            return False
        spans = [(self.times.earliest[u], self.times.latest[u] + 1) for u in users]
        spans.append((self.times.earliest[creator], self.times.latest[creator] + 1))
        return not any(low <= t <= high for low, high in spans)

    def _precedes(self, u: int, v: int) -> None:
        """A control edge, or one between an overwrite and a read: v runs at a later step than u."""
        if self.times.latest[u] < self.times.earliest[v]:
            return
        shared = any(self.graph.storages[s].creator == u for s in self.graph.operators[v].touches)
        if shared:
            return  # its storage says so
        for t in range(self.times.earliest[v], min(self.times.latest[v], self.times.latest[u]) + 1):
            done = pulp.lpSum(self._run(u, before) for before in range(self.times.earliest[u], t))
            self.model += self.runs[v, t] <= done

    def _memory(self) -> None:
        """The peak is above the bytes of every step, in units of the sizes' greatest common divisor."""
        terms: dict[int, list[pulp.LpAffineExpression]] = {}
        for s in self.planned:
            size, creator = self.graph.storages[s].size // self.unit, self.graph.storages[s].creator
            assert creator is not None
            if size:
                for t in range(self.times.earliest[creator], self.times.latest[creator] + 1):
                    terms.setdefault(t, []).append(size * self.runs[creator, t])
        for (s, t), kept in self.keeps.items():
            size = self.graph.storages[s].size // self.unit
            if size:
                terms.setdefault(t, []).append(size * kept)
        for found in terms.values():
            self.model += self.peak >= pulp.lpSum(found)

    def start_from(self, order: Sequence[int]) -> dict[str, float] | None:
        """Values of all variables for an order; none where the order does not fit into the steps."""
        step = steps_for(order, self.graph, self.times, one_each=not self.pruning.stretch)
        if step is None:
            return None
        values = {f"C_{v}_{t}": float(step[v] == t) for v, t in self.runs}
        live: dict[int, int] = {}
        for s in self.planned:
            storage = self.graph.storages[s]
            assert storage.creator is not None
            end = self.times.horizon - 1 if storage.kept else max(step[u] for u in self.graph.users[s])
            for t in range(step[storage.creator], end + 1):
                live[t] = live.get(t, 0) + storage.size // self.unit
            for t in range(self.times.earliest[storage.creator], self.times.horizon):
                kept = self.keeps.get((s, t))
                if isinstance(kept, pulp.LpVariable):
                    values.setdefault(kept.name, float(step[storage.creator] < t <= end))
        return values | {"peak": float(max(live.values(), default=0))}


def _topological_times(graph: Graph, pruning: Pruning) -> Times:
    if not pruning.control:
        return times_of(graph, pruning.stretch, pruning.spans)
    order = sorted(range(len(graph.operators)), key=lambda v: int(_depths(graph)[v]))
    place = {v: index for index, v in enumerate(order)}
    moved = Graph(
        tuple(graph.operators[v] for v in order),
        graph.storages,
        tuple(tuple(sorted(place[u] for u in graph.before[v])) for v in order),
    )
    found = times_of(moved, pruning.stretch, pruning.spans)
    early = tuple(found.earliest[place[v]] for v in range(len(order)))
    return Times(found.horizon, early, tuple(found.latest[place[v]] for v in range(len(order))))


def _depths(graph: Graph) -> list[int]:
    """The longest path to each operator; the operators need not stand in a legal order."""
    waits, depth = [len(one) for one in graph.before], [0] * len(graph.operators)
    ready = [v for v, count in enumerate(waits) if not count]
    for v in ready:
        for u in graph.after[v]:
            depth[u] = max(depth[u], depth[v] + 1)
            waits[u] -= 1
            if not waits[u]:
                ready.append(u)
    return depth


def steps_for(order: Sequence[int], graph: Graph, times: Times, one_each: bool) -> list[int] | None:
    """A step for each operator: each at its own place, or as late as the operators behind it in the order allow."""
    if one_each:
        step = [0] * len(order)
        for place, v in enumerate(order):
            step[v] = place
        return step
    step = [0] * len(order)
    # Squeezed: operators keep their order, and as many share a step as must.
    share = times.horizon / len(order)
    for place, v in enumerate(order):
        wanted = int(place * share)
        after = max((step[u] + 1 for u in graph.before[v]), default=0)
        step[v] = min(max(wanted, after, times.earliest[v]), times.latest[v])
        if step[v] < after:
            return None
    return step


def schedule(
    graph: Graph,
    pruning: Pruning = Pruning(),
    solver: Solver = "HiGHS",
    seconds: float = 60.0,
    gap: float = 0.005,
    start: Sequence[int] | None = None,
) -> Scheduled:
    """An order by the paper's program.

    Args:
        graph: the step.
        pruning: what keeps the program small.
        solver, seconds, gap: see `solve`; the paper used a gap of 0.5 %.
        start: an order from which the solver starts.
    """
    made = _Model(graph, pruning)
    model = made.build()
    solved = solve(model, solver, seconds, gap, made.start_from(start) if start is not None else None)
    order: tuple[int, ...] = ()
    if solved.values:
        step = {v: t for (v, t) in made.runs if solved.values[f"C_{v}_{t}"] > 0.5}
        depth = _depths(made.graph)
        order = tuple(sorted(step, key=lambda v: (step[v], depth[v], v)))
    exact = not pruning.stretch and not pruning.control
    return Scheduled(order, solved.objective * made.unit, solved.bound * made.unit, exact, solved)
