"""Results and verdicts as people are shown them: Markdown tables, and a report over all papers."""

import json
from pathlib import Path
from typing import Any

from models.config import config
from tasks.base import spool


@config
class Report:
    """The report over all papers has no settings of its own."""


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
    lines = ["| claim | whose | the paper | verdict | because | predicted |", "|---|---|---|---|---|---|"]
    for claim in verdicts["claims"]:
        post_hoc = ", post hoc" if claim["post_hoc"] else ""
        said = f"{claim['paper_value']} ({claim['source']})"
        verdict = f"**{claim['verdict']}**{post_hoc}"
        cells = [claim["says"], claim["whose"], said, verdict, claim["reason"], claim["expected"]]
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
