"""Operations value by value, with their gradients: primitives called, and what they save for the way back."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from models.tensor.active import active
from models.tensor.backend import Array, Shape
from models.tensor.tape import Node
from models.tensor.tensor import MISTAKES, Tensor, call, explained, record, tensor

KINDS = "buif"
"""Kinds of types from the narrowest to the widest."""


def promoted(first: np.dtype[Any], second: np.dtype[Any]) -> np.dtype[Any]:
    """The type in which two types meet: the wider kind's, as torch has it, so that int64 and float32 give float32."""
    if (first.kind == "f") != (second.kind == "f"):
        return first if first.kind == "f" else second
    return np.promote_types(first, second)


def with_number(dtype: np.dtype[Any], number: float) -> np.dtype[Any]:
    """The type of an array together with a Python number, which is no wider than its kind."""
    kind = "b" if isinstance(number, bool) else "i" if isinstance(number, int) else "f"
    if KINDS.index(dtype.kind) >= KINDS.index(kind):
        return dtype
    return np.dtype(np.int64 if kind == "i" else np.float32)


def operands(a: Any, b: Any) -> tuple[Array, Array, Node | None, Node | None]:
    """Both arrays (or an array and a Python number) in a common type, and their nodes."""
    if a.__class__ is Tensor and b.__class__ is Tensor:
        x, y = a.data, b.data
        if x.dtype is y.dtype or x.dtype == y.dtype:
            return x, y, a.node, b.node
        common = promoted(x.dtype, y.dtype)
        a, b = cast(a, common), cast(b, common)
        return a.data, b.data, a.node, b.node
    if a.__class__ is Tensor:
        if b.__class__ is float and a.data.dtype.kind == "f":
            return a.data, b, a.node, None
        if isinstance(b, np.ndarray):
            return operands(a, tensor(b))
        b = _number(b)
        a = cast(a, with_number(a.data.dtype, b))
        return a.data, b, a.node, None
    y, x, n, m = operands(b, a)
    return x, y, m, n


def _number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, (bool, int, float)):
        raise TypeError(f"a tensor and a {type(value).__name__} do not go together")
    return value


def unbroadcast(gradient: Array, shape: Shape | None) -> Array | None:
    """The gradient summed over the axes along which an operand was repeated; None for one that wants none."""
    if shape is None or gradient.shape == shape:
        return gradient if shape is not None else None
    extra = len(gradient.shape) - len(shape)
    b = active.backend
    if extra:
        gradient = b.sum(gradient, tuple(range(extra)), False)
    repeated = tuple(i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] != 1)
    return b.sum(gradient, repeated, True) if repeated else gradient


def _shape(x: Any) -> Shape:
    return getattr(x, "shape", ())


def cast(a: Tensor, dtype: Any) -> Tensor:
    """The same values in another type; gradients go back in the old one, and end where it is no float."""
    dtype, before = np.dtype(dtype), a.data.dtype
    if dtype == before:
        return a
    x = call("cast", a.data, dtype)
    if dtype.kind != "f":
        return Tensor(x)
    return record(x, (a.node,), lambda g: (active.backend.cast(g, before),))


# Two operands.


# The first three are written out, for small networks spend their time here.


def add(a: Any, b: Any) -> Tensor:
    """a + b."""
    if a.__class__ is b.__class__ is Tensor and a.data.dtype is b.data.dtype:
        x, y, m, n = a.data, b.data, a.node, b.node
    else:
        x, y, m, n = operands(a, b)
    try:
        z = active.backend.add(x, y)
    except MISTAKES as problem:
        raise explained(problem, "add", x, y) from problem
    if (m is None and n is None) or not active.recording:
        return Tensor(z)
    return Tensor(z, Node((m, n), partial(_add_back, x.shape if m else None, y.shape if n else None)))


def _add_back(s: Shape | None, t: Shape | None, g: Array) -> tuple[Array, Array]:
    return unbroadcast(g, s), unbroadcast(g, t)


def subtract(a: Any, b: Any) -> Tensor:
    """a - b."""
    if a.__class__ is b.__class__ is Tensor and a.data.dtype is b.data.dtype:
        x, y, m, n = a.data, b.data, a.node, b.node
    else:
        x, y, m, n = operands(a, b)
    try:
        z = active.backend.subtract(x, y)
    except MISTAKES as problem:
        raise explained(problem, "subtract", x, y) from problem
    if (m is None and n is None) or not active.recording:
        return Tensor(z)
    return Tensor(z, Node((m, n), partial(_subtract_back, x.shape if m else None, y.shape if n else None)))


def _subtract_back(s: Shape | None, t: Shape | None, g: Array) -> tuple[Array, Array]:
    return unbroadcast(g, s), None if t is None else unbroadcast(active.backend.negative(g), t)


