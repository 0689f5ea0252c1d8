"""A network link of known bandwidth and latency between two processes of this machine.

Two network namespaces are joined by a veth pair whose both ends tc's token bucket limits, or, where a
delay is asked for, by a pair of tun devices and a relay between them that holds each packet back (tc's
own netem is missing from many kernels). Nothing outside the namespaces changes, and they end with the
processes that hold them.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from models.config import NotNegative, config
from tasks.hardware.gloo import relay as gloo_relay
from tasks.hardware.gloo.job import die_with_parent

ADDRESSES = ("10.73.0.1", "10.73.0.2")
DEVICE = "wire"
FRAME, PAYLOAD = 1514, 1448
"""Bytes that the token bucket counts for a full packet (1500 and an Ethernet header), and TCP's data in it."""


class Unavailable(Exception):
    """This machine does not let us make such a link; the message says which step was refused and how."""


@config
class Link:
    """Megabits a second each way (0: as fast as it goes), and milliseconds from one end to the other."""

    megabits: NotNegative = 0.0
    milliseconds: NotNegative = 0.0


@dataclass(frozen=True)
class Ends:
    """The processes that hold the two namespaces, first the one in whose user namespace both lie."""

    holders: tuple[int, int]

    def inside(self, end: int) -> list[str]:
        """The words that run a command in one of the namespaces."""
        user = f"--user=/proc/{self.holders[0]}/ns/user"
        return ["nsenter", user, f"--net=/proc/{self.holders[end]}/ns/net", "--preserve-credentials"]


@contextmanager
def linked(link: Link) -> Iterator[Ends]:
    """Two namespaces joined by the link; their addresses are `ADDRESSES`, their device is `DEVICE`.

    Raises:
        Unavailable: unshare, ip or tc is missing or was refused.
    """
    started: list[subprocess.Popen[str]] = []
    try:
        first = _hold(["unshare", "--user", "--map-root-user", "--net"], started)
        alone = Ends((first, first))
        second = _hold([*alone.inside(0), "unshare", "--net"], started)
        ends = Ends((first, second))
        if link.milliseconds:
            relay = [*ends.inside(0), sys.executable, "-m", gloo_relay.__name__, str(link.milliseconds / 1000)]
            _ready(relay, started)
            _do(ends.inside(0), "ip", "link", "set", "far", "netns", str(second))
            _do(ends.inside(1), "ip", "link", "set", "far", "name", DEVICE)
        else:
            pair = ("type", "veth", "peer", "name", DEVICE, "netns", str(second))
            _do(ends.inside(0), "ip", "link", "add", DEVICE, *pair)
        for end, address in enumerate(ADDRESSES):
            _do(ends.inside(end), "ip", "link", "set", "lo", "up")
            _do(ends.inside(end), "ip", "address", "add", f"{address}/24", "dev", DEVICE)
            _do(ends.inside(end), "ip", "link", "set", DEVICE, "up")
            # Training never lets a connection rest long enough to start slowly again; the clock's pauses would.
            _do(ends.inside(end), "sh", "-c", "echo 0 > /proc/sys/net/ipv4/tcp_slow_start_after_idle")
            if link.megabits:
                bucket = ("tbf", "rate", f"{link.megabits}mbit", "burst", "16kb", "limit", "64mb")
                _do(ends.inside(end), "tc", "qdisc", "add", "dev", DEVICE, "root", *bucket)
        yield ends
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()


def _hold(enter: list[str], started: list[subprocess.Popen[str]]) -> int:
    """Start a process that keeps a namespace alive, and give its id once it is in there."""
    return _ready([*enter, "sh", "-c", "echo ready; exec sleep infinity"], started)


def _ready(command: list[str], started: list[subprocess.Popen[str]]) -> int:
    """Start a process and give its id once it has said that it is ready."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=die_with_parent
    )
    started.append(process)
    assert process.stdout
    said = process.stdout.readline().strip()
    if said != "ready":
        raise Unavailable(f"{' '.join(command[:4])} …: {said}")
    return process.pid


def _do(inside: list[str], *command: str) -> None:
    ended = subprocess.run([*inside, *command], capture_output=True, text=True)
    if ended.returncode:
        raise Unavailable(f"{' '.join(command)}: {ended.stderr.strip()}")
