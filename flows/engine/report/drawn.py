"""Which figures a paper has, out of its tables' cells: those that it asks for, and curves where columns are numbers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flows.engine.paper import Paper, Plot
from flows.engine.report import charts
from flows.engine.report.axis import Axis
from flows.engine.report.charts import Bounded, Point
from flows.engine.report.shown import Cell, Grid

MOST_CURVES = 8
"""How many curves a panel can have with their names at their ends."""
FAR_APART = 5
"""Panels of which one reaches so many times as far as another have an axis each, lest the other be flat."""


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
    rows = _rows(plot, cells)
    if len(rows) < 2:
        return None
    points = [Point(row, x.value, y.value, y.interval) for row, (x, y) in rows.items()]
    said_x, said_y = next((x.meaning, y.meaning) for x, y in rows.values())
    x_title, y_title = _words(plot.x), _words(plot.y)
    if plot.kind == "bounded":
        whole = {row: cells["/".join([plot.y, row, plot.of])].value for row in rows}
        shares = [Bounded(point.name, point.y / whole[point.name], point.x / whole[point.name]) for point in points]
        reading = (
            f"Dots: {said_y}, {plot.column}; ticks: {said_x}. Both as shares of what {plot.of} has, which is 100 %: "
            "the line is what is saved."
        )
        return Figure(plot.question, reading, (("", charts.bounded(shares, f"share of {plot.of} (lower is better)")),))
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


def _rows(plot: Plot, cells: Mapping[str, Cell]) -> dict[str, tuple[Cell, Cell]]:
    """The cells of `x` and `y` of each row that has both."""
    found = {}
    for name in cells:
        quantity, _, rest = name.partition("/")
        row = rest.removesuffix(f"/{plot.x_column}") if plot.x_column else rest
        x, y = (
            cells.get("/".join(filter(None, [of, row, column])))
            for of, column in ((plot.x, plot.x_column), (plot.y, plot.column))
        )
        if quantity == plot.x and x and y and row not in plot.without:
            found[row] = (x, y)
    return found


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
    quantity = next(cell.name.partition("/")[0] for _, cells in grid.rows for cell in cells if cell)
    panels = _panels(rows)
    axes = [_axis(own) for own in panels.values()]
    reading = f"{'; '.join(grid.meanings)}."
    if max(axis.high - axis.low for axis in axes) > FAR_APART * min(axis.high - axis.low for axis in axes):
        reading += " Each panel has an axis of its own."
    else:
        axes = [_axis(rows)] * len(axes)
    if any(point.interval for row in rows.values() for point in row):
        reading += " Bands are 95 % intervals."
    drawings = [
        (title, charts.curves(own, grid.columns_label, _words(quantity), axis))
        for (title, own), axis in zip(panels.items(), axes, strict=True)
    ]
    return Figure(grid.title, reading, tuple(drawings))


def _axis(rows: Mapping[str, Sequence[Point]]) -> Axis:
    return Axis.around([end for row in rows.values() for point in row for end in (point.y, *(point.interval or ()))])


def _panels(rows: dict[str, list[Point]]) -> dict[str, dict[str, list[Point]]]:
    """By a panel's title its rows: those that begin alike, up to a comma, share one, unless one would be alone."""
    panels: dict[str, dict[str, list[Point]]] = {}
    for row, points in rows.items():
        title, _, name = row.partition(", ")
        panels.setdefault(title, {})[name] = points
    alone = any(len(own) == 1 or "" in own for own in panels.values())
    few = len(rows) <= MOST_CURVES
    return {"": rows} if (alone and few) or not all(", " in row for row in rows) else panels


def _words(quantity: str) -> str:
    """A quantity's name as an axis has it."""
    return quantity.replace("_", " ").replace("mib", "MiB")
