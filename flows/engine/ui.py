"""The MLflow and Prefect pages, on loopback, until Ctrl-C."""

import fcntl
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from flows.engine import guard
from flows.engine.console import console
from flows.engine.server import HOME, answers, listening, prefect_server, wait_until_up
from tasks.base.errors import UserError
from tasks.base.files import ROOT, STATE

ENVIRONMENT = STATE / "prefect.env"
"""What a shell sources so that the `prefect` command reaches the server of these pages."""
OPENED = STATE / "ui.lock"
"""Held while the pages are open; it has the address of MLflow's."""
LOG = STATE / "mlflow-server.log"
PAST_PROXIES = 'export NO_PROXY="127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}"; export no_proxy="$NO_PROXY"'


def serve(mlflow_port: int, prefect_port: int) -> None:
    """Start both servers, say where they are, and end MLflow's on Ctrl-C; Prefect's ends with its last user.

    Raises:
        UserError: a port is taken, the pages are open already, or a server ended by itself.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    address = f"http://127.0.0.1:{mlflow_port}"
    with _only_pages() as opened, prefect_server(prefect_port, lean=False) as prefect:
        mlflow = _start_mlflow(mlflow_port)
        try:
            wait_until_up(prefect)
            while mlflow.poll() is None and not answers(f"{address}/health"):
                time.sleep(0.2)
            if mlflow.poll() is None:
                _show(prefect, address)
                print(address, file=opened, flush=True)
            mlflow.wait()
            raise UserError(f"The MLflow server ended: {_last_line(LOG)}")
        except KeyboardInterrupt:
            console.print("Closed.")
        finally:
            ENVIRONMENT.unlink(missing_ok=True)
            mlflow.terminate()
            mlflow.wait()


@contextmanager
def _only_pages() -> Iterator[IO[str]]:
    """Be the one who has the pages of this checkout open: who closes them takes away what the `prefect` command needs.

    Raises:
        UserError: they are open already.
    """
    STATE.mkdir(parents=True, exist_ok=True)
    with open(OPENED, "a+") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            opened.seek(0)
            address = opened.read().strip()
            where = f" at {guard.link(address)}" if address else ", or about to be"
            raise UserError(
                f"The pages of this checkout are open already{where}: use them, or close them by Ctrl-C first."
            ) from None
        opened.truncate(0)
        yield opened


def _start_mlflow(port: int) -> subprocess.Popen[bytes]:
    others = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "_MLFLOW_"))}
    with listening(port) as sock, open(LOG, "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.engine.mlflow_server", str(sock.fileno())],
            cwd=ROOT,
            env=others,
            pass_fds=[sock.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,
        )


def _show(prefect: str, mlflow: str) -> None:
    console.print("Only who opens these links is let in:")
    console.print(f"MLflow:  {guard.link(mlflow)}#/experiments", markup=False)
    page = prefect.removesuffix("/api")
    if os.environ.get("PREFECT_API_AUTH_STRING") == guard.credentials():
        _write_environment(prefect)
        console.print(f"Prefect: {guard.link(page)}", markup=False)
        console.print(f"         (its command in another shell: . {os.path.relpath(ENVIRONMENT)})", markup=False)
    else:  # somebody's own, which PREFECT_API_URL names
        console.print(f"Prefect: {page}", markup=False)
    console.print("Ctrl-C ends both.")


def _write_environment(prefect: str) -> None:
    """Write, readable by this user alone, what the `prefect` command needs to speak with the server."""
    variables = {
        "PREFECT_API_URL": prefect,
        "PREFECT_API_AUTH_STRING": guard.credentials(),
        "PREFECT_HOME": str(HOME),
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    ENVIRONMENT.unlink(missing_ok=True)
    with open(os.open(ENVIRONMENT, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write("\n".join([*lines, PAST_PROXIES]) + "\n")


def _last_line(path: Path) -> str:
    return next(reversed(path.read_text(errors="replace").strip().splitlines()), "it said nothing.")
