"""Convolutions of 3 x 3 with stride 1 by Winograd's F(4 x 4, 3 x 3): 36 products for 16 results, not 144.

Lavin and Gray 2016: tiles of 6 x 6 values, which meet by 2, and filters are transformed, multiplied value by value and
summed over channels (36 matrix products, the BLAS's), and transformed back. A transform on both sides of a tile is one
matrix, too, the Kronecker product of a side's with itself, so that the BLAS does all the arithmetic. Rounding is some
ten times that of a sum of products: within 1e-5 of the largest result in float32.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

_TILES = [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
]
_FILTERS = [
    [1 / 4, 0, 0],
    [-1 / 6] * 3,
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
]
_RESULTS = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]

TO_TILES, TO_FILTERS, TO_RESULTS = (
    {np.dtype(kind): np.kron(side, side).astype(kind) for kind in (np.float32, np.float64)}
    for side in (_TILES, _FILTERS, _RESULTS)
)
"""Of tiles (36, 36), filters (36, 9) and results (16, 36), by type."""


VALUES = 1 << 17
"""Values of transformed tiles that are handled at once, whole images at least, so that they stay in the cache."""


def convolve(x: Any, weight: Any, padding: tuple[int, int]) -> Any:
    """Cross-correlation of (n, c, h, w) with (o, c, 3, 3) and zeros around."""
    filters = (TO_FILTERS[x.dtype] @ weight.reshape(-1, 9).T).reshape(36, *weight.shape[:2])
    return _convolve(x, filters.swapaxes(1, 2), padding)


def input_gradient(gradient: Any, weight: Any, padding: tuple[int, int]) -> Any:
    """The gradient by x of `convolve`'s sum weighted with `gradient`: a convolution with the filters turned round."""
    filters = (TO_FILTERS[gradient.dtype][:, ::-1] @ weight.reshape(-1, 9).T).reshape(36, *weight.shape[:2])
    return _convolve(gradient, filters, (2 - padding[0], 2 - padding[1]))


def weight_gradient(gradient: Any, x: Any, padding: tuple[int, int]) -> Any:
    """The gradient by filters (o, c, 3, 3) of `convolve`'s sum weighted with `gradient`, by the same transforms."""
    outputs, channels = gradient.shape[1], x.shape[1]
    high, wide = gradient.shape[2:]
    down, across = -(-high // 4), -(-wide // 4)
    filters = np.zeros((36, outputs, channels), x.dtype)
    for some in _chunks(len(x), down * across * max(channels, outputs)):
        own = gradient[some]
        parts = np.zeros((4 * down, 4 * across, len(own), outputs), x.dtype)
        parts[:high, :wide] = own.transpose(2, 3, 0, 1)
        parts = parts.reshape(down, 4, across, 4, -1).transpose(1, 3, 0, 2, 4).reshape(16, -1)
        changes = (TO_RESULTS[x.dtype].T @ parts).reshape(36, -1, outputs)
        filters += np.matmul(changes.swapaxes(1, 2), _tiles(x[some], padding, down, across))
    return (filters.reshape(36, -1).T @ TO_FILTERS[x.dtype]).reshape(outputs, channels, 3, 3)


def _convolve(x: Any, filters: Any, padding: tuple[int, int]) -> Any:
    """With filters transformed, (36, c, o)."""
    count, channels, height, width = x.shape
    high, wide = height + 2 * padding[0] - 2, width + 2 * padding[1] - 2
    down, across, outputs = -(-high // 4), -(-wide // 4), filters.shape[2]
    y = np.empty((count, outputs, down, 4, across, 4), x.dtype)
    for some in _chunks(count, down * across * max(channels, outputs)):
        products = np.matmul(_tiles(x[some], padding, down, across), filters)
        results = TO_RESULTS[x.dtype] @ products.reshape(36, -1)
        y[some].transpose(3, 5, 2, 4, 0, 1)[...] = results.reshape(4, 4, down, across, -1, outputs)
    return y.reshape(count, outputs, 4 * down, 4 * across)[:, :, :high, :wide]


def _chunks(count: int, values: int) -> Iterator[slice]:
    """Images that are handled together, of so many values of a place of tiles each."""
    together = max(1, VALUES // (36 * values))
    for start in range(0, count, together):
        yield slice(start, start + together)


def _tiles(x: Any, padding: tuple[int, int], down: int, across: int) -> Any:
    """Tiles of images with zeros around, transformed: (36, tiles, c)."""
    (top, left), (count, channels, height, width) = padding, x.shape
    around = np.zeros((4 * down + 2, 4 * across + 2, count, channels), x.dtype)
    around[top : top + height, left : left + width] = x.transpose(2, 3, 0, 1)
    h, w, n, c = around.strides
    tiles = np.lib.stride_tricks.as_strided(around, (6, 6, down, across, count, channels), (h, w, 4 * h, 4 * w, n, c))
    return (TO_TILES[x.dtype] @ tiles.reshape(36, -1)).reshape(36, -1, channels)
