"""Machines for the tests: processes in checkouts of their own on loopback, which share nothing but a DVC remote."""

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest
from conftest import ROOT, Clone, comparable, own_environment
from conftest import wait_for as wait_for_so_long
from minis import new_mini

from flows.engine.server import free_port
from tasks.running.digests import Digests
from tasks.running.spools import is_alive

PATIENCE = 900
"""Seconds after which something that should have happened is taken never to happen, on a machine that may be busy."""
PATIENT = {"TENFOLD_CLUSTER_PATIENCE": str(PATIENCE)}
IMPATIENT = {"TENFOLD_CLUSTER_PATIENCE": "2"}
wait_for = partial(wait_for_so_long, seconds=PATIENCE)


def own_turns(clone: Clone) -> dict[str, str]:
    """Turns of a host of its own for each checkout: what else runs on this machine, also for a test, is elsewhere."""
    folder = clone.root.parent / f"{clone.root.name}-tmp"
    folder.mkdir(exist_ok=True)
    return {"TMPDIR": str(folder)}


class Forks:
    """The process that forks the machines, which end with it: imports cost more than all that a test does."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, open(folder / "forks.log", "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("forks.py"))],
                cwd=ROOT, env=environment, stdin=theirs.fileno(), stdout=log, stderr=log, process_group=0,
            )  # fmt: skip

    def fork(self, root: Path, arguments: list[str], environment: dict[str, str], log: IO[bytes]) -> IO[bytes]:
        """Begin a command in a checkout; its process id and then its end come through what is returned."""
        reading, writing = os.pipe()
        asked = {"libraries": [], "arguments": [json.dumps(environment), *arguments], "root": str(root)}
        socket.send_fds(self._requests, [json.dumps(asked).encode()], [log.fileno(), writing])
        os.close(writing)
        return os.fdopen(reading, "rb", buffering=0)

    def close(self) -> None:
        self._requests.close()
        self._process.wait()


class Machine:
    """A command in a checkout, with what it has printed so far; it leads a process group of its own."""

    def __init__(self, forks: Forks, clone: Clone, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.clone = clone
        self._code: int | None = None
        self._log = clone.root.parent / f"{clone.root.name}-{arguments[0]}-{free_port()}.log"
        with open(self._log, "wb") as log:
            given = {**clone.environment, **PATIENT, **own_turns(clone), **(environment or {})}
            self._answers = forks.fork(clone.root, list(arguments), given, log)
        self.pid = int(self._answers.readline())

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def says(self, words: str) -> None:
        """Wait until it has printed these words."""
        wait_for(lambda: words in self.said() or self.is_over(), f"{words!r} in {self.said()}")
        assert words in self.said(), self.said()

    def is_over(self, seconds: float = 0) -> bool:
        """Whether it has ended, or does so within so many seconds."""
        if self._code is None and select.select([self._answers], [], [], seconds)[0]:
            with self._answers:
                self._code = int(self._answers.readline().split()[0])
        return self._code is not None

    def ended(self) -> int:
        """Its exit code, when it has ended."""
        assert self.is_over(PATIENCE), f"it goes on: {self.said()}"
        assert self._code is not None
        return self._code

    def signal(self, number: int) -> None:
        """To the process alone: what it has started finds that out for itself."""
        if not self.is_over():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        self.ended()


class Farm:
    """A scheduler and workers, each in a copy of a template, and the remote that they share.

    It is known how often each stage was computed where, and drawing goes on only when it is told to: see HOLD.
    """

    def __init__(
        self,
        folder: Path,
        template: Clone,
        forks: Forks,
        *,
        host: str = "127.0.0.1",
        tls: bool = False,
        silence: str = "60 s",
    ) -> None:
        self.folder, self.forks, self._template, self._silence = folder, forks, template, silence
        self.remote, self.hold = folder / "remote", folder / "hold"
        self.hold.mkdir()
        self.host, self.port = host, free_port()
        tls = tls or host != "127.0.0.1"
        self.address = f"{'tls' if tls else 'tcp'}://{host}:{self.port}"
        self._certificates: Path | None = None
        self._drivers = 0
        self._machines: list[Machine] = []
        if tls:
            self._certificates = folder / "certificates"
            made = self.begin(template.copy(folder / "office"), "certificates", str(self._certificates))
            assert made.ended() == 0, made.said()
        self.scheduler = self.schedule()

    def schedule(self) -> Machine:
        """Start the scheduler, at the same address each time."""
        tls = ["--tls"] if self._certificates else []
        self.scheduler = self.begin(
            self.clone("scheduler"), "scheduler", "--host", self.host, "--port", str(self.port), *tls,
            environment={"TENFOLD_SILENCE": self._silence},
        )  # fmt: skip
        self.scheduler.says("Workers, each")
        return self.scheduler

    def clone(self, name: str) -> Clone:
        """The checkout of that name, with the farm's remote."""
        if (self.folder / name).exists():
            return Clone(self.folder / name, self._template.environment)
        clone = self._template.copy(self.folder / name)
        set_remote(clone, str(self.remote))
        if self._certificates:
            shutil.copytree(self._certificates, clone.root / ".tenfold/certificates")
        return clone

    def driver(self) -> Clone:
        """A fresh checkout to drive from."""
        self._drivers += 1
        return self.clone(f"driver-{self._drivers}")

    def worker(
        self, name: str, *more: str, cpus: int = 1, held: bool = True, environment: dict[str, str] | None = None
    ) -> Machine:
        given = {"TENFOLD_TEST_COMPUTED": str(self.folder / f"{name}-computed"), **(environment or {})}
        given |= {"TENFOLD_TEST_HOLD": str(self.hold)} if held else {}
        words = ("worker", self.address, "--name", name, "--cpus", str(cpus), *more)
        return self.begin(self.clone(name), *words, environment=given)

    def drive(self, clone: Clone, *more: str, environment: dict[str, str] | None = None) -> Machine:
        """Begin a reproduction on the farm."""
        given = {"TENFOLD_TEST_COMPUTED": os.devnull, **(environment or {})}
        return self.begin(clone, "reproduce", "--plain", "--cluster", self.address, *more, environment=given)

    def driven(self, clone: Clone, *more: str) -> str:
        """Reproduce on the farm, and return what was said."""
        driver = self.drive(clone, *more)
        assert driver.ended() == 0, driver.said() + "".join(machine.said() for machine in self._machines)
        return driver.said()

    def begin(self, clone: Clone, *arguments: str, environment: dict[str, str] | None = None) -> Machine:
        """Start a command that ends with the farm."""
        machine = Machine(self.forks, clone, *arguments, environment=environment)
        self._machines.append(machine)
        return machine

    def names(self) -> set[str]:
        """The workers that the scheduler knows."""
        return set(self._known())

    def offers(self, name: str) -> dict[str, float]:
        """How many cores and GPUs a worker offers."""
        return {what: much for what, much in self._known()[name]["resources"].items() if what != "memory"}

    def _known(self) -> dict[str, Any]:
        """What the scheduler says of each worker, by the pages of Dask's dashboard."""
        (page,) = re.findall(r"Dashboard: (\S+)/status", self.scheduler.said())
        until = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(f"{page}/json/identity.json", timeout=PATIENCE) as answer:
                    return {each["name"]: each for each in json.load(answer)["workers"].values()}
            except (
                urllib.error.HTTPError
            ):  # for Dask, tasks' times since the last heartbeat are no JSON: until the next
                assert time.monotonic() < until, "Dask's page only fails"
                time.sleep(0.2)
            except OSError:
                return {}

    def computed(self, name: str) -> list[str]:
        """What stages a worker has begun to compute, in order."""
        path = self.folder / f"{name}-computed"
        return path.read_text().split() if path.exists() else []

    def held(self) -> list[str]:
        """The stages that wait."""
        return [path.name for path in self.hold.iterdir() if path.name != "go"]

    def go_on(self) -> None:
        (self.hold / "go").touch()

    def close(self) -> None:
        for machine in self._machines:
            machine.kill()


