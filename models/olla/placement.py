"""Addresses for storages whose lifetimes are known: rules, and the bound below which no arena can be.

A block is live from `lower` up to, not including, `upper`, and needs `size` bytes, as in MiniMalloc's format.
"""

from bisect import bisect_right, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.olla.graph import Graph

ALIGNMENT = 64
"""Bytes: what torch's kernels on a CPU expect of an address."""


@dataclass(frozen=True)
class Block:
    """What is to be placed; `id` is given back with its address."""

    id: int
    lower: int
    upper: int
    size: int

    def meets(self, other: "Block") -> bool:
        """Whether both are live at some moment."""
        return self.lower < other.upper and other.lower < self.upper


def blocks_of(graph: Graph, order: Sequence[int], align: int = ALIGNMENT) -> list[Block]:
    """The blocks of the storages that a step creates, when its operators run in this order; sizes are rounded up."""
    at = {operator: place for place, operator in enumerate(order)}
    found = []
    for storage in graph.created:
        one = graph.storages[storage]
        if one.size and one.creator is not None:
            end = len(order) if one.kept else max(at[user] for user in graph.users[storage]) + 1
            found.append(Block(storage, at[one.creator], end, -(-one.size // align) * align))
    return found


def live_bound(blocks: Sequence[Block]) -> int:
    """The most bytes live at once: no arena is smaller."""
    changes = sorted([(b.lower, b.size) for b in blocks] + [(b.upper, -b.size) for b in blocks])
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def arena_of(blocks: Sequence[Block], addresses: Mapping[int, int]) -> int:
    """One past the highest byte in use."""
    return max((addresses[block.id] + block.size for block in blocks), default=0)


def place(blocks: Sequence[Block], best_fit: bool = True) -> dict[int, int]:
    """Place blocks one after the other, each in a gap between those that it meets.

    The gap is the smallest that is large enough, or, with `best_fit=False`, the lowest.
    """
    addresses: dict[int, int] = {}
    starts: list[int] = []
    placed: list[Block] = []  # by their first moment, for the search of those that a block can meet
    by_start: list[tuple[int, int, Block]] = []
    longest = 0
    for block in blocks:
        low = bisect_right(starts, block.lower - longest - 1)
        high = bisect_right(starts, block.upper - 1)
        met = sorted(
            (addresses[other.id], addresses[other.id] + other.size)
            for _, _, other in by_start[low:high]
            if other.upper > block.lower
        )
        addresses[block.id] = _gap(met, block.size, best_fit)
        insort(by_start, (block.lower, len(placed), block))
        insort(starts, block.lower)
        placed.append(block)
        longest = max(longest, block.upper - block.lower)
    return addresses


def _gap(met: Sequence[tuple[int, int]], size: int, best_fit: bool) -> int:
    """Where a block of this size goes, given the (first, past) bytes in use, sorted."""
    best, room, top = -1, 0, 0
    for first, past in met:
        if first - top >= size and (best < 0 or first - top < room):
            best, room = top, first - top
            if not best_fit:
                return best
        top = max(top, past)
    return top if best < 0 else best


Key = Callable[[Block], Any]
ORDERS: dict[str, tuple[Key, bool]] = {
    "first fit": (lambda b: (b.lower, -b.size, b.id), False),
    "best fit": (lambda b: (b.lower, -b.size, b.id), True),
    "greedy by size": (lambda b: (-b.size, b.lower, b.id), True),
    "greedy by area": (lambda b: (-b.size * (b.upper - b.lower), b.lower, b.id), True),
    "greedy by lifetime": (lambda b: (b.lower - b.upper, -b.size, b.id), True),
}
"""In which order blocks are placed, and whether in the smallest gap. The first two place as time goes on."""


def place_by(rule: str, blocks: Sequence[Block]) -> dict[int, int]:
    """Addresses by one of the rules."""
    key, best_fit = ORDERS[rule]
    return place(sorted(blocks, key=key), best_fit)


@dataclass(frozen=True)
class Placed:
    """Addresses by block, their arena, which rule found them, and the bound below which no arena can be."""

    addresses: dict[int, int]
    arena: int
    rule: str
    bound: int
    arenas: dict[str, int]


SQUEAKY = "squeaky wheel"

NEAR = 0.001
"""An arena at most so much above the bound, as a share of it, is good enough: the paper's own gap for addresses."""

ROUNDS = 40
"""Of squeaky-wheel placement, at most."""

MOST_EXACT = 250
"""Blocks above which CP-SAT is not asked: it does not get beyond preparing itself."""


def squeaky_wheel(blocks: Sequence[Block], bound: int, rounds: int = ROUNDS) -> dict[int, int]:
    """Greedy placement again and again: what ended up above the bound is placed first the next time.

    It starts from the orders by size and by area, and stops near the bound.
    """
    best: dict[int, int] = {}
    for rule in ("greedy by size", "greedy by area"):
        key, best_fit = ORDERS[rule]
        order = sorted(blocks, key=key)
        for _ in range(rounds // 2):
            addresses = place(order, best_fit)
            if not best or arena_of(blocks, addresses) < arena_of(blocks, best):
                best = addresses
            if arena_of(blocks, best) <= bound * (1 + NEAR):
                return best
            late = {block.id for block in blocks if addresses[block.id] + block.size > bound}
            order = [b for b in order if b.id in late] + [b for b in order if b.id not in late]
    return best


def best_placement(blocks: Sequence[Block], exact: bool = True, deterministic_seconds: float = 5.0) -> Placed:
    """The smallest arena of all rules; CP-SAT is asked only where none comes near the bound.

    Args:
        blocks: what is to be placed.
        exact: whether CP-SAT may be asked.
        deterministic_seconds: CP-SAT's limit in its own count of work, the same on every machine.
    """
    from models.olla.packing import pack

    bound = live_bound(blocks)
    tried = {rule: place_by(rule, blocks) for rule in ORDERS}
    arenas = {rule: arena_of(blocks, addresses) for rule, addresses in tried.items()}
    best = min(arenas, key=lambda rule: (arenas[rule], rule))
    if arenas[best] > bound * (1 + NEAR):
        tried[SQUEAKY] = squeaky_wheel(blocks, bound)
        arenas[SQUEAKY] = arena_of(blocks, tried[SQUEAKY])
        best = SQUEAKY if arenas[SQUEAKY] < arenas[best] else best
    if arenas[best] > bound * (1 + NEAR) and exact and len(blocks) <= MOST_EXACT:
        packed = pack(blocks, tried[best], deterministic_seconds)
        if packed:
            tried["CP-SAT"], arenas["CP-SAT"] = packed.addresses, arena_of(blocks, packed.addresses)
            if arenas["CP-SAT"] < arenas[best]:
                best = "CP-SAT"
    return Placed(tried[best], arenas[best], best, bound, arenas)
