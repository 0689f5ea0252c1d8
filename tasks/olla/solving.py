"""The paper's integer programs against the clock, each of their prunings, and steps below a limit on memory."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Fraction, Positive, config
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.olla.names import MIB, named

if TYPE_CHECKING:
    from models.olla.graph import Graph
    from models.olla.lifetime_ilp import Scheduled
    from models.olla.location_ilp import Located
    from models.olla.placement import Block

Row = dict[str, Any]
SECONDS = (0.5, 1, 2, 4, 8, 16, 32)
"""At which the course of a solve is noted."""


@config
class Solving:
    """Which planned graphs are given to the solvers, for how many seconds each program at most.

    `small` is the number of operators up to which programs without pruning are tried, too. `limits` are shares of the
    best peak for the step that must live below them.
    """

    graphs: tuple[str, ...]
    seconds: Positive = 20.0
    small: Count = 100
    limits: tuple[Fraction, ...] = (1.0, 0.9, 0.8, 0.7)


@measures(
    variables="variables of an integer program, by program",
    constraints="constraints of an integer program",
    build_seconds="seconds to build a program",
    solve_seconds="seconds that the solver took",
    solved_mib="MiB of the order's real peak, or of the arena, replayed, by program",
    solver_bound_mib="MiB of the solver's own bound, which holds for the program's time steps only",
    optimal="1 where the solver proved its program optimal to within its gap",
    above_plan="how far the program's order or arena is above the plan's, as a share of that",
    beats_plan="1 where a program found less than the plan",
    bound_error="how far the solver's bound is above the best known peak, where it is: then it is no bound of that",
    programs_beating="programs that found less than the plan, over all graphs",
    control_speedup="seconds of the programs of lifetimes over those with control edges, over all graphs",
    control_loss="how far orders with control edges are above the plan at most, as a share of it",
    course_mib="MiB of the program's objective after so many seconds",
    again_share="operations that are done again below a limit on memory, as a share of the step's",
    moved_share="bytes that are moved out and back below a limit on memory, as a share of those created",
)
def solve_programs(*, planned: dict[str, Path], config: Solving, out: Path) -> None:
    """Write metrics.json: every program on every chosen graph; see models/olla for the formulations."""
    from models.olla.graph import Graph

    rows: list[Row] = []
    for folder in planned.values():
        plan = json.loads((folder / "plan.json").read_text())
        if plan["graph"] in config.graphs:
            graph = Graph.from_json(json.loads((folder / "graph.json").read_text()))
            rows += _orders(graph, plan["order"], named(plan["graph"]).labels, config)
            rows += _addresses(graph, plan, named(plan["graph"]).labels, config)
    rows += [_together(rows), *_limited(config)]
    write_json(out / "metrics.json", rows)
    shown = ("graph", "program", "variables", "constraints", "solve_seconds", "optimal")
    spool.table("programs", [{name: row[name] for name in shown} for row in rows if "program" in row])


def _orders(graph: "Graph", order: Sequence[int], labels: Row, config: Solving) -> list[Row]:
    from models.olla.lifetime_ilp import Pruning, schedule
    from models.olla.simulator import replay
    from models.olla.step_ilp import schedule_by_steps

    how: Row = {"seconds": config.seconds}
    programs: dict[str, Callable[[], Scheduled]] = {
        "lifetimes": lambda: schedule(graph, **how),
        "lifetimes, from the plan": lambda: schedule(graph, start=order, **how),
        "lifetimes, all live variables": lambda: schedule(graph, Pruning(must_live=False), **how),
        "lifetimes, sparse steps": lambda: schedule(graph, Pruning(sparse=True), **how),
        "lifetimes, control edges": lambda: schedule(graph, Pruning(control=True), **how),
        "lifetimes, by CBC": lambda: schedule(graph, solver="CBC", **how),
        "done by": lambda: schedule_by_steps(graph, **how),
        "done by, a step an operator, from the plan": lambda: schedule_by_steps(graph, stretch=0, start=order, **how),
    }
    if len(graph.operators) <= config.small:
        programs["lifetimes, all steps"] = lambda: schedule(graph, Pruning(spans=False, must_live=False), **how)
    peak = replay(graph, order).peak
    rows: list[Row] = []
    for program, run in programs.items():
        began = time.perf_counter()
        found = run()
        took = time.perf_counter() - began
        row = labels | {"program": program} | _solved(found, took)
        if found.order:
            real = replay(graph, found.order).peak
            row |= {"solved_mib": real / MIB, "above_plan": real / peak - 1, "beats_plan": float(real < peak)}
            row["bound_error"] = max(0.0, found.bound / peak - 1)
        rows.append(row)
        rows += _course(found, f"{labels['graph']}, {program}")
    return rows


def _together(rows: Sequence[Row]) -> Row:
    """Over all graphs: whether a program is ever better than the plan, and what control edges bring and cost."""
    plain = sum(row["solve_seconds"] for row in rows if row.get("program") == "lifetimes")
    control = [row for row in rows if row.get("program") == "lifetimes, control edges"]
    return {
        "over": "all programs",
        "programs_beating": sum(row.get("beats_plan", 0.0) for row in rows),
        "control_speedup": plain / sum(row["solve_seconds"] for row in control),
        "control_loss": max((row["above_plan"] for row in control if "above_plan" in row), default=0.0),
    }


def _solved(found: "Scheduled | Located", took: float) -> Row:
    solved = found.solved
    row: Row = {
        "variables": solved.variables,
        "constraints": solved.constraints,
        "build_seconds": max(0.0, took - solved.seconds),
        "solve_seconds": solved.seconds,
        "optimal": float(solved.status == "optimal"),
    }
    if abs(found.bound) != float("inf"):
        row["solver_bound_mib"] = found.bound / MIB
    return row


def _course(found: "Scheduled", run: str) -> list[Row]:
    if not found.solved.course or not found.solved.objective:
        return []
    unit = found.modelled / found.solved.objective
    rows: list[Row] = []
    for second in SECONDS:
        known = [objective for at, objective in found.solved.course if at <= second]
        if known:
            rows.append({"run": run, "second": str(second), "course_mib": min(known) * unit / MIB})
    return rows


def _addresses(graph: "Graph", plan: Row, labels: Row, config: Solving) -> list[Row]:
    from models.olla.location_ilp import locate
    from models.olla.placement import arena_of, blocks_of, place_by

    blocks: list[Block] = blocks_of(graph, plan["order"])
    best = arena_of(blocks, {int(storage): address for storage, address in plan["addresses"].items()})
    start = place_by("greedy by size", blocks)
    how: Row = {"seconds": config.seconds}
    programs: dict[str, Callable[[], Located]] = {
        "addresses": lambda: locate(blocks, **how),
        "addresses, no pyramid": lambda: locate(blocks, use_pyramid=False, **how),
        "addresses, no pyramid, from greedy": lambda: locate(blocks, use_pyramid=False, start=start, **how),
    }
    if len(graph.operators) <= config.small:
        programs["addresses, all pairs"] = lambda: locate(blocks, use_pyramid=False, prune_pairs=False, **how)
        programs["addresses, by CBC"] = lambda: locate(blocks, solver="CBC", **how)
    rows: list[Row] = []
    for program, run in programs.items():
        began = time.perf_counter()
        found = run()
        row = labels | {"program": program} | _solved(found, time.perf_counter() - began)
        if found.addresses:
            arena = arena_of(blocks, found.addresses)
            row |= {"solved_mib": arena / MIB, "above_plan": arena / best - 1, "beats_plan": float(arena < best)}
        rows.append(row)
    return rows


def _limited(config: Solving) -> list[Row]:
    """A small perceptron's step below limits on its memory: what is computed again, what is moved."""
    from models.olla.budget_ilp import within
    from models.olla.planning import best_order
    from models.olla.simulator import replay_events

    graph = _ladder(5)
    peak = best_order(graph).peak
    total = sum(graph.storages[storage].size for storage in graph.created)
    rows: list[Row] = []
    for limit in config.limits:
        allowed = int(limit * peak)
        again = within(graph, allowed, extra_steps=4, seconds=config.seconds)
        spilled = within(graph, allowed, rematerialise=False, spill=True, seconds=config.seconds)
        row: Row = {"limit": f"{limit:.0%} of the best peak"}
        if again.events:
            assert replay_events(graph, again.events) <= allowed
            row |= {"again_share": again.operations_again / total}
        if spilled.events:
            assert replay_events(graph, spilled.events) <= allowed
            row |= {"moved_share": spilled.bytes_moved / total}
        rows.append(row)
    return rows


def _ladder(layers: int) -> "Graph":
    """Forward layers of which each one's result waits for its own backward operator, the last ones largest."""
    from models.olla.graph import of_edges

    sizes = [4 + layer for layer in range(layers)] + [2] * layers
    edges = [(layer, layer + 1) for layer in range(layers)]
    for layer in range(layers):
        back = layers + layer
        edges += [(layers - 1 - layer, back)] + ([(back - 1, back)] if layer else [])
    return of_edges(sizes, edges, kept=[2 * layers - 1])
