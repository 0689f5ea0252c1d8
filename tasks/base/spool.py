"""What a stage says while it runs: metrics, tables, figures and notes, appended to a spool file.

A stage never talks to a tracking server. It appends one JSON object a line to a file of its own, which
`tasks.running.spools` opened for it and `tasks.running.pusher` pushes to MLflow, live or later: a server that is
down loses nothing. A stage that is called directly (in a test, by hand) has no spool, and nothing is written.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def metric(name: str, value: float, step: int = 0) -> None:
    """One value of a curve, such as the training loss at a step."""
    append({"kind": "metric", "name": name, "value": float(value), "step": step})


def table(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table of results; every row has the same keys."""
    append({"kind": "table", "name": name, "rows": [dict(row) for row in rows]})


def artifact(path: Path) -> None:
    """A file of the stage's output that the run should carry: a figure, a model, a report."""
    append({"kind": "artifact", "name": path.name})


def note(text: str) -> None:
    """A sentence that the reader of the run must see, such as a source that was not available."""
    append({"kind": "note", "text": text})
    print(text, flush=True)


def append(event: Mapping[str, Any]) -> None:
    """Add an event to the spool that TENFOLD_SPOOL names, if it names one."""
    spool = os.environ.get("TENFOLD_SPOOL")
    if spool:
        with open(spool, "a", encoding="utf-8") as file:
            file.write(json.dumps({**event, "time": time.time()}) + "\n")
