"""The ring all-reduce (Patarasuk and Yuan 2009), over whatever moves bytes to the neighbour."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np


class Collective(ABC):
    """One of `size` processes, by `rank`; all of them call the same methods in the same order."""

    def __init__(self, rank: int, size: int) -> None:
        if not 0 <= rank < size:
            raise ValueError(f"rank {rank} of {size} processes")
        self.rank, self.size = rank, size
        self.bytes_sent = self.calls = 0

    @abstractmethod
    def exchange(self, outgoing: Any, incoming: Any) -> None:
        """Send an array to the next rank and fill another with what the rank before sent; both contiguous."""

    @abstractmethod
    def barrier(self) -> None:
        """Wait for all."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what connects the processes."""

    def all_reduce(self, array: Any) -> None:
        """Replace a flat array by the sum over all processes.

        Each sends 2 (size - 1) / size of the bytes, where the length is a multiple of size. The sums are the same bits
        on every process.
        """
        self.calls += 1
        parts = np.array_split(array, self.size)
        scratch = np.empty(max(len(part) for part in parts), array.dtype)
        for step in range(self.size - 1):
            outgoing, own = parts[(self.rank - step) % self.size], parts[(self.rank - step - 1) % self.size]
            incoming = scratch[: len(own)]
            self._send(outgoing, incoming)
            own += incoming
        for step in range(self.size - 1):
            self._send(parts[(self.rank + 1 - step) % self.size], parts[(self.rank - step) % self.size])

    def _send(self, outgoing: Any, incoming: Any) -> None:
        self.bytes_sent += outgoing.nbytes
        self.exchange(outgoing, incoming)
