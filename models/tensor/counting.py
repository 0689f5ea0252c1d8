"""A backend that only counts and times the primitives, and leaves the work to another one."""

import time
from abc import update_abstractmethods
from collections import Counter
from typing import Any

from models.tensor.backend import PRIMITIVES, Array, TensorBackend


class CountingBackend(TensorBackend):
    """Delegates all; `calls` and `seconds` by primitive, `bytes_made` those of all results."""

    def __init__(self, inner: TensorBackend) -> None:
        self.inner = inner
        self.calls: Counter[str] = Counter()
        self.seconds: dict[str, float] = dict.fromkeys(PRIMITIVES, 0.0)
        self.bytes_made = 0

    def _delegate(self, name: str, arguments: tuple[Any, ...]) -> Array:
        began = time.perf_counter()
        result = getattr(self.inner, name)(*arguments)
        self.seconds[name] += time.perf_counter() - began
        self.calls[name] += 1
        for one in result if isinstance(result, tuple) else (result,):
            self.bytes_made += int(getattr(one, "nbytes", 0))
        return result


def _delegating(name: str) -> Any:
    def primitive(self: CountingBackend, *arguments: Any) -> Array:
        return self._delegate(name, arguments)

    primitive.__name__ = name
    return primitive


for _name in PRIMITIVES:
    setattr(CountingBackend, _name, _delegating(_name))
update_abstractmethods(CountingBackend)