def multiply(a: Any, b: Any) -> Tensor:
    """a * b."""
    if a.__class__ is b.__class__ is Tensor and a.data.dtype is b.data.dtype:
        x, y, m, n = a.data, b.data, a.node, b.node
    else:
        x, y, m, n = operands(a, b)
    try:
        z = active.backend.multiply(x, y)
    except MISTAKES as problem:
        raise explained(problem, "multiply", x, y) from problem
    if (m is None and n is None) or not active.recording:
        return Tensor(z)
    s, t = x.shape if m else None, y.shape if n else None
    return Tensor(z, Node((m, n), partial(_multiply_back, s, t, x if n else None, y if m else None)))


def _multiply_back(s: Shape | None, t: Shape | None, x: Array, y: Array, g: Array) -> tuple[Array, Array]:
    times = active.backend.multiply
    return None if s is None else unbroadcast(times(g, y), s), None if t is None else unbroadcast(times(g, x), t)


def divide(a: Any, b: Any) -> Tensor:
    """a / b; whole numbers become float32."""
    x, y, m, n = operands(*(cast(o, np.float32) if _whole(o) else o for o in (a, b)))
    z = call("divide", x, y)
    s, t = _shape(x), _shape(y)

    def backward(g: Array) -> tuple[Array, Array]:
        b = active.backend
        share = b.divide(g, y)
        return m and unbroadcast(share, s), n and unbroadcast(b.negative(b.multiply(share, z)), t)

    return record(z, (m, n), backward)


def _whole(operand: Any) -> bool:
    return operand.__class__ is Tensor and operand.data.dtype.kind != "f"


def power(a: Any, b: Any) -> Tensor:
    """a to the b; the gradient of 0 to the 0 is 0."""
    x, y, m, n = operands(a, b)
    z = call("power", x, y)
    s, t = _shape(x), _shape(y)

    def backward(g: Array) -> tuple[Array, Array]:
        b = active.backend
        of_x = of_y = None
        if m:
            slope = b.multiply(b.power(x, b.subtract(y, 1) if _shape(y) or n else y - 1), y)
            slope = b.where(b.equal(y, 0), b.full(slope.shape, 0, z.dtype), slope) if _shape(y) or n else slope
            of_x = unbroadcast(b.multiply(g, slope if n or _shape(y) or y else b.full(s, 0, z.dtype)), s)
        if n:
            base = x if m or _shape(x) else b.full((), x, z.dtype)
            flat = b.logical_and(b.equal(base, 0), b.greater_equal(y, 0))
            of_y = unbroadcast(b.multiply(g, b.multiply(z, b.log(b.where(flat, 1.0, base)))), t)
        return of_x, of_y

    return record(z, (m, n), backward)


