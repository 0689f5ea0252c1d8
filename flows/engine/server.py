"""One Prefect server for everybody who needs one here, gone when nobody does.

Each user of the server holds a shared lock on a file. The first one starts the server as a process of
its own; the server ends itself when it can take the lock alone. So two reproductions share one
server, and none is left behind by a killed one.

What another project has put into the environment (a profile, a database, a proxy) does not reach it; only
PREFECT_API_URL names a server of somebody's own to use instead.
"""

import errno
import fcntl
import http.client
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.engine.guard import Guard, credentials
from tasks.base.errors import UserError
from tasks.base.files import ROOT, STATE
from tasks.base.remembered import remember, remembered
from tasks.running.spools import is_alive, process

HOME = STATE / "prefect"
KNOWN = HOME / "server.json"
"""The address of the server that runs, its process, whether it is lean, and whether it is about to end."""
START_SECONDS = 300
"""How long a server of ours may take on a busy machine, while its process lives."""
ENDING_SECONDS = 15
"""How long a server that nobody uses any more may take to free its port."""
ANSWER_SECONDS = 15
"""How long somebody's own server, which PREFECT_API_URL names, may take to answer."""

SETTINGS = {
    "PREFECT_HOME": str(HOME),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
}

LEAN = {
    f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false"
    for name in (
        "CANCELLATION_CLEANUP", "CLEANUP_RECONCILER", "FOREMAN", "LATE_RUNS", "PAUSE_EXPIRATIONS", "REPOSSESSOR",
        "SCHEDULER", "TRIGGERS",
    )
} | {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}  # fmt: skip
"""A server for reproductions alone: nothing that is scheduled, and task runs are recorded many at once."""
RECORDED_SECONDS = 2.5
"""How long a server waits before it ends, for what it was told last to be recorded."""


def configure() -> None:
    """Keep Prefect's files in this repository, its console quiet, its telemetry off, and loopback out of any proxy.

    Where PREFECT_API_URL names a server of somebody's own, what else they say of it holds, too.
    """
    for name in [name for name, value in os.environ.items() if _is_socks_proxy(name, value)]:
        del os.environ[name]
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1,localhost"]))
    if not os.environ.get("PREFECT_API_URL"):
        for name in _prefect_variables():
            del os.environ[name]
    for name, value in SETTINGS.items():
        # A profile of theirs lies in a home of theirs.
        if name != "PREFECT_HOME" or "PREFECT_PROFILE" not in os.environ:
            os.environ.setdefault(name, value)


@contextmanager
def prefect_server(port: int = 0, *, lean: bool = True) -> Iterator[str]:
    """The address of a Prefect API: the one that PREFECT_API_URL names, or a server of this repository.

    A `lean` one serves reproductions; pages, schedules and workers need one that is not.

    Raises:
        UserError: the port is taken.
    """
    configure()
    given = os.environ.get("PREFECT_API_URL")
    if given:
        yield given
        return
    HOME.mkdir(parents=True, exist_ok=True)
    with open(HOME / "users.lock", "w") as users:
        with _locked(HOME / "start.lock"):
            fcntl.flock(users, fcntl.LOCK_SH)
            known = _running() if lean or not remembered(KNOWN).get("lean") else None
            address = known or _start(port, lean)
        ours = {"PREFECT_API_URL": address, "PREFECT_API_AUTH_STRING": credentials()}
        os.environ.update(ours)
        try:
            yield address
        finally:
            for name in ours:
                del os.environ[name]


def wait_until_up(address: str) -> None:
    """Return when the server answers.

    Raises:
        UserError: it ended, or did not answer in time.
    """
    ours = remembered(KNOWN).get("address") == address
    until = time.monotonic() + (START_SECONDS if ours else ANSWER_SECONDS)
    while not answers(f"{address}/health"):
        late = time.monotonic() > until
        ended = ours and not _running()
        if ended or (ours and late):
            raise UserError(
                f"The Prefect server of this repository {'ended' if ended else 'does not answer'}; the end of "
                f"{(HOME / 'server.log').relative_to(ROOT)} says why. "
                "Run the same command again, or with --plain, which needs no server."
            )
        if late:
            raise UserError(
                f"No Prefect server answers at {address}, which PREFECT_API_URL names: start that server, or unset "
                "PREFECT_API_URL for one of this repository."
            )
        time.sleep(0.1)