class SharedFarm(Farm):
    """A farm for many tests: its workers are a and b, of one core each."""

    def __init__(self, folder: Path, template: Clone, forks: Forks) -> None:
        super().__init__(folder, template, forks)
        self.workers = {name: self.worker(name) for name in ("a", "b")}

    def reset(self) -> None:
        """Let it be as a test wants to find it: nothing runs, and nothing has run, whatever the last one has done."""
        self.go_on()
        for machine in [each for each in self._machines if each not in (self.scheduler, *self.workers.values())]:
            machine.kill()
            self._machines.remove(machine)
        if self.scheduler.is_over():
            self.schedule()
        for name, machine in self.workers.items():
            if machine.is_over():
                self.workers[name] = self.worker(name)
        wait_for(lambda: self.names() == {"a", "b"}, "the workers")
        wait_for(lambda: not self._runs(), "the stages' end")
        for path in [*self.hold.iterdir(), *self.folder.glob("*-computed")]:
            path.unlink()
        shutil.rmtree(self.remote / "runs", ignore_errors=True)

    def _runs(self) -> bool:
        """Whether a worker that lives has something in hand."""
        places = [place.name for name in self.workers for place in (self.folder / name).glob(".tenfold/workspaces/*")]
        return any(is_alive("-".join(place.split("-")[:2])) for place in places)


