"""Convolutions of 3 x 3 with stride 1 by Winograd's F(4 x 4, 3 x 3): 36 products for 16 results, not 144.

Lavin and Gray 2016: tiles of 6 x 6 values, which meet by 2, and filters are transformed, multiplied value by value and
summed over channels (36 matrix products, the BLAS's), and transformed back. The transforms of tiles are kernels of
numba's, those of filters a matrix product. Rounding is some ten times that of a sum of products: within 1e-5 of the
largest result in float32.
"""

# mypy: disable-error-code=untyped-decorator

from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import njit

from models.tensor.backend import Shape
from models.tensor.lazy.kernels import SUMS

f32 = np.float32

_SIDE: Any = [
    [1 / 4, 0, 0],
    [-1 / 6] * 3,
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
]
FILTERS = np.kron(_SIDE, _SIDE).astype(f32)
"""The transform of both sides of a filter at once, (36, 9)."""

VALUES = 1 << 17
"""Values of transformed tiles that are handled at once, whole images at least, so that they stay in the cache."""


def convolve(x: Any, weight: Any, padding: Shape, new: Any) -> Any:
    """Cross-correlation of (n, c, h, w) with (o, c, 3, 3) and zeros around; `new` makes the array of the result."""
    filters = (FILTERS @ weight.reshape(-1, 9).T).reshape(36, *weight.shape[:2])
    return _convolve(x, filters, padding, new)


def input_gradient(gradient: Any, weight: Any, padding: Shape, new: Any) -> Any:
    """The gradient by x of `convolve`'s sum weighted with `gradient`: a convolution with the filters turned round."""
    filters = (FILTERS[:, ::-1] @ weight.reshape(-1, 9).T).reshape(36, *weight.shape[:2])
    return _convolve(gradient, filters.swapaxes(1, 2), (2 - padding[0], 2 - padding[1]), new)


def weight_gradient(gradient: Any, x: Any, padding: Shape) -> Any:
    """The gradient by filters (o, c, 3, 3) of `convolve`'s sum weighted with `gradient`, by the same transforms."""
    outputs, channels = gradient.shape[1], x.shape[1]
    filters = np.zeros((36, outputs, channels), f32)
    for some, places in _chunks(len(x), gradient.shape[2:], max(channels, outputs)):
        changes = np.empty((6, 6, outputs, *places), f32)
        _transform_changes(gradient[some], changes)
        tiles = _tiles(x[some], padding, places)
        filters += np.matmul(changes.reshape(36, outputs, -1), tiles.swapaxes(1, 2))
    return (filters.reshape(36, -1).T @ FILTERS).reshape(outputs, channels, 3, 3)


def _convolve(x: Any, filters: Any, padding: Shape, new: Any) -> Any:
    outputs, channels = filters.shape[1:]
    high, wide = x.shape[2] + 2 * padding[0] - 2, x.shape[3] + 2 * padding[1] - 2
    y = new((len(x), outputs, high, wide), x.dtype)
    for some, places in _chunks(len(x), (high, wide), max(channels, outputs)):
        products = np.matmul(filters, _tiles(x[some], padding, places))
        _transform_products(products.reshape(6, 6, outputs, *places), y[some])
    return y


