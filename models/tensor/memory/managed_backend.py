"""A numpy backend whose results lie in a manager's memory: change the manager, and every network uses it.

numpy computes where it likes, and the result is copied into its place; the place is freed when the last array or view
on it is gone.
"""

from inspect import getattr_static
from typing import Any

import numpy as np

from models.tensor.backend import PRIMITIVES, Array, Shape
from models.tensor.memory.manager import MemoryManager, Place
from models.tensor.numpy_backend import NumpyBackend

ALIGNMENT = 64


class Segments:
    """The bytes behind a manager's segments, of which arrays are made."""

    def __init__(self, manager: MemoryManager) -> None:
        self.manager = manager
        self._bytes: dict[int, tuple[Any, int]] = {}

    def array(self, shape: Shape, dtype: np.dtype[Any]) -> Any:
        """An array of undefined values that gives its place back when it and its views are gone."""
        size = int(np.prod(shape)) * dtype.itemsize
        if not size:
            return np.empty(shape, dtype)
        place = self.manager.allocate(size)
        if place.segment not in self._bytes or len(self._bytes[place.segment][0]) < self._room(place):
            made = np.empty(self._room(place), np.uint8)
            self._bytes[place.segment] = made, -made.ctypes.data % ALIGNMENT + made.ctypes.data
        return np.asarray(_Held(self, place, self._bytes[place.segment][1] + place.offset, shape, dtype))

    def _room(self, place: Place) -> int:
        return self.manager.segments[place.segment] + ALIGNMENT

    def give_back(self, place: Place) -> None:
        self.manager.free(place)
        if place.segment not in self.manager.segments:
            del self._bytes[place.segment]


class _Held:
    """What an array's memory hangs on; numpy keeps it for as long as the array or a view lives."""

    __slots__ = ("__array_interface__", "place", "segments")

    def __init__(self, segments: Segments, place: Place, address: int, shape: Shape, dtype: np.dtype[Any]) -> None:
        self.segments, self.place = segments, place
        self.__array_interface__ = {"shape": shape, "typestr": dtype.str, "data": (address, False), "version": 3}

    def __del__(self) -> None:
        self.segments.give_back(self.place)


class ManagedBackend(NumpyBackend):
    """numpy's results in a manager's memory."""

    def __init__(self, manager: MemoryManager) -> None:
        super().__init__()
        self.memory = Segments(manager)

    def placed(self, result: Any, arguments: tuple[Any, ...]) -> Array:
        """A result in the manager's memory, unless it is a view of an argument."""
        if isinstance(result, tuple):
            return tuple(self.placed(one, arguments) for one in result)
        found = np.asarray(result)
        owner = _owner(found)
        if isinstance(owner, _Held) or any(owner is _owner(one) for one in _arrays(arguments)):
            return found
        own = self.memory.array(found.shape, found.dtype)
        own[...] = found
        return own


def _arrays(arguments: tuple[Any, ...]) -> list[Any]:
    flat = [one for a in arguments for one in (a if isinstance(a, list) else (a,))]
    return [one for one in flat if isinstance(one, np.ndarray)]


def _owner(array: Any) -> Any:
    """What the memory of an array hangs on, at the end of its chain of views."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


def _managed(name: str) -> Any:
    compute = getattr(NumpyBackend, name)
    static = isinstance(getattr_static(NumpyBackend, name), staticmethod)

    def primitive(self: ManagedBackend, *arguments: Any) -> Array:
        return self.placed(compute(*arguments) if static else compute(self, *arguments), arguments)

    primitive.__name__ = name
    return primitive


for _name in PRIMITIVES:
    if _name not in ("to_numpy", "seed", "evaluate"):
        setattr(ManagedBackend, _name, _managed(_name))
