"""What a manager of memory offers, and the simplest one.

A manager reserves segments and says where in them a request goes; it never touches a byte. So the same one replays a
recorded trace and serves a real training (`managed_backend`).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where a request went: bytes [offset, offset + size) of a segment."""

    segment: int
    offset: int
    size: int


class MemoryManager(ABC):
    """A manager fills `segments` (bytes reserved, by number) and gives places in them."""

    def __init__(self) -> None:
        self.segments: dict[int, int] = {}
        self._made = 0

    @property
    def reserved(self) -> int:
        """Bytes of all segments."""
        return sum(self.segments.values())

    @abstractmethod
    def allocate(self, size: int) -> Place:
        """A place for `size` bytes, one or more, that meets no other place in use."""

    @abstractmethod
    def free(self, place: Place) -> None:
        """The place is not used any longer."""

    def step(self) -> None:  # noqa: B027 - most managers have nothing to do
        """A step of training begins, for managers that plan by steps."""

    def _reserve(self, size: int) -> int:
        self._made += 1
        self.segments[self._made] = size
        return self._made


class Naive(MemoryManager):
    """A segment for each request, given back at once."""

    def allocate(self, size: int) -> Place:
        return Place(self._reserve(size), 0, size)

    def free(self, place: Place) -> None:
        del self.segments[place.segment]
