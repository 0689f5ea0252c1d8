"""Other backends: the same cases, the same training; and a backend with a fault is found out."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from models import tensor as ft
from models.tensor import conformance, nn, optimizers
from models.tensor.backend import TensorBackend
from models.tensor.counting import CountingBackend
from models.tensor.lazy import LazyBackend
from models.tensor.lazy.expression import TEMPLATES
from models.tensor.numpy_backend import NumpyBackend
from models.tensor.zoo import NETWORKS, sample
from tasks.flashlight.planted import SlowAdd, WrongGradient


@pytest.fixture(scope="module")
def lazy() -> LazyBackend:
    """Puts off all, however small, and compiles each kernel once."""
    return LazyBackend(large=1)


def test_lazy_results_are_numpys_for_each_operation_that_is_put_off(lazy: LazyBackend) -> None:
    """One expression that holds nearly all of them, and comparisons; the slow test has every case."""
    draw = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        for dtype in (np.float32, np.float64):
            x, y = draw.standard_normal((6, 5)).astype(dtype), draw.standard_normal(5).astype(dtype)
            x[0] = [np.nan, np.inf, -np.inf, 0, -0.0]
            found, expected = (
                [backend.to_numpy(one) for one in everything(backend, x, y)] for backend in (lazy, NumpyBackend())
            )
            for a, b in zip(found, expected, strict=True):
                assert a.dtype == b.dtype
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-6)


def everything(b: TensorBackend, x: Any, y: Any) -> list[Any]:
    """Results whose expressions use every primitive that is put off."""
    smooth = b.add(b.multiply(b.tanh(x), b.sigmoid(y)), b.subtract(b.erf(x), b.exp(b.negative(b.absolute(x)))))
    waves = b.divide(b.sin(b.clip(x, -2.0, 2.0)), b.add(b.cos(b.clip(y, -1.0, 1.0)), 1.5))
    roots = b.log(b.add(b.sqrt(b.absolute(y)), 1.0))
    ends = b.minimum(b.maximum(x, y), 0.75)
    truths = [
        getattr(b, name)(x, y) for name in ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
    ]
    mixed = b.logical_or(b.logical_and(truths[2], b.logical_not(truths[0])), b.isnan(x))
    chosen = b.where(mixed, smooth, b.cast(truths[4], x.dtype))
    return [smooth, waves, roots, ends, mixed, chosen, *truths[1:2]]


def test_everything_that_is_put_off_is_in_that_test() -> None:
    backend = CountingBackend(NumpyBackend())
    everything(backend, np.ones((2, 2)), np.ones(2))
    assert set(TEMPLATES) == set(backend.calls)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=4), st.data())
def test_repeated_axes_land_where_numpy_puts_them(shape: list[int], data: st.DataObject) -> None:
    backend = LazyBackend(large=1)
    backend._compiled = COMPILED
    draw = np.random.default_rng(0)
    wide = draw.standard_normal(shape)
    narrow = draw.standard_normal([data.draw(st.sampled_from([1, n])) for n in shape][data.draw(st.integers(0, 1)) :])
    found = backend.to_numpy(backend.add(backend.multiply(wide, narrow), narrow))
    np.testing.assert_allclose(found, wide * narrow + narrow)
    last = tuple(range(len(shape) - data.draw(st.integers(1, len(shape))), len(shape)))
    summed = backend.sum(backend.multiply(wide, narrow), last, True)
    np.testing.assert_allclose(backend.to_numpy(summed), (wide * narrow).sum(last, keepdims=True), atol=1e-12)


COMPILED: dict[Any, Any] = {}
"""Kernels, shared by the examples of the test above."""


@pytest.mark.slow
def test_every_case_passes_when_all_is_put_off(lazy: LazyBackend) -> None:
    assert not conformance.failures(lazy, NumpyBackend())


@pytest.mark.slow
def test_every_case_passes_on_jax() -> None:
    jax_backend = pytest.importorskip("models.tensor.jax_backend")
    assert not conformance.failures(jax_backend.JaxBackend(), NumpyBackend())


@pytest.mark.parametrize("make", [LazyBackend, lambda: CountingBackend(NumpyBackend())], ids=["lazy", "counting"])
def test_every_case_passes_as_the_backend_is_used(make: Any) -> None:
    assert not conformance.failures(make(), NumpyBackend())


class OnDevice(np.ndarray):
    """Stands for CuPy's arrays: numpy's functions on it are CuPy's, and it never mixes with numpy's own arrays."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if any(type(x) is np.ndarray and x.ndim for x in inputs):
            raise TypeError(f"{ufunc.__name__}: an array of numpy among those of the device")
        bare = [x.view(np.ndarray) if isinstance(x, OnDevice) else x for x in inputs]
        out = options.pop("out", None)
        if out is not None:
            options["out"] = tuple(x.view(np.ndarray) for x in out)
        found = getattr(ufunc, method)(*bare, **options)
        if method == "at":
            return None
        return out[0] if out is not None else np.asarray(found).view(OnDevice)


