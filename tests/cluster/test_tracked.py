"""What Prefect and MLflow are told of stages that ran elsewhere, in stores of this repository's and in Postgres."""

import json
import os
import pwd
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Clone, runs_of
from farm import Farm, Forks, Machine, alone, forks, mini, run, same, wait_for, where

from flows.engine.server import answers, free_port

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


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A Postgres of Debian's on loopback, with databases for both stores: where it is, as user@host:port."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("there is no Postgres (apt-get install postgresql)")
    folder.mkdir()
    user: dict[str, Any] = {}
    if os.getuid() == 0:  # as which it will not run
        nobody = pwd.getpwnam("postgres")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        for parent in folder.parents:
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o001)
        user = {"user": "postgres"}
    data, port = folder / "data", free_port()
    made = [str(programs[-1] / "initdb"), "-D", str(data), "-U", "tenfold", "-A", "trust"]
    subprocess.run(made, cwd=folder, check=True, capture_output=True, **user)
    server = subprocess.Popen(
        [str(programs[-1] / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user,
    )  # fmt: skip
    try:
        found = f"tenfold@127.0.0.1:{port}"
        for name in ("prefect", "mlflow"):
            wait_for(lambda name=name: psql(found, "postgres", f"create database {name}") is not None, "Postgres")
        yield found
    finally:
        server.terminate()
        server.wait()


def psql(at: str, database: str, command: str) -> str | None:
    """What Postgres answers; None where it does not."""
    asked = ["psql", "-qtA", f"postgresql://{at}/{database}", "-c", command]
    ended = subprocess.run(asked, capture_output=True, text=True)
    return ended.stdout.strip() if ended.returncode == 0 else None


def test_both_stores_in_postgres(forks: Forks, mini: Clone, alone: Clone, tmp_path: Path) -> None:
    """Prefect's server and MLflow's client are told by their own settings, and no SQLite file is made."""
    with postgres(tmp_path / "postgres") as database:
        prefect = free_port()
        settings = {
            "PREFECT_HOME": str(tmp_path / "prefect"),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{database}/prefect",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--port", str(prefect), "--no-ui"],
            env=mini.environment | settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_for(lambda: answers(f"http://127.0.0.1:{prefect}/api/health"), "Prefect's server")
            clone = mini.copy(tmp_path / "clone")
            told = {
                "PREFECT_API_URL": f"http://127.0.0.1:{prefect}/api",
                "MLFLOW_TRACKING_URI": f"postgresql://{database}/mlflow",
                "MLFLOW_ARTIFACT_ROOT": str(tmp_path / "artifacts"),
                "TENFOLD_TEST_COMPUTED": os.devnull,
            }
            machine = Machine(forks, clone, "reproduce", environment=told)
            assert machine.ended() == 0, machine.said()
            same(clone, alone)
            wait_for(lambda: not list(clone.root.glob(".tenfold/tracking/2*")), "the push of what was said")
            assert psql(database, "prefect", "select count(*) from flow_run where state_type = 'COMPLETED'") == "1"
            running = psql(database, "prefect", "select count(*) from task_run where state_type != 'COMPLETED'")
            assert running == "0"
            finished = psql(database, "mlflow", "select status, count(*) from runs group by status")
            assert finished is not None
            assert finished.startswith("FINISHED|")
            assert "\n" not in finished, "no run is left in another state"
            assert not (clone.root / "mlflow/mlflow.db").exists()
            assert not list(clone.root.glob(".tenfold/prefect/*.db"))
        finally:
            server.terminate()
            server.wait()
