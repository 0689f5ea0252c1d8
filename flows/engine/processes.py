"""Start stages' processes, each forked by a server that has imported the large libraries already."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from tasks.base.files import ROOT
from tasks.running.run import DRIVEN

LIBRARIES = {
    "pydantic": ("pydantic.dataclasses",),
    "torch": ("torch", "torch._dynamo"),
    "transformers": ("transformers.models.auto.modeling_auto", "transformers.models.auto.tokenization_auto"),
    "scipy": ("scipy.stats",),
}
"""What is imported before a stage is forked whose code imports the library: what takes longest, such as the compiler
that torch imports with the first optimizer."""


class Ended(NamedTuple):
    """How a stage's process ended: its exit code, or below zero the signal; the CPU seconds of it and its children."""

    code: int
    cpu: float


@dataclass(frozen=True)
class Child:
    """A stage's process, which leads a process group of its own."""

    pid: int
    _answers: IO[bytes] = field(repr=False)

    def wait(self) -> Ended:
        """Its end: by a kill where the server died and the stage with it."""
        with self._answers:
            code, cpu = (self._answers.readline() or b"%d 0" % -signal.SIGKILL).split()
            return Ended(int(code), float(cpu))


class ForkServer:
    """`tasks.running.fork_server` in a process of its own, started with the first stage, and again should it die.

    `marks` are for the environment, `level` are the instructions to which its stages are held. The stages that still
    run die with the server, which runs the code below `root`.
    """

    def __init__(self, marks: dict[str, str], level: str, root: Path = ROOT) -> None:
        self.marks = marks
        self.level = level
        self._root = root
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None

    def start(self, command: list[str], log: IO[bytes], workspace: Path | None = None) -> Child:
        """Run `-m tasks.running.run …`, which prints into `log`, here or in a workspace with code of its own.

        Raises:
            ChildProcessError: the server died before it had forked the stage.
        """
        asked = {"libraries": _libraries(workspace or ROOT, command[2:]), "arguments": command[2:]}
        request = json.dumps(asked | ({"root": str(workspace)} if workspace else {})).encode()
        reading, writing = os.pipe()
        try:
            # Where the server has just died nothing is sent, and no answer comes.
            with self._lock, suppress(BrokenPipeError, ConnectionResetError):
                requests = self._connected()
                socket.send_fds(requests, [request], [log.fileno(), writing])
        finally:
            os.close(writing)
        answers = os.fdopen(reading, "rb", buffering=0)
        if not (pid := answers.readline()):
            answers.close()
            with self._lock:
                if self._requests is requests:
                    self._requests = None  # its death may not be seen yet, and the next stage needs another server
            raise ChildProcessError("The server that forks the stages died, as when memory runs out.")
        return Child(int(pid), answers)

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
                    [sys.executable, "-m", "tasks.running.fork_server", self.level],
                    cwd=self._root,
                    env={**os.environ, **self.marks, DRIVEN: "1", "PYTHONUNBUFFERED": "1"},
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    process_group=0,
                )
        return self._requests


def _libraries(root: Path, arguments: list[str]) -> list[str]:
    """What a stage's code imports, by its manifest; nothing where that cannot be read, which the stage will say."""
    try:
        code = json.loads((root / arguments[arguments.index("--code") + 1]).read_text())
    except (OSError, ValueError):
        return []
    return [each for name, modules in LIBRARIES.items() if name in code["libraries"] for each in modules]
