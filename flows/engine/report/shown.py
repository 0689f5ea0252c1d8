"""What the report shows, in one shape for what was judged here and for what is published."""

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.engine.discover import Experiment
from flows.engine.evidence import Evidence, measured_by
from flows.engine.paper import AtLeast, Claim, Measurement, Test
from flows.engine.publication import Publication
from flows.engine.report.axis import Axis
from tasks.judging.intervals import decide, edges, region
from tasks.judging.results import Table

OURS = "ours"
FOREGONE = "foregone"
OR = " or "
"""Between the labels of tables that are shown as one."""

Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Compared:
    """One comparison: the difference left minus right, its intervals, and the edges of what is claimed.

    `interval` decides, at `level`; `plain` is that of 95 %. `kind` is empty where a publication kept no comparisons.
    """

    name: str
    quantity: str
    kind: str
    margin: float
    margin_of: str
    size: float | None
    effect: float | None
    interval: Interval
    plain: Interval
    level: float | None
    p: float | None
    verdict: str
    items: str
    cluster: str
    paired: str
    fixed: str
    pairs: tuple[tuple[Any, float, float], ...]

    @property
    def edges(self) -> list[float]:
        """The finite edges of what is claimed."""
        return [edge for edge in edges(self.kind, self.margin) if math.isfinite(edge)] if self.kind else []  # type: ignore[arg-type]

    @property
    def region(self) -> str:
        """Where the difference must lie, in words, and whose margin that is."""
        if not self.kind:
            return ""
        return region(self.kind, self.margin) + (f", margin {self.margin_of}" if self.margin_of else "")

    @property
    def sides(self) -> str:
        """The means of the two sides, as in "1.95 against 1.93"; "" where pairs have weights, whose means differ."""
        if not self.pairs or self.effect is None:
            return ""
        left, right = (sum(pair[side] for pair in self.pairs) / len(self.pairs) for side in (1, 2))
        return f"{left:.3g} against {right:.3g}" if math.isclose(left - right, self.effect, abs_tol=1e-9) else ""

    @property
    def claimed(self) -> tuple[float, float] | None:
        """Where the whole interval must lie for the comparison to hold."""
        return edges(self.kind, self.margin) if self.kind else None  # type: ignore[arg-type]

    @property
    def open_by_its_level(self) -> bool:
        """Whether the 95 % interval alone would decide, which people see first, and the one of its level does not."""
        if not self.kind or self.plain is None or self.verdict != "INCONCLUSIVE":
            return False
        return decide(self.kind, self.margin, self.plain) != "INCONCLUSIVE"  # type: ignore[arg-type]

    @property
    def reach(self) -> list[float]:
        """The values that an axis must hold."""
        ends = [*(self.interval or ()), *(self.plain or ())]
        return [value for value in (self.effect, self.size, 0.0, *self.edges, *ends) if value is not None]


@dataclass(frozen=True)
class Shown:
    """What came of one claim in one run: the published one, or the reader's own."""

    published: bool
    profile: str
    says: str
    method: str
    verdict: str
    post_hoc: bool
    earlier: str
    withdrawn: str
    reason: str
    statistic: str
    n: int
    parts: tuple[Compared, ...]
    leading: Compared | None
    stages: tuple[str, ...]
    command: str

    @property
    def whose_run(self) -> str:
        return f"{'published' if self.published else 'yours'} ({self.profile})"

    @property
    def foretold(self) -> bool:
        """Whether the claim was written before its data, and judged by the rule of then."""
        return not (self.post_hoc or self.earlier)

    @property
    def standing(self) -> str:
        if self.withdrawn:
            return "WITHDRAWN"
        return "WITHHELD" if self.reason.startswith("withheld") else self.verdict

    @property
    def sample(self) -> str:
        """On how many seeds, questions or draws it rests, in words, and of what it does not generalise."""
        part = self.leading
        if part is None or (self.n < 2 and part.fixed != "seeds"):
            return ""
        if not part.paired:  # published before pairs were kept
            return f"{self.n} draws" if self.method == "simulated" else f"n = {self.n}"
        counted = f"{self.n} {part.paired}{'' if self.n == 1 else 's'}" + (f" × {part.items}s" if part.items else "")
        return counted + (f", about these very {part.fixed} alone" if part.fixed else "")


