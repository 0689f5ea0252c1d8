"""Temporary clones in which the engine runs for real, on a paper small enough for a test."""

import fcntl
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from flows.engine.server import free_port

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    # A worker a core, as stages run: threads that wait for each other spin, and twice the CPU seconds go by.
    os.environ.setdefault(_name, "1")

if TYPE_CHECKING:
    from minis import Minis
    from playwright.sync_api import Browser, Page
    from world import Oracle

    from mlflow import MlflowClient

ROOT = Path(__file__).resolve().parent.parent
PAPER = Path(__file__).parent / "tiny"
"""A paper with a stage of every kind: `paper.py` goes to flows/, the others to tasks/."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what runs the engine for real, which takes longest: otherwise one worker waits for it at the end."""
    items.sort(key=lambda item: item.path.parent.name not in ("cluster", "engine", "faults", "running"))


@dataclass
class Clone:
    """A checkout of this repository's files with its own record, cache and tracking store."""

    root: Path
    environment: dict[str, str]

    def tenfold(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "tools", *arguments, check=check)

    def dvc(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "dvc", *arguments, check=check)

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [sys.executable, *arguments], cwd=self.root, env=self.environment, capture_output=True, text=True
        )
        if check:
            assert ended.returncode == 0, f"{arguments}\n{ended.stdout}\n{ended.stderr}"
        return ended

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a tenfold command and go on; its output can be read line by line."""
        return subprocess.Popen(
            [sys.executable, "-m", "tools", *arguments],
            cwd=self.root,
            env={**self.environment, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def digests(self) -> dict[str, str]:
        """The recorded digest of every output, from the lock files alone."""
        found = {}
        for lock in [*self.root.glob("pipelines/**/dvc.lock"), *self.root.glob("dvc.lock")]:
            for stage in yaml.safe_load(lock.read_text())["stages"].values():
                found |= {out["path"]: out["md5"] for out in stage["outs"]}
        return found

    def edit(self, path: str, change: Callable[[str], str]) -> None:
        before = (self.root / path).read_text()
        after = change(before)
        assert after != before, f"the edit of {path} changes nothing"
        (self.root / path).write_text(after)

    def copy(self, to: Path) -> "Clone":
        shutil.copytree(self.root, to, symlinks=True)
        return Clone(to, self.environment)


def new_clone(to: Path, environment: dict[str, str]) -> Clone:
    """This checkout's files, uncommitted ones too, with the tiny paper in place of the real ones."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        kept = not name.startswith(("pipelines/", "tests/", "bench/")) and not name.endswith("dvc.lock")
        if kept and (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)
    for guest in [*(to / "flows").iterdir(), *(to / "tools").iterdir()]:
        if guest.name not in ("__init__.py", "__main__.py", "engine"):
            shutil.rmtree(guest) if guest.is_dir() else guest.unlink()
    shutil.copy(PAPER / "paper.py", to / "flows/tiny.py")
    shutil.copy(PAPER / "stages.py", to / "tasks/tiny.py")
    shutil.copy(PAPER / "fitting.py", to / "tasks/tiny_fitting.py")
    shutil.copytree(PAPER / "texts", to / "texts")
    shutil.copy(PAPER / "sources.yaml", to / "data/sources.yaml")
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "The tiny paper"]):
        subprocess.run([*git, *command], cwd=to, check=True)
    return Clone(to, environment)


