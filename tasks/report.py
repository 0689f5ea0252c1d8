"""Gather what a paper's stages measured, and show it: a table a paper, a report over all papers."""

import json
from collections.abc import Iterable
from pathlib import Path
from statistics import mean
from typing import Any

from models.config import config
from tasks import spool


@config
class Table:
    """A table that a paper shows: the mean over seeds of `quantity`, by the labels `rows` and `columns`."""

    title: str
    quantity: str
    rows: str
    columns: str


@config
class Results:
    """The tables that a paper shows."""

    tables: tuple[Table, ...]


@config
class Report:
    """The report over all papers has no settings of its own."""


def collect(*, measured: dict[str, Path], config: Results, out: Path) -> None:
    """Join the rows of every measuring stage in `metrics.json`, and write the tables as `tables.json`.

    Each row of `metrics.json` keeps its labels and gains `stage`, the stage that measured it.
    """
    rows = [
        {"stage": stage, **row}
        for stage, folder in sorted(measured.items())
        for row in json.loads((folder / "metrics.json").read_text())
    ]
    tables = [pivot(rows, table) for table in config.tables]
    write_json(out / "metrics.json", rows)
    write_json(out / "tables.json", tables)
    for table in tables:
        spool.table(table["title"], [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]])
        for label, *values in table["rows"]:
            for column, value in zip(table["columns"][1:], values, strict=True):
                if value is not None:
                    spool.metric(f"{table['quantity']}/{label}/{column}", value)


def pivot(rows: Iterable[dict[str, Any]], table: Table) -> dict[str, Any]:
    """One table: rows and columns in order of first appearance, each cell the mean over seeds."""
    cells: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if table.quantity in row and table.rows in row and table.columns in row:
            cells.setdefault((row[table.rows], row[table.columns]), []).append(row[table.quantity])
    down = list(dict.fromkeys(place[0] for place in cells))
    across = list(dict.fromkeys(place[1] for place in cells))
    counts = {len(values) for values in cells.values()}
    return {
        "title": table.title,
        "quantity": table.quantity,
        "runs": max(counts, default=0),
        "columns": [table.rows, *across],
        "rows": [[r, *(mean(cells[r, c]) if (r, c) in cells else None for c in across)] for r in down],
    }


def report(*, results: dict[str, Path], config: Report, out: Path) -> None:
    """Write `report.md`: the tables of every paper's quick profile."""
    lines = ["# Tenfold: what the quick profile gave", ""]
    for paper, folder in sorted(results.items()):
        for table in json.loads((folder / "tables.json").read_text()):
            lines += [f"## {paper}: {table['title']}", "", *markdown(table), ""]
    (out / "report.md").write_text("\n".join(lines))
    spool.artifact(out / "report.md")


def markdown(table: dict[str, Any]) -> list[str]:
    """A table's lines in Markdown."""
    lines = ["| " + " | ".join(table["columns"]) + " |", "|---" * len(table["columns"]) + "|"]
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in table["rows"]]
    return lines


def cell(value: Any) -> str:
    """A value as a table shows it."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n")
