"""The report, `claims`, `trace` and `compare`: every number with its chain, and none without."""

import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml
from conftest import Clone, read_json, shoot
from playwright.sync_api import Page

from flows.engine.discover import papers, read
from flows.engine.evidence import Figure, figures_of
from flows.engine.paper import Paper
from flows.engine.report.shown import Compared
from tasks.base.errors import UserError
from tasks.judging.results import Table

PAGE = "report/tiny.html"
CLAIMS = {"half-is-more", "third-is-more", "halves-agree", "one-half-is-more", "lines-count-alike", "all-languages"}


@pytest.fixture(scope="module")
def report(finished: Clone) -> str:
    """The tiny paper's page."""
    finished.tenfold("report")
    return (finished.root / PAGE).read_text()


class _Links(HTMLParser):
    """Collects what a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "srcset", "data") or (name == "href" and tag in ("link", "use", "image")):
                self.fetched.append(str(value))
            elif name == "id":
                self.ids.append(str(value))
            elif name in ("href", "xlink:href") and str(value).startswith("#"):
                self.targets.append(str(value)[1:])


def test_the_verdicts_are_what_the_numbers_say(finished: Clone) -> None:
    claims = read_json(finished.root / "data/quick/tiny/verdicts/verdicts.json")["claims"]
    assert {claim["id"]: claim["verdict"] for claim in claims} == {
        "half-is-more": "SUPPORTED",
        "third-is-more": "CONTRADICTED",
        "halves-agree": "SUPPORTED",
        "one-half-is-more": "INCONCLUSIVE",
        "lines-count-alike": "SUPPORTED",
        "all-languages": "NOT TESTED",
    }


def test_two_tables_cannot_show_one_number_for_two() -> None:
    """Figures have names; what a second table calls the same must be the same, or the report would show either."""
    module = ModuleType("twice")
    tables = [
        Table(title="All", rows="shown", quantities=("f1",)),
        Table(title="Some", rows="some", quantities=("f1",)),
    ]
    module.paper = Paper("t", "a", 2024, "1", [], [], [], tables)  # type: ignore[attr-defined]
    module.evaluation = papers()["altogether"].stages["evaluation"]  # type: ignore[attr-defined]
    row = {"stage": "evaluation-1", "seed": 1, "shown": "copy", "f1": 0.5}
    assert figures_of(read(module), [{**row, "some": "copy"}])["f1/copy"].value == 0.5
    other = {"stage": "evaluation-1", "seed": 1, "some": "copy", "f1": 0.25}
    with pytest.raises(UserError, match="different figures named f1/copy"):
        figures_of(read(module), [row, other])


def test_a_seed_that_many_stages_tell_of_is_one_seed() -> None:
    """Rows of the untuned model, repeated by each stage that it stands beside, gave intervals "over 45 seeds"."""
    told = Figure(
        "recall", "recall", "", tuple((seed, seed / 10, f"s-{n}") for n in range(9) for seed in (1, 2, 3)), "seed"
    )
    once = Figure("recall", "recall", "", tuple((seed, seed / 10, "s") for seed in (1, 2, 3)), "seed")
    assert told.seeds == once.seeds == (1, 2, 3)
    assert told.interval == pytest.approx(once.interval)
    assert Figure("recall", "recall", "", tuple((1, 0.5, f"s-{n}") for n in range(9)), "seed").interval is None


def test_a_claim_that_its_level_leaves_open_is_told_apart() -> None:
    """People see the 95 % interval: one that decides, beside "inconclusive", would look like a mistake."""
    one = Compared(
        name="", quantity="recall", kind="greater", margin=0.0, margin_of="", size=None, effect=0.05,
        interval=(-0.001, 0.1), plain=(0.01, 0.09), level=0.996, p=0.004, verdict="INCONCLUSIVE",
        items="", cluster="", paired="seed", fixed="", pairs=(),
    )  # fmt: skip
    assert one.open_by_its_level
    assert not replace(one, plain=(-0.001, 0.1)).open_by_its_level
    assert not replace(one, interval=(0.01, 0.09), verdict="SUPPORTED").open_by_its_level


@pytest.mark.parametrize("name", ["index", "tiny"])
def test_a_page_has_every_claim_and_fetches_nothing(report: str, finished: Clone, name: str) -> None:
    page = (finished.root / f"report/{name}.html").read_text()
    parser = _Links()
    parser.feed(page)
    assert parser.fetched == []
    assert len(parser.ids) == len(set(parser.ids))
    assert set(parser.targets) <= set(parser.ids)
    assert "script" not in parser.tags
    assert "@import" not in page
    assert "url(" not in page
    for claim in CLAIMS:
        assert f'#claim-{claim}"' in page
        assert f'id="claim-{claim}"' in report


def test_the_paper_page_has_reasons_scale_and_predictions(report: str) -> None:
    for word in ("There are only two texts.", "The letters are few.", "1000", "came true: 3 of 3"):
        assert word in report


def test_html_from_data_is_escaped(report: str) -> None:
    assert "A half is more than a third &lt;b&gt;&amp; bold&lt;/b&gt;" in report
    assert "<b>& bold" not in report


def test_a_number_names_stage_digest_commit_and_command(report: str, finished: Clone) -> None:
    lock = yaml.safe_load((finished.root / "pipelines/quick/tiny/dvc.lock").read_text())["stages"]
    digest = lock["counted"]["outs"][0]["md5"]
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=finished.root, capture_output=True, text=True, check=True
    ).stdout
    assert digest in report
    assert commit[:12] in report
    assert "tenfold reproduce tiny --profile quick" in report
    assert "python -m tasks.running.run tasks.tiny:count" in report
    assert "texts</dd>" in report or "texts <code>" in report


@pytest.mark.parametrize("broken", ["code", "output", "claim"])
def test_no_number_without_an_unbroken_chain(done: Clone, broken: str) -> None:
    mean = read_json(done.root / "data/quick/tiny/verdicts/verdicts.json")["claims"][0]["parts"][0]["pairs"][0]["left"]
    done.tenfold("report", "--profile", "quick")
    unbroken = (done.root / PAGE).read_text()
    assert f"{mean:#.4g}" in unbroken
    assert 'class="number"' in unbroken
    if broken == "code":
        done.edit("tasks/tiny.py", lambda code: code + "\nEDITED = True\n")
    elif broken == "output":
        done.edit("data/quick/tiny/counted/metrics.json", lambda text: text.replace("0.", "1.", 1))
    else:
        done.edit("flows/tiny.py", lambda code: code.replace("margin=0.1", "margin=0.01"))
    done.tenfold("report", "--profile", "quick")
    page = (done.root / PAGE).read_text()
    assert f"{mean:#.4g}" not in page
    assert 'class="number"' not in page
    assert "The chain from the data to the verdicts is broken here" in page
    assert "up to date here: run tenfold reproduce tiny" in done.tenfold("claims", "--profile", "quick").stdout
    traced = done.tenfold("trace", "tiny/half-is-more", "--profile", "quick", check=False)
    assert traced.returncode == 1
    assert "run tenfold reproduce tiny --profile quick" in traced.stderr


def test_trace_shows_values_digests_and_commands(finished: Clone) -> None:
    said = finished.tenfold("trace", "half-is-more").stdout
    lock = yaml.safe_load((finished.root / "pipelines/quick/tiny/dvc.lock").read_text())["stages"]
    for stage in ("counted", "results", "verdicts"):
        assert lock[stage]["outs"][0]["md5"] in said
        assert lock[stage]["cmd"] in said
    pairs = read_json(finished.root / "data/quick/tiny/verdicts/verdicts.json")["claims"][0]["parts"][0]["pairs"]
    assert len(pairs) == 9
    for pair in pairs:
        assert f"{pair['left']:.4f}" in said
        assert f"{pair['right']:.4f}" in said
    assert "Student t over pairs by seed, Holm over 4 claims" in said


def test_an_unknown_claim_is_one_sentence(finished: Clone) -> None:
    ended = finished.tenfold("trace", "half-is-mor", check=False)
    assert ended.returncode == 1
    assert ended.stderr.strip() == "tenfold: There is no claim half-is-mor. Did you mean tiny/half-is-more?"


def test_claims_counts_the_predictions(finished: Clone) -> None:
    said = finished.tenfold("claims").stdout
    assert "paper, with a number: 2 supported, 1 contradicted, 1 not tested" in said
    assert "quick shows that everything works; its figures are no evidence." in said
    assert "paper, direction only: 1 inconclusive" in said
    assert "not counted, as they could not fail or were certain beforehand: 1" in said
    assert "3 of the 3 predictions on which there is a verdict came true." in said
    assert "Control planted passed" in said


@pytest.mark.parametrize("arguments", [["claims"], ["trace", "half-is-more"]])
def test_reading_verdicts_loads_nothing_heavy(finished: Clone, arguments: list[str]) -> None:
    code = (
        f"import sys; sys.argv = {['tenfold', *arguments]!r}\n"
        "from tools.__main__ import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print('loaded', {'torch', 'prefect', 'mlflow', 'scipy', 'matplotlib'} & set(sys.modules))"
    )
    ended = finished.run("-c", code, check=False)
    assert "SUPPORTED" in ended.stdout
    assert "loaded set()" in ended.stdout


def test_compare_shows_what_a_setting_changes(done: Clone) -> None:
    done.tenfold("reproduce", "--plain", "-S", "cleaned.keep=aeiou")
    said = done.tenfold("compare", "quick", "quick+cleaned.keep=aeiou").stdout
    assert "cleaned.keep" in said
    assert "tiny: 0 of 6 verdicts differ" in said
    assert "letters/line-0/all" in said
    wrong = done.tenfold("compare", "quick", "quack", check=False)
    assert wrong.returncode == 1
    assert "Did you mean quick?" in wrong.stderr


def test_a_page_in_a_browser(report: str, finished: Clone, page: Page) -> None:
    """On a telephone nothing overflows; a number opens its card; in the dark the page is dark; print unfolds tests."""
    address = (finished.root / PAGE).as_uri()
    page.goto(address)
    shoot(page, "report")
    number = page.locator(".claim details.number").first
    number.locator("summary").first.click()
    assert number.locator(".card").is_visible()
    assert "Student t over pairs by seed" in number.inner_text()
    assert number.locator("svg .pair").count() == 9, "each seed's two values are joined"
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    in_a_table = page.locator(".results details.number").first
    in_a_table.locator("summary").click()
    box = in_a_table.locator(".card").bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shoot(page, "report-phone")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert page.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill") != "rgb(0, 0, 0)"
    page.goto(f"{address}#n-letters-line-0-all")
    assert page.locator("#n-letters-line-0-all").is_visible(), "a link to a number opens its card"
    page.goto("about:blank")
    page.goto(address)
    page.emulate_media(media="print")
    assert page.locator("details[open]").count() == 0
    for unfolded in (".claim .card", ".stage"):
        assert page.locator(unfolded).first.is_visible(), f"{unfolded} is not printed"
    assert not page.locator("aside").is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"


def test_the_front_page_in_a_browser(report: str, finished: Clone, page: Page) -> None:
    """Claims are told apart by the filters, each lies where its interval says, and leads to its page."""
    page.goto((finished.root / "report/index.html").as_uri())
    rows = page.locator(".forest .row:not(.heading)")
    assert rows.count() == len(CLAIMS)
    page.locator("label:has(#verdict-contradicted)").click()
    shown = [row for row in rows.all() if row.is_visible()]
    assert [row.locator(".says a").inner_text() for row in shown] == ["A third is more than a half"]
    assert [group.is_visible() for group in page.locator(".group").all()].count(True) == 1, "an empty group is shown"
    strip = shown[0].locator(".strip")
    dot, edge = strip.locator(".dot").bounding_box(), strip.locator(".edge").bounding_box()
    assert dot
    assert edge
    assert dot["x"] + dot["width"] < edge["x"], "what is contradicted lies on the other side of the edge"
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shoot(page, "report-front")
    shown[0].locator(".says a").click()
    assert page.url.endswith("tiny.html#claim-third-is-more")
    assert page.locator("#claim-third-is-more").is_visible()


def test_the_report_is_written_where_it_is_asked_for(finished: Clone, tmp_path: Path) -> None:
    finished.tenfold("report", "tiny", "--out", str(tmp_path / "here"))
    assert "Which claims hold?" in (tmp_path / "here/index.html").read_text()
    assert (tmp_path / "here/tiny.html").exists()


def test_the_served_report_answers_this_machine_alone(finished: Clone, tmp_path: Path) -> None:
    """A page elsewhere that names our address as its own must read nothing."""
    serving = finished.start("report", "tiny", "--out", str(tmp_path / "here"), "--serve", "--port", "0")
    assert serving.stdout
    address = next(line.split()[1] for line in serving.stdout if line.startswith("Report:"))
    try:
        with urlopen(address) as answer:
            assert b"Which claims hold?" in answer.read()
        with pytest.raises(HTTPError, match="403"):
            urlopen(Request(address, headers={"Host": "elsewhere.example"}))
    finally:
        serving.send_signal(2)
        assert serving.wait(60) == 0