def _chunks(count: int, size: Shape, channels: int) -> Iterator[tuple[slice, tuple[int, int, int]]]:
    """Images that are handled together, and places of their tiles: (images, down, across)."""
    down, across = (-(-length // 4) for length in size)
    together = max(1, VALUES // (36 * down * across * channels))
    for start in range(0, count, together):
        yield slice(start, start + together), (min(together, count - start), down, across)


def _tiles(x: Any, padding: Shape, places: tuple[int, int, int]) -> Any:
    """Tiles of images with zeros around, transformed: (36, c, tiles)."""
    tiles = np.empty((6, 6, x.shape[1], *places), f32)
    _transform_tiles(x, *padding, tiles)
    return tiles.reshape(36, x.shape[1], -1)


@njit(error_model="numpy", forceinline=True)
def _tile(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
    """One side of a tile."""
    even, odd, inner, outer = e - f32(4) * c, d - f32(4) * b, e - c, f32(2) * (d - b)
    first, last = f32(4) * a - f32(5) * c + e, f32(4) * b - f32(5) * d + f
    return first, even + odd, even - odd, inner + outer, inner - outer, last


@njit(error_model="numpy", forceinline=True)
def _result(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
    """One side of 4 results, of 6 products."""
    near, far, one, two = b + c, d + e, b - c, d - e
    return a + near + far, one + f32(2) * two, near + f32(4) * far, one + f32(8) * two + f


@njit(error_model="numpy", forceinline=True)
def _change(a: Any, b: Any, c: Any, d: Any) -> Any:
    """One side of a gradient of 4 results as that of 6 products."""
    even, odd, inner, outer = a + c, b + d, a + f32(4) * c, f32(2) * b + f32(8) * d
    return a, even + odd, even - odd, inner + outer, inner - outer, d


@njit(**SUMS)
def _transform_tiles(x: Any, top: int, left: int, out: Any) -> None:
    """Images (n, c, h, w) into (6, 6, c, n, down, across), with zeros around."""
    count, channels, height, width = x.shape
    down, across = out.shape[4:]
    rows = np.empty((6, 4 * across + 2), f32)
    last = min(width, 4 * across + 2 - left)
    for n in range(count):
        for c in range(channels):
            for i in range(down):
                for r in range(6):
                    at = 4 * i + r - top
                    rows[r, :] = f32(0)
                    if 0 <= at < height:
                        rows[r, left : left + last] = x[n, c, at, :last]
                for k in range(rows.shape[1]):
                    a, b, d, e, f, g = _tile(rows[0, k], rows[1, k], rows[2, k], rows[3, k], rows[4, k], rows[5, k])
                    rows[0, k], rows[1, k], rows[2, k], rows[3, k], rows[4, k], rows[5, k] = a, b, d, e, f, g
                for r in range(6):
                    for j in range(across):
                        k = 4 * j
                        a, b, d = rows[r, k], rows[r, k + 1], rows[r, k + 2]
                        a, b, d, e, f, g = _tile(a, b, d, rows[r, k + 3], rows[r, k + 4], rows[r, k + 5])
                        out[r, 0, c, n, i, j], out[r, 1, c, n, i, j], out[r, 2, c, n, i, j] = a, b, d
                        out[r, 3, c, n, i, j], out[r, 4, c, n, i, j], out[r, 5, c, n, i, j] = e, f, g


@njit(**SUMS)
def _transform_products(x: Any, y: Any) -> None:
    """Products (6, 6, o, n, down, across) into images (n, o, h, w); what lies beyond those is left out."""
    count, outputs, height, width = y.shape
    down, across = x.shape[4:]
    rows = np.empty((4, 6, across), f32)
    for n in range(count):
        for o in range(outputs):
            for i in range(down):
                for k in range(6):
                    for j in range(across):
                        a, b, d = x[0, k, o, n, i, j], x[1, k, o, n, i, j], x[2, k, o, n, i, j]
                        e, f, g = x[3, k, o, n, i, j], x[4, k, o, n, i, j], x[5, k, o, n, i, j]
                        a, b, d, e = _result(a, b, d, e, f, g)
                        rows[0, k, j], rows[1, k, j], rows[2, k, j], rows[3, k, j] = a, b, d, e
                for r in range(min(4, height - 4 * i)):
                    row, to = rows[r], y[n, o, 4 * i + r]
                    for j in range(across):
                        at, rest = 4 * j, width - 4 * j
                        a, b, d, e = _result(row[0, j], row[1, j], row[2, j], row[3, j], row[4, j], row[5, j])
                        to[at] = a
                        if rest > 1:
                            to[at + 1] = b
                        if rest > 2:
                            to[at + 2] = d
                        if rest > 3:
                            to[at + 3] = e


@njit(**SUMS)
def _transform_changes(g: Any, out: Any) -> None:
    """Gradients of images (n, o, h, w) into those of products, (6, 6, o, n, down, across)."""
    count, outputs, height, width = g.shape
    down, across = out.shape[4:]
    rows = np.empty((6, 4 * across), f32)
    for n in range(count):
        for o in range(outputs):
            for i in range(down):
                rows[:] = f32(0)
                for r in range(min(4, height - 4 * i)):
                    rows[r, :width] = g[n, o, 4 * i + r]
                for k in range(rows.shape[1]):
                    a, b, d, e, f, last = _change(rows[0, k], rows[1, k], rows[2, k], rows[3, k])
                    rows[1, k], rows[2, k], rows[3, k], rows[4, k], rows[5, k] = b, d, e, f, last
                for r in range(6):
                    for j in range(across):
                        k = 4 * j
                        a, b, d, e, f, last = _change(rows[r, k], rows[r, k + 1], rows[r, k + 2], rows[r, k + 3])
                        out[r, 0, o, n, i, j], out[r, 1, o, n, i, j], out[r, 2, o, n, i, j] = a, b, d
                        out[r, 3, o, n, i, j], out[r, 4, o, n, i, j], out[r, 5, o, n, i, j] = e, f, last
