"""Addresses as an integer program (section 3.3), with the paper's pre-placement and pruning of pairs (section 4.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from math import gcd

import pulp

from models.olla.placement import Block, arena_of, live_bound
from models.olla.solvers import Solved, Solver, solve


@dataclass(frozen=True)
class Located:
    """Addresses in bytes, the arena and the solver's bound on it, and how many blocks were placed beforehand.

    With blocks placed beforehand `bound` is one under that placement alone; `live` holds for every placement.
    """

    addresses: dict[int, int]
    arena: float
    bound: float
    live: int
    fixed: int
    solved: Solved


def pyramid(blocks: Sequence[Block]) -> dict[int, int]:
    """The paper's pre-placement: the longest block at the bottom, on it the longest that lives within it, and so on."""
    fixed: dict[int, int] = {}
    low, high, base = min((b.lower for b in blocks), default=0), max((b.upper for b in blocks), default=0), 0
    while True:
        inside = [b for b in blocks if b.id not in fixed and low <= b.lower and b.upper <= high]
        if not inside:
            return fixed
        block = max(inside, key=lambda b: (b.upper - b.lower, b.size, -b.id))
        fixed[block.id] = base
        low, high, base = block.lower, block.upper, base + block.size


def locate(
    blocks: Sequence[Block],
    use_pyramid: bool = True,
    prune_pairs: bool = True,
    solver: Solver = "HiGHS",
    seconds: float = 60.0,
    gap: float = 0.001,
    start: Mapping[int, int] | None = None,
) -> Located:
    """Addresses by the paper's program.

    Args:
        blocks: what is to be placed.
        use_pyramid: whether blocks are placed beforehand; quick, and it can cost the optimum.
        prune_pairs: whether pairs that never meet are left out; without it they have variables too.
        solver, seconds, gap: see `solve`; the paper used a gap of 0.1 %.
        start: addresses from which the solver starts, in bytes.
    """
    unit = reduce(gcd, (b.size for b in blocks), 0) or 1
    sizes = {b.id: b.size // unit for b in blocks}
    top = sum(sizes.values()) if start is None else arena_of(blocks, start) // unit
    fixed = {block: address // unit for block, address in (pyramid(blocks) if use_pyramid else {}).items()}
    top = max([top, *(address + sizes[block] for block, address in fixed.items())])
    model = pulp.LpProblem("locations", pulp.LpMinimize)
    peak = pulp.LpVariable("peak", lowBound=live_bound(blocks) // unit, upBound=None)
    model += peak
    places: dict[int, pulp.LpVariable | int] = {}
    for block in blocks:
        if block.id in fixed:
            places[block.id] = fixed[block.id]
        else:
            places[block.id] = pulp.LpVariable(f"A_{block.id}", 0, top - sizes[block.id], cat="Integer")
        model += peak >= places[block.id] + sizes[block.id]
    for one, other in combinations(blocks, 2):
        meets = one.meets(other)
        if (prune_pairs and not meets) or (one.id in fixed and other.id in fixed):
            continue
        first, second = places[one.id], places[other.id]
        below = pulp.LpVariable(f"a_{one.id}_{other.id}", cat="Binary")
        if meets:  # one of the two lies below the other: a single variable says which
            above: pulp.LpVariable | pulp.LpAffineExpression = 1 - below
        else:
            above = pulp.LpVariable(f"b_{one.id}_{other.id}", cat="Binary")
            model += below + above <= 1
        model += first + sizes[one.id] - second <= (1 - below) * top
        model += second + sizes[other.id] - first <= (1 - above) * top
    given = None if start is None or use_pyramid else _start(model, blocks, start, unit)
    solved = solve(model, solver, seconds, gap, given)
    addresses = {}
    if solved.values:
        for block in blocks:
            place = places[block.id]
            addresses[block.id] = unit * (place if isinstance(place, int) else round(solved.values[place.name]))
    return Located(addresses, solved.objective * unit, solved.bound * unit, live_bound(blocks), len(fixed), solved)


def _start(
    model: pulp.LpProblem, blocks: Sequence[Block], addresses: Mapping[int, int], unit: int
) -> dict[str, float] | None:
    """Values of all variables for known addresses; none where they are not multiples of the unit."""
    if any(addresses[b.id] % unit for b in blocks):
        return None
    by_id = {b.id: b for b in blocks}
    values = {f"A_{b.id}": addresses[b.id] / unit for b in blocks}
    values["peak"] = arena_of(blocks, addresses) / unit
    for variable in model.variables():
        kind, *pair = variable.name.split("_")
        if kind in ("a", "b") and len(pair) == 2:
            one, other = int(pair[0]), int(pair[1])
            low, high = (one, other) if kind == "a" else (other, one)
            meets = by_id[one].meets(by_id[other])
            values[variable.name] = float(meets and addresses[low] + by_id[low].size <= addresses[high])
    return values
