"""Start stages' processes, each forked by a server that has imported the large libraries already."""

import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import IO

from tasks.closure import ROOT, import_closure, imports_library

LIBRARIES = {
    "torch": ("torch", "torch._dynamo"),
    "transformers": ("transformers.models.auto.modeling_auto", "transformers.models.auto.tokenization_auto"),
    "scipy": ("scipy.stats",),
}
"""What is imported before a stage is forked whose code imports the library: what takes longest, such as the compiler
that torch imports with the first optimizer."""


@dataclass(frozen=True)
class Child:
    """A stage's process, which leads a process group of its own."""

    pid: int
    _answers: IO[bytes] = field(repr=False)

    def wait(self) -> int:
        """Its exit code, or below zero the signal that ended it."""
        with self._answers:
            return _number(self._answers)


class ForkServer:
    """`tasks.fork_server` in a process of its own, started with the first stage, and again should it die.

    `marks` are for the environment. The stages that still run die with the server.
    """

    def __init__(self, marks: dict[str, str]) -> None:
        self.marks = marks
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None

    def start(self, command: list[str], log: IO[bytes]) -> Child:
        """Run `-m tasks.run …`, which prints into `log`."""
        request = json.dumps({"libraries": _libraries(command[2]), "arguments": command[2:]}).encode()
        reading, writing = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._connected(), [request], [log.fileno(), writing])
        finally:
            os.close(writing)
        answers = os.fdopen(reading, "rb", buffering=0)
        return Child(_number(answers), answers)

    def close(self) -> None:
        """End the server."""
        with self._lock:
            if self._requests is not None and self._process is not None:
                self._requests.close()
                self._process.wait()
            self._requests = self._process = None

    def _connected(self) -> socket.socket:
        if self._requests is None or self._process is None or self._process.poll() is not None:
            self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tasks.fork_server"],
                    cwd=ROOT,
                    env={**os.environ, **self.marks},
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    process_group=0,
                )
        return self._requests


def _libraries(function: str) -> list[str]:
    """What the code of a stage is known to import; nothing where the code cannot be read, which the stage will say."""
    try:
        code = import_closure(function.partition(":")[0])
    except (ModuleNotFoundError, SyntaxError):
        return []
    return [each for name, modules in LIBRARIES.items() if imports_library(code, name) for each in modules]


def _number(answers: IO[bytes]) -> int:
    """The number in the next line; that of a kill where the server died before it wrote one."""
    line = answers.readline()
    return int(line) if line else -9
