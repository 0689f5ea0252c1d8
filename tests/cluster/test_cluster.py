"""Reproductions on other machines: processes in checkouts of their own, which share a DVC remote and nothing else."""

import getpass
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import Clone, comparable, own_environment, runs_of
from conftest import wait_for as wait_for_so_long
from farm import PATIENCE, PATIENT, Farm, Machine, farm, set_remote, where
from minis import new_mini

from flows.engine.cluster import turns
from flows.engine.cluster.settings import read
from tasks.base.errors import UserError
from tasks.running.digests import Digests

wait_for = partial(wait_for_so_long, seconds=PATIENCE)
HOLD = """
    if hold := os.environ.get("TENFOLD_TEST_HOLD"):
        (Path(hold) / f"{out.name.strip('.').removesuffix('.partial')}.{os.getpid()}").touch()
        while not (Path(hold) / "go").exists():
            time.sleep(0.02)
"""
"""Lets a stage wait in the middle until the test says that it may go on."""


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A checkout of the mini's paper, in which drawing can be held up. Copy it, do not change it."""
    made = new_mini(tmp_path_factory.mktemp("cluster") / "mini", own_environment())
    made.edit("tasks/mini.py", lambda code: code.replace(
        'def draw(*, cleaned: Path, config: Drawing, out: Path) -> None:\n'
        '    """Draw bytes by chance, from the texts and the seed: as good as a training, and over at once."""\n'
        '    _note(out)\n',
        'def draw(*, cleaned: Path, config: Drawing, out: Path) -> None:\n    _note(out)\n' + HOLD,
    ))  # fmt: skip
    # What measures would wait for those that are held up, and keep others from beginning: here it comes after them.
    clocked = 'clocked = Stage(mini.clock, inputs={"cleaned": cleaned}, config=mini.Counting(), kind="measure")\n'
    made.edit("flows/mini.py", lambda code: code.replace(clocked, "").replace(
        "half = counted", f"{clocked.replace(': cleaned', ': counted')}half = counted", 1
    ))  # fmt: skip
    made.tenfold("compile")
    return made


