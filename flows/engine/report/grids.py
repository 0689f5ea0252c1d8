"""The paper's tables as the report shows them, in one shape for what was measured here and for what is published."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.engine.evidence import Evidence
from flows.engine.publication import Publication
from flows.engine.report.axis import Axis
from flows.engine.report.shown import Interval
from tasks.judging.results import Table

OR = " or "
"""Between the labels of tables that are shown as one."""


@dataclass(frozen=True)
class Cell:
    """A number of a table: a mean with its interval and, where it was measured here, each value and its stages.

    `over` so many seeds, draws or values; "" where that was not published.
    """

    name: str
    meaning: str
    value: float
    interval: Interval
    over: str
    count: int
    values: tuple[tuple[Any, float], ...]
    stages: tuple[str, ...]

    @property
    def seeds_in_a_row(self) -> bool:
        """Whether the values are labelled by whole numbers that follow on one another."""
        labels = [label for label, _ in self.values]
        whole = all(type(label) is int for label in labels)
        return whole and len(labels) > 2 and labels == list(range(labels[0], labels[0] + len(labels)))


@dataclass(frozen=True)
class Grid:
    """A table as it is shown: a label and cells a row, and the axis of each column's intervals."""

    title: str
    columns: tuple[str, ...]
    columns_label: str
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    axes: tuple[Axis, ...]
    meanings: tuple[str, ...]

    @property
    def quantities(self) -> list[str]:
        return list(dict.fromkeys(cell.name.partition("/")[0] for _, cells in self.rows for cell in cells if cell))


def judged_cells(evidence: Evidence) -> dict[str, Cell]:
    """The reader's own numbers, by name."""
    assert evidence.judged
    return {
        name: Cell(
            name,
            figure.meaning,
            figure.value,
            figure.interval,
            figure.over,
            figure.count,
            tuple((label, value) for label, value, _ in figure.values),
            tuple(figure.stages),
        )
        for name, figure in evidence.judged.figures.items()
    }


def published_cells(published: Publication) -> dict[str, Cell]:
    """The published numbers, by name."""
    return {
        name: Cell(
            name,
            figure.unit,
            figure.value,
            figure.interval,
            "seed" if figure.seeds else "",
            len(figure.seeds),
            (),
            (),
        )
        for name, figure in published.by_name().items()
    }


def grids_of(tables: Iterable[Table], cells: Mapping[str, Cell]) -> list[Grid]:
    """The paper's tables out of their cells' names: `quantity/row/column`, or `quantity/row`.

    Tables of one quantity are shown as one where only their rows tell them apart. A row of a quantity that several
    tables have stands in the one of which it has most.
    """
    shape: dict[tuple[tuple[str, ...], bool], list[Table]] = {}
    for table in tables:
        shape.setdefault((table.quantities, bool(table.columns)), []).append(table)
    wide = {quantity for quantities, columns in shape if columns for quantity in quantities}
    plain = [quantities for quantities, columns in shape if not columns]
    measured: dict[str, set[str]] = {}
    for name in cells:
        quantity, _, row = name.partition("/")
        if "/" not in row or not (quantity in wide and any(quantity in quantities for quantities in plain)):
            measured.setdefault(row, set()).add(quantity)
    found = []
    for (quantities, has_columns), alike in shape.items():
        own = {name: name.partition("/")[::2] for name in cells if name.partition("/")[0] in quantities}
        placed: dict[str, dict[str, Cell]] = {}
        if has_columns:
            labels = _labels([rest for _, rest in own.values() if "/" in rest])
            for name, (_, rest) in own.items():
                if rest in labels:
                    row, column = labels[rest]
                    placed.setdefault(row, {})[column] = cells[name]
        else:
            for name, (quantity, row) in own.items():
                sharing = [others for others in plain if quantity in others]
                if quantity in measured.get(row, ()) and quantities == max(
                    sharing, key=lambda others: len(measured[row] & set(others))
                ):
                    placed.setdefault(row, {})[quantity] = cells[name]
        parts = list(_told_apart(placed)) if has_columns and len(alike) == 2 else [placed]
        if len(parts) < len(alike):
            found += [_grid(alike, quantities, placed)] if placed else []
        else:
            found += [_grid([table], quantities, part) for table, part in zip(alike, parts, strict=True)]
    return found + _without_table(found, cells)


