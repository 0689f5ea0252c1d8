"""Addresses by constraint programming: rectangles of time and bytes that must not overlap (CP-SAT, NoOverlap2D)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import gcd

from models.olla.placement import Block, arena_of, live_bound


@dataclass(frozen=True)
class Packed:
    """Addresses in bytes, whether the solver proved them best, and its own bound on the arena in bytes."""

    addresses: dict[int, int]
    proved: bool
    bound: int


def pack(
    blocks: Sequence[Block],
    start: Mapping[int, int],
    deterministic_seconds: float = 20.0,
    seconds: float | None = None,
    capacity: int | None = None,
) -> Packed | None:
    """The smallest arena that CP-SAT finds, starting from known addresses; none where it finds nothing.

    Args:
        blocks: what is to be placed.
        start: addresses from which it starts, in bytes.
        deterministic_seconds: the limit of its work, in its own count: the same result on every machine.
        seconds: a limit by the clock instead; then the result depends on the machine.
        capacity: stop at an arena of so many bytes.
    """
    from ortools.sat.python import cp_model

    unit = reduce(gcd, (block.size for block in blocks))
    bound = live_bound(blocks)
    top = arena_of(blocks, start) // unit
    model = cp_model.CpModel()
    arena = model.new_int_var(-(-bound // unit), top, "arena")
    times, rows, lows = [], [], {}
    for block in blocks:
        size = block.size // unit
        low = model.new_int_var(0, top - size, f"a{block.id}")
        lows[block.id] = low
        rows.append(model.new_fixed_size_interval_var(low, size, f"r{block.id}"))
        times.append(model.new_fixed_size_interval_var(block.lower, block.upper - block.lower, f"t{block.id}"))
        model.add(low + size <= arena)
        if start[block.id] % unit == 0:
            model.add_hint(low, start[block.id] // unit)
    model.add_no_overlap_2d(times, rows)
    if capacity is not None:
        model.add(arena <= capacity // unit)
    else:
        model.minimize(arena)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.use_timetabling_in_no_overlap_2d = True
    if seconds is None:
        solver.parameters.max_deterministic_time = deterministic_seconds
    else:
        solver.parameters.max_time_in_seconds = seconds
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None
    addresses = {block: unit * solver.value(low) for block, low in lows.items()}
    proved = status == cp_model.OPTIMAL and capacity is None
    return Packed(addresses, proved, unit * round(solver.best_objective_bound) if capacity is None else bound)
