"""What the report's pages are made of: published evidence, axes, figures; on this checkout's own papers."""

from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from flows.engine import publication
from flows.engine.discover import papers
from flows.engine.evidence import Evidence
from flows.engine.plan import Plan, select
from flows.engine.publication import p_in_words
from flows.engine.report import drawn
from flows.engine.report.axis import Axis
from flows.engine.report.charts import Point, unbeaten
from flows.engine.report.front import groups
from flows.engine.report.page import write_report
from flows.engine.report.shown import grids, published_cells
from flows.engine.variant import Variant
from tasks.judging.intervals import sign_flip_p

PUBLISHED = sorted(path.stem for path in (ROOT / "published").glob("*.json"))
LIMIT = 300_000
"""The most bytes of a page before its figures."""


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


def test_pages_of_this_checkout_are_light(tmp_path: Path) -> None:
    front = write_report([published_alone(name) for name in PUBLISHED], tmp_path)
    for page in front.parent.glob("*.html"):
        text = page.read_text()
        drawings = sum(len(one) for one in text.split("<svg")[1:] for one in [one.partition("</svg>")[0]])
        assert len(text.encode()) - drawings <= LIMIT, page.name


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