def _without_table(found: Iterable[Grid], cells: Mapping[str, Cell]) -> list[Grid]:
    """What was published in a table that the paper has no more, as a table of its own."""
    shown = {cell.name for grid in found for _, row in grid.rows for cell in row if cell}
    placed: dict[str, dict[str, Cell]] = {}
    for name in cells.keys() - shown:
        quantity, _, row = name.partition("/")
        placed.setdefault(row, {})[quantity] = cells[name]
    quantities = tuple(sorted({quantity for own in placed.values() for quantity in own}))
    table = Table(title="In no table of the paper any more", rows="number", quantities=quantities)
    return [_grid([table], quantities, dict(sorted(placed.items())))] if placed else []


def _labels(names: Collection[str]) -> dict[str, tuple[str, str]]:
    """The labels of row and column in each `row/column`: where one has a slash itself, as others show it."""
    sure = [name.partition("/") for name in names if name.count("/") == 1]
    rows, columns = {row for row, _, _ in sure}, {column for _, _, column in sure}
    found = {}
    for name in names:
        places = [place for place, letter in enumerate(name) if letter == "/"]
        splits = [(name[:place], name[place + 1 :]) for place in reversed(places)]
        found[name] = max(splits, key=lambda split: (split[0] in rows) + (split[1] in columns))
    return found


def _told_apart(placed: dict[str, dict[str, Cell]]) -> Iterator[dict[str, dict[str, Cell]]]:
    """The cells of two tables of one quantity, where these share no column: by their rows, or by what their columns'
    names have beside numbers; or all of them."""
    joined: list[tuple[dict[str, dict[str, Cell]], set[str]]] = []
    for row, own in placed.items():
        touching = [one for one in joined if one[1] & own.keys()]
        rows = {name: cells for other, _ in touching for name, cells in other.items()} | {row: own}
        columns = {column for _, others in touching for column in others} | own.keys()
        joined = [one for one in joined if one not in touching] + [(rows, columns)]
    if len(joined) == 2:
        first = next(iter(placed))
        yield from sorted((rows for rows, _ in joined), key=lambda rows: first not in rows)
        return
    words = list(dict.fromkeys(re.sub(r"[\d.]+", "", column) for own in placed.values() for column in own))
    numbered = all(re.search(r"\d", column) for own in placed.values() for column in own)
    for word in words if numbered and len(words) == 2 else [None]:
        parts = {
            row: {column: cell for column, cell in own.items() if word in (None, re.sub(r"[\d.]+", "", column))}
            for row, own in placed.items()
        }
        yield {row: own for row, own in parts.items() if own}


def _grid(tables: Sequence[Table], quantities: Iterable[str], placed: dict[str, dict[str, Cell]]) -> Grid:
    rows_label, label = (
        OR.join(dict.fromkeys(said)) for said in ([t.rows for t in tables], [t.columns for t in tables])
    )
    columns = list(dict.fromkeys(column for own in placed.values() for column in own) if label else quantities)
    if numbers := numbers_in(columns):
        columns.sort(key=lambda column: numbers[1][column])
    rows = tuple((row, tuple(own.get(column) for column in columns)) for row, own in placed.items())
    axes = []
    for place in range(len(columns)):
        own = [cells[place] for _, cells in rows]
        axes.append(Axis.around([end for cell in own if cell for end in cell.interval or (cell.value,)]))
    every = [cell.meaning for _, cells in rows for cell in cells if cell]
    title = "; ".join(table.title for table in tables)
    return Grid(title, (rows_label, *columns), label, rows, tuple(axes), tuple(dict.fromkeys(every)))


def numbers_in(columns: Sequence[str]) -> tuple[str, dict[str, float]] | None:
    """The number in each column's name with what they are numbers of, as "t = n"; none where names differ in words."""
    found = {column: re.fullmatch(r"(\D*?)(\d+(?:\.\d+)?)(\D*)", column) for column in columns}
    words = {(match[1], match[3]) if match else None for match in found.values()}
    if len(columns) < 2 or None in words or len(words) > 1:
        return None
    ((before, after),) = (one for one in words if one)
    of = f"{before}n{after}" if before or after else ""
    return of, {column: float(match[2]) for column, match in found.items() if match}
