"""A ring over TCP. Processes find each other through a folder, where each writes its port (Flashlight's FileStore)."""

import os
import socket
import time
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from models.tensor.distributed.collective import Collective


class SocketRing(Collective):
    """A connection from the rank before and one to the next rank, on this machine.

    Args:
        rank: of this process.
        size: how many there are.
        meeting: a folder, empty at first, that all of them see.
        timeout: seconds to wait for another process, in any call.

    Raises:
        TimeoutError: another process does not answer.
    """

    def __init__(self, rank: int, size: int, meeting: Path, timeout: float = 60.0) -> None:
        super().__init__(rank, size)
        self._next = self._before = None
        if size == 1:
            return
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(timeout)
            written = meeting / f"{rank}.part"
            written.write_text(str(server.getsockname()[1]))
            os.replace(written, meeting / f"{rank}.port")
            port = _port(meeting / f"{(rank + 1) % size}.port", timeout)
            self._next = socket.create_connection(("127.0.0.1", port), timeout)
            self._before, _ = server.accept()
        for connection in (self._next, self._before):
            connection.settimeout(timeout)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, outgoing: Any, incoming: Any) -> None:
        assert self._next is not None
        assert self._before is not None
        # A ring in which all send first would stand still once the buffers between them are full.
        sender = Thread(target=self._next.sendall, args=(memoryview(outgoing).cast("B"),))
        sender.start()
        rest = memoryview(incoming).cast("B")
        while len(rest):
            count = self._before.recv_into(rest)
            if not count:
                raise ConnectionError(f"rank {(self.rank - 1) % self.size} went away in the middle of a reduction")
            rest = rest[count:]
        sender.join()

    def barrier(self) -> None:
        if self.size > 1:
            sent, calls = self.bytes_sent, self.calls
            self.all_reduce(np.zeros(self.size, np.int8))
            self.bytes_sent, self.calls = sent, calls

    def close(self) -> None:
        for connection in (self._next, self._before):
            if connection is not None:
                connection.close()


def _port(path: Path, timeout: float) -> int:
    end = time.monotonic() + timeout
    while not path.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"no process wrote {path.name} within {timeout:g} seconds")
        time.sleep(0.005)
    return int(path.read_text())
