"""Minis: checkouts of a paper that is reproduced in tenths of a second, for faults by the hundred."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from conftest import ROOT, Clone

from tasks.running.digests import Digests
from tasks.running.run import remove

MINI = Path(__file__).parent / "mini"
KEPT = (
    "flows/engine/", "tasks/base/", "tasks/running/", "tasks/judging/", "tasks/sources/", "mlflow/", ".dvc",
    ".gitignore",
)  # fmt: skip
"""What a mini needs of this repository, besides the packages themselves."""
PATIENCE = 120
"""Seconds after which a command that should have ended is taken to hang."""
ELSEWHERE = "elsewhere"
"""A folder beside the minis which is somebody else's: links may lead there, and nothing may change there."""
CLOCKED = ("clocked", "results", "report")
"""What holds a time measured against the clock, so that its bytes differ each time."""


@dataclass
class Ended:
    """How a command ended, and all that it printed."""

    code: int
    output: str

    @property
    def last_words(self) -> str:
        return self.output.strip().splitlines()[-1] if self.output.strip() else ""


class Running:
    """A command that runs; it leads a process group of its own."""

    def __init__(self, zygote: "Zygote", arguments: list[str]) -> None:
        self._log = zygote.log()
        reading, writing = os.pipe()
        with open(self._log, "wb") as log:
            socket.send_fds(zygote.requests, [json.dumps({"libraries": [], "arguments": arguments}).encode()],
                            [log.fileno(), writing])  # fmt: skip
        os.close(writing)
        self._answers = os.fdopen(reading, "rb", buffering=0)
        self.pid = int(self._answers.readline())

    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def is_stopped(self) -> bool:
        """Whether it has stopped at a fault."""
        return state(self.pid) == "T"

    def is_over(self) -> bool:
        return state(self.pid) in ("", "Z")

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def wait(self) -> Ended:
        """How it ended.

        Raises:
            AssertionError: it hangs.
        """
        until(self.is_over, f"the end of the command:\n{self.output()}")
        with self._answers:
            code, _ = self._answers.readline().split()
            return Ended(int(code), self.output())


class Zygote:
    """The process that forks a driver for each command in one mini; see zygote.py."""

    def __init__(self, root: Path, environment: dict[str, str]) -> None:
        self._logs = root.parent / f"{root.name}-logs"
        self._logs.mkdir(exist_ok=True)
        self._number = 0
        self.requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, open(self.log(), "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("zygote.py"))],
                cwd=root, env=environment, stdin=theirs.fileno(), stdout=log, stderr=log, process_group=0,
            )  # fmt: skip

    def log(self) -> Path:
        """A file for what the next command prints."""
        self._number += 1
        return self._logs / str(self._number)

    def close(self) -> None:
        self.requests.close()
        self._process.wait()


class Mini(Clone):
    """A checkout of the mini's paper. Its zygote is bound to its path: it may be emptied and filled again."""

    zygote: Zygote

    def begin(self, *arguments: str, program: str = "tenfold", fault: dict[str, Any] | None = None) -> Running:
        """Start a command and go on."""
        return Running(self.zygote, [program, json.dumps(fault), *arguments])

    def do(self, *arguments: str, program: str = "tenfold", fault: dict[str, Any] | None = None) -> Ended:
        """Run a command to its end."""
        return self.begin(*arguments, program=program, fault=fault).wait()

    def reproduce(self, *arguments: str, fault: dict[str, Any] | None = None) -> Ended:
        return self.do("reproduce", "--plain", *arguments, fault=fault)

    def on_disk(self) -> dict[str, str]:
        """The digest of every recorded output as it lies there; empty where it does not."""
        return {path: Digests(fresh=True).digest(str(self.root / path)) for path in self.digests()}

    def computed(self) -> list[str]:
        """The names of the stages that were computed, in order."""
        path = Path(self.environment["TENFOLD_TEST_COMPUTED"])
        return path.read_text().split() if path.exists() else []

    def stopped(self) -> int:
        """The process of a stage that stands still at its fault, once it does."""
        found: list[int] = []

        def find() -> bool:
            found[:] = [pid for pid in self.processes() if state(pid) == "T"]
            return bool(found)

        until(find, "the stop of the stage")
        return found[0]

    def processes(self) -> list[int]:
        """The processes that are at work in the mini, but for its zygote."""
        return [pid for pid in _processes_in(self.root) if pid != self.zygote._process.pid]