@pytest.fixture(scope="session")
def alone(mini: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The same, reproduced on one machine."""
    made = mini.copy(tmp_path_factory.mktemp("alone") / "mini")
    made.environment = {**made.environment, "TENFOLD_TEST_COMPUTED": os.devnull}
    made.tenfold("reproduce", "--plain")
    return made


class Minifarm(Farm):
    """A farm on which it is known how often each stage was computed where, and when drawing may go on."""

    def __init__(self, folder: Path, template: Clone, *, tls: bool = False, silence: str = "60 s") -> None:
        super().__init__(folder, template, tls=tls, silence=silence)
        self.hold = folder / "hold"
        self.hold.mkdir()

    def mini_worker(self, name: str, *more: str, held: bool = True, cpus: int = 1) -> Machine:
        environment = {"TENFOLD_TEST_COMPUTED": str(self.folder / f"{name}-computed")}
        environment |= {"TENFOLD_TEST_HOLD": str(self.hold)} if held else {}
        return self.worker(name, *more, cpus=cpus, environment=environment)

    def computed(self, name: str) -> list[str]:
        path = self.folder / f"{name}-computed"
        return path.read_text().split() if path.exists() else []

    def held(self) -> list[str]:
        """The stages that wait."""
        return [path.name for path in self.hold.iterdir() if path.name != "go"]

    def go_on(self) -> None:
        (self.hold / "go").touch()


@pytest.fixture
def minifarm(mini: Clone, tmp_path: Path) -> Iterator[Minifarm]:
    made = Minifarm(tmp_path, mini)
    yield made
    made.close()


def same(clone: Clone, other: Clone) -> None:
    """What a machine elsewhere gave is what this one gives, in the record and on the disk."""
    assert comparable(clone) == comparable(other)
    for path, digest in clone.digests().items():
        assert Digests(fresh=True).digest(str(clone.root / path)) == digest, path


def test_a_paper_on_two_workers_gives_the_digests_of_one_machine(
    untouched: Clone, finished: Clone, tmp_path: Path
) -> None:
    """With Prefect and MLflow: the record, the claims' register, the runs and their curves are those of one machine."""
    with farm(tmp_path, untouched) as here:
        here.worker("a")
        here.worker("b")
        driver = here.clone("driver")
        said = here.driven(driver)
        same(driver, finished)
        assert set(where(said).values()) == {"a", "b"}, said
        register = "pipelines/quick/tiny/registered.json"
        assert (driver.root / register).read_text() == (finished.root / register).read_text()
        runs = {run["name"]: run for run in runs_of(driver)["tiny"]}
        parent = next(run for name, run in runs.items() if name.startswith("quick "))
        assert runs["line-0"]["status"] == parent["status"] == "FINISHED"
        assert runs["line-0"]["tags"]["host"] == where(said)["quick/tiny/line-0"]
        assert len(runs["line-0"]["curve"]) > 2, "the curve came along"
        table = json.loads(next((driver.root / "mlflow/artifacts").rglob("stages.json")).read_text())
        assert {"host", "queue", "transfer", "run"} <= set(table["columns"])
        assert "Nothing to do" in driver.tenfold("reproduce").stdout
        assert "what the record says" in driver.tenfold("verify").stdout
        committed = [path for path in driver.root.glob("pipelines/**/*") if path.is_file()]
        assert not any("127.0.0.1" in path.read_text() for path in committed), "no machine is named there"


def test_a_killed_workers_stage_alone_runs_again_elsewhere(minifarm: Minifarm, alone: Clone) -> None:
    victim = minifarm.mini_worker("a")
    minifarm.mini_worker("b")
    driver = minifarm.clone("driver")
    running = minifarm.drive(driver, "--plain")
    wait_for(lambda: len(minifarm.held()) == 2, "two stages that run")
    (lost,) = [name for name in minifarm.computed("a") if name.startswith("drawn")]
    victim.kill()
    wait_for(lambda: len(minifarm.held()) == 3 or minifarm.go_on(), "that it begins elsewhere")
    minifarm.go_on()
    assert running.ended() == 0, running.said()
    same(driver, alone)
    every = minifarm.computed("a") + minifarm.computed("b")
    assert {name for name in every if every.count(name) > 1} == {lost}
    assert where(running.said())[f"quick/mini/{lost}"] == "b"


def test_what_runs_when_the_driver_is_killed_is_not_lost(minifarm: Minifarm, alone: Clone) -> None:
    minifarm.mini_worker("a", cpus=2)
    driver = minifarm.clone("driver")
    running = minifarm.drive(driver, "--plain")
    wait_for(lambda: len(minifarm.held()) == 2, "two stages that run")
    running.kill()
    minifarm.go_on()
    wait_for(lambda: len(list((minifarm.remote / "runs").glob("*/*/*"))) >= 3, "what they gave is at the remote")
    said = minifarm.driven(driver, "--plain")
    assert said.count("from the cache") >= 2, said
    same(driver, alone)
    computed = minifarm.computed("a")
    assert len(computed) == len(set(computed)), "nothing was computed twice"
    register = "pipelines/quick/mini/registered.json"
    assert json.loads((driver.root / register).read_text()) == json.loads((alone.root / register).read_text())


def test_a_scheduler_that_is_killed_and_comes_back(minifarm: Minifarm, alone: Clone) -> None:
    minifarm.mini_worker("a")
    minifarm.mini_worker("b")
    driver = minifarm.clone("driver")
    running = minifarm.drive(driver, "--plain")
    wait_for(lambda: len(minifarm.held()) == 2, "two stages that run")
    minifarm.scheduler.kill()
    running.says("has gone")
    minifarm.schedule()
    minifarm.go_on()
    assert running.ended() == 0, running.said()
    same(driver, alone)


def test_a_scheduler_that_stays_away_is_named(minifarm: Minifarm) -> None:
    minifarm.mini_worker("a")
    driver = minifarm.clone("driver")
    running = minifarm.drive(driver, "--plain", environment={"TENFOLD_CLUSTER_PATIENCE": "30"})
    wait_for(minifarm.held, "a stage that runs")
    minifarm.scheduler.kill()
    assert running.ended() == 1
    assert "has gone" in running.said()
    assert "Traceback" not in running.said()


def test_a_host_that_goes_silent(mini: Clone, alone: Clone, tmp_path: Path) -> None:
    minifarm = Minifarm(tmp_path, mini, silence="10 s")
    try:
        check_silence(minifarm, alone)
    finally:
        minifarm.close()


def check_silence(minifarm: Minifarm, alone: Clone) -> None:
    silent = minifarm.mini_worker("a")
    minifarm.mini_worker("b")
    driver = minifarm.clone("driver")
    running = minifarm.drive(driver, "--plain")
    wait_for(lambda: len(minifarm.held()) == 2, "two stages that run")
    silent.signal(signal.SIGSTOP)
    minifarm.go_on()
    assert running.ended() == 0, running.said()
    same(driver, alone)
    silent.signal(signal.SIGCONT)
    same(driver, alone)


def test_a_remote_that_is_away_for_a_while(minifarm: Minifarm, alone: Clone) -> None:
    minifarm.mini_worker("a", cpus=2)
    driver = minifarm.clone("driver")
    running = minifarm.drive(driver, "--plain")
    wait_for(lambda: len(minifarm.held()) == 2, "two stages that run")
    minifarm.remote.rename(minifarm.folder / "away")
    minifarm.go_on()
    time.sleep(4)
    assert not minifarm.remote.exists(), "nobody takes a folder that is away for an empty remote"
    (minifarm.folder / "away").rename(minifarm.remote)
    assert running.ended() == 0, running.said()
    same(driver, alone)


def test_a_damaged_object_at_the_remote_is_sent_again(minifarm: Minifarm, alone: Clone) -> None:
    minifarm.mini_worker("a", held=False)
    driver = minifarm.clone("driver")
    minifarm.driven(driver, "--plain")
    for path in (minifarm.remote / "files").rglob("*"):
        if path.is_file():
            os.chmod(path, 0o644)
            path.write_bytes(b"damaged")
    other = minifarm.clone("other")
    shutil.rmtree(minifarm.folder / "a/.dvc/cache")
    shutil.rmtree(minifarm.remote / "runs")
    minifarm.driven(other, "--plain")
    same(other, alone)


def test_two_drivers_share_each_computation(minifarm: Minifarm, alone: Clone) -> None:
    minifarm.mini_worker("a", cpus=2)
    drivers = [minifarm.clone("first"), minifarm.clone("second")]
    running = [minifarm.drive(clone, "--plain") for clone in drivers]
    wait_for(lambda: len(minifarm.held()) == 2, "two stages that run")
    time.sleep(3)
    minifarm.go_on()
    for machine in running:
        assert machine.ended() == 0, machine.said()
    for clone in drivers:
        same(clone, alone)
    computed = [name for name in minifarm.computed("a") if name.startswith("drawn")]
    assert len(computed) == len(set(computed)) == 2


def test_an_interrupt_ends_what_nobody_else_waits_for(minifarm: Minifarm, alone: Clone) -> None:
    worker = minifarm.mini_worker("a", cpus=2)
    driver = minifarm.clone("driver")
    running = minifarm.drive(driver, "--plain")
    wait_for(lambda: len(minifarm.held()) == 2, "two stages that run")
    stages = [int(name.rpartition(".")[2]) for name in minifarm.held()]
    running.signal(signal.SIGINT)
    assert running.ended() == 130
    assert "the same command goes on from here" in running.said()
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in stages), "their end")
    assert worker.process.poll() is None
    minifarm.go_on()
    minifarm.driven(driver, "--plain")
    same(driver, alone)


