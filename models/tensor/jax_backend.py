"""A backend on somebody else's engine: XLA, by JAX. It shows what a foreign backend costs to add.

Nothing of JAX's gradients is used: it computes primitives, and the tape is ours. Needs `pip install jax`.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from models.tensor.array_library import ArrayLibrary
from models.tensor.backend import Array, Shape

jax.config.update("jax_enable_x64", True)  # float64 and int64 as everywhere else; float32 stays what it is


class JaxBackend(ArrayLibrary):
    """Arrays are JAX's, on its default device."""

    xp = jnp

    def __init__(self) -> None:
        self._key = jax.random.key(0)

    def seed(self, seed: int) -> None:
        self._key = jax.random.key(seed)

    def random_uniform(self, shape: Shape, dtype: Any) -> Array:
        return jax.random.uniform(self._next_key(), shape, dtype)

    def random_normal(self, shape: Shape, dtype: Any) -> Array:
        return jax.random.normal(self._next_key(), shape, dtype)

    def _next_key(self) -> Any:
        self._key, own = jax.random.split(self._key)
        return own

    def pad(self, x: Array, widths: tuple[tuple[int, int], ...], value: float) -> Array:
        return jnp.pad(x, widths, constant_values=value)

    def unslice(self, x: Array, index: tuple[Any, ...], shape: Shape) -> Array:
        return jnp.zeros(shape, x.dtype).at[index].set(x)

    def add_at(self, x: Array, indices: Array, axis: int, length: int) -> Array:
        rows = jnp.moveaxis(x, range(axis, axis + indices.ndim), range(indices.ndim))
        added = jnp.zeros((length, *rows.shape[indices.ndim :]), x.dtype).at[indices].add(rows)
        return jnp.moveaxis(added, 0, axis)

    def add_along_axis(self, x: Array, indices: Array, axis: int, length: int) -> Array:
        places = list(jnp.ogrid[tuple(slice(n) for n in indices.shape)])
        places[axis] = indices
        return jnp.zeros((*x.shape[:axis], length, *x.shape[axis + 1 :]), x.dtype).at[tuple(places)].add(x)

    def argsort(self, x: Array, axis: int) -> Array:
        return jnp.argsort(x, axis, stable=True)

    def sigmoid(self, x: Array) -> Array:
        return jax.nn.sigmoid(x)

    def erf(self, x: Array) -> Array:
        return lax.erf(x)

    def conv2d(self, x: Array, weight: Array, stride: Shape, padding: Shape, groups: int) -> Array:
        sides = [(p, p) for p in padding]
        return lax.conv_general_dilated(x, weight, stride, sides, feature_group_count=groups)

    def conv2d_input_gradient(
        self, gradient: Array, weight: Array, shape: Shape, stride: Shape, padding: Shape, groups: int
    ) -> Array:
        outputs, inner, *kernel = weight.shape
        turned = weight.reshape(groups, outputs // groups, inner, *kernel).swapaxes(1, 2)
        turned = jnp.flip(turned.reshape(groups * inner, outputs // groups, *kernel), (2, 3))
        sides = []
        for length, k, n, s, p in zip(shape[2:], kernel, gradient.shape[2:], stride, padding, strict=True):
            sides.append((k - 1 - p, length + p - 1 - (n - 1) * s))
        return lax.conv_general_dilated(
            gradient, turned, (1, 1), sides, lhs_dilation=stride, feature_group_count=groups
        )

    def conv2d_weight_gradient(
        self, gradient: Array, x: Array, shape: Shape, stride: Shape, padding: Shape, groups: int
    ) -> Array:
        sides = []
        for length, k, n, s, p in zip(x.shape[2:], shape[2:], gradient.shape[2:], stride, padding, strict=True):
            sides.append((p, k + (n - 1) * s - length - p))
        parts = [
            lax.conv_general_dilated(own.swapaxes(0, 1), change.swapaxes(0, 1), (1, 1), sides, rhs_dilation=stride)
            for own, change in zip(jnp.split(x, groups, 1), jnp.split(gradient, groups, 1), strict=True)
        ]
        return jnp.concatenate(parts, 1).swapaxes(0, 1)

    def max_pool2d(self, x: Array, kernel: Shape, stride: Shape, padding: Shape) -> tuple[Array, Array]:
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        padded = jnp.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)], constant_values=lowest)
        windows = jnp.stack([padded[(..., *w)] for w in _windows(padded.shape, kernel, stride)])
        return windows.max(0), windows.argmax(0)

    def max_pool2d_gradient(
        self, gradient: Array, chosen: Array, shape: Shape, kernel: Shape, stride: Shape, padding: Shape
    ) -> Array:
        (top, left), (height, width) = padding, shape[2:]
        padded = jnp.zeros((*shape[:2], height + 2 * top, width + 2 * left), gradient.dtype)
        for place, window in enumerate(_windows(padded.shape, kernel, stride)):
            padded = padded.at[(..., *window)].add(jnp.where(chosen == place, gradient, 0))
        return padded[:, :, top : top + height, left : left + width]


def _windows(shape: Shape, kernel: Shape, stride: Shape) -> list[tuple[slice, slice]]:
    """For each place of a window, where it stands in all windows."""
    ends = [n - k + 1 for n, k in zip(shape[2:], kernel, strict=True)]
    return [
        (slice(i, i + ends[0], stride[0]), slice(j, j + ends[1], stride[1]))
        for i in range(kernel[0])
        for j in range(kernel[1])
    ]
