"""Trace a network's training step, plan it, and account for what each part of the plan saves."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Index, config
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.olla.names import MIB, named

if TYPE_CHECKING:
    from models.olla.graph import Graph
    from models.olla.planning import Plan
    from models.olla.simulator import Replayed

Row = dict[str, Any]


@config
class Planning:
    """One graph of the zoo, such as `alexnet-32-sgd`; `moments` are the points of its curves of memory over time."""

    graph: str = "alexnet-1-sgd"
    moments: Count = 25
    seed: Index = 0


@measures(
    nodes="nodes of the traced module, views among them",
    operators="operators that create or overwrite a storage",
    weights_mib="MiB of weights",
    resident_mib="MiB of weights, buffers, optimiser state and inputs, there all the time",
    peak_mib="MiB live at the peak of what the step creates, by order",
    bound_mib="MiB below which no order's peak can be, by bound",
    gap="how far the planned order's peak may be above the best, as a share of the bound",
    above_rules="rules whose order has a lower peak than the plan",
    above_greedy="bytes by which the plan's arena is above that of greedy by size",
    saved="share of all bytes in use (resident ones too) that is saved against PyTorch's order, by part",
    saved_of_created="the same share of the bytes that the step creates alone",
    fragmented="share of reserved bytes that the caching allocator wastes on PyTorch's order, by definition",
    arena_mib="MiB of the arena, by rule of placement",
    arena_excess="how far the arena is above the most bytes live at once, as a share of them, by rule",
    combined="share of what PyTorch's order reserves in all that the plan does not need: order and addresses together",
    forgetful="share saved by an order that forgets what overwrites protect; it is illegal where it is refused",
    refused="1 where the simulator refuses that order",
    shuffled_saved="share saved by the order that was planned for the sizes shuffled",
    live_mib="MiB in use over the course of a step, resident ones with them",
)
def plan_network(*, config: Planning, out: Path) -> None:
    """Write graph.json, plan.json, metrics.json and examples.parquet (the shares that claims compare, one row).

    Bytes of kernels' own workspaces are in nothing here.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    from models.olla.planning import plan_graph
    from models.olla.simulator import replay
    from models.olla.trace import trace
    from models.olla.zoo import training_of

    name = named(config.graph)
    with FakeTensorMode():
        made = training_of(name.network, name.batch, name.optimizer, name.size)  # type: ignore[arg-type]
    traced = trace(made.step, made.inputs, made.roles)
    graph = traced.graph
    plan = plan_graph(graph)
    order = plan.ordered.order
    replayed = replay(graph, order)
    pytorch = replay(graph, range(len(graph.operators)))
    write_json(out / "graph.json", graph.to_json())
    write_json(
        out / "plan.json",
        {
            "graph": config.graph,
            "checksum": traced.checksum,
            "order": list(order),
            "addresses": {str(storage): address for storage, address in plan.placed.addresses.items()},
            "rule": plan.ordered.rule,
            "placed_by": plan.placed.rule,
            "limited_by": graph.operators[plan.ordered.limits].node,
        },
    )
    main = name.labels | {
        "checksum": traced.checksum,
        "nodes": len(traced.module.graph.nodes),
        "operators": len(graph.operators),
        "weights_mib": graph.bytes_of("weight") / MIB,
        "resident_mib": graph.resident_bytes / MIB,
        "gap": plan.ordered.gap,
        "above_rules": sum(peak < plan.ordered.peak for peak in plan.ordered.peaks.values()),
        "above_greedy": max(0, plan.placed.arena - plan.placed.arenas["greedy by size"]),
    }
    rows = [main, *_orders(plan, name.labels), *_placements(plan, name.labels)]
    rows += _parts(graph, plan, name.labels) + _reserved(graph, plan, name.labels)
    rows += [_forgetful(graph, pytorch, name.labels), _shuffled(graph, pytorch, name.labels, config.seed)]
    rows += _curves(graph, {"PyTorch": pytorch, "planned": replayed}, config)
    write_json(out / "metrics.json", rows)
    _write_examples(rows, out)
    spool.metric("gap", plan.ordered.gap)
    spool.metric("arena_excess", plan.placed.arena / plan.placed.bound - 1)


def _orders(plan: "Plan", labels: Row) -> list[Row]:
    ordered = plan.ordered
    peaks = ordered.peaks | {"planned": ordered.peak}
    rows: list[Row] = [labels | {"order": rule, "peak_mib": peak / MIB} for rule, peak in peaks.items()]
    for bound, size in (("ancestors and descendants", ordered.cut), ("minimum cuts", ordered.bound)):
        rows.append(labels | {"bound": bound, "bound_mib": size / MIB})
    return rows


def _placements(plan: "Plan", labels: Row) -> list[Row]:
    placed = plan.placed
    arenas = placed.arenas | {"planned": placed.arena}
    return [
        labels | {"placement": rule, "arena_mib": arena / MIB, "arena_excess": arena / placed.bound - 1}
        for rule, arena in arenas.items()
    ]


