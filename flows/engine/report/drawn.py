"""Which figures a paper has, out of its tables' cells: those that it asks for, and curves where columns are numbers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from flows.engine.paper import Paper, Plot
from flows.engine.report import charts
from flows.engine.report.axis import Axis
from flows.engine.report.charts import Point
from flows.engine.report.shown import Cell, Grid

MOST_CURVES = 8
"""How many curves a panel can have with their names at their ends."""


@dataclass(frozen=True)
class Figure:
    """A figure with its question, how to read it, and its panels, each an SVG under a title of its own."""

    title: str
    reading: str
    panels: tuple[tuple[str, str], ...]


def figures(paper: Paper, cells: Mapping[str, Cell], grids: list[Grid]) -> list[Figure]:
    """The figures of a paper, in order: its plots, then its curves."""
    asked = [figure for plot in paper.plots if (figure := _plotted(plot, cells))]
    return asked + [figure for grid in grids if (figure := _curved(grid))]


def _plotted(plot: Plot, cells: Mapping[str, Cell]) -> Figure | None:
    points = []
    for name, cell in cells.items():
        quantity, _, row = name.partition("/")
        other = cells.get("/".join(filter(None, [plot.y, row, plot.column])))
        if quantity == plot.x and other and row not in plot.without:
            points.append(Point(row, cell.value, other.value, other.interval))
    if len(points) < 2:
        return None
    first = points[0].name
    said_x, said_y = (
        cells[f"{plot.x}/{first}"].meaning,
        cells["/".join(filter(None, [plot.y, first, plot.column]))].meaning,
    )
    x_title, y_title = plot.x.replace("_", " "), plot.y.replace("_", " ")
    if plot.kind == "agreement":
        reading = (
            f"Across: {said_x}. Up: {said_y}. On the line both are equal; the {charts.NAMED} farthest off are named."
        )
        return Figure(plot.question, reading, (("", charts.agreement(points, x_title, y_title)),))
    lower = plot.y_is_better == "lower"
    svg = charts.frontier(points, f"{x_title} →", f"↑ {y_title} ({plot.y_is_better} is better)", lower=lower)
    reading = (
        f"Across: {said_x}; less is better. Up: {said_y}{f', {plot.column}' if plot.column else ''}. "
        "The line joins what nothing else beats in both; hollow points are beaten."
    )
    return Figure(plot.question, reading, (("", svg),))


def _curved(grid: Grid) -> Figure | None:
    """Curves over the columns, where these are three numbers or more."""
    columns = grid.columns[1:]
    numbers = [float(column) for column in columns if re.fullmatch(r"\d+(\.\d+)?", column)]
    if len(numbers) < 3 or len(numbers) < len(columns):
        return None
    rows: dict[str, list[Point]] = {}
    for name, cells in grid.rows:
        own = [
            Point(c, x, cell.value, cell.interval) for c, x, cell in zip(columns, numbers, cells, strict=True) if cell
        ]
        if any(point.y for point in own):  # what is zero everywhere has no curve
            rows[name] = sorted(own, key=lambda point: point.x)
    if not rows:
        return None
    y = Axis.around([end for row in rows.values() for point in row for end in (point.y, *(point.interval or ()))])
    quantity = next(cell.name.partition("/")[0] for _, cells in grid.rows for cell in cells if cell).replace("_", " ")
    panels = [(title, charts.curves(own, grid.columns_label, quantity, y)) for title, own in _panels(rows).items()]
    return Figure(grid.title, f"{'; '.join(grid.meanings)}. Bands are 95 % intervals.", tuple(panels))


def _panels(rows: dict[str, list[Point]]) -> dict[str, dict[str, list[Point]]]:
    """By a panel's title its rows: those that begin alike, up to a comma, share one where a panel cannot hold all."""
    if len(rows) <= MOST_CURVES or not all(", " in row for row in rows):
        return {"": rows}
    panels: dict[str, dict[str, list[Point]]] = {}
    for row, points in rows.items():
        title, _, name = row.partition(", ")
        panels.setdefault(title, {})[name] = points
    return panels
