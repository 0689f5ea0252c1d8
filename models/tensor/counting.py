"""A backend that only counts and times the primitives, and leaves the work to another one."""

import time
from abc import ABCMeta
from collections import Counter
from typing import Any

from models.tensor.backend import PRIMITIVES, Array, TensorBackend


def _delegating(name: str) -> Any:
    def primitive(self: "CountingBackend", *arguments: Any) -> Array:
        return self.delegate(name, arguments)

    primitive.__name__ = name
    return primitive


_Delegating: Any = ABCMeta("Delegating", (TensorBackend,), {name: _delegating(name) for name in PRIMITIVES})


class CountingBackend(_Delegating):  # type: ignore[misc]
    """Delegates all; `calls` and `seconds` by primitive, `bytes_made` those of all results."""

    def __init__(self, inner: TensorBackend) -> None:
        self.inner = inner
        self.calls: Counter[str] = Counter()
        self.seconds: dict[str, float] = dict.fromkeys(PRIMITIVES, 0.0)
        self.bytes_made = 0

    def delegate(self, name: str, arguments: tuple[Any, ...]) -> Array:
        """A primitive of the other backend, counted and timed."""
        began = time.perf_counter()
        result = getattr(self.inner, name)(*arguments)
        self.seconds[name] += time.perf_counter() - began
        self.calls[name] += 1
        for one in result if isinstance(result, tuple) else (result,):
            self.bytes_made += int(getattr(one, "nbytes", 0))
        return result
