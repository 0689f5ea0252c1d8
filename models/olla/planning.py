"""The plan of a step: the best order of all that were tried, the best addresses for it, and what is proved of both."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.olla.bounds import cut_bound, flow_bound
from models.olla.graph import Graph
from models.olla.heuristics import RULES
from models.olla.placement import Placed, best_placement, blocks_of
from models.olla.search import beam
from models.olla.simulator import Replayed, replay

WIDTHS = (1, 4, 16, 64)
"""Of the beam, one after the other until the bound is met."""

WIDE = 1500
"""Operators above which the widest beam is not tried."""

NEAR = 0.001
"""The search for an order ends at so much above the bound, as a share of it."""


@dataclass(frozen=True)
class Ordered:
    """The best order, the rule or search that found it, its peak in bytes, and the bounds on every order.

    `peaks` has the peak of each that was tried. `cut` is the bound by ancestors and descendants alone; `bound` may be
    higher, by minimum cuts. `limits` is the operator at which the cut is highest.
    """

    order: tuple[int, ...]
    rule: str
    peak: int
    cut: int
    bound: int
    limits: int
    peaks: dict[str, int]

    @property
    def gap(self) -> float:
        """How far the peak may be above the best one, as a share of the bound."""
        return self.peak / self.bound - 1 if self.bound else 0.0


def best_order(graph: Graph, widths: Sequence[int] = WIDTHS) -> Ordered:
    """The order with the lowest peak; with equal ones, the one that stands first in `RULES`."""
    cut, limits = cut_bound(graph)
    bound = cut
    orders = {name: rule(graph) for name, rule in RULES.items()}
    peaks = {name: _peak(graph, order).peak for name, order in orders.items()}
    best = min(peaks, key=lambda name: peaks[name])
    for width in widths:
        if peaks[best] <= bound * (1 + NEAR) or (width > 16 and len(graph.operators) > WIDE):
            break
        found = beam(graph, width, bound, below=peaks[best])
        if found is not None:
            name = f"beam of {width}"
            orders[name], peaks[name] = found, _peak(graph, found).peak
            best = name if peaks[name] < peaks[best] else best
        if bound == cut:  # once an order is known that is worth its while
            seen = _peak(graph, orders[best]).live
            live = [0] * len(seen)
            for place, operator in enumerate(orders[best]):
                live[operator] = seen[place]
            bound = flow_bound(graph, live, cut)
    return Ordered(tuple(orders[best]), best, peaks[best], cut, bound, limits, peaks)


def _peak(graph: Graph, order: Sequence[int]) -> Replayed:
    return replay(graph, order)


@dataclass(frozen=True)
class Plan:
    """An order with addresses, and what PyTorch's order needs; all in bytes of what the step creates."""

    ordered: Ordered
    placed: Placed
    pytorch_peak: int
    resident: int

    @property
    def saving(self) -> float:
        """The share of all bytes, weights, state and inputs with them, that the plan does not need."""
        return 1 - (self.placed.arena + self.resident) / (self.pytorch_peak + self.resident)


def plan_graph(graph: Graph, exact: bool = True) -> Plan:
    """Order and addresses of a step, replayed by the simulator before they are given out.

    Args:
        graph: the step.
        exact: whether CP-SAT may be asked where no rule places at the bound.
    """
    ordered = best_order(graph)
    placed = best_placement(blocks_of(graph, ordered.order), exact)
    replay(graph, ordered.order, placed.addresses, align=64)
    return Plan(ordered, placed, ordered.peaks["pytorch"], graph.resident_bytes)
