"""The order of operators: what is called the best is the best, and what is called a bound holds for every order."""

import itertools

import pytest
from hypothesis import given, settings
from small_graphs import graphs, orders

from models.olla.bounds import cut_bound, flow_bound
from models.olla.decomposition import order_in_parts, parts
from models.olla.graph import Graph, of_edges
from models.olla.heuristics import RULES, early_update, pytorch
from models.olla.lifetime_ilp import Pruning, schedule
from models.olla.planning import best_order
from models.olla.search import beam
from models.olla.simulator import IllegalPlan, replay
from models.olla.step_ilp import schedule_by_steps


def best_of_all(graph: Graph) -> int:
    return min(replay(graph, order).peak for order in orders(graph))


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_a_wide_beam_finds_the_best_and_no_bound_is_above_it(graph: Graph) -> None:
    best = best_of_all(graph)
    wide = beam(graph, 500)
    assert wide is not None
    assert replay(graph, wide).peak == best
    cut, _ = cut_bound(graph)
    live = [0] * len(graph.operators)
    for place, operator in enumerate(wide):
        live[operator] = replay(graph, wide).live[place]
    assert cut <= flow_bound(graph, live, cut) <= best
    ordered = best_order(graph)
    assert ordered.cut <= ordered.bound <= best <= ordered.peak == min(ordered.peaks.values())


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_every_rule_gives_a_legal_order(graph: Graph) -> None:
    for rule in RULES.values():
        replay(graph, rule(graph))


@settings(max_examples=60, deadline=None)
@given(graphs(most=5))
def test_the_edges_allow_exactly_the_orders_that_compute_the_same(graph: Graph) -> None:
    """The simulator looks at versions of data alone; an edge too many hides orders, one too few allows wrong ones."""
    by_edges = set(orders(graph))
    for order in itertools.permutations(range(len(graph.operators))):
        try:
            replay(graph, order)
            legal = True
        except IllegalPlan:
            legal = False
        assert legal == (order in by_edges)


@settings(max_examples=8, deadline=None)
@given(graphs(most=6))
def test_the_integer_programs_find_the_best_when_each_operator_has_its_step(graph: Graph) -> None:
    best = best_of_all(graph)
    for pruning in (
        Pruning(stretch=0),
        Pruning(stretch=0, spans=False, must_live=False),
        Pruning(stretch=0, sparse=True),
    ):
        found = schedule(graph, pruning, gap=0.0)
        assert found.exact
        assert found.solved.status == "optimal"
        assert round(found.modelled) == best == replay(graph, found.order).peak
    steps = schedule_by_steps(graph, stretch=0, gap=0.0)
    assert round(steps.modelled) == best == replay(graph, steps.order).peak


@pytest.mark.parametrize("solver", ["HiGHS", "CBC"])
@settings(max_examples=4, deadline=None)
@given(graph=graphs(most=6))
def test_shared_steps_promise_no_less_than_the_real_peak(solver: str, graph: Graph) -> None:
    """With fewer steps than operators the best may be missed, but what is found is legal and no worse than said."""
    found = schedule(graph, Pruning(), solver=solver, gap=0.0)  # type: ignore[arg-type]
    if found.order:
        assert best_of_all(graph) <= replay(graph, found.order).peak <= round(found.modelled)
        assert not found.exact or len(graph.operators) == 1


def test_a_start_is_used_and_kept_when_there_is_no_time() -> None:
    """PuLP's own interface to HiGHS drops the start without a word."""
    sizes = [5, 9, 2, 7, 1, 8, 3, 6, 4, 2, 7, 5, 3, 9, 1, 6, 2, 8, 4, 3, 5, 7, 2, 6]
    graph = of_edges(sizes, [(u, v) for v in range(4, 24) for u in (v - 4, v - 3)])
    order = beam(graph, 64)
    assert order is not None
    found = schedule_by_steps(graph, stretch=0, seconds=0.2, start=order)
    assert found.order, "the start itself is a solution"
    assert replay(graph, found.order).peak <= replay(graph, order).peak
    assert found.solved.status != "optimal" or found.bound == pytest.approx(found.modelled)


def test_running_out_of_time_is_not_called_optimal() -> None:
    sizes = [((v * 7919) % 97) + 1 for v in range(60)]
    graph = of_edges(sizes, [(u, v) for v in range(6, 60) for u in (v - 6, v - 1 - v % 5)])
    for solver in ("HiGHS", "CBC"):
        found = schedule(graph, Pruning(stretch=0), solver=solver, seconds=1.0, gap=0.0, start=pytorch(graph))  # type: ignore[arg-type]
        assert found.solved.status in ("feasible", "unknown"), solver
        assert found.bound < found.modelled or not found.order


def test_early_update_moves_nothing_but_the_updates() -> None:
    from models.olla.graph import Operator, Storage, connect

    storages = [Storage(4, None, role="weight"), Storage(4, None, role="weight"), Storage(3, 0), Storage(3, 1)]
    operators = [
        Operator("grad1", "mm", creates=(2,)),
        Operator("grad2", "mm", creates=(3,)),
        Operator("update1", "add_", reads=(2,), writes=(0,)),
        Operator("update2", "add_", reads=(3,), writes=(1,)),
    ]
    assert early_update(connect(operators, storages)) == [0, 2, 1, 3]


@settings(max_examples=50, deadline=None)
@given(graphs(most=8))
def test_planned_part_by_part_no_order_gets_worse(graph: Graph) -> None:
    """What is before a cut point and what is after it do not meet, so that their best orders make the best order."""

    def best(part: Graph) -> list[int]:
        found = beam(part, 500)
        assert found is not None
        return found

    order = order_in_parts(graph, best)
    assert replay(graph, order).peak == best_of_all(graph)
    assert max(replay(part.graph, best(part.graph)).peak for part in parts(graph)) == best_of_all(graph)
    assert sorted(v for part in parts(graph) for v in part.operators) == list(range(len(graph.operators)))
