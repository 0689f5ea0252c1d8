"""A limit on memory: it is kept, at a price that is told, and what runs again gives the same."""

import pytest

from models.olla.budget_ilp import within
from models.olla.graph import Graph, Operator, Storage, connect, of_edges
from models.olla.simulator import IllegalPlan, replay, replay_events


def ladder() -> Graph:
    """Forward a, b, c, backward c', b', a': every forward storage waits for its backward."""
    return of_edges([4, 4, 4, 1, 1, 1], [(0, 1), (1, 2), (2, 3), (1, 4), (3, 4), (0, 5), (4, 5)], kept=[5])


def test_below_the_best_peak_something_is_computed_again() -> None:
    graph = ladder()
    peak = replay(graph, range(6)).peak
    free = within(graph, peak)
    assert (free.operations_again, free.bytes_moved) == (0, 0)
    assert replay_events(graph, free.events) <= peak
    tight = within(graph, peak - 2)
    assert tight.solved.status == "optimal"
    assert tight.operations_again > 0
    assert replay_events(graph, tight.events) <= peak - 2
    assert sum(kind == "run" for kind, _ in tight.events) > len(graph.operators)


def test_spilling_moves_bytes_instead() -> None:
    graph = ladder()
    peak = replay(graph, range(6)).peak
    spilled = within(graph, peak - 2, rematerialise=False, spill=True)
    assert spilled.solved.status == "optimal"
    assert spilled.bytes_moved == 2 * 4
    assert replay_events(graph, spilled.events) <= peak - 2
    cheap = within(graph, peak - 2, spill=True, price_of_byte=0.01)
    assert cheap.operations_again == 0
    assert cheap.bytes_moved > 0


def test_what_cannot_be_is_said_to_be_infeasible() -> None:
    assert within(ladder(), 3).solved.status == "infeasible"
    assert within(ladder(), 3).events == ()


def test_what_draws_or_is_overwritten_is_not_run_again() -> None:
    """Its second run would give something else."""
    operators = [
        Operator("noise", "rand", creates=(0,), random=True),
        Operator("use", "mul", creates=(1,), reads=(0,)),
        Operator("big", "mm", creates=(2,), reads=(1,)),
        Operator("end", "sum", creates=(3,), reads=(0, 2)),
    ]
    storages = [Storage(4, 0), Storage(4, 1), Storage(5, 2), Storage(1, 3, True)]
    graph = connect(operators, storages)
    assert within(graph, 10).solved.status == "infeasible", "the noise would have to be drawn twice"
    again: list[tuple[str, int]] = [("run", v) for v in (0, 1, 2, 0, 3)]
    with pytest.raises(IllegalPlan):
        replay_events(graph, again)  # type: ignore[arg-type]