def _start(port: int, lean: bool) -> str:
    _wait_for_its_end(port)
    with listening(port) as sock, open(HOME / "server.log", "ab") as log:
        origin = f"http://127.0.0.1:{sock.getsockname()[1]}"
        address = f"{origin}/api"
        others = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        settings = {
            **SETTINGS,
            **(LEAN if lean else {}),
            "PREFECT_SERVER_UI_API_URL": address,
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": origin,
            # From the root of this repository, whose path may have a "?" in it, at which addresses of databases end.
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{(HOME / 'prefect.db').relative_to(ROOT)}",
        }
        child = subprocess.Popen(
            [sys.executable, "-m", "flows.engine.server", str(sock.fileno())],
            cwd=ROOT,
            env={**others, **settings},
            pass_fds=[sock.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    remember(KNOWN, {"address": address, "process": process(child.pid), "lean": lean})
    return address


@contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """A socket that listens on a port of loopback (any free one if 0), for a process that inherits it.

    Raises:
        UserError: the port cannot be had.
    """
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
            sock.listen()
        except OSError as problem:
            why = "is taken by another program" if problem.errno == errno.EADDRINUSE else f"cannot be had ({problem})"
            raise UserError(
                f"Port {port} of this machine {why}: choose others by --mlflow-port and --prefect-port."
            ) from None
        yield sock


def _wait_for_its_end(port: int) -> None:
    """Wait for the server that its last user has just left, where it still has the port that is wanted."""
    known = remembered(KNOWN)
    until = time.monotonic() + ENDING_SECONDS
    if known.get("ending") and f":{port}/" in str(known.get("address")):
        while is_alive(str(known.get("process"))) and time.monotonic() < until:
            time.sleep(0.1)


def _running() -> str | None:
    """The address of the server that another user has started, if it lives and is to go on."""
    known = remembered(KNOWN)
    lives = "address" in known and not known.get("ending") and is_alive(str(known.get("process")))
    return str(known["address"]) if lives else None


def has_died() -> bool:
    """Whether the server of this repository, which this process uses, is no more."""
    known = remembered(KNOWN)
    ours = known.get("address") == os.environ.get("PREFECT_API_URL")
    return ours and not is_alive(str(known.get("process")))


def _is_socks_proxy(name: str, value: str) -> bool:
    """Whether it names a proxy of this kind, at whose sight Prefect's client stops, whatever goes past proxies."""
    return name.lower().endswith("_proxy") and value.lower().startswith("socks")


def _prefect_variables() -> list[str]:
    return [name for name in os.environ if name.startswith("PREFECT_")]


def answers(url: str) -> bool:
    """Whether a server answers there."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except (OSError, http.client.HTTPException, ValueError):
        return False


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _left_alone(port: int) -> bool:
    """Whether nobody uses this repository's servers; of the one at `port` it is then noted that it ends."""
    try:
        with open(HOME / "start.lock", "w") as start, open(HOME / "users.lock", "w") as users:
            fcntl.flock(start, fcntl.LOCK_EX)
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            known = remembered(KNOWN)
            if f":{port}/" in str(known.get("address")):
                remember(KNOWN, {**known, "ending": True})
            return True
    except FileNotFoundError:  # the checkout has been deleted
        return True


def serve(sock: socket.socket) -> None:
    """Serve on a listening socket until nobody holds the users' lock."""
    import uvicorn
    from prefect.server.api.server import create_app

    port = sock.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(Guard(create_app(), port), log_level="warning"))

    def watch() -> None:
        while not _left_alone(port):
            time.sleep(1)
        time.sleep(RECORDED_SECONDS)
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    server.run(sockets=[sock])
    os._exit(0)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
