"""What the report's pages are made of: published evidence, axes, figures; on this checkout's own papers."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from playwright.sync_api import Page
from pydantic import TypeAdapter

from flows.engine import publication
from flows.engine.discover import papers
from flows.engine.evidence import Evidence, Figure, Judged, Origin
from flows.engine.paper import Paper, Plot
from flows.engine.plan import Plan, select
from flows.engine.publication import p_in_words
from flows.engine.report import drawn
from flows.engine.report.axis import Axis
from flows.engine.report.charts import Bounded, Mean, Point, bounded, dots, unbeaten
from flows.engine.report.front import groups, rows_of, slug
from flows.engine.report.grids import Cell, Grid, grids_of, published_cells
from flows.engine.report.page import write_page, write_report
from flows.engine.stages import ConcreteStage
from flows.engine.summary import differing
from flows.engine.variant import Variant
from tasks.judging.intervals import sign_flip_p
from tasks.judging.results import Table

PUBLISHED = sorted(path.stem for path in (ROOT / "published").glob("*.json"))
LIMIT = 300_000
"""The most bytes of a page before its figures."""
PARTED = ("live_mib", "saved", "saved_of_created")
"""Quantities of OLLA whose tables have pages of their own, the first one's several."""


A4 = 680
"""Pixels between the margins of a page that is printed."""
HEAVY = ("radit", "transfusion", "olla")
"""The papers with the heaviest claims, the most stages and the most numbers."""


def published_alone(name: str) -> Evidence:
    """As in a fresh clone, where nothing is up to date."""
    stages = select([name], Variant("cpu"), papers())
    planned = Plan(stages, {stage.out: ["it has not run"] for stage in stages})  # type: ignore[misc]
    return Evidence(name, Variant("cpu"), planned, publication.read(name), None)


def computed_here(name: str) -> Evidence:
    """As where all that is published has just been computed, each number over eight seeds."""
    evidence = published_alone(name)
    stages = evidence.plan.stages
    made = {"commit": "0" * 40, "finished": "2026-11-30T20:00:00Z", "processor": "a processor", "device": "cpu"}
    origins = {stage.name: Origin(stage, "0" * 32, {}, made, "1" * 32) for stage in stages}
    judged = Judged(
        rules={"alpha": 0.05, "minimum_seeds": 8, "minimum_items": 20},
        claims=[judged_claim(claim, stages) for claim in evidence.published.claims] if evidence.published else [],
        controls=[],
        tables=[],
        measured=lambda: {figure.name: figure for figure in figures_like(evidence, stages)},
        origins=origins,
        environment={"python": "3.11"},
    )
    return replace(evidence, plan=Plan(stages, {stage.out: [] for stage in stages}), judged=judged)


def judged_claim(claim: publication.PublishedClaim, stages: list[ConcreteStage]) -> dict[str, Any]:
    """A published claim as verdicts.json has it."""
    told = TypeAdapter(publication.PublishedClaim).dump_python(claim)
    for part, whole in zip(told["parts"], claim.parts, strict=True):
        part["pairs"] = [
            {"pair": label, "left": left, "right": right, "left_stage": stages[n % 8 - 8].name, "right_stage": None}
            for n, (label, left, right) in enumerate(whole.pairs.rows())
        ]
    return {**told, "as_expected": None}


