"""`tenfold plan-memory`: a user's own model planned, every mistake a sentence, and a plan that can be replayed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.engine import cli as engine
from models.olla.simulator import replay
from tasks.base.errors import UserError
from tools.__main__ import command_line
from tools.plan_memory import answer as answers
from tools.plan_memory.building import builder, traced_step
from tools.plan_memory.cli import fits

MINE = """
import torch
from torch import nn
from torch.nn import functional


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(32, 512), nn.Linear(512, 8)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


def build(batch=4):
    return Net(), torch.randn(batch, 32)


def with_loss():
    return Net(), (torch.randn(4, 32), torch.randn(4, 8)), lambda model, x, y: functional.mse_loss(model(x), y)


def by_name():
    return Net(), {"x": torch.randn(4, 32)}


def step():
    return (lambda x: (x * 2).sum()), (torch.randn(64),)


def branching():
    class Branching(Net):
        def forward(self, x):
            if x.sum() > 0:  # the data decide
                return super().forward(x)
            return x

    return Branching(), torch.randn(4, 32)


def looks_at_its_numbers():
    model = Net()
    assert float(model.first.weight.sum()) != 17.0
    return model, torch.randn(4, 32)


def broken():
    raise ValueError("the checkpoint is not there")


def nothing():
    return 3


number = 3
"""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "wanting.py").write_text("import not_there_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)


def test_the_command_writes_a_plan_that_can_be_replayed_and_a_page_that_loads_nothing(tmp_path: Path) -> None:
    command_line()
    ended = CliRunner().invoke(engine.app, ["plan-memory", "mine:build", "--batch", "16", "--limit", "1GB"])
    assert ended.exit_code == 0, ended.output
    assert "no order needs less than" in ended.output
    assert "The plan fits into" in ended.output
    plan = json.loads((tmp_path / "memory-plan.json").read_text())
    assert plan["bound_bytes"] <= plan["planned_peak_bytes"] <= plan["pytorch_peak_bytes"]
    assert plan["arena_bytes"] == max(one["address"] + -(-one["bytes"] // 64) * 64 for one in plan["tensors"])
    traced = traced_step(builder("mine:build"), 16, "sgd")
    assert traced.checksum == plan["checksum"]
    place = {name: index for index, name in enumerate(traced.node_of)}
    assert replay(traced.graph, [place[name] for name in plan["order"]]).peak == plan["planned_peak_bytes"]
    page = (tmp_path / "memory-plan.html").read_text()
    assert "http" not in page
    assert "<script" not in page
    assert page.count("<rect") == len(plan["tensors"])
    assert "16×512" in page
    assert "mine.py:13" in page, "the line that made the tensor"


@pytest.mark.parametrize("name", ["with_loss", "by_name", "step", "looks_at_its_numbers"])
def test_all_that_the_function_may_return_is_planned(name: str) -> None:
    found = answers.answer(traced_step(builder(f"mine:{name}"), None, "adam"))
    assert found.bound <= found.planned
    assert found.planned <= found.now + 64 * len(found.graph.created)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mine", "not of the form"),
        ("nowhere:build", "it is not there"),
        ("wanting:build", "its import of not_there_at_all is not there"),
        ("mine:absent", "mine has no absent"),
        ("mine:number", "is no function"),
        ("mine:broken", r"ValueError: the checkpoint is not there at mine\.py:\d+"),
        ("mine:nothing", "returned a int"),
        ("mine:branching", r"depends on the data.*mine\.py:\d+ \(if x\.sum"),
    ],
)
def test_a_mistake_is_one_sentence(name: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as told:
        traced_step(builder(name), None, "sgd")
    assert "\n" not in str(told.value)


def test_a_batch_for_a_function_without_one_is_said() -> None:
    with pytest.raises(UserError, match="takes no argument"):
        traced_step(builder("mine:step"), 4, "sgd")


@pytest.mark.parametrize(("text", "size"), [("4GB", 4 * 10**9), ("512MiB", 2**29), ("1.5 kb", 1500), ("2000", 2000)])
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert answers.size_of(text) == size


@pytest.mark.parametrize("text", ["", "GB", "4XB", "-1GB", "0"])
def test_what_is_no_size_is_said(text: str) -> None:
    with pytest.raises(UserError, match="is not a size"):
        answers.size_of(text)


def test_a_limit_below_the_bound_is_said_to_fit_no_order() -> None:
    found = answers.answer(traced_step(builder("mine:build"), 64, "sgd"))
    assert fits(found, found.planned).startswith("The plan fits")
    assert fits(found, found.bound - 1).startswith("No order fits")


def test_a_graph_too_large_for_bounds_gets_the_best_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = traced_step(builder("mine:build"), 64, "adam")
    monkeypatch.setattr(answers, "MOST_OPERATORS", 3)
    found = answers.answer(traced)
    assert not found.certain
    assert found.plan.ordered.peak == min(found.plan.ordered.peaks.values())
    assert answers.as_json(found, traced)["bound_bytes"] is None
