"""A process that has imported what takes long, and forks a driver for each command, which so costs little.

It is started in a mini's root with a socket as standard input, and serves requests as `tasks.running.fork_server` does
those of stages. A request's arguments are "tenfold" or "dvc", a fault as JSON (`null` for none), and the command line.
"""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

LIBRARIES = (
    "scipy.stats", "pydantic.dataclasses", "rich.console", "rich.table", "rich.progress", "typer", "yaml", "jinja2",
    "dvc.cli", "dvc.repo", "dvc.commands.repro", "dvc.stage.cache", "dvc_data.hashfile.hash", "dvc_objects.fs.local",
)  # fmt: skip
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "interrupt": signal.SIGINT}
STEPS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.chmod", "fcntl.flock"}
"""What a process does to the files that others see, as Python's auditors hear it; and opening one to write."""


def is_step(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether this is something that others see: there a fault may come in between."""
    if event == "open":
        return isinstance(arguments[0], str) and bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR))
    return event in STEPS


def fault_at(fault: dict[str, Any], concerns: Callable[[], bool]) -> Callable[[str, tuple[Any, ...]], None]:
    """An auditor that lets the process die, stop or meet an error at its step of the fault's number."""
    steps = 0

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal steps
        if is_step(event, arguments) and concerns():
            steps += 1
            if steps == fault["at"]:
                if fault["what"] == "raise":
                    raise OSError(28, "No space left on device")
                os.kill(os.getpid(), SIGNALS[fault["what"]])

    return hear


def error_in(fault: dict[str, Any]) -> Callable[[types.FrameType, str, Any], None]:
    """A profiler that raises when the fault's function is called for the time of its number."""
    calls = 0

    def hear(frame: types.FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        code = frame.f_code
        if event == "call" and code.co_qualname == fault["in"] and code.co_filename.endswith(fault["file"]):
            calls += 1
            if calls == fault["at"]:
                raise RuntimeError("this was made to fail")

    return hear


def spare_server(fault: dict[str, Any] | None) -> Callable[..., Any]:
    """Fork, while there are no threads, what will be the server of the stages; returns what starts it."""
    ours, theirs = socket.socketpair()
    server = os.fork()
    if not server:
        ours.close()
        message, files, *_ = socket.recv_fds(theirs, 1 << 16, 1)
        theirs.close()
        if not files:
            os._exit(0)  # no stage had to run
        os.dup2(files[0], 0)
        os.close(files[0])
        os.setpgid(0, 0)
        os.environ.clear()
        os.environ.update(json.loads(message))
        if fault and fault.get("who", "driver") != "driver":
            wanted, here = f"/{fault['who']}", os.getpid()
            sys.addaudithook(fault_at(fault, lambda: os.getpid() != here and sys.argv[-1].endswith(wanted)))
        end(importlib.import_module("tasks.running.fork_server").main)
    theirs.close()
    waiting = [server]

    def start(command: list[str], *, stdin: int, env: dict[str, str], **named: Any) -> Any:
        if not waiting:  # the first one died
            return subprocess.Popen(command, stdin=stdin, env=env, **named)
        socket.send_fds(ours, [json.dumps(env).encode()], [stdin])
        return Forked(waiting.pop())

    return start


class Forked:
    """A forked child, asked as `subprocess.Popen` is."""

    def __init__(self, pid: int) -> None:
        self.pid, self.returncode = pid, None

    def poll(self) -> int | None:
        return self.wait(os.WNOHANG)

    def wait(self, how: int = 0) -> int | None:
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, how)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode


def end(program: Callable[[], Any]) -> None:
    """Run a program and end with its exit code, without tidying up what only the zygote has."""
    try:
        code = program()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1 if code else 0)


def tenfold(fault: dict[str, Any] | None) -> None:
    """The `tenfold` command."""
    processes = importlib.import_module("flows.engine.processes")
    processes.subprocess = types.SimpleNamespace(Popen=spare_server(fault), DEVNULL=subprocess.DEVNULL)
    if fault and "in" in fault:
        hear = error_in(fault)
        threading.setprofile(hear)
        sys.setprofile(hear)
    elif fault and fault["who"] == "driver":
        here = os.getpid()
        sys.addaudithook(fault_at(fault, lambda: os.getpid() == here))
    importlib.import_module("tools.__main__").main()


def dvc() -> int:
    """The `dvc` command."""
    return importlib.import_module("dvc.cli").main(sys.argv[1:])


def main() -> None:
    sys.path[0] = os.getcwd()
    sys.dont_write_bytecode = True  # an edit within the same second would leave the bytes of the code before
    for name in LIBRARIES:
        importlib.import_module(name)
    server = importlib.import_module("tasks.running.fork_server")
    importlib.import_module("flows.engine.cli")
    requests = socket.socket(fileno=0)
    asked = server.serve(requests)
    requests.detach()
    if asked is None:
        os._exit(0)
    program, fault, *arguments = asked
    sys.argv = [program, *arguments]
    if program == "tenfold":
        end(lambda: tenfold(json.loads(fault)))
    end(dvc)


if __name__ == "__main__":
    main()
