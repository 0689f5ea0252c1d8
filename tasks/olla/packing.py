"""Planted packings in MiniMalloc's format, of which each method's time and excess are known."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Positive, config
from tasks.base.files import write_json
from tasks.base.measures import measures

if TYPE_CHECKING:
    from models.olla.placement import Block

Row = dict[str, Any]
Method = Callable[[], dict[int, int]]


@config
class Packing:
    """Planted instances of these many blocks, a seed each, and the seconds that solvers have for one."""

    counts: tuple[Count, ...]
    seeds: tuple[int, ...] = (0, 1)
    seconds: Positive = 20.0
    program_up_to: Count = 100


@measures(
    pack_excess="how far a packing is above the planted optimum, as a share of it, by method",
    pack_seconds="seconds that a packing took, by method",
    above_greedy_size="instances in which the plan's placement is larger than that of greedy by size",
)
def pack_instances(*, config: Packing, out: Path) -> None:
    """Write metrics.json and the instances in MiniMalloc's format; the published ones are read in the same way."""
    from models.olla.minimalloc import perfect, read_csv, write_csv
    from models.olla.placement import arena_of

    rows: list[Row] = []
    above = 0
    for count in config.counts:
        for seed in config.seeds:
            path = out / f"perfect-{count}-{seed}.csv"
            planted, capacity = perfect(count, seed)
            write_csv(planted, path)
            blocks = read_csv(path)
            arenas = {}
            for method, run in _methods(blocks, config).items():
                began = time.perf_counter()
                addresses = run()
                row: Row = {"method": method, "blocks": str(count), "pack_seconds": time.perf_counter() - began}
                if addresses:
                    arenas[method] = arena_of(blocks, addresses)
                    row["pack_excess"] = arenas[method] / capacity - 1
                rows.append(row)
            above += arenas["plan"] > arenas["greedy by size"]
    rows.append({"over": "all instances", "above_greedy_size": above})
    write_json(out / "metrics.json", rows)


def _methods(blocks: "Sequence[Block]", config: Packing) -> dict[str, Method]:
    from functools import partial

    from models.olla.location_ilp import locate
    from models.olla.packing import pack
    from models.olla.placement import ORDERS, best_placement, live_bound, place_by, squeaky_wheel

    start = place_by("greedy by size", blocks)

    def packed() -> dict[int, int]:
        found = pack(blocks, start, seconds=config.seconds)
        return found.addresses if found else start

    methods: dict[str, Method] = {rule: partial(place_by, rule, blocks) for rule in ORDERS}
    methods["squeaky wheel"] = lambda: squeaky_wheel(blocks, live_bound(blocks))
    methods["CP-SAT"] = packed
    methods["plan"] = lambda: best_placement(blocks).addresses
    if len(blocks) <= config.program_up_to:
        how: Row = {"seconds": config.seconds}
        methods["the paper's program"] = lambda: locate(blocks, **how).addresses
        methods["its program, from greedy"] = lambda: locate(blocks, use_pyramid=False, start=start, **how).addresses
    return methods
