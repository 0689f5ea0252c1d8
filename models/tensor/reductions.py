"""Operations over whole axes, with their gradients."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from models.tensor import elementwise, shaping
from models.tensor.active import active
from models.tensor.backend import Array, Axes, Shape
from models.tensor.tape import Node
from models.tensor.tensor import Tensor, axes_of, call, record

Axis = int | Sequence[int] | None


def _spread(g: Array, shape: Shape, axes: Axes) -> Array:
    """A reduction's gradient, repeated along the axes that it was summed over."""
    b = active.backend
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    return b.broadcast_to(b.reshape(g, kept), shape)


def sum(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum; whole numbers and bools give int64."""
    shape = a.data.shape
    axes = axes_of(axis, len(shape))
    y = call("sum", a.data, axes, keepdims)
    if a.node is None or not active.recording:
        return Tensor(y)
    return Tensor(y, Node((a.node,), partial(_sum_back, shape, axes)))


def _sum_back(shape: Shape, axes: Axes, g: Array) -> tuple[Array]:
    return (_spread(g, shape, axes),)


def mean(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean; NaN of nothing."""
    count = int(np.prod([a.shape[i] for i in axes_of(axis, a.ndim)]))
    whole = a if a.dtype.kind == "f" else elementwise.cast(a, np.float32)
    return elementwise.multiply(sum(whole, axis, keepdims), 1 / count if count else float("nan"))


def var(a: Tensor, axis: Axis = None, keepdims: bool = False, correction: int = 1) -> Tensor:
    """Squared distances from the mean, over their count less `correction`."""
    count = int(np.prod([a.shape[i] for i in axes_of(axis, a.ndim)]))
    centred = elementwise.subtract(a, mean(a, axis, True))
    share = 1 / (count - correction) if count > correction else float("nan")
    return elementwise.multiply(sum(elementwise.multiply(centred, centred), axis, keepdims), share)


def std(a: Tensor, axis: Axis = None, keepdims: bool = False, correction: int = 1) -> Tensor:
    """The root of `var`."""
    return elementwise.sqrt(var(a, axis, keepdims, correction))


def norm(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The root of the sum of squares."""
    return elementwise.sqrt(sum(elementwise.multiply(a, a), axis, keepdims))


def prod(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The product; the gradient is exact where values are 0, too, along a single axis."""
    axes = axes_of(axis, a.ndim)
    x, shape = a.data, a.data.shape
    y = call("prod", x, axes, keepdims)

    def backward(g: Array) -> tuple[Array]:
        b = active.backend
        zero = b.equal(x, 0)
        filled = b.where(zero, 1.0, x)
        others = _spread(b.prod(filled, axes, True), shape, axes)
        zeros = _spread(b.sum(b.cast(zero, np.int64), axes, True), shape, axes)
        alone = b.equal(zeros, b.cast(zero, np.int64))  # every other value is not 0
        return (b.multiply(_spread(g, shape, axes), b.multiply(b.divide(others, filled), b.cast(alone, g.dtype))),)

    return record(y, (a.node,), backward)


def amax(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest; equal ones share the gradient. NaN where one is."""
    return _extreme("amax", a, axis, keepdims)


def amin(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest; equal ones share the gradient. NaN where one is."""
    return _extreme("amin", a, axis, keepdims)


def _extreme(name: str, a: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    axes = axes_of(axis, a.ndim)
    x, shape = a.data, a.data.shape
    y = call(name, x, axes, keepdims)

    def backward(g: Array) -> tuple[Array]:
        b = active.backend
        best = b.cast(b.equal(x, _spread(y, shape, axes)), g.dtype)
        share = b.divide(_spread(g, shape, axes), b.sum(best, axes, True))
        return (b.multiply(best, share),)

    return record(y, (a.node,), backward)


def any(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether one is not 0 (bool)."""
    return Tensor(call("any", a.data, axes_of(axis, a.ndim), keepdims))


def all(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether none is 0 (bool)."""
    return Tensor(call("all", a.data, axes_of(axis, a.ndim), keepdims))


def count_nonzero(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """How many are not 0 (int64)."""
    return sum(elementwise.not_equal(a, 0), axis, keepdims)


def argmax(a: Tensor, axis: int) -> Tensor:
    """Where the first largest is (int64)."""
    return Tensor(call("argmax", a.data, *axes_of(axis, a.ndim)))


def argmin(a: Tensor, axis: int) -> Tensor:
    """Where the first smallest is (int64)."""
    return Tensor(call("argmin", a.data, *axes_of(axis, a.ndim)))


def cumsum(a: Tensor, axis: int) -> Tensor:
    """Sums from the start up to each place."""
    (axis,) = axes_of(axis, a.ndim)

    def backward(g: Array) -> tuple[Array]:
        b = active.backend
        return (b.flip(b.cumsum(b.flip(g, (axis,)), axis), (axis,)),)

    return record(call("cumsum", a.data, axis), (a.node,), backward)


def argsort(a: Tensor, axis: int = -1, descending: bool = False) -> Tensor:
    """Indices in order, equal ones as they stood; NaN last, or first where it descends (int64)."""
    (axis,) = axes_of(axis, a.ndim)
    if not descending:
        return Tensor(call("argsort", a.data, axis))
    backwards = call("argsort", active.backend.flip(a.data, (axis,)), axis)
    return Tensor(active.backend.subtract(a.shape[axis] - 1, active.backend.flip(backwards, (axis,))))


def sort(a: Tensor, axis: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
    """Values in order, and where they were."""
    places = argsort(a, axis, descending)
    return shaping.take_along_axis(a, places, axis), places


def topk(a: Tensor, k: int, axis: int = -1) -> tuple[Tensor, Tensor]:
    """The k largest in falling order, and where they were."""
    (axis,) = axes_of(axis, a.ndim)
    if not 0 <= k <= a.shape[axis]:
        raise ValueError(f"topk: {k} of {a.shape[axis]} values")
    first: Any = (slice(None),) * axis + (slice(0, k),)
    places = argsort(a, axis, descending=True)[first]
    return shaping.take_along_axis(a, places, axis), places


def median(a: Tensor, axis: int = -1) -> Tensor:
    """The lower middle value in order."""
    (axis,) = axes_of(axis, a.ndim)
    middle = (a.shape[axis] - 1) // 2
    return sort(a, axis)[0][(*(slice(None),) * axis, middle)]


def softmax(a: Tensor, axis: int = -1) -> Tensor:
    """exp(a) over its sum along an axis."""
    (axis,) = axes_of(axis, a.ndim)
    y = call("softmax", a.data, axis)
    return record(y, (a.node,), lambda g: (active.backend.softmax_gradient(g, y, axis),))


def log_softmax(a: Tensor, axis: int = -1) -> Tensor:
    """The logarithm of `softmax`."""
    (axis,) = axes_of(axis, a.ndim)
    y = call("log_softmax", a.data, axis)
    return record(y, (a.node,), lambda g: (active.backend.log_softmax_gradient(g, y, axis),))


def logsumexp(a: Tensor, axis: int = -1, keepdims: bool = False) -> Tensor:
    """The logarithm of the sum of exp(a); -inf where all are -inf."""
    (axis,) = axes_of(axis, a.ndim)
    b = active.backend
    largest = b.amax(a.data, (axis,), True)
    shift = Tensor(b.where(b.isinf(largest), 0.0, largest))
    whole = elementwise.log(sum(elementwise.exp(a - shift), axis, True)) + shift
    return whole if keepdims else shaping.reshape(whole, tuple(n for i, n in enumerate(a.shape) if i != axis))
