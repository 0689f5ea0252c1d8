"""Gather what a paper's stages measured: rows, examples, and the tables that the paper shows."""

import json
from collections.abc import Iterable
from pathlib import Path
from statistics import mean
from typing import Any

from models.config import config
from tasks.base import spool
from tasks.base.files import write_json


@config
class Table:
    """A table that a paper shows, its cells the mean over seeds.

    There is a row for each value of the label `rows`. The columns are the values of the label `columns`, for a
    single quantity; without that label, the quantities.
    """

    title: str
    rows: str
    quantities: tuple[str, ...]
    columns: str = ""

    def __post_init__(self) -> None:
        if self.columns and len(self.quantities) != 1:
            raise ValueError(f"the table {self.title!r} has columns by {self.columns}, so it shows one quantity")


@config
class Results:
    """The tables that a paper shows."""

    tables: tuple[Table, ...]


def collect(*, measured: dict[str, Path], config: Results, out: Path) -> None:
    """Join the rows of every measuring stage in `metrics.json`, and write the tables as `tables.json`.

    Each row of `metrics.json` keeps its labels and gains `stage`, the stage that measured it. Measuring
    stages with thousands of examples write those as `examples.parquet`, which is joined in the same way.
    """
    rows = [
        {"stage": stage, **row}
        for stage, folder in sorted(measured.items())
        for row in json.loads((folder / "metrics.json").read_text())
    ]
    tables = [pivot(rows, table) for table in config.tables]
    write_json(out / "metrics.json", rows)
    write_json(out / "tables.json", tables)
    _join_examples(measured, out / "examples.parquet")
    for table in tables:
        spool.table(table["title"], [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]])
        for label, *values in table["rows"]:
            for column, value in zip(table["columns"][1:], values, strict=True):
                if value is not None:
                    spool.metric("/".join(filter(None, [table["quantity"], label, column])), value)


def _join_examples(measured: dict[str, Path], out: Path) -> None:
    paths = {stage: folder / "examples.parquet" for stage, folder in sorted(measured.items())}
    if any(path.exists() for path in paths.values()):
        import pyarrow
        import pyarrow.parquet

        tables = [
            table.append_column("stage", pyarrow.array([stage] * len(table)))
            for stage, path in paths.items()
            if path.exists()
            for table in [pyarrow.parquet.read_table(path)]
        ]
        pyarrow.parquet.write_table(pyarrow.concat_tables(tables, promote_options="default"), out)


def pivot(rows: Iterable[dict[str, Any]], table: Table) -> dict[str, Any]:
    """One table: rows in order of first appearance, columns too, but those that few rows have come last."""
    cells: dict[tuple[str, str], list[float]] = {}
    over = "seeds"
    for row in rows:
        for quantity in table.quantities:
            if quantity in row and table.rows in row and (not table.columns or table.columns in row):
                column = row[table.columns] if table.columns else quantity
                cells.setdefault((row[table.rows], column), []).append(row[quantity])
                over = "draws" if "draw" in row else over
    down = list(dict.fromkeys(place[0] for place in cells))
    across = list(dict.fromkeys(place[1] for place in cells))
    across.sort(key=lambda column: -sum((row, column) in cells for row in down))
    return {
        "title": table.title,
        "quantity": "/".join(table.quantities) if table.columns else "",
        "runs": max((len(values) for values in cells.values()), default=0),
        "over": over,
        "columns": [table.rows, *across],
        "rows": [[r, *(mean(cells[r, c]) if (r, c) in cells else None for c in across)] for r in down],
    }
