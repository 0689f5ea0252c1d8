"""One segment for all that lives and dies within a step, at addresses planned beforehand (by OLLA's placement)."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.olla.placement import Block, best_placement
from models.tensor.memory.caching import Caching
from models.tensor.memory.manager import MemoryManager, Place
from models.tensor.memory.trace import Event

ALIGNMENT = 64


@dataclass(frozen=True)
class Plan:
    """By the number of a request within its step: its size and address; None for what outlives the step."""

    size: int
    requests: tuple[tuple[int, int | None], ...]


def plan(events: Sequence[Event]) -> Plan:
    """Addresses for the last whole step of a trace, for steps that ask for the same sizes in the same order.

    Raises:
        ValueError: the trace holds no whole step, which a second start ends.
    """
    starts = [place for place, event in enumerate(events) if event.kind == "step"]
    if len(starts) < 2:
        raise ValueError("a plan needs a trace with two starts of a step")
    step = events[starts[-2] : starts[-1]]
    ends = {event.number: at for at, event in enumerate(step) if event.kind == "free"}
    asked = [(at, event) for at, event in enumerate(step) if event.kind == "allocate"]
    blocks = [
        Block(place, at, ends[event.number], -(-event.size // ALIGNMENT) * ALIGNMENT)
        for place, (at, event) in enumerate(asked)
        if event.number in ends
    ]
    placed = best_placement(blocks, exact=False)
    return Plan(placed.arena, tuple((event.size, placed.addresses.get(i)) for i, (_, event) in enumerate(asked)))


class Arena(MemoryManager):
    """Serves planned requests from one segment, and all others from a caching manager.

    A step that departs from the plan is served, too: a request of another size, or one whose address is still in use,
    goes to the caching manager.
    """

    def __init__(self, planned: Plan, others: Caching | None = None) -> None:
        super().__init__()
        self.plan = planned
        self.others = others or Caching()
        self.segments = self.others.segments
        self.segments[0] = planned.size
        self._next: int | None = None
        self._used: dict[int, int] = {}

    def step(self) -> None:
        self._next = 0

    def allocate(self, size: int) -> Place:
        if self._next is not None and self._next < len(self.plan.requests):
            expected, address = self.plan.requests[self._next]
            self._next += 1
            if expected == size and address is not None and self._is_free(address, size):
                self._used[address] = address + size
                return Place(0, address, size)
        return self.others.allocate(size)

    def free(self, place: Place) -> None:
        if place.segment == 0:
            del self._used[place.offset]
        else:
            self.others.free(place)

    def _is_free(self, address: int, size: int) -> bool:
        return all(end <= address or start >= address + size for start, end in self._used.items())
