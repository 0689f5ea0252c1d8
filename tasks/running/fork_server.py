"""Run stages in processes forked from this one, which has imported the large libraries.

Torch and its first optimizer take two seconds to import, longer than many a stage of the quick profile needs. Nothing
of this repository is kept imported: a stage runs the code as it stands when the stage begins, as
`python -m tasks.running.run` does.
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import Any, NoReturn

LONGEST = 2**17
"""Bytes of a request."""
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def serve(requests: socket.socket) -> list[str] | None:
    """Fork a process for each request; returns its stage's command line there, and None here when no more can come.

    A request is {"libraries": modules to import, "arguments": of tasks.running.run, "root": the checkout to run in, if
    not this one} with two files: what the stage prints goes to the first; to the second its process id, and at its end
    its exit code (below zero the signal that ended it) with the CPU seconds that it and its children took, a line each.
    """
    with selectors.DefaultSelector() as events:
        events.register(requests, selectors.EVENT_READ)
        while True:
            for event, _ in events.select():
                if event.data is not None:
                    events.unregister(event.fd)
                    _report(event.fd, *event.data)
                    continue
                message, files, *_ = socket.recv_fds(requests, LONGEST, 2)
                if not message:
                    return None
                asked = json.loads(message)
                for library in asked["libraries"]:
                    with suppress(Exception):  # the stage meets it again, and says so in its own log
                        importlib.import_module(library)
                server, (log, answers) = os.getpid(), files
                gc.freeze()  # a child that looked for garbage among the libraries would copy them, page by page
                # Python forgets an interrupt that comes to the child within the fork; blocked, it waits until after,
                # and until the child has its log, where it says that it was interrupted.
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
                child = os.fork()
                if not child:
                    os.close(answers)
                    _become_stage(server, log)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
                if not child:
                    if root := asked.get("root"):
                        os.chdir(root)
                        sys.path[0] = root
                    arguments: list[str] = asked["arguments"]
                    return arguments
                os.close(log)
                with suppress(ProcessLookupError):
                    os.setpgid(child, child)  # as it does itself: whichever comes first
                os.write(answers, f"{child}\n".encode())
                events.register(os.pidfd_open(child), selectors.EVENT_READ, (child, answers))


def _report(descriptor: int, child: int, answers: int) -> None:
    """Say how a stage's process ended."""
    os.close(descriptor)
    _, status, used = os.wait4(child, 0)
    with suppress(BrokenPipeError):
        os.write(answers, f"{os.waitstatus_to_exitcode(status)} {used.ru_utime + used.ru_stime:.2f}\n".encode())
    os.close(answers)


def _become_stage(server: int, log: int) -> None:
    """Make a process of its own of this one: it dies with the server, however that dies, and prints into `log`."""
    os.setpgid(0, 0)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:
        os._exit(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(log)


def set_environment(level: str) -> None:
    """The stages' environment, which libraries read when they are imported; the repository's code is forgotten."""
    importlib.import_module("tasks.base.determinism").set_process_environment(level)
    packages = importlib.import_module("tasks.base.manifest").PACKAGES
    for name in [name for name in sys.modules if name.split(".")[0] in packages]:
        del sys.modules[name]


def end(code: int) -> NoReturn:
    """End this process as multiprocessing ends its own: with all that waits for an end, but without taking apart the
    libraries object by object, which takes half a second.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the log may lie on the disk that is full
            stream.flush()
    os._exit(code)


def main() -> NoReturn:
    """Serve requests that come through standard input, a socket, until its other end is closed.

    All stages forked from one server are held to one level of instructions, the argument: libraries choose by it when
    they are imported.
    """
    # What a shell starts in the background ignores interrupts, and so would the stages; but Tenfold ends them by these.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    set_environment(sys.argv[1])
    requests = socket.socket(fileno=0)
    arguments = serve(requests)
    requests.detach()
    if arguments is None:
        os._exit(0)  # there is nothing to tidy up, and the libraries would take their time
    run: Any = importlib.import_module("tasks.running.run")
    # From here on this is `python -m tasks.running.run`; multiprocessing knows the main module by another name, too.
    sys.modules["__main__"] = sys.modules["__mp_main__"] = run
    sys.argv = [run.__file__, *arguments]
    end(run.main(arguments))


if __name__ == "__main__":
    main()
