"""Machines that a driver reaches as it would reach others: by SSH, and in a network namespace behind a slow link."""

import getpass
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import Clone
from farm import PATIENT, Farm, Forks, alone, forks, mini, own_turns, same, set_remote, wait_for, where

__all__ = ["alone", "forks", "mini"]
pytestmark = pytest.mark.slow
MEGABIT = "tbf rate 1mbit burst 10kb latency 400ms"


def test_hosts_by_ssh_with_a_remote_by_ssh(
    mini: Clone, alone: Clone, tmp_path: Path, ssh_server: tuple[int, Path]
) -> None:
    """The workers are started by the driver, in checkouts that only SSH leads to, and end with it."""
    port, key = ssh_server
    url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{tmp_path}/remote"
    clones = {name: mini.copy(tmp_path / name) for name in ("driver", "a", "b")}
    for clone in clones.values():
        clone.environment = {**clone.environment, **PATIENT, "TENFOLD_TEST_COMPUTED": os.devnull}
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


@dataclass(frozen=True)
class Namespace:
    """Another host as far as the network goes: its name, our address on the link to it, and our end of the link."""

    name: str
    here: str
    link: str

    def cut(self) -> None:
        """As who pulls the cable: nobody is told that the connection has ended."""
        ip("link", "set", self.link, "down")

    def mend(self) -> None:
        ip("link", "set", self.link, "up")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A network namespace behind a link of one megabit a second in either direction, which takes root to make."""
    number = os.getpid() % 250
    made = Namespace(f"tenfold-{os.getpid()}", f"10.231.{number}.1", f"tenfold{number}")
    there, inside = f"10.231.{number}.2", ["ip", "netns", "exec", made.name]
    try:
        ip("netns", "add", made.name)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("network namespaces take root")
    try:
        ip("link", "add", made.link, "type", "veth", "peer", "name", "far", "netns", made.name)
        ip("addr", "add", f"{made.here}/24", "dev", made.link)
        made.mend()
        for command in (
            ["ip", "addr", "add", f"{there}/24", "dev", "far"],
            ["ip", "link", "set", "far", "up"],
            ["ip", "link", "set", "lo", "up"],
            ["tc", "qdisc", "add", "dev", "far", "root", *MEGABIT.split()],
        ):
            subprocess.run([*inside, *command], check=True)
        subprocess.run(["tc", "qdisc", "add", "dev", made.link, "root", *MEGABIT.split()], check=True)
        yield made
    finally:
        ip("netns", "del", made.name)


def test_a_host_behind_a_slow_link_that_is_cut(
    namespace: Namespace, forks: Forks, mini: Clone, alone: Clone, tmp_path: Path
) -> None:
    """Over TLS, as beyond loopback it must be: its slowness costs no stage, its cut the one that ran behind it."""
    farm = Farm(tmp_path, mini, forks, host=namespace.here, silence="5 s")
    clone = farm.clone("far")
    far = subprocess.Popen(
        ["ip", "netns", "exec", namespace.name, sys.executable, "-m", "tools", "worker", farm.address,
         "--name", "far", "--cpus", "1"],
        cwd=clone.root,
        env={**clone.environment, **PATIENT, **own_turns(clone), "TENFOLD_TEST_HOLD": str(farm.hold),
             "TENFOLD_TEST_COMPUTED": str(tmp_path / "far-computed")},
    )  # fmt: skip
    try:
        farm.worker("near")
        wait_for(lambda: farm.names() == {"far", "near"}, "both workers")
        driver = farm.driver()
        running = farm.drive(driver)
        wait_for(lambda: len(farm.held()) == 2, "two stages that run")
        farm.go_on()
        assert running.ended() == 0, running.said()
        same(driver, alone)
        computed = farm.computed("far") + farm.computed("near")
        assert len(computed) == len(set(computed)), computed

        for path in [*farm.hold.iterdir(), *tmp_path.glob("*-computed")]:
            path.unlink()
        driver = farm.driver()
        running = farm.drive(driver, "-S", "cleaned.keep=9")
        wait_for(lambda: len(farm.held()) == 2, "two stages that run")
        lost = farm.computed("far")[-1]
        namespace.cut()
        farm.go_on()
        assert running.ended() == 0, running.said()
        assert lost in farm.computed("near")
        assert re.search(rf"/mini/{lost} +│ near ", running.said()), running.said()
        namespace.mend()
        wait_for(lambda: farm.names() == {"far", "near"}, "that it has come back")
    finally:
        far.kill()
        far.wait()
        farm.close()


def test_each_gpu_has_a_worker_of_its_own_unless_they_go_together(forks: Forks, mini: Clone, tmp_path: Path) -> None:
    """Two stages on one card would share its memory, and a stage of two cards needs both in one process."""
    farm = Farm(tmp_path, mini, forks)
    cards = {"CUDA_VISIBLE_DEVICES": "3,5"}
    try:
        apart = farm.worker("apart", cpus=4, environment=cards)
        wait_for(lambda: farm.names() == {"apart-gpu3", "apart-gpu5"}, "a worker a card")
        assert [farm.offers(f"apart-gpu{card}") for card in "35"] == [{"cpu": 2, "gpu": 1}] * 2
        apart.kill()
        wait_for(lambda: not farm.names(), "that they end with what started them")
        farm.worker("together", "--together", cpus=4, environment=cards)
        wait_for(lambda: farm.names() == {"together"}, "the worker of both")
        assert farm.offers("together") == {"cpu": 4, "gpu": 2}
    finally:
        farm.close()