def figures_like(evidence: Evidence, stages: list[ConcreteStage]) -> Iterator[Figure]:
    """The published numbers with a value a seed, or where none are published some of each table's."""
    names = list(evidence.published.by_name()) if evidence.published else []
    for table in evidence.experiment.paper.tables if not names else ():
        columns = [f"/column {n}" for n in range(6)] if table.columns else [""]
        names += [
            f"{quantity}/row {n}{column}" for quantity in table.quantities for n in range(9) for column in columns
        ]
    for place, name in enumerate(names):
        own = [stages[(place // 9 * 8 + seed) % len(stages)].name for seed in range(8)]
        values = tuple((seed + 1, 0.1234 + seed / 100, stage) for seed, stage in enumerate(own))
        yield Figure(name, name.partition("/")[0], "what it means", values, "seed")


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_published_is_shown_where_nothing_is_up_to_date(name: str) -> None:
    evidence = published_alone(name)
    published, paper = evidence.published, evidence.experiment.paper
    assert published
    cells = published_cells(published)
    tables = grids_of(paper.tables, cells)
    assert {cell.name for grid in tables for _, row in grid.rows for cell in row if cell} == set(cells)
    front = {row.claim.id: row for group in groups(evidence) for row in group.rows}
    assert set(front) == {claim.id for claim in paper.claims}
    for claim in published.claims:
        assert front[claim.id].says == claim.says, "a verdict stands beside the words in which it was judged"
        assert front[claim.id].standing == publication.standing(claim)
    titles = [figure.title for figure in drawn.figures(paper, cells, tables)]
    assert {plot.question for plot in paper.plots} <= set(titles), "a plot names quantities that no table has"


@pytest.mark.parametrize("name", papers())
def test_plots_are_of_what_tables_have(name: str) -> None:
    """A quantity or label that was renamed would take a figure away, and nobody would miss it."""
    paper = papers()[name].paper
    for plot in paper.plots:
        of = [table for table in paper.tables if plot.y in table.quantities]
        assert of, plot.question
        if plot.kind in ("curves", "best"):
            assert plot.x in [table.columns for table in of], plot.question
        elif plot.x:
            assert any(plot.x in table.quantities for table in paper.tables), plot.question


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this checkout's report."""
    return write_report([published_alone(name) for name in papers()], tmp_path_factory.mktemp("report")).parent


def test_pages_of_this_checkout_are_light(pages: Path) -> None:
    assert_light(pages)


def test_pages_of_what_was_computed_here_are_light(tmp_path: Path) -> None:
    """They have a card a number, and every stage; a run's page in MLflow has all of it in one file."""
    every = [computed_here(name) for name in HEAVY]
    write_report(every, tmp_path)
    for evidence in every:
        write_page(evidence, tmp_path / f"{evidence.name}-alone.html")
    assert_light(tmp_path)
    for evidence in every:
        assert evidence.judged
        found = {id for page in tmp_path.glob("*.html") for id in re.findall(r'id="(n-[^"]+)"', page.read_text())}
        assert {f"n-{slug(name)}" for name in evidence.judged.figures} <= found, "a table was left out"


def assert_light(folder: Path) -> None:
    """No page has more bytes before its figures than the limit, nor a name twice."""
    for page in folder.glob("*.html"):
        text = page.read_text()
        drawings = sum(len(one) for one in text.split("<svg")[1:] for one in [one.partition("</svg>")[0]])
        assert len(text.encode()) - drawings <= LIMIT, page.name
        names = Counter(re.findall(r' id="([^"]+)"', text))
        assert names.most_common(1)[0][1] == 1, f"{page.name} has two {names.most_common(1)[0][0]}"


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_number_is_on_a_page(name: str, pages: Path) -> None:
    """Rows that fell between two pages of a table would be missed by nobody."""
    published = publication.read(name)
    assert published
    found = {id for page in pages.glob(f"{name}*.html") for id in re.findall(r'id="(n-[^"]+)"', page.read_text())}
    assert found == {f"n-{slug(number)}" for number in published.by_name()}


def test_a_link_to_a_number_leads_to_the_page_that_has_it(pages: Path, page: Page) -> None:
    """Links that people kept name the paper's page, and `n-saved-` begins what `n-saved-of-created-` begins, too."""
    published = publication.read("olla")
    assert published
    numbers = list(published.by_name())
    last = {quantity: [name for name in numbers if name.startswith(f"{quantity}/")][-1] for quantity in PARTED}
    for number in last.values():
        page.goto(f"{(pages / 'olla.html').as_uri()}#n-{slug(number)}", wait_until="commit")
        page.wait_for_url(lambda url: "olla.html" not in url)
        page.locator(f"#n-{slug(number)}:target").wait_for()


def test_what_nothing_beats_is_the_frontier() -> None:
    points = [Point("cheap", 1, 0.2), Point("good", 3, 0.9), Point("beaten", 4, 0.5), Point("dear", 2, 0.2)]
    assert [point.name for point in unbeaten(points, lower=False)] == ["cheap", "good"]
    assert [point.name for point in unbeaten(points, lower=True)] == ["cheap"]


def test_an_axis_has_round_numbers_and_holds_what_it_is_of() -> None:
    axis = Axis.around([-0.0515, 0.0289])
    assert axis.ticks() == [-0.05, -0.025, 0.0, 0.025]
    assert axis.holds(-0.0515)
    assert axis.percent(float("inf")) == 100
    assert Axis.around([1, 1000], log=True).ticks() == [1, 10, 100, 1000]
    assert Axis.around([3.0]).holds(3.0), "a single value has an axis, too"


@pytest.mark.parametrize("pairs", [2, 3, 8])
def test_a_p_that_cannot_be_smaller_says_so(pairs: int) -> None:
    """p 0.5 beside an interval without 0 reads as a contradiction, where two pairs have no smaller one."""
    far = np.linspace(1, 2, pairs)
    smallest = f", the smallest that {pairs} pairs can give"
    assert p_in_words(sign_flip_p(far, 0), pairs, "seed", "").endswith(smallest)
    mixed = np.array([-0.5, *far[1:]])
    assert not p_in_words(sign_flip_p(mixed, 0), pairs, "seed", "").endswith(smallest)
    assert p_in_words(0.5, pairs, "seed", "question") == "p 0.5", "no signs are flipped over seeds and questions"


def test_what_was_reached_lies_where_its_share_says() -> None:
    """A dot on the wrong side of its bound would show an order that no order can be."""
    svg = bounded([Bounded("high", 0.9, 0.85), Bounded("low", 0.4, 0.4)], "share")
    at = {said: float(x) for x, said in re.findall(r'<text class="tick middle" x="([\d.]+)"[^>]*>([^<]+)<', svg)}
    dots = {name: float(x) for x, name in re.findall(r'<circle class="series" cx="([\d.]+)"[^>]*><title>(\w+):', svg)}
    bounds = [float(x) for x in re.findall(r'<path class="bound" d="M([\d.]+)', svg)]
    for name, share in (("low", 0.4), ("high", 0.9)):
        assert dots[name] == pytest.approx(at["0%"] + share * (at["100%"] - at["0%"]), abs=0.2)
    assert bounds[0] == dots["low"], "the lowest comes first, and its bound is reached"
    assert bounds[1] < dots["high"]


def test_curves_that_begin_alike_share_a_panel() -> None:
    cells = {
        f"live/{model}, {order}/{percent}": Cell(
            f"live/{model}, {order}/{percent}", "MiB", top, None, "seed", 1, (), ()
        )
        for model, top in (("small", 1.0), ("large", 100.0))
        for order in ("PyTorch", "planned")
        for percent in (10, 20, 30)
    }
    table = Table(title="Memory", rows="curve", quantities=("live",), columns="percent")
    plot = Plot("How does memory rise?", "curves", x="percent", y="live", y_is_better="lower")
    paper = Paper("t", "a", 2022, "1", [], [], [], [table], plots=[plot])
    (figure,) = drawn.figures(paper, cells, grids_of([table], cells))
    assert [title for title, _ in figure.panels] == ["small", "large"]
    assert all("PyTorch</text>" in svg and "planned</text>" in svg for _, svg in figure.panels)
    assert "95 %" not in figure.reading, "no interval, no band"


@pytest.mark.parametrize(("better", "winners"), [("lower", ["a", "a", "b"]), ("higher", ["b", "b", "a"])])
def test_the_best_of_what_begins_alike_has_the_cell(better: Any, winners: list[str]) -> None:
    values = {"a": (1.0, 2.0, 9.0), "b": (3.0, 4.0, 5.0)}
    cells = {
        name: Cell(name, "ms", value, None, "seed", 1, (), ())
        for network in ("small", "large")
        for runtime, own in values.items()
        for batch, value in zip((1, 16, 8), own, strict=True)
        if (name := f"live/{network}, {runtime}/{batch}")
    }
    table = Table(title="Time", rows="curve", quantities=("live",), columns="batch")
    plot = Plot("Which is the fastest?", "best", x="batch", y="live", y_is_better=better)
    paper = Paper("t", "a", 2022, "1", [], [], [], [table], plots=[plot])
    (figure,) = drawn.figures(paper, cells, grids_of([table], cells))
    by_batch = dict(zip(("1", "16", "8"), winners, strict=True))
    said = re.findall(r"<title>(small|large), (\d+): (\w),", figure.panels[0][1])
    assert said == [(row, batch, by_batch[batch]) for row in ("small", "large") for batch in ("1", "8", "16")]


def test_a_trial_is_no_finding() -> None:
    row = next(row for row in rows_of(published_alone(PUBLISHED[0])) if row.drawn)
    trial = replace(row.runs[0], published=False, profile="quick")
    assert row.is_evidence
    assert not replace(row, runs=(trial,)).is_evidence
    assert replace(row, runs=(*row.runs, trial)).is_evidence


def grid_of(tables: list[Table], *names: str) -> list[Grid]:
    """The tables of cells with these names."""
    return grids_of(tables, {name: Cell(name, "", 1.0, None, "seed", 1, (), ()) for name in names})


def shape_of(grid: Grid) -> tuple[str, list[str], list[str]]:
    return grid.title, [row for row, _ in grid.rows], list(grid.columns[1:])


def test_a_label_may_have_a_slash() -> None:
    """A library called models/tensor was shown as a row "add/models" with a column "tensor"."""
    table = Table(title="Calls", rows="operation", quantities=("us",), columns="library")
    found = grid_of([table], "us/add/models/tensor", "us/add/torch", "us/sum/models/tensor", "us/sum/torch")
    assert [shape_of(grid) for grid in found] == [("Calls", ["add", "sum"], ["models/tensor", "torch"])]


def test_tables_of_one_quantity_are_told_apart_by_their_columns() -> None:
    """One half-empty table of two, under both titles, answers neither question."""
    models = Table(title="By model", rows="arm", quantities=("em",), columns="lm")
    parts = Table(title="By part", rows="arm and lm", quantities=("em",), columns="part")
    found = grid_of([models, parts], "em/few/base", "em/few/tuned", "em/many/base", "em/base with few/open")
    assert [shape_of(grid) for grid in found] == [
        ("By model", ["few", "many"], ["base", "tuned"]),
        ("By part", ["base with few"], ["open"]),
    ]
    times = Table(title="By time", rows="arm", quantities=("mse",), columns="moment")
    places = Table(title="By place", rows="arm", quantities=("mse",), columns="place")
    found = grid_of([times, places], "mse/a/t = 500", "mse/a/t = 100", "mse/a/001", "mse/a/002")
    assert [shape_of(grid) for grid in found] == [
        ("By time", ["a"], ["t = 100", "t = 500"]),
        ("By place", ["a"], ["001", "002"]),
    ]


def test_a_row_stands_in_the_table_that_has_most_of_it() -> None:
    """Errors of an hour's memory test stood among the ways to align, and these among the hours."""
    ways = Table(title="Ways", rows="method", quantities=("error", "late"))
    hours = Table(title="Hours", rows="what", quantities=("megabytes", "error"))
    found = grid_of([ways, hours], "error/forced", "late/forced", "error/an hour", "megabytes/an hour")
    assert [shape_of(grid)[:2] for grid in found] == [("Ways", ["forced"]), ("Hours", ["an hour"])]


def test_what_a_paper_has_no_table_of_any_more_is_shown_apart() -> None:
    """What is published stands for years, while tables change."""
    found = grid_of([Table(title="Kept", rows="arm", quantities=("f1",), columns="domain")], "f1/a/all", "f1/b", "em/b")
    assert [shape_of(grid) for grid in found][1:] == [("In no table of the paper any more", ["b"], ["em", "f1"])]


def test_a_dot_lies_where_its_value_is() -> None:
    """In the line of its row, in the colour of its column; a value of 1 to compare with lies between."""
    rows = {"slow": {"ours": Mean(2.0), "theirs": Mean(1.5)}, "fast": {"ours": Mean(0.5, (0.4, 0.6))}}
    svg = dots(rows, "times as long", at=1.0, log=False)
    found = re.findall(r'<circle class="series (s\d)" cx="([\d.]+)" cy="([\d.]+)" r="3.6"><title>([^:]+):', svg)
    at = {name: (kind, float(x), float(y)) for kind, x, y, name in found}
    assert at["slow, ours"][1] > at["slow, theirs"][1] > at["fast, ours"][1]
    assert at["slow, ours"][2] < at["slow, theirs"][2] < at["fast, ours"][2]
    assert at["slow, ours"][0] == at["fast, ours"][0] != at["slow, theirs"][0]
    (one,) = re.findall(r'<path class="equal" d="M([\d.]+)', svg)
    assert at["fast, ours"][1] < float(one) < at["slow, theirs"][1]


def test_figures_can_be_read(pages: Path, page: Page) -> None:
    """In no figure do two labels lie on one another, or is one cut off by the edge, on a phone as on a desk."""
    for width in (390, 1400):
        page.set_viewport_size({"width": width, "height": 900})
        for name in ("index", *papers()):
            page.goto((pages / f"{name}.html").as_uri())
            assert page.evaluate(UNREADABLE) == [], f"{name} at {width} px"
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than {width} px"


UNREADABLE = """() => [...document.querySelectorAll("figure svg.chart")].flatMap(svg => {
  const whole = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll("text")];
  const labels = texts.map(text => ({said: text.textContent, box: text.getBoundingClientRect()}));
  const cut = labels.filter(({box}) => box.left < whole.left - 1 || box.right > whole.right + 1
    || box.top < whole.top - 1 || box.bottom > whole.bottom + 1).map(({said}) => said + " is cut");
  const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;
  const touching = labels.flatMap((one, n) => labels.slice(n + 1)
    .filter(other => over(one.box, other.box)).map(other => one.said + " lies on " + other.said));
  return [...cut, ...touching].map(wrong => svg.closest("figure").id + ": " + wrong);
})"""


def test_pages_fit_on_paper(pages: Path, page: Page) -> None:
    """Chromium makes all of a page smaller until its widest table fits: letters of 4 points could not be read."""
    page.emulate_media(media="print")
    page.set_viewport_size({"width": A4, "height": 900})
    for name in ("index", *papers()):
        page.goto((pages / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= A4, f"{name} is wider than the paper"


def test_a_run_that_differs_from_what_is_published_is_named() -> None:
    """Counts of verdicts can be the same where the verdicts are not."""
    evidence = computed_here("radit")
    assert evidence.judged
    assert differing(evidence).endswith("verdicts are as published.")
    changed = [{**one, "verdict": "INCONCLUSIVE"} if n == 0 else one for n, one in enumerate(evidence.judged.claims)]
    said = differing(replace(evidence, judged=replace(evidence.judged, claims=changed)))
    assert f"{changed[0]['id']} is inconclusive, published " in said
    assert differing(published_alone("radit")) == ""
