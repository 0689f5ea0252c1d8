"""Operations against torch and against finite differences: a wrong value, type, shape or gradient shows here."""

import inspect
import subprocess
import sys
from abc import update_abstractmethods
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from models import tensor as ft
from models.tensor.backend import TensorBackend, missing
from models.tensor.conformance import Case, cases, difference, run
from models.tensor.conformance import weights as outcome_weights
from models.tensor.counting import CountingBackend
from models.tensor.numpy_backend import NumpyBackend
from tasks.flashlight.conforming import DIFFERENT
from tasks.flashlight.oracle import outcome

BY_OPERATION: dict[str, list[Case]] = defaultdict(list)
for _case in cases():
    BY_OPERATION[_case.operation].append(_case)


@pytest.mark.parametrize("operation", sorted(BY_OPERATION))
def test_results_and_gradients_are_those_of_torch(operation: str) -> None:
    wrong = {}
    for case in BY_OPERATION[operation]:
        with np.errstate(all="ignore"):
            found = difference(run(case), outcome(case))
        if bool(found) != (case.name in DIFFERENT):
            wrong[case.name] = found or "no longer different"
    assert not wrong


def test_the_cases_call_every_primitive() -> None:
    """One that no case reaches would be untested on every backend."""
    backend = CountingBackend(NumpyBackend())
    with ft.using(backend), np.errstate(all="ignore"):
        for case in cases():
            run(case)
    assert set(ft.PRIMITIVES) - set(backend.calls) == {
        "copy",
        "evaluate",
        "seed",
        "random_uniform",
        "random_normal",
        "adam_update",
    }
    assert {"rand", "randn"} <= set(dir(ft))


SMOOTH = sorted({case.operation for case in cases() if case.differentiable})


@pytest.mark.parametrize("operation", SMOOTH)
def test_gradients_are_finite_differences(operation: str) -> None:
    """In float64, by central differences of every input value; torch has no part in it."""
    checked = 0
    for case in BY_OPERATION[operation]:
        arrays = [np.array(x, np.float64) if x.dtype.kind == "f" else x for x in case.arrays]
        inputs = [x for x in arrays if x.dtype.kind == "f"]
        if any(not np.isfinite(x).all() for x in inputs) or "equal ones" in case.name or "large" in case.name:
            continue  # no derivative there
        in_double = Case(operation, case.about, tuple(arrays), case.options)
        with np.errstate(all="ignore"):
            found = run(in_double)
        assert not found.error, found.error
        for x, gradient in zip(inputs, found.gradients, strict=True):
            for place in list(np.ndindex(x.shape))[:: max(1, x.size // 12)]:
                kept = x[place]
                totals = []
                for step in (1e-6, -1e-6):
                    x[place] = kept + step
                    (y, *_) = run(in_double, gradients=False).results
                    totals.append(float((y * outcome_weights(y)).sum()))
                x[place] = kept
                assert gradient[place] == pytest.approx((totals[0] - totals[1]) / 2e-6, rel=2e-6, abs=2e-6), case.name
                checked += 1
    assert checked


def test_torch_is_never_imported() -> None:
    """The library would be a wrapper otherwise: it trains with torch out of reach."""
    code = """
import sys
sys.modules["torch"] = None
import pkgutil, importlib
import models.tensor as ft
for found in pkgutil.walk_packages(ft.__path__, "models.tensor."):
    if "jax" not in found.name:
        importlib.import_module(found.name)
from models.tensor import nn, optimizers
model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))
optimizer = optimizers.Adam(model.parameters(), 1e-2)
x = ft.randn(16, 4)
first = last = None
for _ in range(30):
    loss = nn.functional.mse_loss(model(x), x[:, :2] * 2)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    first, last = first or loss.item(), loss.item()
assert last < first / 2, (first, last)
assert not [name for name in sys.modules if name.split(".")[0] in ("torch", "jax", "tinygrad") and sys.modules[name]]
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: ft.ones(2, 3) + ft.ones(4), r"add: .*\(float32\[2, 3\], float32\[4\]\)"),
        (lambda: ft.ones(2, 3) @ ft.ones(2, 3), r"matmul: .*\(float32\[2, 3\], float32\[2, 3\]\)"),
        (lambda: ft.conv2d(ft.ones(1, 3, 8, 8), ft.ones(4, 2, 3, 3)), r"conv2d: shapes \[1, 3, 8, 8\]"),
        (lambda: ft.conv2d(ft.ones(1, 3, 2, 2), ft.ones(4, 3, 3, 3)), r"conv2d: a window of \(3, 3\) does not fit"),
        (lambda: ft.ones(2, 3).reshape(4, -1), r"reshape: \[2, 3\] does not go into \[4, -1\]"),
        (lambda: ft.take(ft.ones(3, 2), ft.tensor([0, 3])), "take: indices from 0 to 3 into 3 values"),
        (lambda: ft.ones(2, 3).sum(2), "axis 2 of a tensor of 2 axes"),
        (lambda: ft.tensor([1, 2], requires_grad=True), "only floats have gradients, not int64"),
        (lambda: ft.ones(2, 2).backward(), "no leaf of this tensor wants a gradient"),
        (lambda: ft.ones(2) + "a", "a tensor and a str do not go together"),
    ],
)
def test_a_mistake_is_told_with_operator_and_shapes(wrong: Any, says: str) -> None:
    with pytest.raises((ValueError, TypeError, IndexError, RuntimeError), match=says):
        wrong()


def test_a_backend_that_lacks_a_primitive_says_which() -> None:
    half = type("Half", (NumpyBackend,), {"add": TensorBackend.add, "erf": TensorBackend.erf})
    update_abstractmethods(half)
    assert missing(half) == ["erf", "add"]
    backend = object.__new__(type("Bare", (), {}))
    with pytest.raises(TypeError, match="Bare lacks from_numpy, to_numpy"), ft.using(backend):
        pass


def test_the_primitives_are_few_and_take_no_options_in_disguise() -> None:
    """A hundred and ten would be no feat if a primitive were many behind a keyword."""
    assert len(ft.PRIMITIVES) <= 110
    for name in ft.PRIMITIVES:
        for parameter in inspect.signature(getattr(TensorBackend, name)).parameters.values():
            assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD, name
            assert parameter.default is parameter.empty, name
            assert parameter.annotation not in (str, dict), f"{name} could choose between operations"
