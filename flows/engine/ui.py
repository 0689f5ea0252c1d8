"""The MLflow and Prefect pages, on loopback, until Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time

from flows.engine.server import answers, prefect_server, wait_until_up
from flows.engine.terminal import console
from tasks.base.errors import UserError
from tasks.base.files import ROOT


def serve(mlflow_port: int, prefect_port: int) -> None:
    """Start both servers, say where they are, and end MLflow's on Ctrl-C; Prefect's ends with its last user.

    Raises:
        UserError: the MLflow server ended by itself.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    settings = json.loads((ROOT / "mlflow/server.json").read_text())
    with prefect_server(prefect_port, lean=False) as address:
        mlflow = subprocess.Popen(
            [
                sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(mlflow_port),
                "--workers", str(settings["workers"]), "--backend-store-uri", f"sqlite:///{settings['store']}",
                "--default-artifact-root", settings["artifacts"],
            ],
            cwd=ROOT,
            env={**os.environ, **settings["environment"]},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=0,
        )  # fmt: skip
        try:
            wait_until_up(address)
            while mlflow.poll() is None and not answers(f"http://127.0.0.1:{mlflow_port}/health"):
                time.sleep(0.2)
            console.print(f"MLflow:  http://127.0.0.1:{mlflow_port}")
            console.print("         (choose Model training at the top left: the page opens on another view)")
            console.print(f"Prefect: {address.removesuffix('/api')}")
            console.print("Ctrl-C ends both.")
            _, problem = mlflow.communicate()
            raise UserError(f"The MLflow server ended: {problem.decode().strip().splitlines()[-1]}")
        except KeyboardInterrupt:
            console.print("Closed.")
        finally:
            mlflow.terminate()
            mlflow.wait()
