"""What numpy's backend does, by another library of arrays that has numpy's names."""

from abc import ABCMeta
from typing import Any

import numpy as np

from models.tensor.backend import Array, Axes
from models.tensor.numpy_backend import UFUNCS, NumpyBackend


def _by_name(name: str) -> Any:
    def primitive(self: Any, *arguments: Array) -> Array:
        return getattr(self.xp, name)(*arguments)

    return primitive


_Functions: Any = ABCMeta("Functions", (NumpyBackend,), {name: _by_name(name) for name in (*UFUNCS.split(), "matmul")})


class ArrayLibrary(_Functions):  # type: ignore[misc]
    """A backend below it sets `xp`, the library, and defines what the library does in another way."""

    def sum(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        return self.xp.sum(x, axes, None if x.dtype.kind == "f" else np.int64, keepdims=keepdims)

    def prod(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        return self.xp.prod(x, axes, None if x.dtype.kind == "f" else np.int64, keepdims=keepdims)

    def amax(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        return self.xp.amax(x, axes, keepdims=keepdims)

    def amin(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        return self.xp.amin(x, axes, keepdims=keepdims)
