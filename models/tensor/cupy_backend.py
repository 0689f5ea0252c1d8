"""A backend on CUDA or ROCm, by CuPy, which has numpy's names: what numpy's backend does by them is done there.

Needs a GPU and CuPy for its driver: `pip install cupy-cuda12x` or another of its packages.
"""

from abc import ABCMeta
from typing import Any

import numpy as np

from models.tensor.backend import Array, Axes
from models.tensor.numpy_backend import UFUNCS, NumpyBackend


def _by_cupy(name: str) -> Any:
    def primitive(self: Any, *arguments: Array) -> Array:
        return getattr(self.xp, name)(*arguments)

    return primitive


_Functions: Any = ABCMeta("Functions", (NumpyBackend,), {name: _by_cupy(name) for name in (*UFUNCS.split(), "matmul")})


class CupyBackend(_Functions):  # type: ignore[misc]
    """Arrays are CuPy's, on its current device.

    Raises:
        ImportError: CuPy is not installed; when it is made, and not when this module is imported.
    """

    together = 1 << 16  # a GPU wants large products

    def __init__(self) -> None:
        import cupy
        import cupyx.scipy.special

        self.xp = cupy
        self._erf = cupyx.scipy.special.erf
        super().__init__()

    def to_numpy(self, x: Array) -> Any:
        return self.xp.asnumpy(x)

    def erf(self, x: Array) -> Array:
        return self._erf(x)

    def sum(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        return self.xp.sum(x, axes, None if x.dtype.kind == "f" else np.int64, None, keepdims)

    def prod(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        return self.xp.prod(x, axes, None if x.dtype.kind == "f" else np.int64, None, keepdims)

    def amax(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        return self.xp.amax(x, axes, None, keepdims)

    def amin(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        return self.xp.amin(x, axes, None, keepdims)