def own_environment() -> dict[str, str]:
    """This environment without what a user may have set, and this interpreter first."""
    made = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "MLFLOW", "TENFOLD"))}
    made["PATH"] = f"{Path(sys.executable).parent}:{made['PATH']}"
    made["OMP_NUM_THREADS"] = "1"
    made.pop("PYTHONPATH", None)
    return made


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A file or folder that the first of pytest's workers to want it makes for all of them; nobody may change it."""
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    made = shared / f"{name}.made"
    with open(shared / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            make(shared / name)
            made.touch()
    return shared / name


@pytest.fixture(scope="session")
def prefect_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of Prefect's that holds nothing yet; its tables take longer to make than a server to start."""

    def make(path: Path) -> None:
        named = {
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{path}",
            "PREFECT_HOME": f"{path}.home",
        }
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
        subprocess.run(command, env=own_environment() | named, check=True, stdout=subprocess.DEVNULL)
        with sqlite3.connect(path) as database:  # no journal beside it, which a copy would lack
            database.execute("pragma wal_checkpoint(truncate)")

    return made_once(tmp_path_factory, "prefect.db", make)


def with_prefect_tables(clone: "Clone", tables: Path) -> "Clone":
    (clone.root / ".tenfold/prefect").mkdir(parents=True)
    shutil.copy(tables, clone.root / ".tenfold/prefect/prefect.db")
    return clone


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory, prefect_tables: Path) -> Iterator[dict[str, str]]:
    """The environment of every command: this interpreter first, and one Prefect server for all tests of a worker."""
    made = own_environment()
    home = with_prefect_tables(new_clone(tmp_path_factory.mktemp("prefect") / "clone", made), prefect_tables)
    keeper = subprocess.Popen(
        [sys.executable, "-c", KEEP_SERVER],
        cwd=home.root,
        env=made,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert keeper.stdin
    assert keeper.stdout
    made |= json.loads(keeper.stdout.readline())
    yield made
    keeper.stdin.close()
    keeper.wait()


KEEP_SERVER = """
import json, os, sys
from flows.engine import server
with server.prefect_server(lean=False) as address:
    server.wait_until_up(address)
    names = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_HOME")
    print(json.dumps({name: os.environ[name] for name in names}), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="session")
def untouched(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory, prefect_tables: Path) -> Clone:
    """A clone in which nothing has run; the tables of both stores exist. Copy it, do not change it."""

    def make(root: Path) -> None:
        clone = with_prefect_tables(new_clone(root, environment), prefect_tables)
        clone.tenfold("compile")
        clone.run("-c", "from tasks.running.pusher import Pusher; Pusher().push()", check=True)

    return Clone(made_once(tmp_path_factory, "untouched", make), environment)


@pytest.fixture(scope="session")
def finished(untouched: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which everything has run once, undisturbed. Copy it, do not change it."""

    def make(root: Path) -> None:
        clone = untouched.copy(root)
        clone.tenfold("reproduce")
        # On a machine that is busy, MLflow may not have got all by then.
        wait_for(lambda: not list(root.glob(".tenfold/tracking/2*")), "the push of what was said")

    made = made_once(tmp_path_factory, "finished", make)
    # Commands that read it leave notes in it, and so each worker has its own.
    return Clone(made, untouched.environment).copy(tmp_path_factory.mktemp("finished") / "clone")


@pytest.fixture
def clone(untouched: Clone, tmp_path: Path) -> Clone:
    """A clone of the test's own, in which nothing has run."""
    return untouched.copy(tmp_path / "clone")


@pytest.fixture
def done(finished: Clone, tmp_path: Path) -> Clone:
    """A clone of the test's own, in which everything has run."""
    return finished.copy(tmp_path / "clone")


@contextmanager
def opened_pages(clone: Clone) -> Iterator[dict[str, str]]:
    """`tenfold ui` as a user starts it, on free ports: the links that it prints, by "mlflow" and "prefect"."""
    environment = {name: value for name, value in clone.environment.items() if not name.startswith("PREFECT")}
    process = Clone(clone.root, environment).start(
        "ui", "--mlflow-port", str(free_port()), "--prefect-port", str(free_port())
    )
    assert process.stdout
    found: dict[str, str] = {}
    lines = []
    for line in process.stdout:
        lines.append(line)
        name, _, address = line.partition(":")
        found[name.lower()] = address.strip()
        if "Ctrl-C" in line:
            break
    assert "prefect" in found, lines
    try:
        yield found
    finally:
        process.send_signal(2)
        assert process.wait(60) == 0


@pytest.fixture(scope="session")
def minis(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Minis]":
    """What makes checkouts for the tests of faults, in which a reproduction takes tenths of a second."""
    from minis import Minis

    made = Minis(tmp_path_factory.mktemp("minis"), own_environment())
    yield made
    made.close()


@pytest.fixture(scope="session")
def oracle(minis: "Minis") -> "Oracle":
    """What undisturbed reproductions of the minis give."""
    from world import Oracle

    return Oracle(minis)


@pytest.fixture(scope="session")
def tracked_minis(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Minis]":
    """The same for reproductions with Prefect and MLflow, which take seconds."""
    from minis import Minis

    made = Minis(tmp_path_factory.mktemp("tracked"), environment, tracked=True)
    yield made
    made.close()


def client_of(clone: Clone) -> "MlflowClient":
    """MLflow's client for a clone's store, in this process: each other one would import MLflow anew."""
    from mlflow import MlflowClient

    return MlflowClient(clone.environment.get("MLFLOW_TRACKING_URI", f"sqlite:///{clone.root}/mlflow/mlflow.db"))


def runs_of(clone: Clone) -> dict[str, list[dict[str, Any]]]:
    """All that MLflow holds of each run, by experiment."""
    client = client_of(clone)
    found: dict[str, list[dict[str, Any]]] = {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            one = {"name": run.info.run_name, "status": run.info.status, "id": run.info.run_id}
            one |= {"tags": run.data.tags, "params": run.data.params, "metrics": run.data.metrics}
            one |= {"folder": run.info.artifact_uri, "about": experiment.tags.get("mlflow.note.content", "")}
            one["took"] = (run.info.end_time or 0) - run.info.start_time
            one["curve"] = [metric.step for metric in client.get_metric_history(run.info.run_id, "loss")]
            one["inputs"] = {each.dataset.name: each.dataset.digest for each in run.inputs.dataset_inputs}
            one["files"] = [file.path for file in client.list_artifacts(run.info.run_id)]
            found.setdefault(experiment.name, []).append(one)
    return found


CLOCKED = ("clocked", "results", "report")
"""What holds a time measured against the clock, so that its bytes differ each time."""


def comparable(clone: Clone) -> dict[str, str]:
    """The recorded digests of what gives the same bytes each time."""
    return {path: digest for path, digest in clone.digests().items() if not path.endswith(CLOCKED)}


def begun_to_clean(clone: Clone) -> subprocess.Popen[str]:
    """A reproduction of a clone in which all is done, at the moment when the only stage that has to run has begun.

    It sleeps for as long as whatever is to happen to it may take.
    """
    clone.edit("flows/tiny.py", lambda code: code.replace("milliseconds=400", "milliseconds=100_000"))
    spool = clone.root / ".tenfold/tracking"
    before = {*spool.glob("2*/*.jsonl")}
    process = clone.start("reproduce")
    began = '"stage": "cleaned"'
    wait_for(
        lambda: any(began in path.read_text() for path in {*spool.glob("2*/*.jsonl")} - before), "the stage's beginning"
    )
    return process


def newest_statuses(clone: Clone) -> dict[str, str]:
    """The status of the last run of each stage of the tiny paper, and of its last "reproduction"."""
    runs = reversed(runs_of(clone)["tiny"])
    return {"reproduction" if run["name"].startswith("quick ") else run["name"]: run["status"] for run in runs}


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 240) -> Any:
    """The first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds} s")


@pytest.fixture
def ssh_server(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A real OpenSSH server on loopback, with a key of its own: its port and the client's key."""
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    for key in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
    shutil.copy(folder / "client.pub", folder / "authorized_keys")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    Path("/run/sshd").mkdir(exist_ok=True)
    config = folder / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized_keys\n"
        f"PidFile {folder}/pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n"
        f"SetEnv TENFOLD_TEST_COMPUTED={os.devnull} TMPDIR={tmp_path}\nSubsystem sftp internal-sftp\n"
    )
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(config)], stderr=subprocess.DEVNULL)

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for(answers, "the SSH server's start")
    yield port, folder / "client"
    server.terminate()
    server.wait()


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


