"""A link to a scheduler that is as slow as one across a continent."""

import asyncio
import threading
import time
from contextlib import suppress


class SlowLink:
    """What comes to `port` goes on to another port of this machine, `seconds` later and at `rate` bytes a second."""

    def __init__(self, to: int, *, seconds: float, rate: float) -> None:
        self._to, self._seconds, self._rate = to, seconds, rate
        self.port = self.bytes = 0
        self._ends: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> "SlowLink":
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._join, "127.0.0.1", 0), self._loop).result()
        self.port = server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._close)
        self._thread.join()

    def _close(self) -> None:
        for end in self._ends:
            end.transport.abort()
        self._loop.call_later(0.1, self._loop.stop)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
            self._ends += [writer, back]
            await asyncio.gather(self._carry(reader, back), self._carry(there, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction: nothing is lost, everything is late."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def arrive() -> None:
            while True:
                due, said = await under_way.get()
                await asyncio.sleep(max(0.0, due - time.monotonic()) + len(said) / self._rate)
                writer.write(said)
                if not said:
                    writer.close()
                    return

        arriving = asyncio.ensure_future(arrive())
        with suppress(OSError):
            while said := await reader.read(1 << 14):
                self.bytes += len(said)
                under_way.put_nowait((time.monotonic() + self._seconds, said))
        under_way.put_nowait((time.monotonic() + self._seconds, b""))
        with suppress(OSError):
            await arriving
