"""The plan of a traced step as people and programs are told it, and how it fits a limit."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError

if TYPE_CHECKING:
    from models.olla.graph import Graph
    from models.olla.planning import Plan
    from models.olla.trace import Traced

MOST_OPERATORS = 12_000
"""Beyond them no bound is computed (it needs a byte for each pair of operators), and the best rule is taken."""

UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def size_of(text: str) -> int:
    """Bytes of 4GB, 512MiB or 2000000.

    Raises:
        UserError: it is no size.
    """
    digits = text.strip().rstrip("BbKkMmGgTtIi ")
    unit = text.strip()[len(digits) :].strip().lower()
    try:
        found = int(float(digits) * UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        found = 0
    if found < 1:
        raise UserError(f"{text} is not a size, such as 4GB, 512MiB or 2000000.")
    return found


def spoken(size: float) -> str:
    """Bytes as people say them."""
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}"
    return f"{size:.0f} bytes"


@dataclass(frozen=True)
class Answer:
    """A plan with what it is made of; `certain` is false where no bound was computed."""

    graph: "Graph"
    plan: "Plan"
    certain: bool

    @property
    def now(self) -> int:
        return self.plan.pytorch_peak + self.plan.resident

    @property
    def planned(self) -> int:
        return self.plan.placed.arena + self.plan.resident

    @property
    def bound(self) -> int:
        return self.plan.ordered.bound + self.plan.resident


def answer(traced: "Traced") -> Answer:
    """The plan; for a graph too large for bounds the best rule's."""
    from models.olla.heuristics import RULES
    from models.olla.placement import Placed, arena_of, blocks_of, live_bound, place_by
    from models.olla.planning import Ordered, Plan, plan_graph
    from models.olla.simulator import replay

    graph = traced.graph
    if not graph.operators:
        raise UserError("The step has no operator that makes or overwrites a tensor: there is nothing to plan.")
    if len(graph.operators) <= MOST_OPERATORS:
        return Answer(graph, plan_graph(graph), True)
    orders = {name: rule(graph) for name, rule in RULES.items()}
    peaks = {name: replay(graph, order).peak for name, order in orders.items()}
    best = min(peaks, key=lambda name: peaks[name])
    blocks = blocks_of(graph, orders[best])
    rule = "greedy by size"
    addresses = place_by(rule, blocks)
    arena = arena_of(blocks, addresses)
    replay(graph, orders[best], addresses, align=64)
    ordered = Ordered(tuple(orders[best]), best, peaks[best], 0, 0, 0, peaks)
    placed = Placed(addresses, arena, rule, live_bound(blocks), {rule: arena})
    return Answer(graph, Plan(ordered, placed, peaks["pytorch"], graph.resident_bytes), False)


def limits(found: Answer, shown: int = 5) -> list[dict[str, Any]]:
    """The largest tensors that are live at the plan's peak: what limits it."""
    from models.olla.simulator import replay

    live = replay(found.graph, found.plan.ordered.order).at_peak
    ranked = sorted(live, key=lambda storage: -found.graph.storages[storage].size)[:shown]
    return [tensor(found.graph, storage) for storage in ranked]


def tensor(graph: "Graph", storage: int) -> dict[str, Any]:
    """A storage as people know it: the operator that makes it, its shape and the line that called it."""
    one = graph.storages[storage]
    operator = graph.operators[one.creator] if one.creator is not None else None
    return {
        "name": one.name,
        "operator": operator.target if operator else one.role,
        "shape": list(one.shape),
        "dtype": one.dtype,
        "bytes": one.size,
        "line": operator.line if operator and not operator.line.startswith("olla/") else "",  # one of the user's own
    }


def as_json(found: Answer, traced: "Traced") -> dict[str, Any]:
    """The plan as data: the order by the names of the traced module's nodes, and a place for each tensor."""
    from models.olla.placement import blocks_of

    order = found.plan.ordered.order
    places = found.plan.placed.addresses
    return {
        "checksum": traced.checksum,
        "pytorch_peak_bytes": found.plan.pytorch_peak,
        "planned_peak_bytes": found.plan.ordered.peak,
        "arena_bytes": found.plan.placed.arena,
        "bound_bytes": found.plan.ordered.bound if found.certain else None,
        "resident_bytes": found.plan.resident,
        "ordered_by": found.plan.ordered.rule,
        "placed_by": found.plan.placed.rule,
        "order": [found.graph.operators[v].node for v in order],
        "tensors": [
            tensor(found.graph, block.id) | {"address": places[block.id], "from": block.lower, "to": block.upper}
            for block in blocks_of(found.graph, order)
        ],
    }