def test_a_worker_with_other_libraries_gets_nothing(minifarm: Minifarm, alone: Clone, tmp_path: Path) -> None:
    """Its bytes might be others; who has only such workers is told at once what differs."""
    metadata = tmp_path / "older/pydantic-0.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: pydantic\nVersion: 0.1\n")
    older = {"PYTHONPATH": str(metadata.parent), "TENFOLD_TEST_COMPUTED": str(tmp_path / "old-computed")}
    minifarm.worker("old", environment=older)
    driver = minifarm.clone("driver")
    running = minifarm.drive(driver, "--plain")
    assert running.ended() == 1
    assert "old: pydantic is 0.1 there and" in running.said()
    minifarm.mini_worker("a", held=False)
    wait_for(lambda: "a" in names_at(minifarm), "the other worker")
    minifarm.driven(driver, "--plain")
    same(driver, alone)
    assert not (tmp_path / "old-computed").exists()


def names_at(minifarm: Minifarm) -> list[str]:
    code = (
        "from distributed import Client; import sys\n"
        "with Client(sys.argv[1]) as c: print([w['name'] for w in c.scheduler_info(-1)['workers'].values()])"
    )
    printed = Clone(minifarm.folder / "scheduler", minifarm.environment).run("-c", code, minifarm.address).stdout
    return list(json.loads(printed.replace("'", '"')))


