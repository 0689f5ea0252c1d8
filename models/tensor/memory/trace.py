"""What a training asked of its memory, recorded as it ran, and the same requests put to another manager."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from models.tensor.memory.manager import MemoryManager, Naive, Place


@dataclass(frozen=True)
class Event:
    """A request, its end, or the start of a step; `number` tells requests apart."""

    kind: Literal["allocate", "free", "step"]
    number: int = 0
    size: int = 0


class Recorder(MemoryManager):
    """Leaves the work to another manager and notes all events."""

    def __init__(self, manager: MemoryManager | None = None) -> None:
        super().__init__()
        self.manager = manager or Naive()
        self.segments = self.manager.segments
        self.events: list[Event] = []
        self._numbers: dict[Place, int] = {}

    def allocate(self, size: int) -> Place:
        place = self.manager.allocate(size)
        number = len(self.events)
        self._numbers[place] = number
        self.events.append(Event("allocate", number, size))
        return place

    def free(self, place: Place) -> None:
        self.manager.free(place)
        self.events.append(Event("free", self._numbers.pop(place)))

    def step(self) -> None:
        self.manager.step()
        self.events.append(Event("step"))


@dataclass(frozen=True)
class Replayed:
    """Bytes live and reserved at their peaks; the share of reserved bytes that were not live when they first peaked."""

    peak_live: int
    peak_reserved: int
    fragmentation: float
    segments: int

    @property
    def never_live(self) -> float:
        """The share of the reserved bytes, at their peak, by which they exceed what is ever live at once."""
        return 1 - self.peak_live / self.peak_reserved


def replay(events: Sequence[Event], manager: MemoryManager, since: int = 0) -> Replayed:
    """Put recorded requests to a manager; peaks are those of the events from place `since` on.

    Raises:
        ValueError: two places in use meet, or one lies beyond its segment: the manager is wrong.
    """
    places: dict[int, tuple[Place, int]] = {}
    held: dict[int, dict[int, int]] = {}
    live = reserved = peak_live = peak_reserved = segments = 0
    fragmentation = 0.0
    for at, event in enumerate(events):
        if at == since:  # what was asked before is still there, and counts from here on
            peak_live, segments = live, len(manager.segments)
            peak_reserved = reserved = manager.reserved
            fragmentation = 1 - live / reserved if reserved else 0.0
        if event.kind == "step":
            manager.step()
        elif event.kind == "allocate":
            place = manager.allocate(event.size)
            _check(place, event.size, held.setdefault(place.segment, {}), manager)
            places[event.number] = place, event.size
            live += event.size
            peak_live = max(peak_live, live)
            segments = max(segments, len(manager.segments))
            reserved = manager.reserved
            if reserved > peak_reserved:
                peak_reserved, fragmentation = reserved, 1 - live / reserved
        else:
            place, size = places.pop(event.number)
            del held[place.segment][place.offset]
            manager.free(place)
            live -= size
    return Replayed(peak_live, peak_reserved, fragmentation, segments)


def _check(place: Place, size: int, held: dict[int, int], manager: MemoryManager) -> None:
    end = place.offset + size
    if place.offset < 0 or end > manager.segments[place.segment]:
        raise ValueError(f"{size} bytes at {place.offset} go beyond segment {place.segment}")
    for offset, other in held.items():
        if offset < end and place.offset < other:
            raise ValueError(f"{size} bytes at {place.offset} of segment {place.segment} meet others in use")
    held[place.offset] = end