_strided = np.lib.stride_tricks.as_strided


class StandIn:
    """Stands for CuPy, function by function: numpy's, with results on the device, and no name that CuPy has not."""

    ogrid, int64 = np.ogrid, np.int64
    lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=lambda x, *how: _strided(x, *how).view(OnDevice)))
    random = SimpleNamespace(
        default_rng=lambda seed: SimpleNamespace(
            random=lambda *a: np.asarray(np.random.default_rng(seed).random(*a)).view(OnDevice),
            standard_normal=lambda *a: np.asarray(np.random.default_rng(seed).standard_normal(*a)).view(OnDevice),
        )
    )

    def asnumpy(self, x: Any) -> Any:
        assert not isinstance(x, np.ndarray) or not x.ndim or isinstance(x, OnDevice), "it never was on the device"
        return np.array(x)

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        if isinstance(function, np.ufunc):
            return function
        return lambda *a, **k: (
            found.view(OnDevice) if isinstance(found := function(*a, **k), np.ndarray | np.generic) else found
        )


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy where it is installed and has a GPU, else numpy in its place."""
    try:
        import cupy

        cupy.zeros(1)
    except Exception:  # not installed, or no driver
        from scipy import special

        for name in ("cupyx", "cupyx.scipy"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.setitem(sys.modules, "cupyx.scipy.special", special)
        monkeypatch.setattr(sys.modules["cupyx"], "scipy", sys.modules["cupyx.scipy"], raising=False)
        monkeypatch.setattr(sys.modules["cupyx.scipy"], "special", special, raising=False)
        monkeypatch.setitem(sys.modules, "cupy", StandIn())  # type: ignore[arg-type]


def test_every_case_passes_on_cupy_or_with_numpy_in_its_place(cupy: None) -> None:
    """A primitive that went around CuPy would give or mix in arrays of numpy."""
    from models.tensor.cupy_backend import CupyBackend

    assert not conformance.failures(CupyBackend(), NumpyBackend())


def test_without_cupy_its_backend_is_imported_and_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from models.tensor.cupy_backend import CupyBackend

    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ImportError):
        CupyBackend()


def test_jax_trains_to_numpys_losses() -> None:
    jax_backend = pytest.importorskip("models.tensor.jax_backend")
    losses = []
    weights: list[Any] = []
    for backend in (NumpyBackend(), jax_backend.JaxBackend()):
        with ft.using(backend):
            made = sample("mlp", nn, ft.tensor, 8, 32)
            for place, parameter in enumerate(made.model.parameters()):
                if backend.__class__ is NumpyBackend:
                    weights.append(parameter.numpy().copy())
                parameter.data = backend.from_numpy(weights[place])
            optimizer = optimizers.SGD(made.model.parameters(), 0.1)
            seen = []
            for _ in range(2):
                optimizer.zero_grad()
                loss = made.loss(made.model(made.inputs), made.targets)
                loss.backward()
                optimizer.step()
                seen.append(loss.item())
            losses.append(seen)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert losses[0][-1] < losses[0][0]


def test_a_chain_is_one_kernel_and_makes_one_array() -> None:
    backend = LazyBackend(large=1)
    x = np.ones((50, 40), np.float32)
    y = x
    for _ in range(10):
        y = backend.add(backend.multiply(y, 0.5), x)
    found = backend.to_numpy(y)
    assert (backend.launched, backend.made) == (1, x.nbytes)
    total = backend.to_numpy(backend.sum(backend.multiply(y, 2.0), (0, 1), False))
    assert backend.launched == 2, "a product with its sum"
    assert total == pytest.approx(2 * found.sum(), rel=1e-6)


def test_sums_of_a_million_keep_their_digits() -> None:
    backend = LazyBackend()
    x = np.random.default_rng(0).random(1_000_000, np.float32)
    found = backend.sum(backend.multiply(x, 1.0), (0,), False)
    assert float(found) == pytest.approx(x.astype(np.float64).sum(), rel=1e-6)


def test_a_network_trains_alike_eagerly_and_lazily(lazy: LazyBackend) -> None:
    losses = []
    for backend in (NumpyBackend(), LazyBackend(large=256)):
        with ft.using(backend):
            backend.seed(0)
            made = sample("bert", nn, ft.tensor, 2, 32)
            optimizer = optimizers.Adam(made.model.parameters(), 1e-2)
            seen = []
            for _ in range(4):
                optimizer.zero_grad()
                loss = made.loss(made.model(made.inputs), made.targets)
                loss.backward()
                optimizer.step()
                seen.append(loss.item())
            losses.append(seen)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    assert losses[0][-1] < losses[0][0]


def test_a_wrong_primitive_is_found_by_its_cases() -> None:
    found = conformance.failures(WrongGradient(), NumpyBackend())
    assert {name.split(",")[0] for name in found} == {"sin", "cos"}
    assert "a gradient differs by up to" in found["sin, float32"]


def test_a_backend_that_breaks_is_told_for_each_case_and_the_rest_goes_on() -> None:
    class Broken(NumpyBackend):
        def argsort(self, x: Any, axis: int) -> Any:
            raise NotImplementedError("no sorting here")

    found = conformance.failures(Broken(), NumpyBackend())
    assert {name.split(",")[0] for name in found} == {"argsort", "sort", "topk", "median"}
    assert all("no sorting here" in reason for reason in found.values())


def test_one_override_reaches_every_network_forward_and_back() -> None:
    """The paper's point: each model, loss and optimizer uses the swapped primitive."""

    class Counted(NumpyBackend):
        adds = 0

        def add(self, x: Any, y: Any) -> Any:
            self.adds += 1
            return np.add(x, y)

    for name in NETWORKS:
        backend = Counted()
        with ft.using(backend):
            made = sample(name, nn, ft.tensor, 2, 8 if name in ("alexnet", "vgg16", "resnet50") else 32)
            loss = made.loss(made.model(made.inputs), made.targets)
            forward = backend.adds
            loss.backward()
            assert forward > 0, name
            assert backend.adds > forward or name in ("mlp", "alexnet", "vgg16"), "where no value is used twice"


def test_a_slow_add_shows_in_the_profile() -> None:
    """On one thread: those of a product wait for each other where the machine is busy."""
    shares = []
    for inner in (NumpyBackend(), SlowAdd()):
        backend = CountingBackend(inner)
        with ft.using(backend), threadpool_limits(1):
            made = sample("bert", nn, ft.tensor, 2, 32)
            made.loss(made.model(made.inputs), made.targets).backward()
        shares.append(backend.seconds["add"] / sum(backend.seconds.values()))
        most = max(backend.seconds, key=lambda name: backend.seconds[name])
    assert most == "add"
    assert shares[1] > 2 * shares[0]
