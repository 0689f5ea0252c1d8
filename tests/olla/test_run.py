"""Real steps: traced whole, reordered and run in one arena, bit for bit what PyTorch computes; wrong orders refused."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.olla import plan
from models.olla.bounds import cut_bound
from models.olla.graph import connect
from models.olla.heuristics import RULES, late_copies
from models.olla.planning import plan_graph
from models.olla.run import Arena, reordered
from models.olla.search import beam
from models.olla.simulator import IllegalPlan, replay
from models.olla.trace import CannotTrace, Traced, trace
from models.olla.training import Optimizer, Training, loss_of_outputs, training


class Mixed(nn.Module):
    """Views, in-place operators, running statistics, dropout, a shared weight and a slice that is written."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.second = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu6(self.norm(self.first(x)), inplace=True)
        x = functional.dropout(x, 0.3).flatten(2).transpose(1, 2)
        x = self.second(functional.gelu(self.second(x)))
        y = x.clone()
        y[:, ::2] *= 2
        return y.as_strided((2, 8), (8, 1), 8).square().mean() + y.mean()


def small(optimizer: Optimizer = "sgd") -> tuple[Training, Traced]:
    torch.manual_seed(0)
    made = training(Mixed(), loss_of_outputs, (torch.randn(4, 3, 8, 8),), optimizer)
    return made, trace(made.step, made.inputs, made.roles)


def after(step: Callable[..., Any], inputs: Sequence[Tensor]) -> list[Tensor]:
    """What a step gives, and what it leaves in its inputs."""
    torch.manual_seed(7)
    own = [one.clone() for one in inputs]
    made = step(*own)
    return [*([made] if isinstance(made, Tensor) else made), *own]


def same(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    assert all(torch.isfinite(tensor).all() for tensor in one), "NaN equals nothing"
    return all(torch.equal(left, right) for left, right in zip(one, other, strict=True))


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_every_order_and_the_arena_give_the_same_bits(optimizer: Optimizer) -> None:
    made, traced = small(optimizer)
    expected = after(made.step, made.inputs)
    assert any(not torch.equal(now, before) for now, before in zip(expected[1:], made.inputs, strict=True))
    assert same(after(traced.module, made.inputs), expected)
    for rule in RULES.values():
        assert same(after(reordered(traced, rule(traced.graph)), made.inputs), expected)
    planned = plan_graph(traced.graph)
    arena = Arena(traced, planned.ordered.order, planned.placed.addresses)
    assert same(after(arena, made.inputs), expected)
    assert same(after(arena, made.inputs), expected), "what a run leaves in the arena must not reach the next one"
    assert planned.placed.arena < sum(traced.graph.storages[s].size for s in traced.graph.created)


def test_addresses_that_overlap_change_the_result() -> None:
    """Otherwise equality in the arena would say nothing of the addresses."""
    made, traced = small()
    planned = plan_graph(traced.graph)
    order = planned.ordered.order
    wrong = dict.fromkeys(planned.placed.addresses, 0)
    with pytest.raises(IllegalPlan, match="share bytes"):
        replay(traced.graph, order, wrong, align=64)
    assert not all(
        torch.equal(left, right)
        for left, right in zip(
            after(Arena(traced, order, wrong), made.inputs), after(made.step, made.inputs), strict=True
        )
    )


def test_a_copy_cannot_move_past_the_overwrite_that_it_protects() -> None:
    """The original planner drops in-place nodes; with copies made late it promises memory that no legal order has."""
    made, traced = small()
    graph = traced.graph
    forgetful = connect(graph.operators, graph.storages, overwrites=False)
    order = beam(forgetful, 16)
    assert order is not None
    wrong = late_copies(forgetful, order)
    replay(forgetful, range(len(graph.operators)))
    with pytest.raises(IllegalPlan, match="finds version"):
        replay(graph, wrong)
    result = after(reordered(traced, wrong), made.inputs)
    expected = after(made.step, made.inputs)
    assert not all(torch.equal(left, right) for left, right in zip(result, expected, strict=True))


def test_running_statistics_are_writes_though_the_schema_is_silent() -> None:
    _, traced = small()
    (norm,) = [one for one in traced.graph.operators if "native_batch_norm.default" in one.target]
    assert {traced.graph.storages[s].role for s in norm.writes} == {"buffer"}


def test_views_are_no_storages() -> None:
    """Counting them inflates what PyTorch needs, and with it every saving."""

    def step(x: Tensor) -> Tensor:
        return x.view(4, 16).t()[2:].expand(2, 14, 4).sum()

    traced = trace(step, (torch.randn(64),))
    assert [one.target for one in traced.graph.operators] == ["aten.sum.default"]
    assert sum(storage.size for storage in traced.graph.storages) == 64 * 4 + 4


def test_a_trace_is_the_same_each_time_and_its_operators_are_torchs() -> None:
    (_, one), (_, other) = small(), small()
    assert one.checksum == other.checksum
    assert all(operator.target.startswith("aten.") for operator in one.graph.operators)
    assert small("adam")[1].checksum != one.checksum


def test_no_plan_is_below_the_bound_or_above_a_rule() -> None:
    _, traced = small("adam")
    planned = plan_graph(traced.graph)
    assert cut_bound(traced.graph)[0] <= planned.ordered.bound <= planned.ordered.peak
    assert planned.ordered.peak == min(planned.ordered.peaks.values())
    assert planned.placed.bound <= planned.placed.arena == min(planned.placed.arenas.values())


def test_a_planned_step_takes_the_place_of_the_step() -> None:
    def step(weights: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        leaf = weights["w"].detach().requires_grad_()
        loss = functional.silu(x @ leaf).square().mean()
        (gradient,) = torch.autograd.grad(loss, [leaf])
        with torch.no_grad():
            weights["w"].sub_(gradient)
        return {"loss": loss.detach()}

    weights, x = {"w": torch.randn(8, 8)}, torch.randn(4, 8)
    planned = plan(step, (weights, x))
    own, others = {"w": weights["w"].clone()}, {"w": weights["w"].clone()}
    for _ in range(3):
        assert torch.equal(planned(own, x)["loss"], step(others, x)["loss"])
    assert torch.equal(own["w"], others["w"])
    with pytest.raises(ValueError, match="plan the step again"):
        planned(own, torch.randn(5, 8))


def test_a_course_that_depends_on_data_is_named() -> None:
    def step(x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x

    with pytest.raises(CannotTrace, match=r"depends on the data.*test_run\.py:\d+"):
        trace(step, (torch.randn(3),))

    with pytest.raises(CannotTrace, match="depends on the data"):
        trace(lambda x: x[x > 0].sum(), (torch.randn(3),))
