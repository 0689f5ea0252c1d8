"""Write the report: a front page, and a page a paper. Yours are only numbers whose chain is unbroken."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from flows.engine.catalogue import Entry, catalogue
from flows.engine.evidence import SHOWN, Evidence, Judged, Origin, sources
from flows.engine.paper import TRIAL, Profiles, Scale
from flows.engine.publication import effect_and_interval, p_in_words, predictions, standing, tally
from flows.engine.report import charts, drawn, front, graph, shown
from flows.engine.report.axis import Axis, short
from flows.engine.report.front import slug
from flows.engine.report.grids import Cell, Grid, grids_of, judged_cells, published_cells
from flows.engine.stages import source_folder
from flows.engine.verdict_commands import INDEX
from tasks.judging.claims import WHOSE
from tasks.judging.report import cell
from tasks.running import spools

TEMPLATE = Path(__file__).parent
LONG = 24
"""A table with more rows is folded."""
MANY = 120
"""A table of more numbers has a page of its own, lest a paper's page be slow to open on a phone."""
PANELS = 6
"""So many panels of a figure are shown at once."""
A_PAGE = 600
"""A table of more numbers has several."""
LIMIT = 300_000
"""The most bytes of a page before its figures: of a paper that has more, further tables get pages of their own."""


@dataclass(frozen=True)
class Tables:
    """The tables of one run, and the page that shows them."""

    run: str
    page: str
    cells: dict[str, Cell]
    grids: list[Grid]


@dataclass(frozen=True)
class Part:
    """Rows of a table on a page of their own, the table's first, second, …"""

    place: int
    name: str
    says: str
    grid: Grid


@dataclass(frozen=True)
class Placed:
    """A table of a paper's page: with its numbers `here`, on pages of its own, or in neither."""

    grid: Grid
    here: bool
    parts: tuple[Part, ...] = ()


def write_report(every: Sequence[Evidence], folder: Path) -> Path:
    """Write the pages into a folder that any web host can serve; returns the front page."""
    folder.mkdir(parents=True, exist_ok=True)
    for evidence in every:
        runs = _runs(evidence)
        _put_pages(folder, f"{evidence.name}.html", evidence, runs[:1], runs[1:])
        for one in runs[1:]:
            _put_pages(folder, one.page, evidence, [one], runs[:1])
    page = (
        _environment()
        .get_template("index.html.jinja")
        .render(
            papers=[(evidence, front.groups(evidence), _tallies(evidence)) for evidence in every],
            findings=front.findings(every),
            choices=front.choices(every),
            **_common(),
        )
    )
    _put(folder / INDEX, page)
    return folder / INDEX


def write_page(evidence: Evidence, path: Path) -> Path:
    """Write one paper's page with the reader's own tables, to one file that needs no other.

    There is no page for large tables: their numbers are left out, which a run in MLflow has as tables and metrics.
    """
    runs = _runs(evidence)[-1:]

    def written(large: set[str]) -> str:
        placed = [Placed(grid, grid.title not in large) for tables in runs for grid in tables.grids]
        return _paper_page(evidence, runs, None, placed, _cards(evidence))

    _put(path, _light(written, [grid for tables in runs for grid in tables.grids]))
    return path


def write_figures(evidence: Evidence, folder: Path) -> list[Path]:
    """Write a paper's figures as SVG files of their own; none where the chain is broken."""
    paths = []
    if evidence.judged:
        cells = judged_cells(evidence)
        tables = evidence.experiment.paper.tables
        for figure in drawn.figures(evidence.experiment.paper, cells, grids_of(tables, cells)):
            for title, svg in figure.panels:
                paths.append(folder / f"{slug(f'{figure.title} {title}')}.svg")
                paths[-1].write_text(charts.standalone(svg))
    return paths


def _put_pages(folder: Path, home: str, evidence: Evidence, runs: list[Tables], others: list[Tables]) -> None:
    """Write a paper's page with the tables of one run, and the pages of its large tables."""
    grids = [grid for tables in runs for grid in tables.grids]
    placed: list[Placed] = []
    card: _Cards | None = None

    def written(large: set[str]) -> str:
        nonlocal placed, card
        card = _cards(evidence)
        stem = Path(home).stem
        placed = [
            Placed(grid, grid.title not in large, _parts(grid, stem) if grid.title in large else ()) for grid in grids
        ]
        if card:  # the paper's page has the cards of the stages that the others name
            for cell in (cell for one in placed if one.parts for _, cells in one.grid.rows for cell in cells):
                if cell and cell.stages:
                    card(cell.stages)
        return _paper_page(evidence, runs, others, placed, card)

    _put(folder / home, _light(written, grids))
    template = _environment().get_template("table.html.jinja")
    for place, one in enumerate(placed):
        alike = [other for other in placed[place + 1 :] if set(other.grid.quantities) & set(one.grid.quantities)]
        for part in one.parts:
            text = template.render(
                evidence=evidence,
                home=home,
                page=part,
                pages=one.parts,
                alike=[other.parts[0] for other in alike if other.parts],
                run=runs[0].run,
                card=card,
                **_common(),
            )
            _put(folder / part.name, _without_blank_lines(text))


