"""Show a written report on this machine, until Ctrl-C."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from flows.engine.console import console
from tasks.base.errors import UserError

HERE = "127.0.0.1"


class _Pages(SimpleHTTPRequestHandler):
    """Files of the folder, to whoever asks for them by this machine's name: another page's script cannot."""

    def do_GET(self) -> None:
        if self._asked_here():
            super().do_GET()

    def do_HEAD(self) -> None:
        if self._asked_here():
            super().do_HEAD()

    def _asked_here(self) -> bool:
        here = (self.headers.get("Host") or "").partition(":")[0] in (HERE, "localhost")
        if not here:
            self.send_error(403, "Ask for 127.0.0.1")
        return here

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing for each request."""


def serve_folder(folder: Path, port: int) -> None:
    """Serve a folder on loopback until Ctrl-C.

    Raises:
        UserError: the port is taken.
    """
    try:
        server = ThreadingHTTPServer((HERE, port), partial(_Pages, directory=str(folder)))
    except OSError as problem:
        raise UserError(f"Port {port} is taken: give another one with --port, or 0 for any.") from problem
    with server:
        console.print(f"Report: http://{HERE}:{server.server_port}/ (Ctrl-C ends it)", markup=False)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.print("Closed.")
