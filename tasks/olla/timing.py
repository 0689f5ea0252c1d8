"""How long a plan takes, and whether a step in the planned order takes longer than one in PyTorch's."""

import json
import os
import time
from pathlib import Path
from typing import Any

from models.config import Count, config
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.olla.names import named

Row = dict[str, Any]


@config
class Timing:
    """Graphs whose steps are timed in both orders, in turns; and a limit on how busy others may keep the machine."""

    graphs: tuple[str, ...]
    repetitions: Count = 12
    warm_up: Count = 2


@measures(
    plan_seconds="seconds to a plan, tracing apart, by graph",
    median_seconds="seconds to a plan, tracing apart: the median graph",
    worst_seconds="seconds to a plan, tracing apart: the slowest graph",
    step_seconds="median seconds of a step, by order",
    slowdown="how much longer a step takes in the planned order than in PyTorch's, turn by turn",
    others="processor cores that other processes kept busy meanwhile",
)
def time_plans(*, planned: dict[str, Path], config: Timing, out: Path) -> None:
    """Write metrics.json: seconds to a plan for every graph, and of steps in both orders, in turns."""
    from models.olla.graph import Graph
    from models.olla.planning import plan_graph

    rows: list[Row] = []
    for folder in planned.values():
        graph = Graph.from_json(json.loads((folder / "graph.json").read_text()))
        began = time.perf_counter()
        plan_graph(graph)
        name = json.loads((folder / "plan.json").read_text())["graph"]
        rows.append(named(name).labels | {"plan_seconds": time.perf_counter() - began})
    taken = sorted(row["plan_seconds"] for row in rows)
    rows.append({"over": "all graphs", "median_seconds": taken[len(taken) // 2], "worst_seconds": taken[-1]})
    rows += _steps(config)
    write_json(out / "metrics.json", rows)


def _steps(config: Timing) -> list[Row]:
    cores = len(os.sched_getaffinity(0))
    before, began = _busy_seconds(), time.perf_counter()
    own = time.process_time()
    by_graph = {graph: _in_turns(graph, config) for graph in config.graphs}
    took = time.perf_counter() - began
    others = max(0.0, (_busy_seconds() - before - (time.process_time() - own)) / took)
    # A core for us must be free, or the clock shows the scheduler.
    blocked: Row = {"unavailable": f"others kept {others:.1f} of {cores} cores busy"} if others > cores - 1 else {}
    rows: list[Row] = []
    for turn in range(config.repetitions):
        ratios = [planned[turn] / pytorch[turn] for pytorch, planned in by_graph.values()]
        mean = sum(ratios) / len(ratios)
        rows.append({"arm": "planned order", "turn": turn, "slowdown": mean - 1, "others": others} | blocked)
    for graph, (pytorch, planned) in by_graph.items():
        for order, seconds in (("PyTorch's", pytorch), ("planned", planned)):
            middle = sorted(seconds)[len(seconds) // 2]
            rows.append(named(graph).labels | {"in_order": order, "step_seconds": middle})
    return rows


def _in_turns(graph: str, config: Timing) -> tuple[list[float], list[float]]:
    """Seconds of a step in PyTorch's order and in the planned one, which take turns at being first."""
    import torch

    from models.olla.planning import best_order
    from models.olla.run import reordered
    from models.olla.trace import trace
    from models.olla.zoo import training_of

    name = named(graph)
    torch.manual_seed(0)
    made = training_of(name.network, name.batch, name.optimizer, name.size)  # type: ignore[arg-type]
    traced = trace(made.step, made.inputs, made.roles)
    steps = (traced.module, reordered(traced, best_order(traced.graph).order))
    found: tuple[list[float], list[float]] = ([], [])
    for turn in range(config.warm_up + config.repetitions):
        for which in (0, 1) if turn % 2 else (1, 0):
            own = [one.clone() for one in made.inputs]
            began = time.perf_counter()
            steps[which](*own)
            if turn >= config.warm_up:
                found[which].append(time.perf_counter() - began)
    return found


def _busy_seconds() -> float:
    """Seconds that the machine's cores have worked since it started (user, nice, system)."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:4]
    return sum(map(int, fields)) / os.sysconf("SC_CLK_TCK")
