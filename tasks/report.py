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


@config
class Report:
    """The report over all papers has no settings of its own."""


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


def report(*, results: dict[str, Path], verdicts: dict[str, Path], config: Report, out: Path) -> None:
    """Write `report.md`: the verdicts and tables of every paper's quick profile."""
    lines = ["# Tenfold: what the quick profile gave", ""]
    for paper, folder in sorted(results.items()):
        lines += [
            f"## {paper}: verdicts",
            "",
            *verdict_lines(json.loads((verdicts[paper] / "verdicts.json").read_text())),
        ]
        for table in json.loads((folder / "tables.json").read_text()):
            lines += [f"## {paper}: {table['title']}", "", *markdown(table), ""]
    (out / "report.md").write_text("\n".join(lines))
    spool.artifact(out / "report.md")


def verdict_lines(verdicts: dict[str, Any]) -> list[str]:
    """A paper's claims and controls in Markdown: what the paper says, what came out, and why."""
    lines = ["| claim | the paper | verdict | because | predicted |", "|---|---|---|---|---|"]
    for claim in verdicts["claims"]:
        post_hoc = ", post hoc" if claim["post_hoc"] else ""
        said = f"{claim['paper_value']} ({claim['source']})"
        cells = [claim["says"], said, f"**{claim['verdict']}**{post_hoc}", claim["reason"], claim["expected"]]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines.append("")
    for control in verdicts["controls"]:
        passed = "passed" if control["passed"] else "**did not pass**"
        lines.append(f"- Control {passed} ({control['kind']}): {control['says']}. {control['reason']}")
    return [*lines, ""]


def markdown(table: dict[str, Any]) -> list[str]:
    """A table's lines in Markdown."""
    lines = ["| " + " | ".join(table["columns"]) + " |", "|---" * len(table["columns"]) + "|"]
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in table["rows"]]
    return lines


def cell(value: Any) -> str:
    """A value as a table shows it: four digits, whole thousands with separators, powers of ten from ten million on."""
    if value is None:
        return "–"
    if not isinstance(value, int | float):
        return str(value)
    if abs(value) >= 10**7:
        return f"{value:.4g}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return str(value) if isinstance(value, int) else f"{value:#.4g}"


def write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n")
