"""One Prefect server for everybody who needs one here, gone when nobody does.

Each user of the server holds a shared lock on a file. The first one starts the server as a process of
its own; the server ends itself when it can take the lock alone. So two reproductions share one
server, and none is left behind by a killed one.
"""

import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.base.errors import UserError
from tasks.base.files import ROOT, STATE

HOME = Path(os.environ.get("PREFECT_HOME") or STATE / "prefect")
START_SECONDS = 120

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
    """Keep Prefect's files in this repository, its console quiet and its telemetry off."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


@contextmanager
def prefect_server(port: int = 0, *, lean: bool = True) -> Iterator[str]:
    """The address of a Prefect API: the one that PREFECT_API_URL names, or a server of this repository.

    A `lean` one serves reproductions; pages, schedules and workers need one that is not.

    Raises:
        UserError: the server did not come up; its log says why.
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
            known = _running() if lean or not _known().get("lean") else None
            address = known or _start(port, lean)
        os.environ["PREFECT_API_URL"] = address
        try:
            yield address
        finally:
            del os.environ["PREFECT_API_URL"]


def wait_until_up(address: str) -> None:
    """Return when the server answers.

    Raises:
        UserError: it ended, or did not answer in time.
    """
    start = time.monotonic()
    while not answers(f"{address}/health"):
        waited = time.monotonic() - start
        # A process that has just been started may not have its command line yet.
        ended = waited > 2 and address == _known().get("address") and not _running()
        if waited > START_SECONDS or ended:
            raise UserError(
                f"The Prefect server at {address} does not answer; see {HOME / 'server.log'}. "
                "Run the same command again."
            )
        time.sleep(0.1)


def _start(port: int, lean: bool) -> str:
    port = port or free_port()
    address = f"http://127.0.0.1:{port}/api"
    with open(HOME / "server.log", "ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "flows.engine.server", str(port)],
            cwd=ROOT,
            env={**SETTINGS, **(LEAN if lean else {}), **os.environ, "PREFECT_SERVER_UI_API_URL": address},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (HOME / "server.json").write_text(json.dumps({"address": address, "pid": child.pid, "lean": lean}))
    return address


def _running() -> str | None:
    """The address of the server that another user has started, if it lives."""
    known = _known()
    try:
        command = Path(f"/proc/{known['pid']}/cmdline").read_bytes()
    except (KeyError, FileNotFoundError, ProcessLookupError):
        return None
    return str(known["address"]) if b"flows.engine.server" in command else None


def _known() -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads((HOME / "server.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return known


def answers(url: str) -> bool:
    """Whether a server answers there."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
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
    """Whether nobody uses this repository's servers; the one at `port` is then taken off the record."""
    with open(HOME / "start.lock", "w") as start, open(HOME / "users.lock", "w") as users:
        fcntl.flock(start, fcntl.LOCK_EX)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if f":{port}/" in str(_known().get("address")):
            (HOME / "server.json").unlink(missing_ok=True)
        return True


def serve(port: int) -> None:
    """Serve until nobody holds the users' lock."""
    import uvicorn
    from prefect.server.api.server import create_app

    server = uvicorn.Server(uvicorn.Config(create_app(), host="127.0.0.1", port=port, log_level="warning"))

    def watch() -> None:
        while not _left_alone(port):
            time.sleep(1)
        time.sleep(RECORDED_SECONDS)
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    server.run()
    os._exit(0)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
