"""Segments are kept and cut up for later requests, by the rules of PyTorch's allocator for CUDA, as Flashlight has it.

Requests are rounded up to 512 bytes. Those of up to 1 MiB are served from segments of 2 MiB, those below 10 MiB from
segments of 20 MiB, larger ones from segments of their own, rounded up to 2 MiB. The smallest free piece that is large
enough is taken; what is left of it stays free, and free neighbours are joined. A split limit follows the same source: a
request below it takes no free piece of the limit or more and cuts up what it takes; one of the limit or more takes
whole pieces, of less than 20 MiB above its size. The limit must exceed those 20 MiB, for otherwise no segment that they
fill could be used again.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from models.tensor.memory.manager import MemoryManager, Place

MIB = 2**20
SMALL, SMALL_SEGMENT, LARGE, SEGMENT = MIB, 2 * MIB, 10 * MIB, 20 * MIB
"""Sizes of PyTorch's allocator: requests up to SMALL lie in SMALL_SEGMENTs, those below LARGE in SEGMENTs."""


@dataclass
class _Piece:
    """A stretch of a segment between its neighbours."""

    segment: int
    offset: int
    size: int
    free: bool = False
    below: "_Piece | None" = field(default=None, repr=False)
    above: "_Piece | None" = field(default=None, repr=False)

    @property
    def key(self) -> tuple[int, int, int]:
        return self.size, self.segment, self.offset


class Caching(MemoryManager):
    """The caching allocator, with Flashlight's two limits.

    Args:
        split_limit: bytes; pieces for requests of this size or more are not cut up, nor used for requests below it.
        recycling_limit: segments of this many bytes or more are given back as soon as they are empty.
        scale: by which all sizes of the rules are divided, save the rounding to 512 bytes: for networks that are
            smaller by it than those for which the rules were made.

    Raises:
        ValueError: a split limit that is not above a segment's size, which PyTorch refuses, too.
    """

    def __init__(self, split_limit: int | None = None, recycling_limit: int | None = None, *, scale: int = 1) -> None:
        super().__init__()
        if split_limit is not None and split_limit <= SEGMENT // scale:
            raise ValueError(f"a split limit of {split_limit} bytes is not above the {SEGMENT // scale} of a segment")
        self._small, self._small_segment, self._large, self._segment = (
            size // scale for size in (SMALL, SMALL_SEGMENT, LARGE, SEGMENT)
        )
        self.split_limit, self.recycling_limit = split_limit, recycling_limit
        self.splits = 0
        self._pieces: dict[tuple[int, int], _Piece] = {}
        self._free: dict[bool, list[tuple[int, int, int]]] = {True: [], False: []}

    def allocate(self, size: int) -> Place:
        size = max(512, -(-size // 512) * 512)
        small = size <= self._small
        piece = self._taken(size, small) or self._new(size, small)
        rest = piece.size - size
        may_split = small or self.split_limit is None or size < self.split_limit
        if may_split and (rest >= 512 if small else rest > self._small):
            self._split(piece, size, small)
        piece.free = False
        return Place(piece.segment, piece.offset, size)

    def free(self, place: Place) -> None:
        piece = self._pieces[place.segment, place.offset]
        if piece.free:
            raise ValueError(f"bytes at {place.offset} of segment {place.segment} are freed twice")
        small = self.segments[place.segment] == self._small_segment
        pool = self._free[small]
        for other in (piece.above, piece.below):
            if other is not None and other.free:
                pool.remove(other.key)
        if piece.above is not None and piece.above.free:
            self._join(piece, piece.above)
        if piece.below is not None and piece.below.free:
            piece = piece.below
            assert piece.above is not None
            self._join(piece, piece.above)
        piece.free = True
        whole = piece.size == self.segments[piece.segment]
        if whole and self.recycling_limit is not None and piece.size >= self.recycling_limit:
            del self.segments[piece.segment], self._pieces[piece.segment, piece.offset]
            return
        insort(pool, piece.key)

    def _taken(self, size: int, small: bool) -> _Piece | None:
        pool, limit = self._free[small], self.split_limit
        at = bisect_left(pool, (size, 0, 0))
        if at == len(pool):
            return None
        best = pool[at][0]
        if not small and limit is not None:
            if size < limit <= best:
                return None
            if size >= limit and best >= size + self._segment:
                return None
        _, segment, offset = pool.pop(at)
        return self._pieces[segment, offset]

    def _new(self, size: int, small: bool) -> _Piece:
        unit = self._segment if not small and size < self._large else self._small_segment
        room = -(-size // unit) * unit
        piece = _Piece(self._reserve(room), 0, room)
        self._pieces[piece.segment, 0] = piece
        return piece

    def _split(self, piece: _Piece, size: int, small: bool) -> None:
        self.splits += 1
        rest = _Piece(piece.segment, piece.offset + size, piece.size - size, True, piece, piece.above)
        if piece.above is not None:
            piece.above.below = rest
        piece.above, piece.size = rest, size
        self._pieces[rest.segment, rest.offset] = rest
        insort(self._free[small], rest.key)

    def _join(self, lower: _Piece, upper: _Piece) -> None:
        del self._pieces[upper.segment, upper.offset]
        lower.size += upper.size
        lower.above = upper.above
        if upper.above is not None:
            upper.above.below = lower
