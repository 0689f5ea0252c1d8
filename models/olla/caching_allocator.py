"""How PyTorch's caching allocator for CUDA behaves on a sequence of allocations (c10/cuda/CUDACachingAllocator.cpp).

Small blocks (1 MiB or less) come from segments of 2 MiB, middle ones from segments of 20 MiB, large ones from segments
of their own; free neighbours in a segment merge; no segment is given back.
"""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from models.olla.placement import Block

MIB = 2**20
ROUND, SMALL, LARGE_FROM = 512, MIB, 10 * MIB
SMALL_SEGMENT, MIDDLE_SEGMENT, LARGE_ROUND = 2 * MIB, 20 * MIB, 2 * MIB


@dataclass
class _Piece:
    """A stretch of a segment; neighbours are linked."""

    segment: int
    offset: int
    size: int
    free: bool = True
    below: "_Piece | None" = field(default=None, repr=False)
    above: "_Piece | None" = field(default=None, repr=False)


@dataclass(frozen=True)
class Reserved:
    """The bytes that the allocator holds and those live in it, at their peaks.

    `at_peak` is the share of the reserved bytes that were not live when the reserved bytes first reached their peak,
    which is the paper's measure of fragmentation; `peak_to_peak` is one minus live peak over reserved peak.
    """

    reserved: int
    live: int
    at_peak: float
    peak_to_peak: float


def cached(blocks: Sequence[Block], resident: Sequence[int] = ()) -> Reserved:
    """Play the blocks through the allocator, in the order of their lifetimes.

    Args:
        blocks: with sizes as they are, not rounded.
        resident: bytes of storages that were allocated before and stay (weights, state, inputs); they count as live.
    """
    events = [(block.upper, 0, block.id) for block in blocks] + [(block.lower, 1, block.id) for block in blocks]
    pools: dict[bool, list[tuple[int, int, int, _Piece]]] = {True: [], False: []}
    sizes = {block.id: block.size for block in blocks}
    held: dict[int, tuple[_Piece, bool]] = {}
    state = {"reserved": 0, "segments": 0}
    live = most_live = most_reserved = 0
    at_peak = 0.0
    for size in resident:
        if size:
            _allocate(size, pools, state)
            live += size
    most_live, most_reserved = live, state["reserved"]
    at_peak = 1 - live / most_reserved if most_reserved else 0.0
    for _, begins, block in sorted(events):
        if begins:
            held[block] = _allocate(sizes[block], pools, state)
            live += sizes[block]
            most_live = max(most_live, live)
            if state["reserved"] > most_reserved:
                most_reserved = state["reserved"]
                at_peak = 1 - live / most_reserved
        else:
            live -= sizes[block]
            _free(*held.pop(block), pools)
    return Reserved(most_reserved, most_live, at_peak, 1 - most_live / most_reserved if most_reserved else 0.0)


def _allocate(
    size: int, pools: dict[bool, list[tuple[int, int, int, _Piece]]], state: dict[str, int]
) -> tuple[_Piece, bool]:
    size = max(ROUND, -(-size // ROUND) * ROUND)
    small = size <= SMALL
    pool = pools[small]
    found = next((entry for entry in pool if entry[0] >= size), None)
    if found:
        pool.remove(found)
        piece = found[3]
    else:
        room = (
            SMALL_SEGMENT if small else MIDDLE_SEGMENT if size < LARGE_FROM else -(-size // LARGE_ROUND) * LARGE_ROUND
        )
        piece = _Piece(state["segments"], 0, room)
        state["segments"] += 1
        state["reserved"] += room
    rest = piece.size - size
    if rest >= ROUND if small else rest > SMALL:
        other = _Piece(piece.segment, piece.offset + size, rest, below=piece, above=piece.above)
        if piece.above:
            piece.above.below = other
        piece.above, piece.size = other, size
        insort(pool, _entry(other))
    piece.free = False
    return piece, small


def _free(piece: _Piece, small: bool, pools: dict[bool, list[tuple[int, int, int, _Piece]]]) -> None:
    pool = pools[small]
    piece.free = True
    if piece.above and piece.above.free:
        pool.remove(_entry(piece.above))
        _join(piece, piece.above)
    if piece.below and piece.below.free:
        lower = piece.below
        pool.remove(_entry(lower))
        _join(lower, piece)
        piece = lower
    insort(pool, _entry(piece))


def _join(lower: _Piece, upper: _Piece) -> None:
    lower.size += upper.size
    lower.above = upper.above
    if upper.above:
        upper.above.below = lower


def _entry(piece: _Piece) -> tuple[int, int, int, _Piece]:
    """The pool is sorted by size, then by where the piece lies."""
    return piece.size, piece.segment, piece.offset, piece
