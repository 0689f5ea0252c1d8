"""Reproductions on other machines: processes in checkouts of their own, which share a DVC remote and nothing else."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from conftest import Clone
from farm import IMPATIENT, Farm, Forks, SharedFarm, alone, forks, mini, run, same, set_remote, wait_for, where
from link import SlowLink

from flows.engine.cluster import turns
from flows.engine.cluster.settings import read
from tasks.base.errors import UserError

__all__ = ["alone", "forks", "mini"]


@pytest.fixture(scope="module")
def shared(forks: Forks, mini: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedFarm]:
    made = SharedFarm(tmp_path_factory.mktemp("farm"), mini, forks)
    yield made
    made.close()


@pytest.fixture
def farm(shared: SharedFarm) -> SharedFarm:
    """Two workers, a and b, that wait for stages, and a remote that knows of none."""
    shared.reset()
    return shared


def test_a_paper_on_two_workers_gives_the_digests_of_one_machine(farm: SharedFarm, alone: Clone) -> None:
    """Record, bytes and register of claims; and the machines are named to the user, but not in what is committed."""
    driver = farm.driver()
    running = farm.drive(driver)
    wait_for(lambda: len(farm.held()) == 2, "two stages that run")
    farm.go_on()
    assert running.ended() == 0, running.said()
    same(driver, alone)
    assert set(where(running.said()).values()) == {"a", "b"}, running.said()
    computed = farm.computed("a") + farm.computed("b")
    assert {"cleaned", "drawn-0", "drawn-1", "counted", "clocked"} == set(computed), "all of it was computed elsewhere"
    assert len(computed) == len(set(computed)), computed
    register = "pipelines/quick/mini/registered.json"
    assert (driver.root / register).read_text() == (alone.root / register).read_text()
    assert "Nothing to do" in run(farm.forks, driver, "reproduce")
    assert "what the record says" in run(farm.forks, driver, "verify")
    committed = [path for path in driver.root.glob("pipelines/**/*") if path.is_file()]
    assert not any("127.0.0.1" in path.read_text() for path in committed), "no machine is named there"


def test_a_killed_workers_stage_alone_runs_again_elsewhere(farm: SharedFarm, alone: Clone) -> None:
    driver = farm.driver()
    running = farm.drive(driver)
    wait_for(lambda: len(farm.held()) == 2, "two stages that run")
    (lost,) = [name for name in farm.computed("a") if name.startswith("drawn")]
    farm.workers["a"].kill()
    farm.go_on()
    assert running.ended() == 0, running.said()
    same(driver, alone)
    every = farm.computed("a") + farm.computed("b")
    assert {name for name in every if every.count(name) > 1} == {lost}
    assert where(running.said())[f"quick/mini/{lost}"] == "b"


def test_what_runs_when_the_driver_is_killed_is_not_lost(farm: SharedFarm, alone: Clone) -> None:
    driver = farm.driver()
    running = farm.drive(driver)
    wait_for(lambda: len(farm.held()) == 2, "two stages that run")
    running.kill()
    farm.go_on()
    wait_for(lambda: len(list((farm.remote / "runs").glob("*/*/*"))) >= 3, "what they gave is at the remote")
    said = farm.driven(driver)
    assert said.count("from the cache") >= 2, said
    same(driver, alone)
    computed = farm.computed("a") + farm.computed("b")
    assert len(computed) == len(set(computed)), "nothing was computed twice"
    register = "pipelines/quick/mini/registered.json"
    assert json.loads((driver.root / register).read_text()) == json.loads((alone.root / register).read_text())


def test_a_scheduler_that_is_killed(farm: SharedFarm, alone: Clone) -> None:
    """Who has patience goes on when it is back; who has none is told what is missing."""
    patient, impatient = farm.driver(), farm.driver()
    running = farm.drive(patient)
    wait_for(lambda: len(farm.held()) == 2, "two stages that run")
    leaving = farm.drive(impatient, environment=IMPATIENT)
    wait_for(lambda: sent(impatient) == 2, "that both wait for them")
    farm.scheduler.kill()
    assert leaving.ended() == 1, leaving.said()
    assert "has gone" in leaving.said()
    assert "Traceback" not in leaving.said()
    running.says("has gone")
    farm.schedule()
    farm.go_on()
    assert running.ended() == 0, running.said()
    same(patient, alone)


def sent(driver: Clone) -> int:
    """How many stages a driver has on their way to workers."""
    return len(list((driver.root / ".tenfold/submitted").glob("*drawn*")))


@pytest.mark.slow
def test_a_host_that_goes_silent(forks: Forks, mini: Clone, alone: Clone, tmp_path: Path) -> None:
    """Its stages go elsewhere; what it says when it wakes is not heard any more."""
    farm = Farm(tmp_path, mini, forks, silence="5 s")
    try:
        silent = farm.worker("a")
        farm.worker("b")
        driver = farm.driver()
        running = farm.drive(driver)
        wait_for(lambda: len(farm.held()) == 2, "two stages that run")
        silent.signal(signal.SIGSTOP)
        farm.go_on()
        assert running.ended() == 0, running.said()
        same(driver, alone)
        silent.signal(signal.SIGCONT)
        wait_for(lambda: farm.names() == {"a", "b"}, "that it has come back")
        same(driver, alone)
    finally:
        farm.close()


def test_a_remote_that_is_away_for_a_while(farm: SharedFarm, alone: Clone) -> None:
    driver = farm.driver()
    running = farm.drive(driver)
    wait_for(lambda: len(farm.held()) == 2, "two stages that run")
    stages = pids(farm)
    farm.remote.rename(farm.folder / "away")
    farm.go_on()
    wait_for(lambda: not any(map(psutil.pid_exists, stages)), "that they have something to send")
    time.sleep(2)
    assert not farm.remote.exists(), "nobody takes a folder that is away for an empty remote"
    assert not running.is_over(), running.said()
    (farm.folder / "away").rename(farm.remote)
    assert running.ended() == 0, running.said()
    same(driver, alone)


def pids(farm: Farm) -> list[int]:
    """The processes of the stages that wait."""
    return [int(name.rpartition(".")[2]) for name in farm.held()]


@pytest.mark.slow
def test_a_slow_link(farm: SharedFarm, alone: Clone) -> None:
    """A worker behind a link of a quarter of a second and 100 kB/s does its part, and nothing is done twice for it."""
    with SlowLink(farm.port, seconds=0.25, rate=100_000) as link:
        far = farm.begin(
            farm.clone("far"), "worker", f"tcp://127.0.0.1:{link.port}", "--name", "far", "--cpus", "2",
            environment={"TENFOLD_TEST_COMPUTED": str(farm.folder / "far-computed")},
        )  # fmt: skip
        wait_for(lambda: "far" in farm.names(), "the worker behind the link")
        driver = farm.driver()
        take_two_cores(driver)
        farm.driven(driver)
        assert {"drawn-0", "drawn-1"} <= set(farm.computed("far"))
        assert link.bytes > 10_000, "it went through the link"
        far.kill()
    same(driver, alone)
    computed = [name for worker in ("a", "b", "far") for name in farm.computed(worker)]
    assert len(computed) == len(set(computed)), computed


def take_two_cores(driver: Clone) -> None:
    """Let drawing need two cores, which a and b have not; it gives the same."""
    driver.edit("flows/mini.py", lambda code: code.replace(
        'each={"seed": (0, 1)},', 'each={"seed": (0, 1)},\n    needs=Needs(cpu=2),'
    ).replace("import Claim,", "import Needs, Claim,"))  # fmt: skip


@pytest.mark.slow
def test_a_damaged_object_at_the_remote_is_sent_again(farm: SharedFarm, alone: Clone) -> None:
    farm.go_on()
    farm.driven(farm.driver())
    for path in (farm.remote / "files").rglob("*"):
        if path.is_file():
            os.chmod(path, 0o644)
            path.write_bytes(b"damaged")
    for name in ("a", "b"):
        shutil.rmtree(farm.folder / name / ".dvc/cache")
    shutil.rmtree(farm.remote / "runs")
    other = farm.driver()
    farm.driven(other)
    same(other, alone)


def test_two_drivers_share_each_computation(farm: SharedFarm, alone: Clone) -> None:
    drivers = [farm.driver(), farm.driver()]
    running = [farm.drive(clone) for clone in drivers]
    wait_for(lambda: len(farm.held()) == 2, "two stages that run")
    wait_for(lambda: all(sent(clone) == 2 for clone in drivers), "that both wait for them")
    time.sleep(1)
    farm.go_on()
    for machine in running:
        assert machine.ended() == 0, machine.said()
    for clone in drivers:
        same(clone, alone)
    computed = [name for name in farm.computed("a") + farm.computed("b") if name.startswith("drawn")]
    assert sorted(computed) == ["drawn-0", "drawn-1"]


def test_an_interrupt_ends_what_nobody_else_waits_for(farm: SharedFarm, alone: Clone) -> None:
    driver = farm.driver()
    running = farm.drive(driver)
    wait_for(lambda: len(farm.held()) == 2, "two stages that run")
    stages = pids(farm)
    running.signal(signal.SIGINT)
    assert running.ended() == 130
    assert "the same command goes on from here" in running.said()
    wait_for(lambda: not any(map(psutil.pid_exists, stages)), "their end")
    assert not any(worker.is_over() for worker in farm.workers.values())
    farm.go_on()
    farm.driven(driver)
    same(driver, alone)


def test_a_worker_that_could_give_other_bytes_gets_nothing(farm: SharedFarm, alone: Clone, tmp_path: Path) -> None:
    """Who has only such workers is told before anything runs what each of them lacks; and so is who asks for a GPU."""
    metadata = tmp_path / "older/pydantic-0.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: pydantic\nVersion: 0.1\n")
    farm.worker("old", cpus=2, held=False, environment={"PYTHONPATH": str(metadata.parent)})
    wait_for(lambda: "old" in farm.names(), "the worker")
    farm.go_on()
    driver = farm.driver()
    take_two_cores(driver)
    running = farm.drive(driver)
    assert running.ended() == 1
    assert "No worker can take mini/drawn-0, which needs 2 cpu." in running.said()
    assert "a: it has cpu 1 of 2" in running.said()
    assert "old: pydantic is 0.1 there and" in running.said()
    driver.edit("flows/mini.py", lambda code: code.replace("Needs(cpu=2)", "Needs(gpu=1)"))
    running = farm.drive(driver)
    assert running.ended() == 1
    assert "No worker can take mini/drawn-0, which needs 1 cpu, 1 gpu." in running.said()
    assert [farm.computed(name) for name in ("a", "b", "old")] == [[], [], []]
    driver.edit("flows/mini.py", lambda code: code.replace("Needs(gpu=1)", "Needs()"))
    farm.driven(driver)
    same(driver, alone)
    assert farm.computed("old") == []


def test_a_full_disk_on_one_worker_sends_the_stage_to_another(farm: SharedFarm) -> None:
    """A limit on the size of a file says the same as a full disk."""
    full = farm.worker("full", held=False, cpus=2)
    farm.worker("roomy", held=False, cpus=2)
    wait_for(lambda: {"full", "roomy"} <= farm.names(), "the workers")
    subprocess.run(["prlimit", "--pid", str(full.pid), "--fsize=60000"], check=True)
    driver = farm.driver()
    take_two_cores(driver)
    driver.edit("flows/mini.py", lambda code: code.replace("length=1000", "length=300000"))
    said = farm.driven(driver)
    assert re.search(r"drawn-\d did not end on full", said), said
    assert {"drawn-0", "drawn-1"} <= set(farm.computed("roomy"))


def test_nothing_listens_beyond_loopback(farm: SharedFarm) -> None:
    machines = [farm.scheduler, *farm.workers.values()]
    assert {address for machine in machines for address in listening(machine.pid)} == {"127.0.0.1"}


def listening(pid: int) -> list[str]:
    found = [each.laddr.ip for each in psutil.Process(pid).net_connections() if each.status == psutil.CONN_LISTEN]
    assert found, "it listens nowhere"
    return found


def test_plain_tcp_beyond_loopback_is_refused(forks: Forks, mini: Clone, tmp_path: Path) -> None:
    """Dask runs whatever it is sent."""
    clone = mini.copy(tmp_path / "clone")
    for command in (("worker", "tcp://10.1.2.3:8786"), ("reproduce", "--plain", "--cluster", "tcp://10.1.2.3:8786")):
        assert "is plain TCP, over which anybody in that network could run code here" in run(
            forks, clone, *command, code=1
        )
    assert "has no certificates" in run(forks, clone, "scheduler", "--host", "10.1.2.3", code=1)


def test_a_remote_that_is_not_configured_is_named(farm: SharedFarm) -> None:
    driver = farm.driver()
    (driver.root / ".dvc/config.local").unlink()
    (driver.root / ".dvc/config").write_text("[core]\n    analytics = false\n")
    assert "dvc remote add" in run(farm.forks, driver, "reproduce", "--plain", "--cluster", farm.address, code=1)


def test_tls_lets_in_who_has_the_certificate_and_nobody_else(
    forks: Forks, mini: Clone, alone: Clone, tmp_path: Path
) -> None:
    farm = Farm(tmp_path, mini, forks, tls=True)
    try:
        farm.worker("a", held=False)
        stranger = mini.copy(tmp_path / "stranger")
        run(forks, stranger, "certificates")
        farm.begin(stranger, "worker", farm.address, "--name", "stranger")
        driver = farm.driver()
        said = farm.driven(driver)
        same(driver, alone)
        assert set(where(said).values()) == {"a"}
        assert farm.names() == {"a"}
        for address in (farm.address, farm.address.replace("tls", "tcp")):
            refused = farm.begin(stranger, "reproduce", "--plain", "--cluster", address, environment=IMPATIENT)
            assert refused.ended() == 1
            assert "No scheduler answers" in refused.said()
        key = driver.root / ".tenfold/certificates/key.pem"
        key.chmod(0o644)
        refused = farm.drive(driver, "-S", "cleaned.keep=3")
        assert refused.ended() == 1
        assert "Others may read" in refused.said()
    finally:
        farm.close()


def test_doctor_examines_a_cluster(farm: SharedFarm) -> None:
    lost = farm.worker("lost")
    (farm.folder / "another").mkdir(exist_ok=True)
    set_remote(lost.clone, str(farm.folder / "another"))
    wait_for(lambda: "lost" in farm.names(), "the worker")
    said = run(farm.forks, farm.driver(), "doctor", "--cluster", farm.address, code=1)
    assert "✓ a: remote: reads and writes it" in said, said
    assert "✗ lost: remote: The DVC remote store" in said
    assert "✓ a: clock" in said
    assert "give the checkout of lost a DVC remote store that is the same place" in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hosts: []", "it names one of scheduler, hosts and slurm"),
        ("slurm: {worker: 4}", "slurm.workers: field required"),
        ("- 1", "input should be an object"),
        ("hosts: [", "is no YAML that describes a cluster"),
        ("hosts: [{ssh: m2}]", "hosts.0.folder: field required"),
        ("hosts: [{ssh: -i key a@m2, folder: x}, {ssh: m2, folder: y}]", "two hosts are called m2: give each a name"),
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
