"""Backends with one primitive swapped: what a researcher would write, and faults that must be found."""

from typing import Any

import numpy as np

from models.tensor.numpy_backend import NumpyBackend


class QuantisedAdd(NumpyBackend):
    """Sums of floats rounded to multiples of 1/256; this class is all that a researcher writes."""

    def add(self, x: Any, y: Any) -> Any:
        found = np.add(x, y)
        return np.rint(found * 256) / 256 if found.dtype.kind == "f" else found


class PoisonedAdd(NumpyBackend):
    """Every sum of floats is NaN: where the loss is not, something goes around the primitive."""

    def add(self, x: Any, y: Any) -> Any:
        found = np.add(x, y)
        return found * found.dtype.type(np.nan) if found.dtype.kind == "f" else found


class CountedAdd(NumpyBackend):
    """Counts the sums, those within derived primitives as well."""

    def __init__(self) -> None:
        super().__init__()
        self.sums = 0

    def add(self, x: Any, y: Any) -> Any:
        self.sums += 1
        return np.add(x, y)


class WrongGradient(NumpyBackend):
    """A planted fault: the cosine is off by a thousandth, and with it the gradient of the sine."""

    def cos(self, x: Any) -> Any:
        return np.cos(x) * 1.001


class SlowAdd(NumpyBackend):
    """A planted fault: every sum is computed two hundred times."""

    def add(self, x: Any, y: Any) -> Any:
        for _ in range(200):
            np.add(x, y)
        return np.add(x, y)
