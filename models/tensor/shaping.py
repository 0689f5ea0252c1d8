"""Operations that move values, with their gradients."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.tensor import elementwise
from models.tensor.active import active
from models.tensor.backend import Array, Shape
from models.tensor.tensor import Tensor, axes_of, call, record


def reshape(a: Tensor, shape: Sequence[int]) -> Tensor:
    """The same values in C order in another shape, of which one length may be -1: what is left."""
    before = a.data.shape
    after = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else tuple(shape)
    if -1 in after:
        known = int(np.prod([n for n in after if n != -1]))
        if after.count(-1) > 1 or not known or a.size % known:
            raise ValueError(f"reshape: {list(before)} does not go into {list(after)}")
        after = tuple(a.size // known if n == -1 else n for n in after)
    return record(call("reshape", a.data, after), (a.node,), lambda g: (active.backend.reshape(g, before),))


def transpose(a: Tensor, axes: Sequence[int]) -> Tensor:
    """Axis i of the result is axis axes[i]."""
    if len(axes) != a.ndim:
        raise ValueError(f"transpose: {len(axes)} axes for a tensor of {a.ndim}")
    axes_of(axes, a.ndim)
    order = tuple(one % a.ndim for one in axes)
    back = tuple(order.index(i) for i in range(len(order)))
    return record(call("transpose", a.data, order), (a.node,), lambda g: (active.backend.transpose(g, back),))


def swap(a: Tensor, first: int, second: int) -> Tensor:
    """Two axes exchanged."""
    axes_of(first, a.ndim), axes_of(second, a.ndim)
    axes = list(range(a.ndim))
    axes[first], axes[second] = axes[second], axes[first]
    return transpose(a, axes)


def broadcast_to(a: Tensor, shape: Shape) -> Tensor:
    """Repeated along axes of length 1."""
    before = a.data.shape
    return record(
        call("broadcast_to", a.data, tuple(shape)), (a.node,), lambda g: (elementwise.unbroadcast(g, before),)
    )


def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """One after the other along an axis; all have one type."""
    if not tensors:
        raise ValueError("concatenate: no tensors")
    (axis,) = axes_of(axis, tensors[0].ndim)
    lengths = [t.shape[axis] for t in tensors]
    ends = np.cumsum(lengths).tolist()

    def backward(g: Array) -> list[Array]:
        before = (slice(None),) * axis
        return [active.backend.slice(g, (*before, slice(end - n, end))) for end, n in zip(ends, lengths, strict=True)]

    return record(call("concatenate", [t.data for t in tensors], axis), tuple(t.node for t in tensors), backward)


def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """One after the other along a new axis."""
    (axis,) = axes_of(axis, tensors[0].ndim + 1)
    return concatenate([reshape(t, (*t.shape[:axis], 1, *t.shape[axis:])) for t in tensors], axis)


def pad(a: Tensor, widths: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """With so many values before and after, an axis each."""
    if len(widths) != a.ndim or any(n < 0 for pair in widths for n in pair):
        raise ValueError(
            f"pad: {list(widths)} for shape {list(a.shape)}: give (before, after), 0 or more, for each axis"
        )
    inside = tuple(slice(before, before + n) for n, (before, _) in zip(a.shape, widths, strict=True))
    padded = call("pad", a.data, tuple((x, y) for x, y in widths), value)
    return record(padded, (a.node,), lambda g: (active.backend.slice(g, inside),))


def flip(a: Tensor, axis: int | Sequence[int]) -> Tensor:
    """Backwards along axes."""
    axes = axes_of(axis, a.ndim)
    return record(call("flip", a.data, axes), (a.node,), lambda g: (active.backend.flip(g, axes),))


def index(a: Tensor, at: Any) -> Tensor:
    """a[at]: slices, whole numbers, None and Ellipsis; or one tensor of whole numbers, along the first axis."""
    if isinstance(at, Tensor):
        if at.dtype.kind not in "iu":
            raise TypeError(f"index: a tensor of {at.dtype}; for a choice by truth use nonzero() or where()")
        return take(a, at, 0)
    places = at if isinstance(at, tuple) else (at,)
    if any(isinstance(one, Tensor | list | np.ndarray) for one in places):
        raise TypeError("index: several tensors or lists; take() takes along one axis")
    shape = a.data.shape
    return record(call("slice", a.data, places), (a.node,), lambda g: (active.backend.unslice(g, places, shape),))


def take(a: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    """Whole slices along an axis, such as rows of an embedding."""
    (axis,) = axes_of(axis, a.ndim)
    places, length = indices.data, a.shape[axis]
    _check(places, length, "take")
    return record(
        call("take", a.data, places, axis), (a.node,), lambda g: (active.backend.add_at(g, places, axis, length),)
    )


def take_along_axis(a: Tensor, indices: Tensor, axis: int) -> Tensor:
    """One value for each index; the other axes are those of a."""
    (axis,) = axes_of(axis, a.ndim)
    places, length = indices.data, a.shape[axis]
    if [n for i, n in enumerate(places.shape) if i != axis] != [n for i, n in enumerate(a.shape) if i != axis]:
        raise ValueError(f"take_along_axis: indices {list(places.shape)} for {list(a.shape)} along axis {axis}")
    _check(places, length, "take_along_axis")
    return record(
        call("take_along_axis", a.data, places, axis),
        (a.node,),
        lambda g: (active.backend.add_along_axis(g, places, axis, length),),
    )


def _check(places: Array, length: int, name: str) -> None:
    """Backends differ in what they do beyond the end; here it is an error. A negative index is one, too."""
    found = active.backend.to_numpy(places)
    if found.size and (found.min() < 0 or found.max() >= length):
        raise IndexError(f"{name}: indices from {found.min()} to {found.max()} into {length} values")


def nonzero(a: Tensor) -> Tensor:
    """Indices of values that are not 0, a row each (int64)."""
    return Tensor(call("nonzero", a.data))


# Derived.


def tile(a: Tensor, times: Sequence[int]) -> Tensor:
    """Repeated so many times along the last axes."""
    ahead = len(times) - a.ndim
    shape = (1,) * max(0, ahead) + a.shape
    repeats = (1,) * max(0, -ahead) + tuple(times)
    spread = reshape(a, tuple(m for n in shape for m in (1, n)))
    whole = broadcast_to(spread, tuple(m for n, r in zip(shape, repeats, strict=True) for m in (r, n)))
    return reshape(whole, tuple(n * r for n, r in zip(shape, repeats, strict=True)))


def roll(a: Tensor, shift: int, axis: int) -> Tensor:
    """Moved along an axis; what falls off the end comes in at the start."""
    (axis,) = axes_of(axis, a.ndim)
    if not a.shape[axis]:
        return a
    cut = -shift % a.shape[axis]
    before = (slice(None),) * axis
    return concatenate([index(a, (*before, slice(cut, None))), index(a, (*before, slice(0, cut)))], axis)


def tril(a: Tensor, diagonal: int = 0) -> Tensor:
    """0 above a diagonal of the last two axes."""
    rows, columns = a.shape[-2:]
    return elementwise.where(triangle(rows, columns, diagonal), a, 0.0 if a.dtype.kind == "f" else 0)


def triu(a: Tensor, diagonal: int = 0) -> Tensor:
    """0 below a diagonal of the last two axes."""
    return a - tril(a, diagonal - 1)


def triangle(rows: int, columns: int, diagonal: int = 0) -> Tensor:
    """True on and below a diagonal (bool)."""
    b = active.backend
    down, along = b.arange(0, rows, 1, np.int64), b.arange(0, columns, 1, np.int64)
    return Tensor(b.less_equal(b.reshape(along, (1, columns)), b.add(b.reshape(down, (rows, 1)), diagonal)))


def one_hot(indices: Tensor, classes: int, dtype: Any = np.float32) -> Tensor:
    """1 at each index along a new last axis, else 0."""
    b = active.backend
    places = b.reshape(indices.data, (*indices.shape, 1))
    return Tensor(b.cast(b.equal(places, b.arange(0, classes, 1, indices.dtype)), dtype))


# New tensors.


def zeros(*shape: int, dtype: Any = np.float32) -> Tensor:
    """0 throughout."""
    return Tensor(call("full", shape, 0, np.dtype(dtype)))


def ones(*shape: int, dtype: Any = np.float32) -> Tensor:
    """1 throughout."""
    return Tensor(call("full", shape, 1, np.dtype(dtype)))


def arange(stop: int, dtype: Any = np.int64) -> Tensor:
    """0, 1, ... up to, not including, stop."""
    return Tensor(call("arange", 0, stop, 1, np.dtype(dtype)))


def identity(n: int, dtype: Any = np.float32) -> Tensor:
    """1 on the diagonal."""
    return one_hot(arange(n), n, dtype)


def rand(*shape: int, dtype: Any = np.float32) -> Tensor:
    """Uniform in [0, 1)."""
    return Tensor(call("random_uniform", shape, np.dtype(dtype)))


def randn(*shape: int, dtype: Any = np.float32) -> Tensor:
    """Normal, of mean 0 and variance 1."""
    return Tensor(call("random_normal", shape, np.dtype(dtype)))
