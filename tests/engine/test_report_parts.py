"""What the report's pages are made of: published evidence, axes, figures; on this checkout's own papers."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from playwright.sync_api import Page

from flows.engine import publication
from flows.engine.discover import papers
from flows.engine.evidence import Evidence
from flows.engine.paper import Paper
from flows.engine.plan import Plan, select
from flows.engine.publication import p_in_words
from flows.engine.report import drawn
from flows.engine.report.axis import Axis
from flows.engine.report.charts import Bounded, Point, bounded, unbeaten
from flows.engine.report.front import groups, rows_of, slug
from flows.engine.report.page import write_report
from flows.engine.report.shown import Cell, grids, published_cells
from flows.engine.variant import Variant
from tasks.judging.intervals import sign_flip_p
from tasks.judging.results import Table

PUBLISHED = sorted(path.stem for path in (ROOT / "published").glob("*.json"))
LIMIT = 300_000
"""The most bytes of a page before its figures."""
PARTED = ("live_mib", "saved", "saved_of_created")
"""Quantities of OLLA whose tables have pages of their own, the first one's several."""


def published_alone(name: str) -> Evidence:
    """As in a fresh clone, where nothing is up to date."""
    stages = select([name], Variant("cpu"), papers())
    planned = Plan(stages, {stage.out: ["it has not run"] for stage in stages})  # type: ignore[misc]
    return Evidence(papers()[name], Variant("cpu"), planned, publication.read(name), None)


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_published_is_shown_where_nothing_is_up_to_date(name: str) -> None:
    evidence = published_alone(name)
    published, paper = evidence.published, evidence.experiment.paper
    assert published
    cells = published_cells(published)
    tables = grids(paper.tables, cells)
    assert {cell.name for grid in tables for _, row in grid.rows for cell in row if cell} == set(cells)
    front = {row.claim.id: row for group in groups(evidence) for row in group.rows}
    assert set(front) == {claim.id for claim in paper.claims}
    for claim in published.claims:
        assert front[claim.id].says == claim.says, "a verdict stands beside the words in which it was judged"
        assert front[claim.id].standing == publication.standing(claim)
    titles = [figure.title for figure in drawn.figures(paper, cells, tables)]
    assert {plot.question for plot in paper.plots} <= set(titles), "a plot names quantities that no table has"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this checkout's report."""
    return write_report([published_alone(name) for name in PUBLISHED], tmp_path_factory.mktemp("report")).parent


def test_pages_of_this_checkout_are_light(pages: Path) -> None:
    for page in pages.glob("*.html"):
        text = page.read_text()
        drawings = sum(len(one) for one in text.split("<svg")[1:] for one in [one.partition("</svg>")[0]])
        assert len(text.encode()) - drawings <= LIMIT, page.name


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
    (figure,) = drawn.figures(Paper("t", "a", 2022, "1", [], [], [], [table]), cells, grids([table], cells))
    assert [title for title, _ in figure.panels] == ["small", "large"]
    assert all("PyTorch</text>" in svg and "planned</text>" in svg for _, svg in figure.panels)
    assert "95 %" not in figure.reading, "no interval, no band"


def test_a_trial_is_no_finding() -> None:
    row = next(row for row in rows_of(published_alone(PUBLISHED[0])) if row.drawn)
    trial = replace(row.runs[0], published=False, profile="quick")
    assert row.is_evidence
    assert not replace(row, runs=(trial,)).is_evidence
    assert replace(row, runs=(*row.runs, trial)).is_evidence
