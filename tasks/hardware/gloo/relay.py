"""Two tun devices, `wire` and `far`, and a wire between them that delays by SECONDS, the argument of this module."""

import fcntl
import os
import select
import struct
import sys
import time
from collections import deque
from contextlib import suppress

from tasks.hardware.gloo.job import die_with_parent

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


def device(name: str) -> int:
    """Make a tun device in this network namespace; what is read from it was sent through it, whole packets."""
    opened = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(opened, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return opened


def relay(ends: tuple[int, int], delay: float) -> None:
    """Carry packets both ways for ever, each `delay` seconds after it came."""
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    under_way: deque[tuple[float, int, bytes]] = deque()
    while True:
        wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        ready, _, _ = select.select(ends, [], [], wait)
        now = time.monotonic()
        for end in ready:
            under_way.append((now + delay, other[end], os.read(end, 65536)))
        while under_way and under_way[0][0] <= now:
            _, end, packet = under_way.popleft()
            with suppress(OSError):  # a device that is not up yet loses what is sent to it, as any does
                os.write(end, packet)


if __name__ == "__main__":
    die_with_parent()
    both = (device("wire"), device("far"))
    print("ready", flush=True)
    relay(both, float(sys.argv[1]))
