"""Which figures a paper has, out of its tables' cells: those that it asks for, each for one question."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.engine.paper import Paper, Plot
from flows.engine.report import charts
from flows.engine.report.axis import Axis
from flows.engine.report.charts import Bounded, Mean, Point
from flows.engine.report.grids import OR, Cell, Grid, numbers_in

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


def figures(paper: Paper, cells: Mapping[str, Cell], grids: Sequence[Grid]) -> list[Figure]:
    """The figures of a paper, in the order of its plots; none for what was not measured at this profile."""
    return [figure for plot in paper.plots if (figure := _figure(plot, cells, grids))]


def _figure(plot: Plot, cells: Mapping[str, Cell], grids: Sequence[Grid]) -> Figure | None:
    if plot.kind == "dots":
        return _dotted(plot, grids)
    if plot.kind == "curves":
        return _curved(plot, grids)
    if plot.kind == "best":
        return _best(plot, grids)
    return _plotted(plot, cells)


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
        if quantity == plot.x and x and y and plot.has(row):
            found[row] = (x, y)
    return found


def _dotted(plot: Plot, grids: Sequence[Grid]) -> Figure | None:
    """A line a row with a dot for each column; the best first where there is one dot a row."""
    rows: dict[str, dict[str, Cell]] = {}
    for row, column, cell in _cells_of(plot, grids):
        if not plot.column or column == plot.column:
            rows.setdefault(row, {})[column] = cell
    columns = {column for own in rows.values() for column in own}
    if len(rows) * len(columns) < 2:
        return None
    if len(columns) == 1:
        upward = -1 if plot.y_is_better == "higher" else 1
        rows = dict(sorted(rows.items(), key=lambda one: upward * next(iter(one[1].values())).value))
    elif plot.only:
        rows = {row: rows[row] for row in plot.only if row in rows}
    means = {row: {name: Mean(cell.value, cell.interval) for name, cell in own.items()} for row, own in rows.items()}
    every = [cell for own in rows.values() for cell in own.values()]
    reading = f"{every[0].meaning}{f', {plot.column}' if plot.column else ''}."
    if plot.at is not None:
        reading += f" The dashed line is at {plot.at:g}."
    svg = charts.dots(means, _with_direction(plot), at=plot.at, log=plot.log)
    return Figure(plot.question, reading + _how(plot, any(cell.interval for cell in every), "Bars"), (("", svg),))


def _curved(plot: Plot, grids: Sequence[Grid]) -> Figure | None:
    """A curve a row over the columns; panels of their own where rows begin alike."""
    cells = list(_cells_of(plot, grids))
    numbers = numbers_in(list(dict.fromkeys(column for _, column, _ in cells)))
    if numbers is None:
        return None
    of, places = numbers
    rows: dict[str, list[Point]] = {}
    for row, column, cell in cells:
        rows.setdefault(row, []).append(Point(f"{places[column]:g}", places[column], cell.value, cell.interval))
    rows = {
        row: sorted(points, key=lambda point: point.x)
        for row, points in rows.items()
        if any(point.y for point in points)  # what is zero everywhere has no curve
    }
    panels = {title: own for title, own in _panels(rows).items() if any(len(points) > 1 for points in own.values())}
    if not panels:
        return None
    axes = [_axis(own, log=plot.log) for own in panels.values()]
    reach = [axis.high / axis.low if plot.log else axis.high - axis.low for axis in axes]
    reading = f"{'; '.join(dict.fromkeys(cell.meaning for _, _, cell in cells))}."
    if not plot.log and max(reach) > FAR_APART * min(reach):
        reading += " Each panel has an axis of its own."
    else:
        every = {(title, row): points for title, own in panels.items() for row, points in own.items()}
        axes = [_axis(every, log=plot.log)] * len(axes)
    names = dict.fromkeys(name for own in panels.values() for name in own)
    colours = {name: number for number, name in enumerate(names)}  # the same one in each panel
    banded = any(
        point.interval
        for own in panels.values()
        for points in own.values()
        for point in points
        if len(own) <= charts.MOST_BANDS
    )
    if plot.at is not None:
        reading += f" The dashed line is at {plot.at:g}."
    title = f"{plot.x}: {of}" if of else plot.x
    drawings = [
        (panel, charts.curves(own, title, _with_direction(plot), axis, colours=colours, at=plot.at))
        for (panel, own), axis in zip(panels.items(), axes, strict=True)
    ]
    return Figure(plot.question, reading + _how(plot, banded, "Bands"), tuple(drawings))


def _best(plot: Plot, grids: Sequence[Grid]) -> Figure | None:
    """By panel and column whose value is the best; panels of few columns, which would be mostly empty, are left out."""
    cells = list(_cells_of(plot, grids))
    columns = list(dict.fromkeys(column for _, column, _ in cells))
    numbers = numbers_in(columns)
    of, places = numbers or ("", {column: float(place) for place, column in enumerate(columns)})
    rows: dict[str, dict[str, tuple[str, float]]] = {}
    upward = 1 if plot.y_is_better == "higher" else -1
    for row, column, cell in sorted(cells, key=lambda each: places[each[1]]):
        panel, _, name = row.partition(", ")
        at = f"{places[column]:g}" if numbers else column
        best = rows.setdefault(panel, {}).get(at)
        if best is None or upward * cell.value > upward * best[1]:
            rows[panel][at] = (name, cell.value)
    rows = {panel: own for panel, own in rows.items() if 2 * len(own) > len(columns)}
    if len(rows) < 2:
        return None
    reading = f"{'; '.join(dict.fromkeys(cell.meaning for _, _, cell in cells))}: of the best, in its colour."
    title = f"{plot.x}: {of}" if of else plot.x
    return Figure(plot.question, reading, (("", charts.best(rows, title, _words(plot.y))),))


def _cells_of(plot: Plot, grids: Sequence[Grid]) -> Iterator[tuple[str, str, Cell]]:
    """Row, column and cell of what a plot of one quantity shows; dots without a column are those of the table that has
    none, if there is one."""
    having = [grid for grid in grids if plot.y in grid.quantities]
    if plot.kind in ("curves", "best"):
        having = [grid for grid in having if plot.x in grid.columns_label.split(OR)]
    elif plot.column:
        having = [grid for grid in having if grid.columns_label]
    else:
        having = [grid for grid in having if not grid.columns_label] or having
    for grid in having:
        for row, cells in grid.rows:
            for column, cell in zip(grid.columns[1:], cells, strict=True):
                if cell and cell.name.partition("/")[0] == plot.y and plot.has(row):
                    yield row, column if grid.columns_label else "", cell


def _axis(rows: Mapping[Any, Sequence[Point]], *, log: bool = False) -> Axis:
    ends = [end for row in rows.values() for point in row for end in (point.y, *(point.interval or ()))]
    return Axis.around([end for end in ends if end > 0] if log else ends, log=log)


def _panels(rows: dict[str, list[Point]]) -> dict[str, dict[str, list[Point]]]:
    """By a panel's title its rows: those that begin alike, up to a comma, share one, unless one would be alone."""
    panels: dict[str, dict[str, list[Point]]] = {}
    for row, points in rows.items():
        title, _, name = row.partition(", ")
        panels.setdefault(title, {})[name] = points
    alone = any(len(own) == 1 or "" in own for own in panels.values())
    few = len(rows) <= MOST_CURVES
    return {"": rows} if (alone and few) or not all(", " in row for row in rows) else panels


def _with_direction(plot: Plot) -> str:
    """The quantity as an axis has it, with the side on which it is better."""
    return _words(plot.y) + (f" ({plot.y_is_better} is better)" if plot.y_is_better else "")


def _how(plot: Plot, intervals: bool, drawn: str) -> str:
    """How to read a figure's marks."""
    return (f" {drawn} are 95 % intervals." if intervals else "") + (" The axis is logarithmic." if plot.log else "")


def _words(quantity: str) -> str:
    """A quantity's name as an axis has it."""
    return quantity.replace("_", " ").replace("mib", "MiB")
