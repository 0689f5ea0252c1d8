"""The answer as one HTML file, which loads nothing: latency over batch by runtime, the ranking, the tax, what to do."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from flows.engine.report import charts
from flows.engine.report.axis import Axis
from flows.engine.report.charts import Point


def write_page(found: dict[str, Any], title: str, out: Path) -> None:
    """Write the page."""
    templates = Environment(loader=PackageLoader("tools.latency", "."), autoescape=True)
    page = templates.get_template("latency.html.jinja")
    out.write_text(page.render(title=title, drawn=_drawn(found), **found), encoding="utf-8")


def _drawn(found: dict[str, Any]) -> str:
    """Latency over batch, a line a runtime with its band; the knee of eager stands in words beside it."""
    rows = {
        runtime: [Point(batch, float(batch), value, (low, high)) for batch, (value, low, high) in own.items()]
        for runtime, own in found["latency_ms"].items()
        if len(own) >= 2
    }
    if not rows:
        return ""
    ends = [end for own in rows.values() for point in own for end in (point.y, *(point.interval or ()))]
    axis = Axis.around(ends, log=min(ends) > 0 and max(ends) > 5 * min(ends))
    return charts.standalone(charts.curves(rows, "batch", "milliseconds", axis))
