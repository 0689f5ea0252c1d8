"""Machines for the tests: processes in checkouts of their own on loopback, which share nothing but a DVC remote."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from conftest import Clone, wait_for

from flows.engine.server import free_port

PR_SET_PDEATHSIG = 1
PATIENCE = 900
"""Seconds after which something that should have happened is taken never to happen, on a machine that may be busy."""
PATIENT = {"PYTHONUNBUFFERED": "1", "TENFOLD_CLUSTER_PATIENCE": str(PATIENCE)}


def die_with_parent() -> None:
    """Let a process end with the tests, however they end."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def own_turns(clone: Clone) -> dict[str, str]:
    """Turns of a host of its own for each checkout: what else runs on this machine, also for a test, is elsewhere."""
    folder = clone.root.parent / f"{clone.root.name}-tmp"
    folder.mkdir(exist_ok=True)
    return {"TMPDIR": str(folder)}


class Machine:
    """A process in a checkout, with what it has printed so far; it leads a process group of its own."""

    def __init__(self, clone: Clone, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.clone = clone
        self._log = clone.root.parent / f"{clone.root.name}-{arguments[0]}-{free_port()}.log"
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tools", *arguments],
                cwd=clone.root,
                env={**clone.environment, **PATIENT, **own_turns(clone), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                preexec_fn=die_with_parent,
            )

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def says(self, words: str, seconds: float = PATIENCE) -> None:
        """Wait until it has printed these words."""
        wait_for(lambda: words in self.said() or self._ended_early(), f"{words!r} in {self.said()}", seconds)
        assert words in self.said(), self.said()

    def _ended_early(self) -> bool:
        return self.process.poll() is not None

    def ended(self, seconds: float = PATIENCE) -> int:
        """Its exit code, when it has ended."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it goes on: {self.said()}") from None

    def signal(self, number: int) -> None:
        """To the process alone: what it has started finds that out for itself."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        self.process.wait()


class Farm:
    """A scheduler and workers, each in a copy of a template, and the remote that they share."""

    def __init__(self, folder: Path, template: Clone, *, tls: bool = False, silence: str = "60 s") -> None:
        self._silence = silence
        self.folder, self._template, self.environment = folder, template, template.environment
        self.remote = folder / "remote"
        self.port = free_port()
        self.address = f"{'tls' if tls else 'tcp'}://127.0.0.1:{self.port}"
        self._certificates: Path | None = None
        if tls:
            self._certificates = folder / "certificates"
            template.tenfold("certificates", str(self._certificates))
        self._machines: list[Machine] = []
        self.scheduler = self.schedule()

    def schedule(self) -> Machine:
        """Start the scheduler, at the same address each time."""
        clone = self.clone("scheduler") if not (self.folder / "scheduler").exists() else self._at("scheduler")
        tls = ["--tls"] if self._certificates else []
        self.scheduler = self.begin(
            clone, "scheduler", "--port", str(self.port), *tls, environment={"TENFOLD_SILENCE": self._silence}
        )
        self.scheduler.says("Workers, each")
        return self.scheduler

    def clone(self, name: str) -> Clone:
        """A checkout with the farm's remote."""
        clone = self._template.copy(self.folder / name)
        set_remote(clone, str(self.remote))
        if self._certificates:
            shutil.copytree(self._certificates, clone.root / ".tenfold/certificates")
        return clone

    def worker(self, name: str, *more: str, cpus: int = 1, environment: dict[str, str] | None = None) -> Machine:
        clone = self._at(name) if (self.folder / name).exists() else self.clone(name)
        return self.begin(
            clone, "worker", self.address, "--name", name, "--cpus", str(cpus), *more, environment=environment
        )

    def drive(self, clone: Clone, *more: str, environment: dict[str, str] | None = None) -> Machine:
        """Begin a reproduction on the farm."""
        return self.begin(clone, "reproduce", "--cluster", self.address, *more, environment=environment)

    def driven(self, clone: Clone, *more: str) -> str:
        """Reproduce on the farm, and return what was said."""
        driver = self.drive(clone, *more)
        assert driver.ended() == 0, driver.said() + "".join(machine.said() for machine in self._machines)
        return driver.said()

    def _at(self, name: str) -> Clone:
        return Clone(self.folder / name, self._template.environment)

    def begin(self, clone: Clone, *arguments: str, environment: dict[str, str] | None = None) -> Machine:
        """Start a command that ends with the farm."""
        machine = Machine(clone, *arguments, environment=environment)
        self._machines.append(machine)
        return machine

    def close(self) -> None:
        for machine in self._machines:
            machine.kill()


@contextmanager
def farm(folder: Path, template: Clone) -> Iterator[Farm]:
    made = Farm(folder, template)
    try:
        yield made
    finally:
        made.close()


def set_remote(clone: Clone, url: str, **options: str) -> None:
    """Let a checkout have this DVC remote, and no other."""
    lines = [f"    {name} = {value}\n" for name, value in {"url": url, **options}.items()]
    (clone.root / ".dvc/config.local").write_text("[core]\n    remote = store\n['remote \"store\"']\n" + "".join(lines))


def where(said: str) -> dict[str, str]:
    """The table of where each stage ran: output → host."""
    return dict(re.findall(r"│ (quick/\S+) +│ (\S+)", said))