def _parts(graph: "Graph", plan: "Plan", labels: Row) -> list[Row]:
    """What early updates save without any search, what the search adds to that, and both."""
    peaks, best = plan.ordered.peaks, plan.ordered.peak
    pytorch, early = peaks["pytorch"], min(peaks["early update"], peaks["pytorch"])
    rules = min(peak for rule, peak in peaks.items() if not rule.startswith("beam"))
    parts = {
        "early updates": pytorch - early,
        "search beyond early updates": early - best,
        "beam beyond all rules": rules - best,
        "order in all": pytorch - best,
    }
    total = pytorch + graph.resident_bytes
    return [
        labels | {"part": part, "saved": bytes_saved / total, "saved_of_created": bytes_saved / pytorch}
        for part, bytes_saved in parts.items()
    ]


def _reserved(graph: "Graph", plan: "Plan", labels: Row) -> list[Row]:
    """What the caching allocator would reserve for PyTorch's order and for the planned one, and what the plan needs."""
    from models.olla.caching_allocator import cached
    from models.olla.placement import blocks_of

    resident = [storage.size for storage in graph.storages if storage.creator is None]
    rows: list[Row] = []
    needs = plan.placed.arena + graph.resident_bytes
    for order, arm in ((range(len(graph.operators)), "PyTorch's order"), (plan.ordered.order, "planned order")):
        seen = cached(blocks_of(graph, order, align=1), resident)
        rows += [
            labels | {"allocated": arm, "definition": "at the peak of reserved bytes", "fragmented": seen.at_peak},
            labels
            | {"allocated": arm, "definition": "peak of live to peak of reserved", "fragmented": seen.peak_to_peak},
            labels | {"against": arm, "combined": 1 - needs / seen.reserved},
        ]
    return rows


def _forgetful(graph: "Graph", pytorch: "Replayed", labels: Row) -> Row:
    """What an order seems to save that forgets overwrites, with copies moved past what they protect."""
    from models.olla.bounds import cut_bound
    from models.olla.graph import connect
    from models.olla.heuristics import late_copies
    from models.olla.search import beam
    from models.olla.simulator import IllegalPlan, replay

    forgetful = connect(graph.operators, graph.storages, overwrites=False)
    searched = beam(forgetful, 16, cut_bound(forgetful)[0])
    assert searched is not None
    orders = (searched, late_copies(forgetful, searched), late_copies(forgetful, range(len(graph.operators))))
    peaks = [_live_peak(forgetful, order) for order in orders]
    at = peaks.index(min(peaks))
    refused = 0
    try:
        replay(graph, orders[at])
    except IllegalPlan:
        refused = 1
    saved = (pytorch.peak - peaks[at]) / (pytorch.peak + graph.resident_bytes)
    return labels | {"forgetful": saved, "refused": refused}


def _live_peak(graph: "Graph", order: Sequence[int]) -> int:
    """The peak of an order whose legality is not asked."""
    from models.olla.placement import blocks_of, live_bound

    return live_bound(blocks_of(graph, order, align=1))


def _shuffled(graph: "Graph", pytorch: "Replayed", labels: Row, seed: int) -> Row:
    """The order that is best when the sizes of what the step creates are shuffled, at the real sizes."""
    from models.olla.planning import best_order
    from models.olla.simulator import replay

    sizes = [graph.storages[storage].size for storage in graph.created]
    random.Random(seed).shuffle(sizes)
    by_storage = dict(zip(graph.created, sizes, strict=True))
    mixed = graph.with_sizes([by_storage.get(s, storage.size) for s, storage in enumerate(graph.storages)])
    peak = replay(graph, best_order(mixed, widths=(1, 4)).order).peak
    return labels | {"shuffled_saved": (pytorch.peak - peak) / (pytorch.peak + graph.resident_bytes)}


def _curves(graph: "Graph", replays: "dict[str, Replayed]", config: Planning) -> list[Row]:
    """Bytes live over a step: the most in each stretch of it, weights and state with them."""
    name = named(config.graph)
    shown = "curve" if name.optimizer == "sgd" else "course"  # Adam's look alike, and the table shows the curves
    rows: list[Row] = []
    for arm, seen in replays.items():
        count = len(seen.live)
        for moment in range(config.moments):
            low, high = moment * count // config.moments, max(1, (moment + 1) * count // config.moments)
            most = max(seen.live[min(low, count - 1) : high], default=seen.live[-1])
            percent = str(round(100 * (moment + 1) / config.moments))
            live = (most + graph.resident_bytes) / MIB
            rows.append({shown: f"{name.network} at batch {name.batch}, {arm}", "percent": percent, "live_mib": live})
    return rows


SHARES = ("saved", "saved_of_created", "combined", "fragmented", "shuffled_saved", "forgetful")


def _write_examples(rows: Sequence[Row], out: Path) -> None:
    """The rows that hold a share, for claims over networks."""
    import pyarrow
    import pyarrow.parquet

    kept = [row for row in rows if any(share in row for share in SHARES)]
    columns = sorted({name for row in kept for name in row} - {"refused"})
    table = {name: [row.get(name) for row in kept] for name in columns}
    pyarrow.parquet.write_table(pyarrow.table(table), out / "examples.parquet")
