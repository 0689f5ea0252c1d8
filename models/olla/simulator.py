"""Replay a plan: is it legal, how many bytes are live, do addresses overlap? Shares nothing with the planners.

Legality is not read from the graph's edges. Every storage has a version that grows when it is overwritten; an operator
must find the versions that it finds in PyTorch's order.
"""

from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from models.olla.graph import Graph

Event = tuple[Literal["run", "drop", "fetch"], int]
"""An operator runs, or a storage is dropped or fetched back from the host."""


class IllegalPlan(ValueError):
    """The plan computes something else than the step, or overwrites what is still needed; says where."""


@dataclass(frozen=True)
class Replayed:
    """What a replay saw: bytes live while each operator of the order ran, and the storages live then at the peak.

    Weights, state and inputs are not counted. With addresses, `arena` is one past the highest byte in use, else 0.
    """

    live: tuple[int, ...]
    at_peak: tuple[int, ...]
    arena: int

    @property
    def peak(self) -> int:
        return max(self.live, default=0)


def versions(graph: Graph, order: Sequence[int]) -> list[dict[int, int]]:
    """For each operator, by index, the versions of what it finds when the operators run in this order.

    A storage that is not there yet has version -1; the random generator is storage -1.
    """
    now = {index: 0 if storage.creator is None else -1 for index, storage in enumerate(graph.storages)} | {-1: 0}
    found: list[dict[int, int]] = [{} for _ in graph.operators]
    for index in order:
        operator = graph.operators[index]
        seen = (*operator.reads, *operator.writes, *([-1] if operator.random else []))
        found[index] = {storage: now[storage] for storage in seen}
        for storage in operator.creates:
            now[storage] = 0
        for storage in (*operator.writes, *([-1] if operator.random else [])):
            now[storage] += 1
    return found


def replay(graph: Graph, order: Sequence[int], addresses: Mapping[int, int] | None = None, align: int = 1) -> Replayed:
    """Replay an order of the operators, with the addresses of the storages that they create where there are any.

    Args:
        graph: the step.
        order: all operators, by index.
        addresses: first byte of each created storage, by index.
        align: sizes are rounded up to a multiple of it, in bytes.

    Raises:
        IllegalPlan: an operator is missing or twice, finds other data than in PyTorch's order, or two storages that
            are live at once share bytes.
    """
    if sorted(order) != list(range(len(graph.operators))):
        raise IllegalPlan("the order does not hold every operator once")
    expected = versions(graph, range(len(graph.operators)))
    for index, (right, found) in enumerate(zip(expected, versions(graph, order), strict=True)):
        if right != found:
            storage = next(one for one in right if right[one] != found[one])
            what = "the random generator" if storage < 0 else graph.storages[storage].name or f"storage {storage}"
            raise IllegalPlan(
                f"{graph.operators[index].node} finds version {found[storage]} of {what}, and needs {right[storage]}"
            )
    left = {storage: len(graph.users[storage]) for storage in graph.created}
    live: dict[int, int] = {}
    placed: list[tuple[int, int, int]] = []
    seen: list[int] = []
    at_peak: tuple[int, ...] = ()
    arena, total, peak = 0, 0, -1
    for index in order:
        operator = graph.operators[index]
        for storage in operator.creates:
            size = -(-graph.storages[storage].size // align) * align
            live[storage] = size
            total += size
            if addresses is not None and size:
                _place(placed, storage, addresses[storage], size, graph)
                arena = max(arena, addresses[storage] + size)
        seen.append(total)
        if total > peak:
            peak, at_peak = total, tuple(live)
        for storage in operator.touches:
            if storage in left:
                left[storage] -= 1
                if not left[storage] and not graph.storages[storage].kept:
                    size = live.pop(storage)
                    total -= size
                    if addresses is not None and size:
                        placed.remove((addresses[storage], size, storage))
    return Replayed(tuple(seen), at_peak, arena)


def _place(placed: list[tuple[int, int, int]], storage: int, address: int, size: int, graph: Graph) -> None:
    """Add a block to those in use, sorted by address; its neighbours must not reach into it."""
    block = (address, size, storage)
    insort(placed, block)
    at = placed.index(block)
    below = placed[at - 1] if at else (0, 0, -1)
    above = placed[at + 1] if at + 1 < len(placed) else (address + size, 0, -1)
    if address < 0 or below[0] + below[1] > address or address + size > above[0]:
        other = below if below[0] + below[1] > address else above
        names = [graph.storages[one].name or str(one) for one in (storage, other[2])]
        raise IllegalPlan(f"{names[0]} and {names[1]} share bytes while both are live")


def replay_events(graph: Graph, events: Sequence[Event]) -> int:
    """Replay a course in which operators may run again and storages be fetched back; the peak in bytes.

    Raises:
        IllegalPlan: an operator finds a storage missing or at another version than in PyTorch's order, one did not run,
            or what is kept is not there at the end.
    """
    expected = versions(graph, range(len(graph.operators)))
    now = {index: 0 if storage.creator is None else -1 for index, storage in enumerate(graph.storages)} | {-1: 0}
    live: set[int] = set()
    ran: set[int] = set()
    peak = 0
    for kind, index in events:
        if kind == "drop":
            live.discard(index)
            continue
        if kind == "fetch":
            if now[index] < 0:
                raise IllegalPlan(f"storage {index} is fetched before it was made")
            live.add(index)
        else:
            operator = graph.operators[index]
            for storage, version in expected[index].items():
                missing = storage >= 0 and graph.storages[storage].creator is not None and storage not in live
                if now[storage] != version or (missing and graph.storages[storage].size):
                    raise IllegalPlan(f"{operator.node} does not find version {version} of storage {storage}")
            for storage in operator.creates:
                now[storage] = 0
                live.add(storage)
            for storage in (*operator.writes, *([-1] if operator.random else [])):
                now[storage] += 1
            ran.add(index)
        peak = max(peak, sum(graph.storages[storage].size for storage in live))
    if len(ran) < len(graph.operators):
        raise IllegalPlan("an operator did not run")
    if gone := [s for s in graph.created if graph.storages[s].kept and graph.storages[s].size and s not in live]:
        raise IllegalPlan(f"storage {gone[0]} is not there at the end")
    return peak
