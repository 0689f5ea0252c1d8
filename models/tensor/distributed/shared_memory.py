"""A ring through shared memory: each process has a slot, out of which the next one reads."""

from multiprocessing.shared_memory import SharedMemory
from multiprocessing.synchronize import Barrier
from typing import Any

import numpy as np

from models.tensor.distributed.collective import Collective


class SharedMemoryRing(Collective):
    """Slots of one block of shared memory.

    Args:
        rank: of this process.
        size: how many there are.
        name: of the shared memory, which whoever starts the processes made, of `size` times `slot` bytes.
        slot: bytes of the largest part of an array that is exchanged at once; longer ones go in pieces.
        meeting: a barrier of `size` processes.
    """

    def __init__(self, rank: int, size: int, name: str, slot: int, meeting: Barrier) -> None:
        super().__init__(rank, size)
        self._memory = SharedMemory(name)
        self._slot, self._meeting = slot, meeting

    def exchange(self, outgoing: Any, incoming: Any) -> None:
        sent, received = outgoing.view(np.uint8), incoming.view(np.uint8)
        # Parts of an array may differ by a value; all processes go through as many turns.
        most = max(sent.nbytes, received.nbytes) + outgoing.itemsize
        for start in range(0, most, self._slot):
            piece = sent[start : start + self._slot]
            self._bytes(self.rank)[: len(piece)] = piece
            self._meeting.wait()
            there = received[start : start + self._slot]
            there[:] = self._bytes((self.rank - 1) % self.size)[: len(there)]
            self._meeting.wait()

    def barrier(self) -> None:
        self._meeting.wait()

    def close(self) -> None:
        self._memory.close()

    def _bytes(self, rank: int) -> Any:
        return np.ndarray((self._slot,), np.uint8, self._memory.buf, rank * self._slot)