def test_what_no_worker_can_take_is_said_at_once(minifarm: Minifarm) -> None:
    minifarm.mini_worker("a", held=False)
    driver = minifarm.clone("driver")
    driver.edit("flows/mini.py", lambda code: code.replace(
        'each={"seed": (0, 1)},', 'each={"seed": (0, 1)},\n    needs=Needs(gpu=1),'
    ).replace("import Claim,", "import Needs, Claim,"))  # fmt: skip
    driver.tenfold("compile", "--check")
    running = minifarm.drive(driver, "--plain")
    assert running.ended() == 1
    assert "No worker can take mini/drawn-0, which needs 1 cpu, 1 gpu. a: it has gpu 0 of 1." in running.said()
    assert minifarm.computed("a") == []


def test_a_full_disk_on_one_worker_sends_the_stage_to_another(minifarm: Minifarm, mini: Clone, alone: Clone) -> None:
    """A limit on the size of a file says the same as a full disk."""
    full = minifarm.mini_worker("full", held=False)
    subprocess.run(["prlimit", "--pid", str(full.process.pid), "--fsize=60000"], check=True)
    driver = minifarm.clone("driver")
    driver.edit("flows/mini.py", lambda code: code.replace("length=1000", "length=300000"))
    running = minifarm.drive(driver, "--plain")
    running.says("drawn-0 did not end on full")
    minifarm.mini_worker("roomy", held=False)
    assert running.ended() == 0, running.said()
    assert "drawn-0" in minifarm.computed("roomy")


def test_nothing_listens_beyond_loopback(minifarm: Minifarm) -> None:
    worker = minifarm.mini_worker("a", held=False)
    wait_for(lambda: listening(worker.process.pid), "that it listens")
    found = listening(worker.process.pid) + listening(minifarm.scheduler.process.pid)
    assert set(found) == {"127.0.0.1"}


def listening(pid: int) -> list[str]:
    return [each.laddr.ip for each in psutil.Process(pid).net_connections() if each.status == psutil.CONN_LISTEN]


def test_plain_tcp_beyond_loopback_is_refused(mini: Clone) -> None:
    """Dask runs whatever it is sent."""
    for command in (
        ("worker", "tcp://10.1.2.3:8786"),
        ("reproduce", "--plain", "--cluster", "tcp://10.1.2.3:8786"),
    ):
        ended = mini.tenfold(*command, check=False)
        assert ended.returncode == 1
        assert "is plain TCP, over which anybody in that network could run code here" in ended.stderr
    ended = mini.tenfold("scheduler", "--host", "10.1.2.3", check=False)
    assert ended.returncode == 1
    assert "has no certificates" in ended.stderr


def test_a_remote_that_is_not_configured_is_named(minifarm: Minifarm) -> None:
    driver = minifarm.clone("driver")
    (driver.root / ".dvc/config.local").unlink()
    (driver.root / ".dvc/config").write_text("[core]\n    analytics = false\n")
    ended = driver.tenfold("reproduce", "--plain", "--cluster", minifarm.address, check=False)
    assert ended.returncode == 1
    assert "dvc remote add" in ended.stderr
    set_remote(driver, str(minifarm.remote))


def test_tls_lets_in_who_has_the_certificate_and_nobody_else(mini: Clone, alone: Clone, tmp_path: Path) -> None:
    made = Minifarm(tmp_path, mini, tls=True)
    try:
        made.mini_worker("a", held=False)
        stranger = mini.copy(tmp_path / "stranger")
        stranger.tenfold("certificates")
        made.begin(stranger, "worker", made.address, "--name", "stranger")
        driver = made.clone("driver")
        said = made.driven(driver, "--plain")
        same(driver, alone)
        assert set(where(said).values()) == {"a"}
        for address in (made.address, made.address.replace("tls", "tcp")):
            ended = made.begin(stranger, "reproduce", "--plain", "--cluster", address)
            assert ended.ended() == 1
            assert "No scheduler answers" in ended.said()
        key = driver.root / ".tenfold/certificates/key.pem"
        key.chmod(0o644)
        refused = driver.tenfold("reproduce", "--plain", "--cluster", made.address, "-S", "cleaned.keep=3", check=False)
        assert refused.returncode == 1
        assert "Others may read" in refused.stderr
    finally:
        made.close()


