"""Cases that every backend must pass: each operation with its gradient, over types, shapes, strides and odd values.

The expected results are another backend's (numpy's by default); in the tests the oracle is PyTorch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models import tensor as ft
from models.tensor.active import using
from models.tensor.backend import TensorBackend

Arrays = tuple[Any, ...]

UNARY = (
    "negative absolute sign exp expm1 log log1p sqrt sin cos tanh sigmoid erf floor ceil rint relu gelu silu isnan "
    "isinf logical_not"
)
ARITHMETIC = "add subtract multiply divide maximum minimum power floor_divide remainder"
COMPARED = "equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor"
BITS = "bitwise_and bitwise_or bitwise_xor left_shift right_shift"
REDUCED = "sum mean prod amax amin any all count_nonzero var std norm"
STEPS = (
    "floor ceil rint sign floor_divide remainder any all count_nonzero isnan isinf logical_not argmax argmin argsort "
    f"nonzero one_hot {COMPARED} {BITS}"
)
"""Operations without gradients."""


@dataclass(frozen=True)
class Case:
    """An operation on arrays; `options` are its other arguments, `exact` says that no rounding is allowed."""

    operation: str
    about: str
    arrays: Arrays
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.operation}, {self.about}"

    @property
    def differentiable(self) -> bool:
        return self.operation not in STEPS.split()


@dataclass(frozen=True)
class Outcome:
    """What a case gave: results, and gradients of those inputs that have one; or an error."""

    results: Arrays = ()
    gradients: Arrays = ()
    error: str = ""


def cases() -> Iterator[Case]:
    """All cases; the numbers in them are always the same."""
    draw = np.random.default_rng(0)

    def normal(*shape: int, dtype: Any = np.float32) -> Any:
        return draw.standard_normal(shape).astype(dtype)

    def whole(*shape: int, dtype: Any = np.int64) -> Any:
        return draw.integers(-4, 5, shape).astype(dtype)

    layouts: list[tuple[str, Callable[[], Any]]] = [
        ("float32", lambda: normal(3, 4)),
        ("float64", lambda: normal(3, 4, dtype=np.float64)),
        ("a number", lambda: normal()),
        ("empty", lambda: normal(0, 3)),
        ("turned", lambda: normal(4, 3).T),
        ("strided", lambda: normal(5, 8)[::2, ::-2]),
        ("repeated", lambda: np.broadcast_to(normal(1, 4), (3, 4))),
    ]
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.5], np.float32)
    for name in UNARY.split():
        for about, make in layouts:
            x = make()
            yield Case(name, about, (np.abs(x) + np.float32(0.1) if name in ("log", "sqrt", "log1p") else x,))
        yield Case(name, "odd values", (odd if name not in ("gelu", "silu") else odd[[0, 3, 4, 5, 6]],))
        if name not in ("gelu", "relu", "silu"):
            yield Case(name, "int64", (whole(6) + (5 if name in ("log", "sqrt", "log1p") else 0),))
    shapes = [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2, 3)), ((0, 3), (3,)), ((2, 1, 3), (4, 1))]
    for name in f"{ARITHMETIC} {COMPARED}".split():
        for left, right in shapes:
            x, y = normal(*left), normal(*right)
            if name == "power":
                x = np.abs(x) + np.float32(0.1)
            yield Case(name, f"{left} and {right}", (x, y))
        yield Case(name, "odd values", (odd[:, None], odd[None]))
        for a, b in ((np.float64, np.float32), (np.int64, np.float32), (np.int32, np.int64), (np.bool_, np.float64)):
            if name == "subtract" and a is np.bool_:
                continue  # torch refuses it
            x, y = (whole(3, 4, dtype=t) if np.dtype(t).kind in "ib" else normal(3, 4, dtype=t) for t in (a, b))
            if name in ("power", "divide", "floor_divide", "remainder"):
                x, y = np.abs(x) if x.dtype.kind != "b" else x, np.abs(y) + np.ones((), y.dtype)
            yield Case(name, f"{np.dtype(a)} and {np.dtype(b)}", (x, y))
    for name in BITS.split():
        low = 0 if "shift" in name else -9
        yield Case(name, "int64", (draw.integers(low, 9, (3, 4)), draw.integers(0, 5, (4,))))
    for name in REDUCED.split():
        for axis in (None, 0, -1, (0, 2)):
            for keepdims in (False, True):
                x = normal(2, 3, 4)
                how = {"axis": axis, "keepdims": keepdims}
                if name == "prod" and isinstance(axis, tuple):
                    how["axis"] = 1
                yield Case(name, f"axis {how['axis']}, keepdims {keepdims}", (x,), how)
        if name not in ("amax", "amin", "var", "std"):
            yield Case(name, "empty", (normal(0, 3),), {"axis": 0})
        if name not in ("any", "all", "count_nonzero"):
            yield Case(name, "float64, turned", (normal(4, 3, dtype=np.float64).T,), {"axis": 1})
    for name in ("sum", "prod", "amax", "amin", "any", "all", "count_nonzero"):
        yield Case(name, "int32", (whole(3, 4, dtype=np.int32),), {"axis": 1})
    for name in ("amax", "amin", "argmax", "argmin", "sum", "sort", "argsort", "topk"):
        extra = {"axis": 0, "k": 4} if name == "topk" else {"axis": 0}
        yield Case(
            name, "NaN among them" if name != "topk" else "odd values", (odd if name != "topk" else odd[1:],), extra
        )
    ties = np.array([[1, 3, 3, 2], [0, 0, 5, 5]], np.float32)
    for name in ("amax", "amin", "argmax", "argmin", "argsort", "sort"):
        yield Case(name, "equal ones", (ties,), {"axis": 1})
    for name in ("cumsum", "softmax", "log_softmax", "logsumexp", "sort", "argsort", "median"):
        for axis in (0, 1, -1):
            yield Case(name, f"axis {axis}", (normal(4, 5, dtype=np.float64),), {"axis": axis})
        yield Case(name, "float32, turned", (normal(4, 5).T,), {"axis": 1})
    yield Case("softmax", "large values", (normal(3, 4) * 1000,), {"axis": 1})
    yield Case("log_softmax", "large values", (normal(3, 4) * 1000,), {"axis": 1})
    yield Case("prod", "zeros", (np.array([[2, 0, 3], [0, 0, 4], [1, 2, 3]], np.float64),), {"axis": 1})
    yield Case("sort", "descending", (normal(3, 5),), {"axis": 1, "descending": True})
    yield Case("topk", "two", (normal(3, 5),), {"k": 2, "axis": 1})
    yield from _shaped(normal, draw)
    yield from _products(normal)


def _shaped(normal: Callable[..., Any], draw: np.random.Generator) -> Iterator[Case]:
    condition = draw.random((3, 4)) > 0.5
    yield Case("where", "both", (condition, normal(3, 4), normal(4)))
    yield Case("clip", "float32", (normal(3, 4),), {"low": -0.5, "high": 0.5})
    for shape in ((12,), (2, -1), (4, 3)):
        yield Case("reshape", f"{shape}", (normal(3, 4).T,), {"shape": shape})
    yield Case("reshape", "empty", (normal(0, 4),), {"shape": (2, 0)})
    yield Case("transpose", "three axes", (normal(2, 3, 4),), {"axes": (2, 0, 1)})
    yield Case("swap", "two of three", (normal(2, 3, 4),), {"first": 0, "second": -1})
    yield Case("broadcast_to", "rows", (normal(1, 4),), {"shape": (2, 3, 4)})
    yield Case("pad", "both sides", (normal(3, 4),), {"widths": ((1, 2), (0, 3)), "value": 7.0})
    yield Case("flip", "one axis", (normal(3, 4),), {"axis": 1})
    yield Case("flip", "both", (normal(3, 4).T,), {"axis": (0, 1)})
    yield Case("tile", "more axes", (normal(3, 2),), {"times": (2, 1, 3)})
    for shift in (-1, 0, 2, 7):
        yield Case("roll", f"by {shift}", (normal(3, 5),), {"shift": shift, "axis": 1})
    yield Case("tril", "below", (normal(2, 4, 5),), {"diagonal": -1})
    yield Case("triu", "above", (normal(4, 5),), {"diagonal": 1})
    for about, at in (
        ("a row", 1),
        ("the last", -1),
        ("a slice", slice(1, None, 2)),
        ("backwards", slice(None, None, -1)),
        ("columns", (slice(None), 2)),
        ("a new axis", (None, Ellipsis, 0)),
        ("nothing", slice(2, 2)),
    ):
        yield Case("index", about, (normal(4, 5),), {"at": at})
    yield Case("take", "rows twice", (normal(5, 3), draw.integers(0, 5, (2, 4))), {"axis": 0})
    yield Case("take", "columns", (normal(3, 5), draw.integers(0, 5, (4,))), {"axis": 1})
    yield Case("take_along_axis", "rows", (normal(4, 5), draw.integers(0, 5, (4, 3))), {"axis": 1})
    yield Case("nonzero", "float32", (np.array([[0, 1, 2], [3, 0, 0]], np.float32),))
    yield Case("concatenate", "columns", (normal(3, 2), normal(3, 4)), {"axis": 1})
    yield Case("stack", "a new axis", (normal(3, 2), normal(3, 2)), {"axis": -1})
    yield Case("one_hot", "int64", (draw.integers(0, 4, (5,)),), {"classes": 4})


def _products(normal: Callable[..., Any]) -> Iterator[Case]:
    for left, right in (((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((4,), (4,)), ((4,), (4, 3))):
        yield Case("matmul", f"{left} and {right}", (normal(*left), normal(*right)))
    yield Case("matmul", "a column", (normal(2, 3, 4), normal(4)))
    yield Case("matmul", "turned", (normal(4, 3).T, normal(5, 4).T))
    yield Case("matmul", "no rows", (normal(0, 4), normal(4, 5)))
    yield Case("matmul", "nothing to add", (normal(3, 0), normal(0, 5)))
    yield Case("matmul", "float64", (normal(3, 4, dtype=np.float64), normal(4, 5, dtype=np.float64)))
    yield Case("linear", "a batch", (normal(2, 3, 4), normal(5, 4), normal(5)))
    for stride, padding, groups, kernel in (
        (1, 0, 1, (3, 3)),
        (2, 1, 1, (3, 3)),
        ((1, 2), (2, 0), 2, (2, 3)),
        (1, 0, 1, (1, 1)),
        (2, 0, 1, (1, 1)),
        (1, 1, 4, (3, 3)),
    ):
        how = {"stride": stride, "padding": padding, "groups": groups}
        x, weight = normal(2, 4, 7, 8, dtype=np.float64), normal(8, 4 // groups, *kernel, dtype=np.float64)
        about = f"kernel {kernel}, stride {stride}, padding {padding}, {groups} groups"
        yield Case("conv2d", about, (x, weight, normal(8, dtype=np.float64)), how)
    yield Case("conv2d", "no images", (normal(0, 4, 7, 8), normal(8, 4, 3, 3), normal(8)))
    for name in ("max_pool2d", "avg_pool2d"):
        for kernel, stride, padding in ((2, 2, 0), (3, 2, 1), ((2, 3), 1, 0)):  # type: ignore[assignment]
            how = {"kernel": kernel, "stride": stride, "padding": padding}
            yield Case(name, f"kernel {kernel}, stride {stride}, padding {padding}", (normal(2, 3, 7, 9),), how)
    yield Case("layer_norm", "with weights", (normal(2, 3, 8), normal(8), normal(8)))
    yield Case("layer_norm", "float64", (normal(4, 6, dtype=np.float64),))


def run(case: Case, gradients: bool = True) -> Outcome:
    """What a case gives on the backend in use; an error is an outcome, too."""
    try:
        wanted = gradients and case.differentiable
        inputs = [ft.tensor(x, requires_grad=wanted and x.dtype.kind == "f") for x in case.arrays]
        operation: Callable[..., Any] = getattr(ft, case.operation)
        grouped = case.operation in ("concatenate", "stack")
        found = operation(inputs, **case.options) if grouped else operation(*inputs, **case.options)
        results: Sequence[ft.Tensor] = found if isinstance(found, tuple) else (found,)
        arrays = tuple(np.array(one.numpy()) for one in results)
        if not results[0].requires_grad:
            return Outcome(arrays)
        results[0].backward(ft.tensor(weights(arrays[0])))
        return Outcome(arrays, tuple(np.array(x.grad.numpy()) for x in inputs if x.grad is not None))
    except Exception as problem:  # a backend under test may fail in any way, and the other cases are still run
        return Outcome(error=f"{type(problem).__name__}: {problem}")


def weights(result: Any) -> Any:
    """A gradient for a result that no symmetry of an operation can hide."""
    return (np.cos(np.arange(result.size)) + 1.5).reshape(result.shape).astype(result.dtype)


def difference(found: Outcome, expected: Outcome, tolerance: float = 2e-5) -> str:
    """In which way two outcomes differ, or nothing."""
    if found.error or expected.error:
        return "" if bool(found.error) == bool(expected.error) else found.error or "no error, though one is expected"
    for what, own, others in (
        ("result", found.results, expected.results),
        ("gradient", found.gradients, expected.gradients),
    ):
        if len(own) != len(others):
            return f"{len(own)} {what}s in place of {len(others)}"
        for a, b in zip(own, others, strict=True):
            if a.shape != b.shape or a.dtype != b.dtype:
                return f"a {what} is {a.dtype}{list(a.shape)} in place of {b.dtype}{list(b.shape)}"
            close = 1e-9 if a.dtype == np.float64 and tolerance < 1e-4 else tolerance
            if not np.allclose(a, b, rtol=close, atol=close, equal_nan=a.dtype.kind == "f"):
                with np.errstate(all="ignore"):
                    apart = np.abs(a.astype(float) - b.astype(float))
                return f"a {what} differs by up to {apart[np.isfinite(apart)].max(initial=0):.3g}"
    return ""


def failures(backend: TensorBackend, reference: TensorBackend, tolerance: float = 2e-5) -> dict[str, str]:
    """The cases in which a backend differs from a reference, by name, and how."""
    found = {}
    for case in cases():
        with np.errstate(all="ignore"):
            with using(reference):
                expected = run(case)
            with using(backend):
                wrong = difference(run(case), expected, tolerance)
        if wrong:
            found[case.name] = wrong
    return found
