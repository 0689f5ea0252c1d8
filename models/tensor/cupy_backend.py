"""A backend on CUDA or ROCm, by CuPy, which has numpy's names.

Needs a GPU and CuPy for its driver: `pip install 'tenfold[gpu]'`, or another of CuPy's packages.
"""

from typing import Any

from models.tensor.array_library import ArrayLibrary
from models.tensor.backend import Array


class CupyBackend(ArrayLibrary):
    """Arrays are CuPy's, on its current device.

    Raises:
        ImportError: CuPy is not installed; when a backend is made, and not when this module is imported.
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
