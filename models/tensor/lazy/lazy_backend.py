"""The lazy backend: chains of value-by-value operations, and sums at their end, as one kernel each."""

from collections.abc import Callable
from inspect import getattr_static
from typing import Any

import numpy as np

from models.tensor.backend import REQUIRED, Array, Axes
from models.tensor.lazy.expression import COMPARING, TEMPLATES, TYPES, Lazy, program, source
from models.tensor.memory.caching import Caching
from models.tensor.memory.managed_backend import Segments
from models.tensor.memory.manager import MemoryManager
from models.tensor.numpy_backend import NumpyBackend

LARGE = 1 << 15
"""Values below which numpy computes at once: for fewer, putting off costs more than it saves."""

BY_ROWS = 1024
"""Values from which on softmax and its like are kernels of their own."""

LONGEST = 48
"""Operations of a kernel at most; a longer chain is computed in parts."""

REUSED = 1 << 16
"""Bytes from which on results lie in a caching manager's memory, so that no new pages are touched."""


class LazyBackend(NumpyBackend):
    """Arrays are numpy's or expressions; `launched` counts kernels, `made` the bytes of their results.

    Args:
        large: values from which on operations are put off.
        memory: who owns the results of kernels.

    Raises:
        ImportError: numba is not installed.
    """

    def __init__(self, large: int = LARGE, memory: MemoryManager | None = None) -> None:
        try:
            from models.tensor.lazy import kernels  # numba takes half a second to import
        except ImportError as problem:
            raise ImportError("the lazy backend needs numba: pip install 'tenfold[flashlight]'") from problem
        super().__init__()
        self.kernels = kernels
        self.large = large
        self.launched = self.made = 0
        self._compiled: dict[Any, Any] = {}
        self._memory = Segments(memory or Caching())

    def evaluate(self, x: Array) -> Array:
        if x.__class__ is not Lazy:
            return x
        if x.value is None:
            x.value = self._run(x, x.shape, x.dtype)
            x.inputs = ()
        return x.value

    def to_numpy(self, x: Array) -> Any:
        return np.asarray(self.evaluate(x))

    def sum(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        ndim, count = len(x.shape), len(axes)
        last = count and axes == tuple(range(ndim - count, ndim))
        if not (x.__class__ is Lazy and x.value is None and last and x.dtype.kind == "f" and x.size):
            return NumpyBackend.sum(self, self.evaluate(x), axes, keepdims)
        kept = x.shape[: ndim - count]
        shape = (*kept, *(1,) * count) if keepdims else kept
        return self._run(x, shape, x.dtype, count)

    def softmax(self, x: Array, axis: int) -> Array:
        return self._by_rows("softmax", axis, x) if self._fits(axis, x) else super().softmax(x, axis)

    def softmax_gradient(self, gradient: Array, y: Array, axis: int) -> Array:
        if self._fits(axis, gradient, y):
            return self._by_rows("softmax_gradient", axis, gradient, y)
        return super().softmax_gradient(gradient, y, axis)

    def log_softmax(self, x: Array, axis: int) -> Array:
        return self._by_rows("log_softmax", axis, x) if self._fits(axis, x) else super().log_softmax(x, axis)

    def log_softmax_gradient(self, gradient: Array, y: Array, axis: int) -> Array:
        if self._fits(axis, gradient, y):
            return self._by_rows("log_softmax_gradient", axis, gradient, y)
        return super().log_softmax_gradient(gradient, y, axis)

    def layer_norm(self, x: Array, epsilon: float) -> tuple[Array, Array]:
        if not self._fits(1, x):
            y, scale = super().layer_norm(x, epsilon)
            return self.evaluate(y), self.evaluate(scale)
        y, scale = self._new(x.shape, x.dtype), np.empty((x.shape[0], 1), x.dtype)
        self._launch(self.kernels.layer_norm, np.ascontiguousarray(self.evaluate(x)), np.float32(epsilon), y, scale)
        return y, scale

    def layer_norm_gradient(self, gradient: Array, y: Array, scale: Array) -> Array:
        if not self._fits(1, gradient, y):
            return super().layer_norm_gradient(gradient, y, scale)
        out = self._new(y.shape, y.dtype)
        self._launch(self.kernels.layer_norm_gradient, np.ascontiguousarray(self.evaluate(gradient)), y, scale, out)
        return out

    def adam_update(
        self, x: Array, gradient: Array, first: Array, second: Array, rates: tuple[float, float, float, float, float]
    ) -> tuple[Array, Array, Array]:
        x, gradient, first, second = (self.evaluate(a) for a in (x, gradient, first, second))
        flat = all(a.dtype == np.float32 and a.flags.c_contiguous for a in (x, gradient, first, second))
        if not flat or x.size < min(self.large, BY_ROWS) or not x.flags.writeable:
            return super().adam_update(x, gradient, first, second, rates)
        self._launch(self.kernels.adam, *(a.reshape(-1) for a in (x, gradient, first, second)), rates)
        return x, first, second

    def put_off(self, name: str, now: Callable[..., Array], arguments: tuple[Any, ...]) -> Array:
        """An expression for large arrays of types that kernels know; else the result of `now`."""
        operands = arguments[:1] if name == "cast" else arguments
        arrays = [x for x in operands if isinstance(x, np.ndarray | Lazy)]
        large = any((x.__class__ is Lazy and x.value is None) or x.size >= self.large for x in arrays)
        dtype = _type(name, arguments) if large else None
        if dtype is None or any(x.dtype not in TYPES for x in arrays):
            return now(*map(self.evaluate, arguments))
        shapes = {x.shape for x in arrays}
        shape = shapes.pop() if len(shapes) == 1 else np.broadcast_shapes(*(x.shape for x in arrays))
        if not all(shape):
            return now(*map(self.evaluate, arguments))
        found = Lazy(name, operands, shape, dtype)
        if found.weight > LONGEST:
            for x in operands:
                self.evaluate(x)
            found = Lazy(name, operands, shape, dtype)
        return found

    def _run(self, x: Lazy, shape: tuple[int, ...], dtype: Any, reduced: int = 0) -> Array:
        """Compute an expression, summed over its last axes where asked."""
        made = program(x, reduced)
        kernel = self._compiled.get(made.key)
        if kernel is None:
            kernel = self._compiled[made.key] = self.kernels.compiled(source(made.key), bool(reduced))
        out = self._new(shape, dtype)
        self._launch(kernel, *made.lengths, out.reshape(-1), *made.leaves)
        return out

    def _launch(self, kernel: Any, *arguments: Any) -> None:
        self.launched += 1
        kernel(*arguments)

    def _new(self, shape: tuple[int, ...], dtype: Any) -> Any:
        size = int(np.prod(shape)) * dtype.itemsize
        self.made += size
        return self._memory.array(shape, dtype) if size >= REUSED else np.empty(shape, dtype)

    def _fits(self, axis: int, *arrays: Array) -> bool:
        """Whether a kernel by rows takes these: large ones of float32, along their last axis."""
        first = arrays[0]
        large = bool(np.prod(first.shape) >= max(1, min(self.large, BY_ROWS)))
        return large and axis == len(first.shape) - 1 and all(x.dtype == np.float32 for x in arrays)

    def _by_rows(self, name: str, axis: int, *arrays: Array) -> Array:
        shape = arrays[0].shape
        rows = [np.ascontiguousarray(self.evaluate(x)).reshape(-1, shape[axis]) for x in arrays]
        out = self._new(shape, arrays[0].dtype)
        self._launch(getattr(self.kernels, name), *rows, out.reshape(rows[0].shape))
        return out


def _type(name: str, arguments: tuple[Any, ...]) -> Any:
    """The type of a result that a kernel can make, else None."""
    if name in COMPARING:
        return np.dtype(np.bool_)
    if name == "cast":
        return np.dtype(arguments[1]) if np.dtype(arguments[1]) in TYPES else None
    values = arguments[1:] if name == "where" else arguments
    found = next((x.dtype for x in values if hasattr(x, "dtype")), None)
    return found if found is not None and found.kind == "f" else None


def _putting_off(name: str) -> Any:
    compute = getattr(NumpyBackend, name)
    static = isinstance(getattr_static(NumpyBackend, name), staticmethod)

    def primitive(self: LazyBackend, *arguments: Any) -> Array:
        return self.put_off(name, compute if static else compute.__get__(self), arguments)

    return primitive


def _at_once(name: str) -> Any:
    compute = getattr(NumpyBackend, name)
    static = isinstance(getattr_static(NumpyBackend, name), staticmethod)

    def primitive(self: LazyBackend, *arguments: Any) -> Array:
        ready = [list(map(self.evaluate, x)) if isinstance(x, list) else self.evaluate(x) for x in arguments]
        return compute(*ready) if static else compute(self, *ready)

    return primitive


for _name in REQUIRED:
    if _name in TEMPLATES:
        setattr(LazyBackend, _name, _putting_off(_name))
    elif _name not in LazyBackend.__dict__:
        setattr(LazyBackend, _name, _at_once(_name))
