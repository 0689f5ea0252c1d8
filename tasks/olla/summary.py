"""What holds over all planned graphs, and graphs and packings whose optimum is known beforehand."""

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Fraction, Index, config
from tasks.base.files import write_json
from tasks.base.measures import measures

if TYPE_CHECKING:
    from models.olla.graph import Graph

Row = dict[str, Any]


@config
class Summary:
    """`near` is how far a plan may be above the bound to count as proved, `placed` how far an arena above what lives.

    `chains` and `pieces` are the sizes of the planted graph and the planted packing.
    """

    near: Fraction = 0.01
    placed: Fraction = 0.001
    waste: Fraction = 0.03
    chains: Count = 12
    pieces: Count = 20
    seed: Index = 0


@measures(
    graphs="graphs that were planned",
    proved="share of graphs whose order is proved within 1 % of the best",
    exactly_proved="share of graphs whose order is proved within 0.1 % of the best",
    proved_by_cut="share of graphs proved within 1 % by ancestors and descendants alone",
    at_live_bound="share of graphs whose arena is within 0.1 % of the most bytes live at once",
    worse_than_rules="graphs whose plan is worse than some rule's, in order or in addresses",
    wasteful="share of graphs on whose PyTorch order the caching allocator wastes 3 % or more of what it reserves",
    unequal_tensors="tensors that differ in any bit from PyTorch's own step, over all real runs",
    worst_peak_error="largest error of a foretold peak of storages, over all real runs, as a share",
    mean_share="mean of a share over the graphs of a batch, by part",
    planted="1 where the planner finds the optimum that was put in, by what was planted",
    planted_pytorch="how far PyTorch's order, or placement in time, is above that optimum, as a share of it",
)
def summarise(*, planned: dict[str, Path], ran: dict[str, Path], config: Summary, out: Path) -> None:
    """Write metrics.json: counts and means over all planned graphs and real runs, and what became of planted optima."""
    rows = [row for folder in planned.values() for row in json.loads((folder / "metrics.json").read_text())]
    whole = [row for row in rows if "gap" in row]
    excess = [row["arena_excess"] for row in rows if row.get("placement") == "planned"]
    waste = [
        row["fragmented"]
        for row in rows
        if row.get("allocated") == "PyTorch's order" and row["definition"] == "peak of live to peak of reserved"
    ]
    runs = [row for folder in ran.values() for row in json.loads((folder / "metrics.json").read_text())]
    cuts = {row["graph"]: row["bound_mib"] for row in rows if row.get("bound") == "ancestors and descendants"}
    peaks = {row["graph"]: row["peak_mib"] for row in rows if row.get("order") == "planned"}
    found: list[Row] = [
        {
            "over": "all graphs",
            "graphs": len(whole),
            "proved": _share([row["gap"] <= config.near for row in whole]),
            "exactly_proved": _share([row["gap"] <= 0.001 for row in whole]),
            "proved_by_cut": _share([peaks[g] <= cuts[g] * (1 + config.near) for g in cuts]),
            "at_live_bound": _share([one <= config.placed for one in excess]),
            "worse_than_rules": sum(bool(row["above_rules"] or row["above_greedy"]) for row in whole),
            "wasteful": _share([one >= config.waste for one in waste]),
            "unequal_tensors": sum(row.get("unequal", 0) for row in runs),
            "worst_peak_error": max(abs(row["peak_error"]) for row in runs if "peak_error" in row),
        }
    ]
    found += _means(rows) + _planted(config)
    write_json(out / "metrics.json", found)


def _share(holds: list[bool]) -> float:
    return sum(holds) / len(holds)


def _means(rows: list[Row]) -> list[Row]:
    groups: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        label = row.get("part") or row.get("against") or row.get("allocated")
        for quantity in ("saved", "saved_of_created", "combined", "fragmented", "shuffled_saved", "forgetful"):
            if quantity in row:
                said = ", ".join(filter(None, [quantity.replace("_", " "), label, row.get("definition")]))
                groups.setdefault((said, row["batch"]), []).append(row[quantity])
    return [
        {"share": said, "at_batch": batch, "mean_share": sum(values) / len(values)}
        for (said, batch), values in sorted(groups.items())
    ]


def planted_graph(chains: int, seed: int) -> "tuple[Graph, int]":
    """Chains of an operator that makes much and one that makes little of it, and the peak of the best order.

    One chain after the other is best: the little ones that are kept, and one large one at a time. The largest first is
    no better than any other, for all large ones are alike. PyTorch's order makes all large ones first.
    """
    from models.olla.graph import Operator, Storage, connect

    draw = random.Random(seed)
    places = list(range(chains))
    draw.shuffle(places)
    large, little = 1000, 10
    operators = [Operator(f"open{c}", "made", creates=(c,)) for c in range(chains)]
    operators += [Operator(f"close{c}", "made", creates=(chains + k,), reads=(c,)) for k, c in enumerate(places)]
    storages = [Storage(large, c, name=f"large{c}") for c in range(chains)]
    storages += [Storage(little, chains + k, True, f"little{c}") for k, c in enumerate(places)]
    return connect(operators, storages), large + little * chains


def _planted(config: Summary) -> list[Row]:
    from models.olla.minimalloc import perfect
    from models.olla.placement import arena_of, best_placement, place_by
    from models.olla.planning import best_order

    graph, best = planted_graph(config.chains, config.seed)
    ordered = best_order(graph)
    blocks, capacity = perfect(config.pieces, config.seed)
    placed = best_placement(blocks)
    in_time = arena_of(blocks, place_by("first fit", blocks))
    return [
        {
            "put_in": "order",
            "planted": float(ordered.peak == best),
            "planted_pytorch": ordered.peaks["pytorch"] / best - 1,
        },
        {
            "put_in": "addresses",
            "planted": float(placed.arena == capacity),
            "planted_pytorch": in_time / capacity - 1,
        },
    ]