def test_hosts_by_ssh_with_a_remote_by_ssh(
    mini: Clone, alone: Clone, tmp_path: Path, ssh_server: tuple[int, Path]
) -> None:
    """The workers are started by the driver, in checkouts that only SSH leads to, and end with it."""
    port, key = ssh_server
    url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{tmp_path}/remote"
    clones = {name: mini.copy(tmp_path / name) for name in ("driver", "a", "b")}
    for clone in clones.values():
        clone.environment = {**clone.environment, **PATIENT}
        set_remote(clone, url, keyfile=str(key))
    login = f"-p {port} -i {key} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null 127.0.0.1"
    hosts = [
        {"ssh": login, "folder": str(clones[name].root), "python": sys.executable, "name": name, "cpus": 1}
        for name in ("a", "b")
    ]
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump({"hosts": hosts}))
    said = clones["driver"].tenfold("reproduce", "--plain", "--cluster", str(tmp_path / "cluster.yaml")).stdout
    same(clones["driver"], alone)
    assert set(where(said).values()) == {"a", "b"}
    assert not (tmp_path / "a/data/quick").exists(), "workspaces are gone, and the checkout is as it was"
    wait_for(lambda: not [each for each in processes_in(tmp_path / "a") if "worker" in each], "the workers' end")
    assert str(key) not in said


def processes_in(folder: Path) -> list[str]:
    """The command lines of the processes that work in a folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(folder):
                found.append(" ".join(process.cmdline()))
    return found


def test_doctor_examines_a_cluster(minifarm: Minifarm) -> None:
    minifarm.mini_worker("a", held=False)
    lost = minifarm.mini_worker("lost", held=False)
    (minifarm.folder / "another").mkdir()
    set_remote(lost.clone, str(minifarm.folder / "another"))
    wait_for(lambda: {"a", "lost"} <= set(names_at(minifarm)), "the workers")
    driver = minifarm.clone("driver")
    ended = driver.tenfold("doctor", "--cluster", minifarm.address, check=False)
    assert "✓ a: remote: reads and writes it" in ended.stdout, ended.stdout
    assert "✗ lost: remote: The DVC remote store" in ended.stdout
    assert "✓ a: clock" in ended.stdout
    assert "give the checkout of lost a DVC remote store that is the same place" in ended.stderr


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hosts: []", "it names one of scheduler, hosts and slurm"),
        ("slurm: {worker: 4}", "slurm.workers: field required"),
        ("- 1", "is no YAML that describes a cluster"),
        ("hosts: [{ssh: m2}]", "hosts.0.folder: field required"),
    ],
)
def test_a_file_that_describes_no_cluster(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(sentence)):
        read(str(path))


def test_turns_on_a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others run side by side; who measures is alone, and who comes after it waits."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    order: list[str] = []
    inside = threading.Barrier(2, timeout=30)
    leave, alone_waits = threading.Event(), threading.Event()

    def beside(name: str) -> None:
        with turns.host(alone=False):
            inside.wait()
            leave.wait(30)
            order.append(name)

    def measuring() -> None:
        alone_waits.set()
        with turns.host(alone=True):
            order.append("alone")
            time.sleep(0.2)
            order.append("alone still")

    def late() -> None:
        with turns.host(alone=False):
            order.append("late")

    threads = [threading.Thread(target=beside, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    wait_for(lambda: inside.broken or inside.n_waiting == 0, "both inside")
    threads.append(threading.Thread(target=measuring))
    threads[-1].start()
    alone_waits.wait(30)
    time.sleep(0.3)
    threads.append(threading.Thread(target=late))
    threads[-1].start()
    time.sleep(0.3)
    assert order == []
    leave.set()
    for thread in threads:
        thread.join(30)
    assert sorted(order[:2]) == ["a", "b"]
    assert order[2:] == ["alone", "alone still", "late"]
