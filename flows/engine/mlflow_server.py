"""MLflow's server for our pages and programs alone: the app that `mlflow server` runs, behind our guard."""

import os
import socket
import sys
from pathlib import Path

import uvicorn

from flows.engine.guard import Guard
from tasks.base.errors import UserError
from tasks.running.mlflow_store import settings

VIEW = {
    "mlflow.workflowType_v1": "machine_learning",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
    "_mlflow_model_registry_promo_modal_dismissed_v1": True,
}
"""What MLflow's pages find in the browser: runs come first, not traces of an application, and neither an
assistant nor an advertisement of the registry opens."""


def serve(sock: socket.socket) -> None:
    """Serve on a listening socket until the process is ended."""
    try:
        known = settings()
    except UserError as problem:
        sys.exit(str(problem))
    store, artifacts = f"sqlite:///{known['store']}", known["artifacts"]
    # MLflow reads these when it is imported, as when its own command starts the server.
    os.environ.update(known["environment"])
    os.environ["_MLFLOW_SGI_NAME"] = "uvicorn"
    from mlflow.server import (
        ARTIFACT_ROOT_ENV_VAR,
        ARTIFACTS_DESTINATION_ENV_VAR,
        BACKEND_STORE_URI_ENV_VAR,
        SERVE_ARTIFACTS_ENV_VAR,
    )
    from mlflow.server.handlers import initialize_backend_stores

    os.environ[BACKEND_STORE_URI_ENV_VAR] = store
    os.environ[ARTIFACT_ROOT_ENV_VAR] = os.environ[ARTIFACTS_DESTINATION_ENV_VAR] = artifacts
    os.environ[SERVE_ARTIFACTS_ENV_VAR] = "true"
    try:
        initialize_backend_stores(store, store, artifacts)
    except Exception as problem:  # a damaged database, or one of a newer MLflow: MLflow has no one error for these
        sys.exit(_unusable(Path(known["store"]), problem))
    from mlflow.server.fastapi_app import app

    guarded = Guard(app, sock.getsockname()[1], VIEW)
    uvicorn.Server(uvicorn.Config(guarded, log_level="warning")).run(sockets=[sock])


def _unusable(store: Path, problem: Exception) -> str:
    """Why the store cannot be used, and what to do; one that may not be written is whole, and not to be moved away."""
    for place in (store.parent, store):
        if place.exists() and not os.access(place, os.W_OK):
            return f"This user may not write to {place}, where MLflow keeps its runs: see whose it is."
    return f"{store} cannot be used ({str(problem).splitlines()[0]}): move it away to start anew."


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