class Minis:
    """Fills minis from templates, again and again at the same places, where zygotes wait."""

    def __init__(self, folder: Path, environment: dict[str, str], *, tracked: bool = False) -> None:
        self.folder = folder
        self.environment = {
            **environment,
            "COLUMNS": "160",
            "DVC_SITE_CACHE_DIR": str(folder / "dvc-site"),
            "DVC_GLOBAL_CONFIG_DIR": str(folder / "dvc-global"),
            "DVC_SYSTEM_CONFIG_DIR": str(folder / "dvc-system"),
        }
        self._places: dict[str, Mini] = {}
        fresh = new_mini(folder / "fresh", self.environment)
        self._fresh = fresh.root
        fresh.tenfold("compile")
        _commit(fresh.root)
        if tracked:  # the tables of the tracking store take long to make
            fresh.run("-c", "from tasks.running.pusher import Pusher; Pusher().push()")
        self._finished = folder / "finished"
        shutil.copytree(MINI / "texts", folder / ELSEWHERE)
        mini = self.untouched()
        ended = mini.reproduce()
        assert ended.code == 0, ended.output
        _commit(mini.root)
        shutil.copytree(mini.root, self._finished, symlinks=True)

    def untouched(self, place: str = "mini") -> Mini:
        """A mini in which nothing has run."""
        return self._filled(place, self._fresh)

    def done(self, place: str = "mini") -> Mini:
        """A mini in which everything has run, undisturbed, and its record is committed."""
        return self._filled(place, self._finished)

    def _filled(self, place: str, template: Path) -> Mini:
        root = self.folder / place
        if place in self._places:
            until(lambda: not self._places[place].processes(), f"the end of all processes in {root}")
            for path in root.iterdir():
                remove(path)
        shutil.copytree(template, root, symlinks=True, dirs_exist_ok=True)
        if place not in self._places:
            environment = {**self.environment, "TENFOLD_TEST_COMPUTED": str(self.folder / f"{place}-computed")}
            self._places[place] = Mini(root, environment)
            self._places[place].zygote = Zygote(root, environment)
        Path(self._places[place].environment["TENFOLD_TEST_COMPUTED"]).unlink(missing_ok=True)
        return self._places[place]

    def close(self) -> None:
        for mini in self._places.values():
            mini.zygote.close()


def new_mini(to: Path, environment: dict[str, str]) -> Mini:
    """As much of this repository as a mini needs, with its paper."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    packages = ("flows/__init__.py", "tasks/__init__.py", "models/__init__.py", "models/config.py")
    for name in listed.stdout.splitlines():
        if name.startswith((*KEPT, *packages, "tools/__")) and (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)
    (to / "data").mkdir()
    shutil.copy(MINI / "paper.py", to / "flows/mini.py")
    shutil.copy(MINI / "stages.py", to / "tasks/mini.py")
    shutil.copy(MINI / "sources.yaml", to / "data/sources.yaml")
    shutil.copytree(MINI / "texts", to / "texts")
    (to / ".dvc/config").write_text(
        f"[core]\n    analytics = false\n    remote = store\n['remote \"store\"']\n    url = {to.parent / 'remote'}\n"
    )
    subprocess.run(["git", "init", "-q"], cwd=to, check=True)
    _commit(to)
    return Mini(to, environment)


def _commit(root: Path) -> None:
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["add", "-A"], ["commit", "-qm", "As it stands"]):
        subprocess.run([*git, *command], cwd=root, check=True)


def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for a condition.

    Raises:
        AssertionError: it does not come about.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s in vain for {what}"
        time.sleep(0.02)


def state(pid: int) -> str:
    """The state of a process as the kernel names it; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def waits_for_a_lock(pid: int) -> bool:
    return any(f" {pid} " in line and "->" in line for line in Path("/proc/locks").read_text().splitlines())


def _processes_in(root: Path) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                there = os.readlink(folder / "cwd") == str(root)
            except OSError:
                continue
            if there and state(int(folder.name)) != "Z":
                found.append(int(folder.name))
    return found


def recorded(root: Path) -> dict[str, Any]:
    """The entries of all lock files by output."""
    found = {}
    for lock in [*root.glob("pipelines/**/dvc.lock"), *root.glob("dvc.lock")]:
        found |= {entry["outs"][0]["path"]: entry for entry in yaml.safe_load(lock.read_text())["stages"].values()}
    return found
