"""Reducers average gradients over processes, called by hooks as soon as a gradient is whole."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np

from models.tensor.active import active
from models.tensor.distributed.collective import Collective
from models.tensor.tensor import Tensor


class Reducer(ABC):
    """Hooks on all parameters; after `backward`, `finish` waits until every gradient is the average."""

    def __init__(self, collective: Collective, parameters: Iterable[Tensor]) -> None:
        self.collective = collective
        self.parameters = list(parameters)
        for parameter in self.parameters:
            parameter.register_hook(self._hook(parameter))

    def _hook(self, parameter: Tensor) -> Any:
        def hook(gradient: Any) -> None:
            self.reduce(parameter, gradient)

        return hook

    @abstractmethod
    def reduce(self, parameter: Tensor, gradient: Any) -> None:
        """The gradient of a parameter is whole."""

    @abstractmethod
    def finish(self) -> None:
        """Wait for what is under way, and give every parameter its average."""

    def _put(self, parameter: Tensor, average: Any) -> None:
        assert parameter.node is not None
        parameter.node.gradient = active.backend.from_numpy(average)


class InlineReducer(Reducer):
    """One all-reduce for each parameter, at once."""

    def __init__(self, collective: Collective, parameters: Iterable[Tensor]) -> None:
        super().__init__(collective, parameters)
        self._averages: list[tuple[Tensor, Any]] = []

    def reduce(self, parameter: Tensor, gradient: Any) -> None:
        flat = np.array(active.backend.to_numpy(gradient)).reshape(-1)
        self.collective.all_reduce(flat)
        flat /= self.collective.size
        self._averages.append((parameter, flat.reshape(parameter.shape)))

    def finish(self) -> None:
        for parameter, average in self._averages:
            self._put(parameter, average)
        self._averages.clear()


class BucketedReducer(Reducer):
    """Gradients are gathered into buckets, which a thread reduces while the walk goes on.

    Parameters get their gradients in the same order on every process, so that buckets are the same everywhere.

    Args:
        collective: of the processes.
        parameters: whose gradients are averaged.
        bucket: bytes from which on a bucket is sent.
    """

    def __init__(self, collective: Collective, parameters: Iterable[Tensor], bucket: int = 1 << 20) -> None:
        super().__init__(collective, parameters)
        self.bucket = bucket
        self._open: list[tuple[Tensor, Any]] = []
        self._sent: list[tuple[list[tuple[Tensor, Any]], Any]] = []
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._thread: Thread | None = None
        self._problem: Exception | None = None

    def reduce(self, parameter: Tensor, gradient: Any) -> None:
        self._open.append((parameter, np.asarray(active.backend.to_numpy(gradient)).reshape(-1)))
        if sum(flat.nbytes for _, flat in self._open) >= self.bucket:
            self._send()

    def finish(self) -> None:
        if self._open:
            self._send()
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        if self._problem is not None:
            problem, self._problem = self._problem, None
            self._sent.clear()
            raise problem
        for members, whole in self._sent:
            ends = np.cumsum([flat.size for _, flat in members])
            for (parameter, _), average in zip(members, np.split(whole, ends[:-1]), strict=True):
                self._put(parameter, average.reshape(parameter.shape))
        self._sent.clear()

    def _send(self) -> None:
        whole = np.concatenate([flat for _, flat in self._open])
        self._sent.append((self._open, whole))
        self._open = []
        if self._thread is None:
            self._thread = Thread(target=self._work, daemon=True)
            self._thread.start()
        self._queue.put(whole)

    def _work(self) -> None:
        while (whole := self._queue.get()) is not None:
            try:
                if self._problem is None:
                    self.collective.all_reduce(whole)
                    whole /= self.collective.size
            except Exception as problem:  # told by `finish`, in the thread that can do something about it
                self._problem = problem
