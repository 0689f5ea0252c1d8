"""A beam search for the order with the lowest peak, which stops where the bound without a solver is met."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from models.olla.graph import Graph

Trail = tuple["Trail | None", int]
"""The operators that have run, from the last one back."""


class Deltas:
    """What running each operator does to memory: bytes that it creates, and the storages that it may free.

    Kept storages are created and never freed, so of them only the bytes matter.
    """

    def __init__(self, graph: Graph) -> None:
        storages = graph.storages
        freeable = {s for s in graph.created if storages[s].size and not storages[s].kept}
        self.sizes = [storage.size for storage in storages]
        self.creates = [sum(storages[s].size for s in o.creates) for o in graph.operators]
        self.touches = [tuple(s for s in o.touches if s in freeable) for o in graph.operators]
        self.after, self.waits = graph.after, [len(earlier) for earlier in graph.before]
        self.left = [len(users) for users in graph.users]
        self.rest = [sum(users) for users in graph.users]
        self.frees = [sum(self.sizes[s] for s in touches if self.left[s] == 1) for touches in self.touches]


@dataclass
class State:
    """A beginning of an order: its peak so far, the bytes live after it, and what can run next.

    `left` counts the users that each storage still has and `rest` adds up their indices, so that the last one is known;
    `frees` holds the bytes that nobody needs once an operator has run.
    """

    peak: int
    live: int
    left: list[int]
    rest: list[int]
    frees: list[int]
    waits: list[int]
    ready: list[int]
    trail: Trail | None = None
    done: int = 0
    key: int = 0

    def copy(self) -> "State":
        lists = (self.left[:], self.rest[:], self.frees[:], self.waits[:], self.ready[:])
        return State(self.peak, self.live, *lists, self.trail, self.done, self.key)

    def run(self, operator: int, deltas: Deltas, keys: Sequence[int]) -> None:
        """Run an operator."""
        self.live += deltas.creates[operator]
        self.peak = max(self.peak, self.live)
        left, rest, sizes = self.left, self.rest, deltas.sizes
        for storage in deltas.touches[operator]:
            left[storage] -= 1
            rest[storage] -= operator
            if left[storage] == 1:
                self.frees[rest[storage]] += sizes[storage]
        self.live -= self.frees[operator]
        self.ready.remove(operator)
        for later in deltas.after[operator]:
            self.waits[later] -= 1
            if not self.waits[later]:
                self.ready.append(later)
        self.trail, self.done, self.key = (self.trail, operator), self.done + 1, self.key ^ keys[operator]

    def run_harmless(self, deltas: Deltas, keys: Sequence[int]) -> None:
        """Run all that frees at least what it creates and stays below the peak.

        No order is lost by that: with such an operator moved to the front, every later moment has no more bytes live.
        """
        creates, frees = deltas.creates, self.frees
        found = True
        while found:
            room = self.peak - self.live
            harmless = [one for one in self.ready if creates[one] <= frees[one] and creates[one] <= room]
            found = bool(harmless)
            for operator in sorted(harmless):
                # One that ran before it may have taken what it frees only if both are its users: then it frees more.
                self.run(operator, deltas, keys)


def start(deltas: Deltas, floor: int) -> State:
    """Nothing has run; a peak of `floor` bytes costs nothing."""
    ready = [operator for operator, count in enumerate(deltas.waits) if not count]
    return State(floor, 0, deltas.left[:], deltas.rest[:], deltas.frees[:], deltas.waits[:], ready)


def beam(graph: Graph, width: int = 16, bound: int = 0, below: int | None = None) -> list[int] | None:
    """The best order that a beam search finds.

    Args:
        graph: the step.
        width: beginnings of the same length that are followed at once.
        bound: bytes below which no order can be (see bounds.py); beginnings are not told apart below it.
        below: only orders with a lower peak are of interest, in bytes.

    Returns:
        All operators in order; None where the beam has no order below `below`.
    """
    deltas = Deltas(graph)
    draw = random.Random(0)
    keys = [draw.getrandbits(64) for _ in graph.operators]
    first = start(deltas, bound)
    first.run_harmless(deltas, keys)
    # By the number of operators run: beginnings, and what may follow them, which is computed once it is among the best.
    levels: dict[int, dict[int, State | Next]] = {first.done: {first.key: first}}
    lengths = [first.done]
    while lengths:
        length = heappop(lengths)
        best = sorted(levels.pop(length).values(), key=lambda one: (one.peak, one.live, one.key))[:width]
        for one in best:
            if isinstance(one, Next):
                state = one.after.copy()
                state.run(one.operator, deltas, keys)
                state.run_harmless(deltas, keys)
                if state.done > length:
                    _add(state, state.done, levels, lengths)
                    continue
            else:
                state = one
            if state.done == len(graph.operators):
                return _order(state.trail)
            for following in _promising(state, deltas, keys, width, below):
                _add(following, length + 1, levels, lengths)
    return None


@dataclass
class Next:
    """An operator that may run after a beginning, with the peak and the bytes live then."""

    peak: int
    live: int
    key: int
    after: State
    operator: int


def _add(one: State | Next, length: int, levels: dict[int, dict[int, State | Next]], lengths: list[int]) -> None:
    """Keep the better of two beginnings that hold the same operators."""
    if length not in levels:
        levels[length] = {}
        heappush(lengths, length)
    known = levels[length].get(one.key)
    if known is None or one.peak < known.peak:
        levels[length][one.key] = one


def _promising(state: State, deltas: Deltas, keys: Sequence[int], width: int, below: int | None) -> list[Next]:
    """What may run next, the best first: by the peak, then by the bytes live after it."""
    rated = []
    for operator in state.ready:
        high = state.live + deltas.creates[operator]
        if below is None or high < below:
            rated.append((max(state.peak, high), high - state.frees[operator], operator))
    rated.sort()
    return [Next(peak, live, state.key ^ keys[one], state, one) for peak, live, one in rated[: max(2, width // 2)]]


def _order(trail: Trail | None) -> list[int]:
    order = []
    while trail is not None:
        trail, operator = trail
        order.append(operator)
    return order[::-1]
