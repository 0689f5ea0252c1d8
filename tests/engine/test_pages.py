"""What people see in a browser: the MLflow page of an experiment, in headless Chromium."""

from collections.abc import Iterator

import pytest
from conftest import Clone, opened_pages, own_environment, shoot
from playwright.sync_api import Page

from flows.engine.server import free_port


@pytest.fixture(scope="module")
def shown(finished: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The clone whose pages are open."""
    return finished.copy(tmp_path_factory.mktemp("pages") / "clone")


@pytest.fixture(scope="module")
def pages(shown: Clone) -> Iterator[dict[str, str]]:
    """The links that `tenfold ui` prints."""
    with opened_pages(shown) as links:
        yield links


def test_pages_that_are_open_are_named_to_who_opens_them_again(pages: dict[str, str], shown: Clone) -> None:
    """A second one on other ports, when it was closed, took away what the first one's `prefect` command needs."""
    ports = ("--mlflow-port", str(free_port()), "--prefect-port", str(free_port()))
    ended = Clone(shown.root, own_environment()).tenfold("ui", *ports, check=False)
    assert ended.returncode == 1
    assert len(ended.stderr.strip().splitlines()) == 1
    assert f"are open already at {pages['mlflow'].partition('#')[0]}: use them" in ended.stderr
    assert (shown.root / ".tenfold/prefect.env").exists()


def test_the_experiment_page_says_what_it_shows(pages: dict[str, str], page: Page) -> None:
    page.goto(pages["mlflow"])
    page.get_by_role("link", name="tiny", exact=True).first.click(timeout=90_000)
    page.get_by_text("quick 2").first.wait_for(timeout=60_000)
    shoot(page, "mlflow-experiment")
    page.get_by_text("quick 2").first.click()
    page.get_by_text("letters/line-0/all").first.wait_for(timeout=60_000)
    page.get_by_text("verdicts/number/supported").first.wait_for(timeout=60_000)
    shoot(page, "mlflow-run")
    page.get_by_text("Artifacts").first.click()
    page.get_by_text("report.html").first.click(timeout=60_000)
    page.frame_locator("iframe").get_by_role("heading", name="Counting letters").wait_for(timeout=60_000)
    shoot(page, "mlflow-report")


def test_the_pages_show_arms_and_registered_models(pages: dict[str, str], page: Page) -> None:
    """The arms' charts are one click away, and a model's page has what it reads."""
    page.goto(pages["mlflow"])
    page.get_by_role("link", name="tiny arms", exact=True).first.click(timeout=90_000)
    page.get_by_text("line-0 (quick)").first.wait_for(timeout=60_000)
    page.locator("label:has(input[type=radio])").nth(1).click()  # of list, charts and artifacts
    page.get_by_text("letters/all").first.wait_for(timeout=60_000)
    shoot(page, "mlflow-arms")
    page.goto(pages["mlflow"].partition("/?")[0] + "/#/models")
    page.get_by_text("tiny-line").first.wait_for(timeout=60_000)
    page.wait_for_timeout(1000)
    assert page.get_by_role("dialog").count() == 0, "an advertisement lies over the models"
    page.goto(pages["mlflow"].partition("/?")[0] + "/#/models/tiny-line/versions/1")
    page.get_by_text("quick-seed-").first.wait_for(timeout=60_000)
    page.get_by_text("Schema").first.wait_for(timeout=60_000)
    shoot(page, "mlflow-model")


def test_the_prefect_page_asks_its_own_server(pages: dict[str, str], page: Page) -> None:
    """A page that asks the default port shows no runs and an error."""
    page.goto(pages["prefect"])
    origin = pages["prefect"].partition("/?")[0]
    assert page.evaluate("fetch('/ui-settings').then(answer => answer.json())")["api_url"] == origin + "/api"


def test_the_prefect_page_shows_the_verdicts(done: Clone, page: Page) -> None:
    done.edit("flows/tiny.py", lambda code: code.replace("margin=0.1, margin_of", "margin=0.11, margin_of"))
    done.tenfold("reproduce")  # what has run before may have told the server of another worker
    origin = done.environment["PREFECT_API_URL"].removesuffix("/api")
    page.goto(f"{origin}/?token={done.environment['PREFECT_API_AUTH_STRING'].partition(':')[2]}")
    page.goto(origin + "/artifacts")
    page.get_by_text("tiny-results").first.click(timeout=90_000)
    page.locator("a[href*='/artifacts/artifact/']").first.click(timeout=60_000)
    page.get_by_text("CONTRADICTED").first.wait_for(timeout=60_000)
    shoot(page, "prefect-verdicts")
