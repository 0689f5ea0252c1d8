"""Reproductions that Prefect starts from its deployments."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from urllib.request import Request, urlopen

import pytest
from conftest import Clone, comparable, read_json


@pytest.fixture
def worker(done: Clone) -> Iterator[Clone]:
    """A clone whose deployments are known to the server, with a process worker beside."""
    done.run("-m", "prefect", "--no-prompt", "work-pool", "create", "tenfold", "--type", "process", "--overwrite")
    done.run("-m", "prefect", "--no-prompt", "deploy", "--all")
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", "tenfold", "--type", "process"],
        cwd=done.root,
        env={**done.environment, "PREFECT_WORKER_QUERY_SECONDS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield done
    process.kill()  # a worker that is asked to end may wait a long time for its next poll
    process.wait()


def test_a_deployment_gives_the_same_digests(worker: Clone, finished: Clone) -> None:
    for folder in ("cleaned", "counted"):
        for path in (worker.root / "data/quick/tiny" / folder).iterdir():
            path.unlink()
    (worker.root / "pipelines/quick/tiny/dvc.lock").unlink()
    for path in (worker.root / ".dvc/cache/runs").glob("*"):
        subprocess.run(["rm", "-r", str(path)], check=True)
    run = ("-m", "prefect", "deployment", "run", "reproduce/tiny", "--watch", "--watch-interval", "1")
    assert "Completed" in worker.run(*run).stdout
    assert comparable(worker) == comparable(finished)
    assert read_json(worker.root / "data/quick/tiny/counted/metrics.json")
    assert "Completed" in worker.run(*run).stdout
    said = artifact(worker, "up-to-date")
    assert "11 stages are up to date: nothing to do." in said, "a run without tasks looks broken"


def artifact(clone: Clone, key: str) -> str:
    """The newest artifact of a name that the server has."""
    token = base64.b64encode(clone.environment["PREFECT_API_AUTH_STRING"].encode()).decode()
    address = f"{clone.environment['PREFECT_API_URL']}/artifacts/{key}/latest"
    with urlopen(Request(address, headers={"Authorization": f"Basic {token}"})) as answer:
        return str(json.load(answer)["data"])
