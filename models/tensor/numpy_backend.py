"""The eager backend: numpy, with its BLAS, and convolutions as matrix products, image by image."""

from abc import ABCMeta
from collections.abc import Iterator
from typing import Any

import numpy as np

from models.tensor.backend import FUSED, Array, Axes, Shape, TensorBackend

UFUNCS = (
    "negative absolute sign exp expm1 log log1p sqrt sin cos tanh floor ceil rint isnan isinf logical_not "
    "add subtract multiply divide floor_divide remainder power maximum minimum equal not_equal less less_equal "
    "greater greater_equal logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor left_shift right_shift"
)
"""Primitives that are numpy's functions as they are."""

SWAPPED = (*UFUNCS.split(), "sigmoid", "erf", "where", "clip")
"""Primitives value by value: where one is swapped, what is computed in one go is derived anew."""

DERIVED = tuple(name for name in FUSED if name != "evaluate")

BLOCK = 1 << 15
"""Values that an update handles at once: they stay in the second-level cache."""


_Ufuncs: Any = ABCMeta("Ufuncs", (TensorBackend,), {name: staticmethod(getattr(np, name)) for name in UFUNCS.split()})
_add_up: Any = np.add.reduce  # faster than np.sum for few values, and likewise below
_multiply_up: Any = np.multiply.reduce
_largest: Any = np.maximum.reduce
_smallest: Any = np.minimum.reduce