def shown_claim(claim: Claim, evidence: Evidence) -> list[Shown]:
    """What is published of a claim, and what was judged here; either may be missing."""
    found = []
    if evidence.published:
        found += [_published(one, evidence.published, claim) for one in evidence.published.claims if one.id == claim.id]
    if evidence.judged:
        found += [_judged(one, evidence) for one in evidence.judged.claims if one["id"] == claim.id]
    return found


def _published(one: Any, published: Publication, claim: Claim) -> Shown:
    told = vars(one)
    parts = tuple(_compared(vars(part)) for part in one.parts)
    leading = _leading(parts, one.effect, one.interval)
    if not parts and one.effect is not None:
        leading = _without_pairs(told, claim, published)
    return Shown(
        published=True,
        profile=published.profile,
        parts=parts or ((leading,) if leading else ()),
        leading=leading,
        stages=(),
        **{
            name: told[name]
            for name in (
                "says",
                "method",
                "verdict",
                "post_hoc",
                "earlier",
                "withdrawn",
                "reason",
                "statistic",
                "n",
                "command",
            )
        },
    )


def _without_pairs(told: Mapping[str, Any], claim: Claim, published: Publication) -> Compared:
    """What was published before pairs were kept: an effect and an interval, with no margin to set them against."""
    first = tests_of(claim)[:1]
    over_seeds = any(len(figure.seeds) == told["n"] for figure in published.by_name().values())
    return Compared(
        name="",
        quantity=first[0].left.quantity if first else "",
        kind="",
        margin=0.0,
        margin_of="",
        size=None,
        effect=told["effect"],
        interval=told["interval"],
        plain=told["plain"],
        level=None,
        p=told["p"],
        verdict=told["verdict"],
        items="",
        cluster="",
        paired="seed" if over_seeds else "",
        fixed="",
        pairs=(),
    )


def _judged(one: Mapping[str, Any], evidence: Evidence) -> Shown:
    parts = tuple(_compared(part) for part in one["parts"])
    return Shown(
        published=False,
        profile=evidence.chosen.name,
        earlier="",
        withdrawn="",
        parts=parts,
        leading=_leading(parts, one["effect"], one["interval"]),
        stages=tuple(measured_by(one)),
        command=f"{evidence.command} && tenfold trace {evidence.name}/{one['id']} --profile {evidence.chosen.base}",
        **{name: one[name] for name in ("says", "method", "verdict", "post_hoc", "reason", "statistic", "n")},
    )


def _compared(part: Mapping[str, Any]) -> Compared:
    left = part["left"] if isinstance(part["left"], Mapping) else vars(part["left"])
    given = part["pairs"]
    pairs = [(pair["pair"], pair["left"], pair["right"]) for pair in given] if isinstance(given, list) else given.rows()
    same = (
        "name",
        "kind",
        "margin",
        "margin_of",
        "size",
        "effect",
        "level",
        "p",
        "verdict",
        "items",
        "cluster",
        "paired",
        "fixed",
    )
    return Compared(
        quantity=left["quantity"],
        interval=_ends(part["interval"]),
        plain=_ends(part["plain"]),
        pairs=tuple(pairs),
        **{name: part[name] for name in same},
    )


def _ends(interval: Any) -> Interval:
    return (interval[0], interval[1]) if interval else None


def _leading(parts: tuple[Compared, ...], effect: float | None, interval: Any) -> Compared | None:
    """The comparison that speaks for the claim."""
    same = [part for part in parts if part.effect == effect and part.interval == _ends(interval)]
    return next(iter(same or parts), None)


def tests_of(claim: Claim) -> list[Test]:
    """A claim's comparisons as its paper states them."""
    if isinstance(claim.test, AtLeast):
        return list(claim.test.tests)
    return [claim.test] if isinstance(claim.test, Test) else []


def meanings(experiment: Experiment) -> dict[str, str]:
    """What each quantity of the paper's comparisons is, in the words of the stage that measures it."""
    found: dict[str, str] = {}
    for stage in experiment.stages.values():
        found |= getattr(stage.function, "measures", {})
    for claim in experiment.paper.claims:
        for test in tests_of(claim):
            for side in (test.left, test.right):
                if isinstance(side, Measurement):
                    found[side.quantity] = side.stage.function.measures[side.quantity]  # type: ignore[attr-defined]
    return found


# The tables


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


def grids(tables: Iterable[Table], cells: Mapping[str, Cell]) -> list[Grid]:
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