def maximum(a: Any, b: Any) -> Tensor:
    """The larger; where both are equal each has half of the gradient."""
    return _extreme("maximum", "less", "greater", a, b)


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller; where both are equal each has half of the gradient."""
    return _extreme("minimum", "greater", "less", a, b)


def _extreme(name: str, worse: str, better: str, a: Any, b: Any) -> Tensor:
    x, y, m, n = operands(a, b)
    s, t = _shape(x), _shape(y)

    def backward(g: Array) -> tuple[Array, Array]:
        b = active.backend
        shared = b.where(b.equal(x, y), b.multiply(g, 0.5), g)  # beside NaN both have all of it
        of_x = m and unbroadcast(b.where(getattr(b, worse)(x, y), 0.0, shared), s)
        return of_x, n and unbroadcast(b.where(getattr(b, better)(x, y), 0.0, shared), t)

    return record(call(name, x, y), (m, n), backward)


def where(condition: Tensor, a: Any, b: Any) -> Tensor:
    """a where the condition holds, else b."""
    x, y, m, n = operands(a, b) if Tensor in (a.__class__, b.__class__) else (a, b, None, None)
    s, t, holds = _shape(x), _shape(y), condition.data

    def backward(g: Array) -> tuple[Array, Array]:
        b = active.backend
        return m and unbroadcast(b.where(holds, g, 0.0), s), n and unbroadcast(b.where(holds, 0.0, g), t)

    return record(call("where", holds, x, y), (m, n), backward)


def _compared(name: str) -> Callable[[Any, Any], Tensor]:
    def compare(a: Any, b: Any) -> Tensor:
        x, y, _, _ = operands(a, b)
        return Tensor(call(name, x, y))

    compare.__name__, compare.__doc__ = name, f"The primitive `{name}`; it has no gradient."
    return compare


equal, not_equal = _compared("equal"), _compared("not_equal")
less, less_equal = _compared("less"), _compared("less_equal")
greater, greater_equal = _compared("greater"), _compared("greater_equal")
logical_and, logical_or, logical_xor = _compared("logical_and"), _compared("logical_or"), _compared("logical_xor")
bitwise_and, bitwise_or, bitwise_xor = _compared("bitwise_and"), _compared("bitwise_or"), _compared("bitwise_xor")
left_shift, right_shift = _compared("left_shift"), _compared("right_shift")
floor_divide, remainder = _compared("floor_divide"), _compared("remainder")


# One operand.


def _floating(a: Tensor) -> Tensor:
    return a if a.data.dtype.kind == "f" else cast(a, np.float32)


def negative(a: Tensor) -> Tensor:
    """-a."""
    return record(call("negative", a.data), (a.node,), lambda g: (active.backend.negative(g),))


def absolute(a: Tensor) -> Tensor:
    """|a|, with gradient 0 at 0."""
    x = a.data
    return record(call("absolute", x), (a.node,), lambda g: (active.backend.multiply(g, active.backend.sign(x)),))


def exp(a: Tensor) -> Tensor:
    """e to the a."""
    y = call("exp", _floating(a).data)
    return record(y, (a.node,), lambda g: (active.backend.multiply(g, y),))


def expm1(a: Tensor) -> Tensor:
    """e to the a, less 1."""
    y = call("expm1", _floating(a).data)
    return record(y, (a.node,), lambda g: (active.backend.multiply(g, active.backend.add(y, 1)),))


def log(a: Tensor) -> Tensor:
    """Natural logarithm."""
    x = _floating(a).data
    return record(call("log", x), (a.node,), lambda g: (active.backend.divide(g, x),))


def log1p(a: Tensor) -> Tensor:
    """Natural logarithm of 1 + a."""
    x = _floating(a).data
    return record(call("log1p", x), (a.node,), lambda g: (active.backend.divide(g, active.backend.add(x, 1)),))


def sqrt(a: Tensor) -> Tensor:
    """Square root."""
    y = call("sqrt", _floating(a).data)
    return record(y, (a.node,), lambda g: (active.backend.divide(g, active.backend.multiply(y, 2)),))


def sin(a: Tensor) -> Tensor:
    """Sine."""
    x = _floating(a).data
    return record(call("sin", x), (a.node,), lambda g: (active.backend.multiply(g, active.backend.cos(x)),))


def cos(a: Tensor) -> Tensor:
    """Cosine."""
    x = _floating(a).data

    def backward(g: Array) -> tuple[Array]:
        b = active.backend
        return (b.negative(b.multiply(g, b.sin(x))),)

    return record(call("cos", x), (a.node,), backward)


def tanh(a: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    y = call("tanh", _floating(a).data)

    def backward(g: Array) -> tuple[Array]:
        b = active.backend
        return (b.multiply(g, b.subtract(1, b.multiply(y, y))),)

    return record(y, (a.node,), backward)


def sigmoid(a: Tensor) -> Tensor:
    """1 / (1 + exp(-a))."""
    y = call("sigmoid", _floating(a).data)

    def backward(g: Array) -> tuple[Array]:
        b = active.backend
        return (b.multiply(g, b.multiply(y, b.subtract(1, y))),)

    return record(y, (a.node,), backward)


def erf(a: Tensor) -> Tensor:
    """The error function."""
    x = _floating(a).data

    def backward(g: Array) -> tuple[Array]:
        b = active.backend
        return (b.multiply(g, b.multiply(b.exp(b.negative(b.multiply(x, x))), 1.1283791670955126)),)

    return record(call("erf", x), (a.node,), backward)


def relu(a: Tensor) -> Tensor:
    """a where it is above 0, else 0."""
    y = call("maximum", a.data, 0)

    def backward(g: Array) -> tuple[Array]:
        b = active.backend
        return (b.where(b.less_equal(y, 0), 0.0, g),)

    return record(y, (a.node,), backward)


def gelu(a: Tensor) -> Tensor:
    """a times the normal distribution's share below it (Hendrycks and Gimpel 2016)."""
    x = _floating(a).data
    return record(call("gelu", x), (a.node,), lambda g: (active.backend.gelu_gradient(g, x),))


def silu(a: Tensor) -> Tensor:
    """a times its sigmoid."""
    return multiply(a, sigmoid(a))


def clip(a: Tensor, low: float, high: float) -> Tensor:
    """Not below low, not above high; no gradient comes back from beyond."""
    x = a.data

    def backward(g: Array) -> tuple[Array]:
        b = active.backend
        return (b.where(b.logical_and(b.greater_equal(x, low), b.less_equal(x, high)), g, 0.0),)

    return record(call("clip", x, low, high), (a.node,), backward)


def _flat(name: str) -> Callable[[Tensor], Tensor]:
    def step(a: Tensor) -> Tensor:
        return Tensor(a.data if name in ROUNDING and a.data.dtype.kind != "f" else call(name, a.data))

    step.__name__, step.__doc__ = name, f"The primitive `{name}`; it has no gradient, or one of 0."
    return step


ROUNDING = ("floor", "ceil", "rint")
floor, ceil, rint, sign = _flat("floor"), _flat("ceil"), _flat("rint"), _flat("sign")
isnan, isinf, logical_not = _flat("isnan"), _flat("isinf"), _flat("logical_not")