class NumpyBackend(_Ufuncs):  # type: ignore[misc]
    """Arrays are numpy's; results of no axes may be numpy's scalars.

    A subclass that swaps a primitive gets the derived versions of those that this class, or a faster one below it,
    computes in one go (`FUSED`), so that a swapped `add` reaches Adam's update. Sums within matrix products,
    convolutions and reductions are those primitives' own.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if any(name in vars(cls) for name in SWAPPED):
            for name in DERIVED:
                if name not in vars(cls):
                    setattr(cls, name, getattr(TensorBackend, name))

    xp: Any = np
    """The library of arrays, for backends whose library has numpy's names."""

    together = 256
    """Windows of images that a matrix product of a convolution has at least, where there are as many."""

    def __init__(self) -> None:
        self._random = self.xp.random.default_rng(0)

    def from_numpy(self, x: Any) -> Array:
        return self.xp.asarray(x)

    def to_numpy(self, x: Array) -> Any:
        return np.asarray(x)

    def full(self, shape: Shape, value: float, dtype: Any) -> Array:
        return self.xp.zeros(shape, dtype) if value == 0 else self.xp.full(shape, value, dtype)

    def arange(self, start: float, stop: float, step: float, dtype: Any) -> Array:
        values: Array = self.xp.arange(start, stop, step)
        return values.astype(dtype)

    def seed(self, seed: int) -> None:
        self._random = self.xp.random.default_rng(seed)

    def random_uniform(self, shape: Shape, dtype: Any) -> Array:
        return self._random.random(shape, dtype)

    def random_normal(self, shape: Shape, dtype: Any) -> Array:
        return self._random.standard_normal(shape, dtype)

    def cast(self, x: Array, dtype: Any) -> Array:
        return self.xp.asarray(x).astype(dtype)

    def copy(self, x: Array) -> Array:
        return self.xp.array(x)

    def reshape(self, x: Array, shape: Shape) -> Array:
        return x.reshape(shape)

    def transpose(self, x: Array, axes: Axes) -> Array:
        return x.transpose(axes)

    def broadcast_to(self, x: Array, shape: Shape) -> Array:
        return self.xp.broadcast_to(x, shape)

    def concatenate(self, arrays: list[Array], axis: int) -> Array:
        return self.xp.concatenate(arrays, axis)

    def pad(self, x: Array, widths: tuple[tuple[int, int], ...], value: float) -> Array:
        padded = self.xp.full(tuple(n + a + b for n, (a, b) in zip(x.shape, widths, strict=True)), value, x.dtype)
        padded[tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, widths, strict=True))] = x
        return padded

    def flip(self, x: Array, axes: Axes) -> Array:
        return self.xp.flip(x, axes)

    def slice(self, x: Array, index: tuple[Any, ...]) -> Array:
        return x[index]

    def unslice(self, x: Array, index: tuple[Any, ...], shape: Shape) -> Array:
        zeros = self.xp.zeros(shape, x.dtype)
        zeros[index] = x
        return zeros

    def take(self, x: Array, indices: Array, axis: int) -> Array:
        return self.xp.take(x, indices, axis)

    def add_at(self, x: Array, indices: Array, axis: int, length: int) -> Array:
        rows = self.xp.moveaxis(x, range(axis, axis + indices.ndim), range(indices.ndim))
        added = self.xp.zeros((length, *rows.shape[indices.ndim :]), x.dtype)
        self.xp.add.at(added, indices, rows)
        return self.xp.moveaxis(added, 0, axis)

    def take_along_axis(self, x: Array, indices: Array, axis: int) -> Array:
        return self.xp.take_along_axis(x, indices, axis)

    def add_along_axis(self, x: Array, indices: Array, axis: int, length: int) -> Array:
        added = self.xp.zeros((*x.shape[:axis], length, *x.shape[axis + 1 :]), x.dtype)
        places = list(self.xp.ogrid[tuple(slice(n) for n in indices.shape)])
        places[axis] = indices
        self.xp.add.at(added, tuple(places), x)
        return added

    def nonzero(self, x: Array) -> Array:
        return self.xp.argwhere(x)

    def sigmoid(self, x: Array) -> Array:
        return self.multiply(self.add(self.tanh(self.multiply(x, 0.5)), 1.0), 0.5)

    def erf(self, x: Array) -> Array:
        from scipy.special import erf  # slow to import, and few need it

        return erf(x)

    def where(self, condition: Array, x: Array, y: Array) -> Array:
        return self.xp.where(condition, x, y)

    def clip(self, x: Array, low: float, high: float) -> Array:
        return self.xp.clip(x, low, high)

    def sum(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        return _add_up(x, axes, None if x.dtype.kind == "f" else np.int64, None, keepdims)

    def prod(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        return _multiply_up(x, axes, None if x.dtype.kind == "f" else np.int64, None, keepdims)

    def amax(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        return _largest(x, axes, None, None, keepdims)

    def amin(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        return _smallest(x, axes, None, None, keepdims)

    def any(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        return self.xp.any(x, axes, keepdims=keepdims)

    def all(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        return self.xp.all(x, axes, keepdims=keepdims)

    def argmax(self, x: Array, axis: int) -> Array:
        return self.xp.argmax(x, axis)

    def argmin(self, x: Array, axis: int) -> Array:
        return self.xp.argmin(x, axis)

    def cumsum(self, x: Array, axis: int) -> Array:
        return self.xp.cumsum(x, axis, None if x.dtype.kind == "f" else np.int64)

    def argsort(self, x: Array, axis: int) -> Array:
        return self.xp.argsort(x, axis, kind="stable")

    def matmul(self, x: Array, y: Array) -> Array:
        return np.matmul(x, y)

    def conv2d(self, x: Array, weight: Array, stride: Shape, padding: Shape, groups: int) -> Array:
        count, outputs, kernel = len(x), len(weight), weight.shape[2:]
        high, wide = _output(x.shape[2:], kernel, stride, padding)
        filters = weight.reshape(groups, outputs // groups, -1)
        y = self.xp.empty((count, outputs, high * wide), self.xp.result_type(x, weight))
        for some in _chunks(self.together, count, high * wide):
            images = x[some]
            found = self.xp.matmul(filters, _columns(self.xp, images, kernel, stride, padding, groups))
            y[some] = found.reshape(outputs, len(images), -1).transpose(1, 0, 2)
        return y.reshape(count, outputs, high, wide)

    def conv2d_input_gradient(
        self, gradient: Array, weight: Array, shape: Shape, stride: Shape, padding: Shape, groups: int
    ) -> Array:
        outputs, inner, *kernel = weight.shape
        rest = tuple(k - 1 - p for k, p in zip(kernel, padding, strict=True))
        if stride == (1, 1) and min(rest) >= 0:  # a convolution with the filters turned round
            turned = weight.reshape(groups, outputs // groups, inner, *kernel)[..., ::-1, ::-1].swapaxes(1, 2)
            return self.conv2d(
                gradient, turned.reshape(groups * inner, outputs // groups, *kernel), stride, rest, groups
            )
        count, channels, height, width = shape
        filters = weight.reshape(groups, outputs // groups, -1).transpose(0, 2, 1)
        (top, left), (down, across) = padding, stride
        high, wide = gradient.shape[2:]
        found = self.xp.empty(shape, gradient.dtype)
        for some in _chunks(self.together, count, high * wide):
            parts = self.xp.matmul(filters, _side_by_side(gradient[some], groups))
            parts = parts.reshape(channels, *kernel, -1, high, wide)
            padded = self.xp.zeros((channels, parts.shape[3], height + 2 * top, width + 2 * left), gradient.dtype)
            for i in range(kernel[0]):
                for j in range(kernel[1]):
                    padded[:, :, i : i + down * high : down, j : j + across * wide : across] += parts[:, i, j]
            found[some] = padded[:, :, top : top + height, left : left + width].swapaxes(0, 1)
        return found

    def conv2d_weight_gradient(
        self, gradient: Array, x: Array, shape: Shape, stride: Shape, padding: Shape, groups: int
    ) -> Array:
        added = self.xp.zeros((groups, shape[0] // groups, int(np.prod(shape[1:]))), gradient.dtype)
        for some in _chunks(self.together, len(x), int(np.prod(gradient.shape[2:]))):
            columns = _columns(self.xp, x[some], shape[2:], stride, padding, groups)
            added += self.xp.matmul(_side_by_side(gradient[some], groups), columns.transpose(0, 2, 1))
        return added.reshape(shape)

    def max_pool2d(self, x: Array, kernel: Shape, stride: Shape, padding: Shape) -> tuple[Array, Array]:
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        sides = ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2)
        padded = self.pad(x, sides, lowest) if any(padding) else x
        high, wide = _output(x.shape[2:], kernel, stride, padding)
        views = [padded[(..., *_window(i, kernel, stride, high, wide))] for i in range(kernel[0] * kernel[1])]
        best = views[0].copy()
        for here in views[1:]:
            self.xp.maximum(best, here, out=best)
        chosen = self.xp.zeros(best.shape, np.int64)
        for place in reversed(range(1, len(views))):
            self.xp.copyto(chosen, place, where=views[place] == best)
        self.xp.copyto(chosen, 0, where=views[0] == best)
        return best, chosen

    def max_pool2d_gradient(
        self, gradient: Array, chosen: Array, shape: Shape, kernel: Shape, stride: Shape, padding: Shape
    ) -> Array:
        (top, left), (height, width) = padding, shape[2:]
        padded = self.xp.zeros((*shape[:2], height + 2 * top, width + 2 * left), gradient.dtype)
        for place in range(kernel[0] * kernel[1]):
            window = _window(place, kernel, stride, *gradient.shape[2:])
            padded[(..., *window)] += self.xp.where(chosen == place, gradient, gradient.dtype.type(0))
        return padded[:, :, top : top + height, left : left + width]

    def adam_update(
        self, x: Array, gradient: Array, first: Array, second: Array, rates: tuple[float, float, float, float, float]
    ) -> tuple[Array, Array, Array]:
        if not (all(a.flags.c_contiguous for a in (x, gradient, first, second)) and x.flags.writeable):
            found: tuple[Array, Array, Array] = super().adam_update(x, gradient, first, second, rates)
            return found
        size, root, beta1, beta2, epsilon = rates
        flat = [a.reshape(-1) for a in (x, gradient, first, second)]
        scratch = np.empty(min(BLOCK, x.size), x.dtype)
        for at in range(0, x.size, BLOCK):
            w, g, m, v = (a[at : at + BLOCK] for a in flat)
            t = scratch[: len(w)]
            m *= beta1
            m += np.multiply(g, 1 - beta1, out=t)
            v *= beta2
            np.multiply(g, g, out=t)
            t *= 1 - beta2
            v += t
            np.sqrt(v, out=t)
            t *= 1 / root
            t += epsilon
            np.divide(m, t, out=t)
            t *= size
            w -= t
        return x, first, second


def _output(size: Shape, kernel: Shape, stride: Shape, padding: Shape) -> tuple[int, int]:
    """Height and width of what a window gives that slides over an image."""
    high, wide = ((n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding, strict=True))
    if high < 1 or wide < 1:
        raise ValueError(f"a window of {kernel} does not fit into {tuple(size)} with padding {padding}")
    return high, wide


def _window(place: int, kernel: Shape, stride: Shape, high: int, wide: int) -> tuple[slice, slice]:
    """The values that stand at one place of all windows."""
    i, j = divmod(place, kernel[1])
    return slice(i, i + stride[0] * (high - 1) + 1, stride[0]), slice(j, j + stride[1] * (wide - 1) + 1, stride[1])


def _chunks(least: int, count: int, places: int) -> Iterator[slice]:
    """Images that are multiplied together: few, so that their columns stay in the cache, and enough for BLAS."""
    together = max(1, least // max(1, places))
    for start in range(0, count, together):
        yield slice(start, start + together)


def _side_by_side(images: Any, groups: int) -> Any:
    """Images (n, c, h, w) as (groups, c/groups, n * h * w)."""
    channels = images.shape[1]
    return images.swapaxes(0, 1).reshape(groups, channels // groups, -1)


def _columns(xp: Any, images: Any, kernel: Shape, stride: Shape, padding: Shape, groups: int) -> Any:
    """The windows of images (n, c, h, w) as columns: (groups, c/groups * kh * kw, n * h' * w')."""
    count, channels, height, width = images.shape
    if kernel == (1, 1) and stride == (1, 1) and not any(padding):
        return _side_by_side(images, groups)
    high, wide = _output((height, width), kernel, stride, padding)
    top, left = padding
    if top or left:
        padded = xp.zeros((count, channels, height + 2 * top, width + 2 * left), images.dtype)
        padded[:, :, top : top + height, left : left + width] = images
        images = padded
    n, c, h, w = images.strides
    windows = xp.lib.stride_tricks.as_strided(
        images, (channels, *kernel, count, high, wide), (c, h, w, n, h * stride[0], w * stride[1])
    )
    return windows.reshape(groups, channels // groups * kernel[0] * kernel[1], count * high * wide)
