"""What a stage says while it runs: metrics, tables, figures and notes, appended to a spool file.

A stage never talks to a tracking server. It appends one JSON object a line to the file that
`TENFOLD_SPOOL` names; `tasks.tracking` pushes those lines to MLflow, live or later. Without the
variable (a stage called directly, a test) nothing is written.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def metric(name: str, value: float, step: int = 0) -> None:
    """One value of a curve, such as the training loss at a step."""
    _append({"kind": "metric", "name": name, "value": float(value), "step": step})


def table(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table of results; every row has the same keys."""
    _append({"kind": "table", "name": name, "rows": [dict(row) for row in rows]})


def artifact(path: Path) -> None:
    """A file of the stage's output that the run should carry: a figure, a model, a report."""
    _append({"kind": "artifact", "path": os.path.abspath(path)})


def note(text: str) -> None:
    """A sentence that the reader of the run must see, such as a source that was not available."""
    _append({"kind": "note", "text": text})
    print(text, flush=True)


def _append(event: dict[str, Any]) -> None:
    spool = os.environ.get("TENFOLD_SPOOL")
    if not spool:
        return
    event["time"] = time.time()
    line = json.dumps(event) + "\n"
    with open(spool, "a", encoding="utf-8") as file:
        file.write(line)
