"""Where MLflow's runs are kept."""

import json
import os
from typing import Any

from tasks.base.errors import UserError
from tasks.base.files import ROOT

SETTINGS = ROOT / "mlflow" / "server.json"


def tracking_uri() -> str:
    """Where runs are kept: MLFLOW_TRACKING_URI, or this repository's SQLite file."""
    given = os.environ.get("MLFLOW_TRACKING_URI")
    # From the root, where this module works: in the path to it there may be a "?", at which MLflow would cut it off.
    return given or f"sqlite:///{settings()['store']}"


def settings() -> dict[str, Any]:
    """Where the store lies, and how its server is run.

    Raises:
        UserError: mlflow/server.json is damaged.
    """
    try:
        known: dict[str, Any] = json.loads(SETTINGS.read_text())
        return known
    except ValueError:
        raise UserError("mlflow/server.json is damaged: git restore mlflow/server.json.") from None
