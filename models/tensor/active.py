"""Which backend operations use now, and whether they are recorded for gradients."""

from collections.abc import Iterator
from contextlib import contextmanager

from models.tensor.backend import TensorBackend, missing
from models.tensor.numpy_backend import NumpyBackend


class Active:
    """The one place that every operation looks at."""

    __slots__ = ("backend", "recording")

    def __init__(self) -> None:
        self.backend: TensorBackend = NumpyBackend()
        self.recording = True


active = Active()


@contextmanager
def using(backend: TensorBackend) -> Iterator[TensorBackend]:
    """Run every operation on a backend; tensors that were made on another one stay there.

    Raises:
        TypeError: it lacks primitives; the sentence names them.
    """
    if lacks := missing(type(backend)):
        raise TypeError(f"{type(backend).__name__} lacks {', '.join(lacks)}")
    before, active.backend = active.backend, backend
    try:
        yield backend
    finally:
        active.backend = before


@contextmanager
def no_gradients() -> Iterator[None]:
    """Record nothing for gradients."""
    before, active.recording = active.recording, False
    try:
        yield
    finally:
        active.recording = before