def set_remote(clone: Clone, url: str, **options: str) -> None:
    """Let a checkout have this DVC remote, and no other."""
    lines = [f"    {name} = {value}\n" for name, value in {"url": url, **options}.items()]
    (clone.root / ".dvc/config.local").write_text("[core]\n    remote = store\n['remote \"store\"']\n" + "".join(lines))


def where(said: str) -> dict[str, str]:
    """The table of where each stage ran: output → host."""
    return dict(re.findall(r"│ (quick/\S+) +│ (\S+)", said))


def same(clone: Clone, other: Clone) -> None:
    """What a machine elsewhere gave is what this one gives, in the record and on the disk."""
    assert comparable(clone) == comparable(other)
    for path, digest in clone.digests().items():
        assert Digests(fresh=True).digest(str(clone.root / path)) == digest, path


HOLD = """
    if hold := os.environ.get("TENFOLD_TEST_HOLD"):
        (Path(hold) / f"{out.name.strip('.').removesuffix('.partial')}.{os.getpid()}").touch()
        while not (Path(hold) / "go").exists():
            time.sleep(0.02)
"""
"""Lets a stage wait in the middle until the test says that it may go on."""


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    made = Forks(tmp_path_factory.mktemp("forks"), own_environment())
    yield made
    made.close()


@pytest.fixture(scope="session")
def mini(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A checkout of the mini's paper, in which drawing can be held up. Copy it, do not change it."""
    folder = tmp_path_factory.mktemp("cluster")
    own = {f"DVC_{name}_DIR": str(folder / name) for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG")}
    made = new_mini(folder / "mini", {**own_environment(), "COLUMNS": "200", **own})
    shutil.copy(ROOT / "constraints.txt", made.root)  # of which doctor speaks
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
    run(forks, made, "compile")
    return made


@pytest.fixture(scope="session")
def alone(forks: Forks, mini: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The same, reproduced on one machine."""
    made = mini.copy(tmp_path_factory.mktemp("alone") / "mini")
    run(forks, made, "reproduce", "--plain")
    return made


def run(forks: Forks, clone: Clone, *arguments: str, code: int = 0) -> str:
    """What a command says that ends with this exit code."""
    machine = Machine(forks, clone, *arguments, environment={"TENFOLD_TEST_COMPUTED": os.devnull})
    assert machine.ended() == code, machine.said()
    return machine.said()
