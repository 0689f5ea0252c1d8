"""What Prefect and MLflow are told of stages that ran elsewhere."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from conftest import Clone, runs_of
from farm import Farm, Forks, alone, forks, mini, run, same, wait_for, where

__all__ = ["alone", "forks", "mini"]
pytestmark = pytest.mark.slow


def test_a_tracked_paper_on_two_workers(untouched: Clone, finished: Clone, forks: Forks, tmp_path: Path) -> None:
    """The record, the claims' register, the runs and their curves are those of one machine, and logs come along."""
    farm = Farm(tmp_path, untouched, forks)
    try:
        farm.go_on()
        for name in ("a", "b"):
            farm.worker(name)
        wait_for(lambda: farm.names() == {"a", "b"}, "both workers")
        driver = farm.driver()
        running = farm.begin(driver, "reproduce", "--cluster", farm.address)
        assert running.ended() == 0, running.said()
        said = running.said()
        same(driver, finished)
        assert set(where(said).values()) == {"a", "b"}, said
        register = "pipelines/quick/tiny/registered.json"
        assert (driver.root / register).read_text() == (finished.root / register).read_text()
        wait_for(lambda: not list(driver.root.glob(".tenfold/tracking/2*")), "the push of what was said")
        runs = {each["name"]: each for each in runs_of(driver)["tiny"]}
        parent = next(each for name, each in runs.items() if name.startswith("quick "))
        assert runs["line-0"]["status"] == parent["status"] == "FINISHED"
        assert runs["line-0"]["tags"]["host"] == where(said)["quick/tiny/line-0"]
        assert len(runs["line-0"]["curve"]) > 2, "the curve came along"
        table = json.loads(next((driver.root / "mlflow/artifacts").rglob("stages.json")).read_text())
        assert {"host", "queue", "transfer", "run"} <= set(table["columns"])
        lines = prefect_lines(driver, runs["line-0"]["tags"]["prefect_flow_run"])
        assert any(line.startswith(("a: ", "b: ")) for line in lines), lines
        assert "Nothing to do" in run(forks, driver, "reproduce")
    finally:
        farm.close()


def prefect_lines(clone: Clone, flow_run: str) -> list[str]:
    """What Prefect has of the logs of a flow run."""
    asked = urllib.request.Request(
        f"{clone.environment['PREFECT_API_URL']}/logs/filter",
        data=json.dumps({"logs": {"flow_run_id": {"any_": [flow_run]}}}).encode(),
        headers={"Content-Type": "application/json"},
    )
    if given := clone.environment.get("PREFECT_API_AUTH_STRING"):
        from base64 import b64encode

        asked.add_header("Authorization", f"Basic {b64encode(given.encode()).decode()}")
    with urllib.request.urlopen(asked) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return [line["message"] for line in found]