LISTED_SKIPS = {
    "test_the_real_npm_packs_a_local_package",
    "test_fed_rags_loss_does_not_reach_its_retriever",
    "test_a_reproduction_on_slurm",
    "test_a_host_behind_a_slow_link_that_is_cut",
}
"""Tests that may be skipped where what they need is missing (npm; a package of somebody else's that is no dependency;
apt, to bring Slurm; root, to make network namespaces); any other skip fails the run."""


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    skipped = {report.nodeid.rpartition("::")[2].partition("[")[0] for report in reporter.stats.get("skipped", [])}
    if unlisted := skipped - LISTED_SKIPS:
        reporter.write_line(f"Skipped but not listed in tests/conftest.py: {', '.join(sorted(unlisted))}", red=True)
        session.exitstatus = 1


# The browser

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SHOTS = os.environ.get("TENFOLD_SHOTS")
"""A folder to keep screenshots in, for a person to look at."""


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Debian's Chromium, which the tests need as they need git; started once for all tests of a file."""
    from playwright.sync_api import sync_playwright

    browser_path = shutil.which("chromium")
    assert browser_path, "install chromium (apt-get install chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: "Browser") -> "Iterator[Page]":
    """A page of a person with nothing stored in the browser yet."""
    page = browser.new_page(viewport={"width": 1500, "height": 950})
    yield page
    page.context.close()


def shoot(page: "Page", name: str) -> None:
    if SHOTS:
        page.wait_for_timeout(1500)
        page.screenshot(path=Path(SHOTS) / f"{name}.png")
