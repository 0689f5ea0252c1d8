"""A process that has imported what takes long, Dask above all, and forks a `tenfold` command in any checkout.

It is started in this repository's root with a socket as standard input, and serves requests as
`tasks.running.fork_server` does. A request's arguments are the command's environment, as JSON, and its command line.
Nothing of this repository is kept imported: a command runs the code of the checkout that it is forked for.
"""

import importlib
import json
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "faults"))

from zygote import end

OURS = (
    "tools.__main__", "flows.engine.plain", "flows.engine.doctor", "flows.engine.cluster.driver",
    "flows.engine.cluster.examine", "flows.engine.cluster.serve",
)  # fmt: skip
"""Imported for what they import, and forgotten."""
OTHERS = (
    "distributed", "distributed.dashboard.scheduler", "distributed.http.scheduler",
    "dvc.repo", "dvc.data_cloud", "dvc.stage.cache", "dvc.fs", "dvc_data.hashfile.hash", "dvc_data.hashfile.db.local",
    "dvc_objects.fs.local", "scipy.stats", "pydantic.dataclasses", "typer", "yaml", "jinja2", "rich.progress",
    "cryptography.x509",
)  # fmt: skip


def main() -> None:
    sys.path[0] = os.getcwd()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    importlib.import_module("flows.engine.cluster.serve").configure()  # before Dask decides what it logs
    for name in (*OURS, *OTHERS):
        importlib.import_module(name)
    server = importlib.import_module("tasks.running.fork_server")
    packages = importlib.import_module("tasks.base.manifest").PACKAGES
    for name in [name for name in sys.modules if name.split(".")[0] in packages]:
        del sys.modules[name]
    requests = socket.socket(fileno=0)
    asked = server.serve(requests)
    requests.detach()
    if asked is None:
        os._exit(0)
    environment, *arguments = asked
    os.environ.clear()
    os.environ.update(json.loads(environment))
    tempfile.tempdir = None  # it is another one's
    sys.path[1:1] = [path for path in os.environ.get("PYTHONPATH", "").split(":") if path]
    sys.argv = ["tenfold", *arguments]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    end(lambda: importlib.import_module("tools.__main__").main())


if __name__ == "__main__":
    main()
