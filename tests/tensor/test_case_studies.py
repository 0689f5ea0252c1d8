"""The studies of docs/tensor.md, run as they are printed: a page that no longer works shows here."""

import re
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from models import tensor as ft
from models.tensor import conformance, nn, optimizers
from models.tensor.lazy import LazyBackend
from models.tensor.memory import Caching, ManagedBackend, MemoryManager, Naive, Recorder, replay
from models.tensor.numpy_backend import NumpyBackend
from models.tensor.zoo import sample

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/tensor.md").read_text(), re.DOTALL)


def made(containing: str) -> dict[str, Any]:
    """What a block of the page defines."""
    (block,) = [one for one in BLOCKS if containing in one]
    assert len(block.splitlines()) <= 60, "short enough to be read at a glance"
    names: dict[str, Any] = {}
    exec(block, names)  # noqa: S102 - the page is ours
    return names


def trained(backend: Any, steps: int = 3) -> list[float]:
    with ft.using(backend):
        backend.seed(0)
        one = sample("bert", nn, ft.tensor, 2, 32)
        optimizer = optimizers.SGD(one.model.parameters(), 0.1)
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = one.loss(one.model(one.inputs), one.targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses


def test_the_first_lines_train() -> None:
    ft.active.backend.seed(1)
    names = made("mse_loss(model(x), x[:, :1] * 3.0)")
    assert names["loss"].item() < 4.0, "it begins near 9"


def test_rounded_sums_reach_everything_and_training_goes_on() -> None:
    backend = made("class RoundedSums")["RoundedSums"]()
    losses, plain = trained(backend), trained(NumpyBackend())
    assert backend.sums > 100
    assert losses != plain
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(losses, plain, rtol=0.1)


def test_rounded_sums_reach_adam_on_which_class_ever_they_are_swapped() -> None:
    """numpy's backend and the lazy one update in one go, which a swapped sum must undo."""
    rounded = made("class RoundedSums")["RoundedSums"]

    class Lazily(LazyBackend):
        def __init__(self) -> None:
            super().__init__(large=1)
            self.sums = 0

        def add(self, x: Any, y: Any) -> Any:
            self.sums += 1
            return super().add(x, y)

    for backend in (rounded(), Lazily()):
        with ft.using(backend):
            weight = ft.tensor(np.ones(2000, np.float32), requires_grad=True)
            optimizer = optimizers.Adam([weight], 0.1)
            weight.grad = ft.tensor(np.full(2000, 30, np.float32))
            optimizer.step()
        assert backend.sums == 3


def test_the_manager_serves_trainings_and_wastes_at_most_half() -> None:
    kind: type[MemoryManager] = made("class PowersOfTwo")["PowersOfTwo"]
    recorder = Recorder()
    plain = trained(ManagedBackend(recorder))
    assert trained(ManagedBackend(kind())) == plain == trained(ManagedBackend(Caching()))
    naive, own = replay(recorder.events, Naive()), replay(recorder.events, kind())
    assert naive.peak_live < own.peak_reserved
    assert own.segments < sum(event.kind == "allocate" for event in recorder.events) / 2, "places are used again"


def test_the_backend_in_double_passes_every_case_and_is_nearer_to_float64() -> None:
    backend = made("InDouble = ABCMeta")["InDouble"]()
    assert not conformance.failures(backend, NumpyBackend())
    draw = np.random.default_rng(0)
    x, scale = draw.standard_normal((50, 400)).astype(np.float32), 1e4
    exact = conformance.run(conformance.Case("softmax", "", ((x * scale).astype(np.float64),))).results[0]
    errors = []
    for one in (backend, NumpyBackend()):
        with ft.using(one):
            errors.append(np.abs(ft.softmax(ft.tensor(x * np.float32(scale))).numpy() - exact).max())
    assert errors[0] <= errors[1]


@pytest.mark.parametrize("title", ["A primitive that rounds", "A memory manager", "A backend"])
def test_the_page_has_its_three_studies(title: str) -> None:
    assert f"## {title}\n" in (ROOT / "docs/tensor.md").read_text()
