"""What people see in a browser: the MLflow page of an experiment, in headless Chromium."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Clone, shoot
from playwright.sync_api import Page

from flows.engine.server import free_port


@pytest.fixture
def pages(done: Clone) -> Iterator[dict[str, str]]:
    """`tenfold ui` as a user starts it, on free ports: the addresses that it prints."""
    environment = {name: value for name, value in done.environment.items() if name != "PREFECT_API_URL"}
    ports = [str(free_port()), str(free_port())]
    process = subprocess.Popen(
        [sys.executable, "-m", "tools", "ui", "--mlflow-port", ports[0], "--prefect-port", ports[1]],
        cwd=done.root,
        env={**environment, "PREFECT_HOME": str(done.root / ".tenfold/prefect")},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    found: dict[str, Any] = {}
    for line in process.stdout:
        name, _, address = line.partition(":")
        found[name.lower()] = address.strip()
        if "Ctrl-C" in line:
            break
    yield found
    process.send_signal(2)
    assert process.wait(30) == 0


def test_the_experiment_page_says_what_it_shows(pages: dict[str, str], page: Page) -> None:
    page.goto(pages["mlflow"] + "/#/experiments")
    page.get_by_text("Model training").first.click(timeout=90_000)
    page.goto(pages["mlflow"] + "/#/experiments")
    page.get_by_role("link", name="tiny", exact=True).first.click(timeout=60_000)
    page.get_by_text("quick 2").first.wait_for(timeout=60_000)
    shoot(page, "mlflow-experiment")
    page.get_by_text("quick 2").first.click()
    page.get_by_text("letters/line-0/all").first.wait_for(timeout=60_000)
    page.get_by_text("verdicts/number/supported").first.wait_for(timeout=60_000)
    shoot(page, "mlflow-run")
    page.get_by_text("Artifacts").first.click()
    page.get_by_text("report.html").first.click(timeout=60_000)
    page.frame_locator("iframe").get_by_text("Which claims hold?").wait_for(timeout=60_000)
    shoot(page, "mlflow-report")


def test_the_prefect_page_asks_its_own_server(pages: dict[str, str]) -> None:
    """A page that asks the default port shows no runs and an error."""
    with urllib.request.urlopen(pages["prefect"] + "/ui-settings") as answer:
        assert json.load(answer)["api_url"] == pages["prefect"] + "/api"


def test_the_prefect_page_shows_the_verdicts(finished: Clone, page: Page) -> None:
    page.goto(finished.environment["PREFECT_API_URL"].removesuffix("/api") + "/artifacts")
    page.get_by_text("tiny-results").first.click(timeout=90_000)
    page.locator("a[href*='/artifacts/artifact/']").first.click(timeout=60_000)
    page.get_by_text("CONTRADICTED").first.wait_for(timeout=60_000)
    shoot(page, "prefect-verdicts")
