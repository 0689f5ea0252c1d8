"""A ring through memory that processes share: each has a slot, out of which the next one reads."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from models.tensor.distributed.collective import Collective

LINE = 64
"""Bytes for the count of a process, so that no two lie in one line of a cache."""


class SharedMemoryRing(Collective):
    """Slots of one file that all processes map into their memory.

    Args:
        rank: of this process.
        size: how many there are.
        meeting: a folder, empty at first, that all of them see; best one that lies in memory.
        slot: bytes of what is exchanged at once; longer arrays go in pieces.
        timeout: seconds to wait for another process, in any call.

    Raises:
        TimeoutError: another process does not come.
    """

    def __init__(self, rank: int, size: int, meeting: Path, slot: int = 1 << 20, timeout: float = 60.0) -> None:
        super().__init__(rank, size)
        self._slot, self._timeout = slot, timeout
        path = meeting / "shared"
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            file.truncate(size * (LINE + slot))  # what is there already stays
        self._memory: Any = np.memmap(path, np.uint8, "r+")
        counts = self._memory[: size * LINE].view(np.int64)
        self._counts = counts[:: LINE // 8]
        self._slots = self._memory[size * LINE :].reshape(size, slot)

    def exchange(self, outgoing: Any, incoming: Any) -> None:
        sent, received = outgoing.view(np.uint8), incoming.view(np.uint8)
        # Parts of an array may differ by a value; all processes go through as many turns.
        most = max(sent.nbytes, received.nbytes) + outgoing.itemsize
        for start in range(0, most, self._slot):
            piece = sent[start : start + self._slot]
            self._slots[self.rank, : len(piece)] = piece
            self.barrier()
            there = received[start : start + self._slot]
            there[:] = self._slots[(self.rank - 1) % self.size, : len(there)]
            self.barrier()

    def barrier(self) -> None:
        self._counts[self.rank] += 1
        reached = self._counts[self.rank]
        end = time.monotonic() + self._timeout
        while self._counts.min() < reached:
            if time.monotonic() > end:
                late = int(self._counts.argmin())
                raise TimeoutError(f"rank {late} did not come within {self._timeout:g} seconds")
            time.sleep(2e-5)

    def close(self) -> None:
        del self._counts, self._slots, self._memory