def _light(written: Callable[[set[str]], str], grids: Sequence[Grid]) -> str:
    """A page of no more than `LIMIT`, as it is `written` with the large tables' numbers elsewhere.

    Large are those of many numbers, and as many of the next ones as it takes.
    """
    large = {grid.title for grid in grids if _size(grid) > MANY}
    page = written(large)
    for grid in sorted(grids, key=_size, reverse=True):
        if weight(page) <= LIMIT or _size(grid) <= LONG:
            break
        if grid.title not in large:
            large.add(grid.title)
            page = written(large)
    return page


def weight(page: str) -> int:
    """The bytes of a page before its figures."""
    return len(re.sub("<svg.*?</svg>", "", page, flags=re.DOTALL).encode())


def _size(grid: Grid) -> int:
    """How many numbers a table has."""
    return sum(cell is not None for _, cells in grid.rows for cell in cells)


def _parts(grid: Grid, stem: str) -> tuple[Part, ...]:
    """The pages of a table that is too large for its paper's page."""
    rows = max(1, A_PAGE // (len(grid.columns) - 1))
    parts = [grid.rows[start : start + rows] for start in range(0, len(grid.rows), rows)]
    return tuple(
        Part(
            place,
            f"{stem}-{slug(grid.title)}{f'-{place}' if place > 1 else ''}.html",
            f"{own[0][0]} to {own[-1][0]}" if len(parts) > 1 else f"all {len(own)} rows",
            replace(grid, rows=own),
        )
        for place, own in enumerate(parts, 1)
    )


def _put(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")  # another reproduction may end at this moment
    fresh.write_text(text)
    os.replace(fresh, path)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"cell": _cell, "slug": slug, "short": short, "effect": _effect, "deciding": _deciding, "p": _p}
    made.globals |= {"paired": _paired, "claim_axis": _claim_axis}
    return made


def _common() -> dict[str, Any]:
    """What each page is rendered with."""
    return {
        "anchor": _Anchors(),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "shown_pairs": SHOWN,
        "shown_panels": PANELS,
        "long": LONG,
    }


def _paper_page(
    evidence: Evidence,
    runs: list[Tables],
    others: list[Tables] | None,
    placed: Sequence[Placed],
    card: "_Cards | None",
) -> str:
    """A paper's page with the tables of one run.

    `others` are those of other pages, none where it stands alone.
    """
    paper = evidence.experiment.paper
    page = (
        _environment()
        .get_template("paper.html.jinja")
        .render(
            evidence=evidence,
            paper=paper,
            others=others,
            claims=[(claim, shown.shown_claim(claim, evidence)) for claim in paper.claims],
            seen=list(dict.fromkeys(claim.seen for claim in paper.claims if claim.seen)),
            enlarged=list(dict.fromkeys(claim.enlarged for claim in paper.claims if claim.enlarged)),
            tables=runs[0] if runs else None,
            figures=drawn.figures(paper, runs[0].cells, runs[0].grids) if runs else [],
            meanings=shown.meanings(evidence.experiment),
            tallies=_tallies(evidence),
            data=_data(evidence),
            scales=[(scale, _here(scale, evidence)) for scale in paper.scales],
            graph=Markup(graph.graph(evidence)),  # noqa: S704 - drawn by us, with its text escaped
            placed=placed,
            home="",
            card=card,
            **_common(),
        )
    )
    return _without_blank_lines(page)


def _without_blank_lines(page: str) -> str:
    return "\n".join(line for line in page.splitlines() if line.strip())


def _runs(evidence: Evidence) -> list[Tables]:
    """The runs whose tables are shown: the reader's own, after what is published where it is only a trial."""
    tables = evidence.experiment.paper.tables
    found = []
    if evidence.judged:
        cells = judged_cells(evidence)
        run, page = f"yours ({evidence.chosen.name})", f"{evidence.name}-{slug(evidence.chosen.name)}.html"
        found.append(Tables(run, page, cells, grids_of(tables, cells)))
    if evidence.published and (evidence.judged is None or evidence.chosen.base == TRIAL):
        cells = published_cells(evidence.published)
        run, page = f"published ({evidence.published.profile})", f"{evidence.name}.html"
        found.insert(0, Tables(run, page, cells, grids_of(tables, cells)))
    return [replace(found[0], page=f"{evidence.name}.html"), *found[1:]] if found else []


def _cards(evidence: Evidence) -> "_Cards | None":
    return _Cards(evidence.judged) if evidence.judged else None


class _Cards:
    """What stands behind numbers that some stages measured, written once for each group of stages."""

    def __init__(self, judged: Judged) -> None:
        self._judged = judged
        self.groups: dict[tuple[str, ...], dict[str, Any]] = {}

    def __call__(self, stages: Sequence[str]) -> dict[str, Any]:
        key = tuple(stages)
        if key not in self.groups:
            origins = [self._judged.origins[name] for name in stages]
            times = sorted(origin.made["finished"] for origin in origins if origin.made)
            self.groups[key] = {
                "id": f"made-{len(self.groups) + 1}",
                "stages": origins,
                "machines": list(dict.fromkeys(origin.machine for origin in origins)),
                "finished": list(dict.fromkeys([times[0], times[-1]])) if times else [],
                "data": sources(self._judged.behind(list(stages))),
            }
        return self.groups[key]

    def alike(self) -> list[list[Origin]]:
        """All stages, those of one function together."""
        found: dict[str, list[Origin]] = {}
        for origin in self._judged.origins.values():
            found.setdefault(f"{origin.stage.paper} {origin.stage.function}", []).append(origin)
        return list(found.values())


class _Anchors:
    """The names by which links find a page's numbers; `a/b/c` and `a/b, c` would have the same one."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def __call__(self, cell: Cell) -> str:
        name = f"n-{slug(cell.name)}"
        self._given[name] = self._given.get(name, 0) + 1
        return name if self._given[name] == 1 else f"{name}-{self._given[name]}"


@dataclass(frozen=True)
class Tally:
    """How many claims of one kind came out how in one run, and how many predictions came true, of how many decided."""

    whose: str
    run: str
    counts: dict[str, int]
    came_true: tuple[int, int]


def _tallies(evidence: Evidence) -> list[Tally]:
    """Of every kind but the foregone claims, which could not fail; a trial counts where nothing is published."""
    found = []
    published = evidence.published.claims if evidence.published else ()
    trial = evidence.published is not None and evidence.chosen.base == TRIAL
    judged = evidence.judged.claims if evidence.judged and not trial else []
    before = tally((claim.whose, standing(claim)) for claim in published)
    here = tally((claim["whose"], claim["verdict"]) for claim in judged)
    for whose in WHOSE[:-1]:
        if evidence.published and whose in before:
            run = f"published ({evidence.published.profile})"
            came_true = predictions(claim for claim in published if claim.whose == whose)
            found.append(Tally(whose, run, dict(before[whose]), came_true))
        if whose in here:
            came = [one["as_expected"] for one in judged if one["whose"] == whose and one["as_expected"] is not None]
            found.append(Tally(whose, f"yours ({evidence.chosen.name})", dict(here[whose]), (sum(came), len(came))))
    return found


def _here(scale: Scale, evidence: Evidence) -> str:
    profile = evidence.published.profile if evidence.published and not evidence.judged else evidence.chosen.base
    return scale.here.at(profile) if isinstance(scale.here, Profiles) else scale.here


def _data(evidence: Evidence) -> dict[str, Entry]:
    """What the catalogue says of the data that the paper reads."""
    read = {stage.out for stage in evidence.plan.stages if stage.kind == "fetch"}
    return {name: entry for name, entry in catalogue().items() if source_folder(name) in read}


def _cell(value: Any) -> str:
    return cell(value).removesuffix(".")


def _effect(part: shown.Compared) -> str:
    """An effect with its 95 % interval; where levels were not kept, the interval that there is."""
    return effect_and_interval(part.effect, part.plain or part.interval)


def _deciding(part: shown.Compared) -> str:
    """The interval that decides, where it is another one than that of 95 %."""
    if not part.interval or not part.level or part.interval == part.plain:
        return ""
    low, high = part.interval
    return f"{low:+.3g} to {high:+.3g} at {100 * part.level:.2f} %"


def _p(part: shown.Compared) -> str:
    return p_in_words(part.p, len(part.pairs), part.paired, part.items or part.cluster)


def _claim_axis(runs: Sequence[shown.Shown]) -> Axis | None:
    """One axis for all comparisons of a claim, where something was measured."""
    parts = [part for run in runs for part in run.parts if part.effect is not None]
    return Axis.around(value for part in parts for value in part.reach) if parts else None


def _paired(part: shown.Compared) -> Markup:
    """The comparison's pairs joined, where they are few enough to be told apart."""
    if part.paired != "seed" or not 2 <= len(part.pairs) <= SHOWN:
        return Markup("")
    left, _, right = part.name.partition(" against ")
    svg = charts.paired(part.pairs, left, right.partition(" on ")[0], part.quantity.replace("_", " "))
    return Markup(svg)  # noqa: S704 - drawn by us, with its text escaped


@cache
def _commit() -> str:
    return spools.commit().removesuffix("+")
