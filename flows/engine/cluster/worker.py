"""What a machine does that runs stages for a driver elsewhere; `tenfold worker` makes it a Dask worker.

For each stage it fetches code and inputs by digest, runs the stage's command in a workspace, and sends the output to
the DVC remote with a note of what made it: so the work is kept also when nobody waits for the answer any more.
"""

import json
import os
import shlex
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from flows.engine import record
from flows.engine.cluster import turns, workspace
from flows.engine.cluster.remote import Remote
from flows.engine.objects import keep
from flows.engine.processes import Child, Ended, ForkServer
from tasks.base.environment import environment
from tasks.base.errors import UserError
from tasks.base.files import ROOT, STATE, slug, write_json
from tasks.running import failures
from tasks.running.digests import Digests, folder_entry
from tasks.running.run import INTERRUPTED
from tasks.running.spools import UNKNOWN, commit

TELL_SECONDS = 0.5
TOPIC = "tenfold"
REPRODUCTION = "cluster"
"""Whose the spool is in a workspace: the driver puts it where it belongs."""
MARKS = {"TENFOLD_REPRODUCTION": REPRODUCTION, "TENFOLD_COMMIT": UNKNOWN}
LONGEST_LOG = 1_000_000

Told = Mapping[str, Any]
Tell = Callable[[Told], None]
Task = Mapping[str, Any]
"""What a driver sends: `command`, `out`, `entry` (the record's words for it), `code` (bundles by digest), `inputs`
(path → digest), `params` (file → settings), `level` (of instructions), `alone`, `remote`, its name, and `again`, where
what was made of this is to be sent once more."""

GIVEN = STATE / "given"
"""What each stage gave when it last ran here."""
ELSEWHERE = "elsewhere"
"""Set in an answer where the machine, not the stage, is at fault: another one may do better."""


def description() -> dict[str, Any]:
    """What a driver compares with its own machine before it sends anything."""
    return {
        **environment(),
        "machine": environment(hardware=True),
        "libraries": _libraries(),
        "commit": commit(),
        "clock": time.time(),
    }


def _given(task: Task) -> dict[str, Any] | None:
    """What the same stage on the same inputs gave when it last ran here."""
    try:
        known: dict[str, Any] = json.loads((GIVEN / slug(task["out"])).read_text())
    except (OSError, ValueError):
        return None
    return known if record.run_key(known["entry"]) == record.run_key(task["entry"]) else None


@cache
def _libraries() -> dict[str, str]:
    # Of two of one name the first is imported.
    every = [(found.name.lower().replace("_", "-"), found.version) for found in distributions()]
    return dict(reversed(every))


@dataclass
class Site:
    """What a worker's process keeps from one stage to the next."""

    name: str
    unwanted: set[str] = field(default_factory=set)
    """Keys of stages that a driver has given up; they go on as long as another one waits for them."""
    _remotes: dict[str, Remote] = field(default_factory=dict)
    _servers: dict[tuple[str, str], ForkServer] = field(default_factory=dict)
    _users: Counter[tuple[str, str]] = field(default_factory=Counter)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _children: set[int] = field(default_factory=set)

    def run(self, task: Task, key: str, tell: Tell, is_wanted: Callable[[], bool]) -> dict[str, Any]:
        """Run one stage; what came of it, also where this machine was not up to it."""
        answer: dict[str, Any] = {
            "host": self.name, "run": f"{self.name}-{time.time_ns()}", "seconds": {}, "cpu": 0.0,
            "log": b"", "log_at": 0, "spool": b"",
        }  # fmt: skip
        try:
            # One at a time of a name on this host, where they share checkpoints: one that a scheduler has lost goes on.
            with turns.turn(STATE / "turns" / f"stage-{slug(task['out'])}") as waited:
                known = _given(task) if waited or task["again"] else None
                if known:
                    if task["again"]:
                        remote = self.remote(task["remote"])
                        remote.forget()
                        remote.push(out["md5"] for out in known["entry"]["outs"])
                    answer |= {**known, "log": f"{self.name} was already making it.\n".encode()}
                else:
                    self._run(task, key, answer, tell, is_wanted)
        except Exception as problem:
            said = failures.sentence(problem) or str(problem) or type(problem).__name__
            code = os.EX_IOERR if failures.is_full_disk(problem) else 1
            answer |= {"code": code, "log": answer["log"] + f"{self.name}: {said}\n".encode(), ELSEWHERE: True}
        return answer

    def _run(self, task: Task, key: str, answer: dict[str, Any], tell: Tell, is_wanted: Callable[[], bool]) -> None:
        seconds, begun = answer["seconds"], time.monotonic()

        def lap(name: str) -> None:
            nonlocal begun
            now = time.monotonic()
            seconds[name], begun = now - begun, now

        remote = self.remote(task["remote"])
        answer["fetched"] = remote.fetch([*task["code"], *task["inputs"].values()])
        with workspace.workspace(task["out"], task["code"], task["inputs"], task["params"]) as place:
            lap("fetch")
            with turns.host(alone=task["alone"]):
                lap("wait")
                told = _Telling(place, task["out"], key, answer, tell)
                self._carry_out(task, key, place, answer, told, is_wanted)
                lap("run")
            told.tell()
            whole = told.log()
            answer |= {"log": whole[-LONGEST_LOG:], "log_at": max(0, len(whole) - LONGEST_LOG), "spool": told.spool()}
            if answer["code"] == 0:
                self._send(task, place, answer, remote)
            lap("push")

    def _carry_out(
        self,
        task: Task,
        key: str,
        place: Path,
        answer: dict[str, Any],
        told: "_Telling",
        is_wanted: Callable[[], bool],
    ) -> None:
        if key in self.unwanted and not is_wanted():
            answer["code"] = INTERRUPTED
            return
        with self._server(task["code"][0], task["level"]) as server, open(told.path, "ab") as log:
            try:
                child = server.start(shlex.split(task["command"])[1:], log, place)
            except ChildProcessError as problem:
                log.write(f"{problem}\n".encode())
                answer["code"] = -signal.SIGKILL
                return
            self._follow(child, key, answer, told, is_wanted)

    def _follow(
        self, child: Child, key: str, answer: dict[str, Any], told: "_Telling", is_wanted: Callable[[], bool]
    ) -> None:
        ended: list[Ended] = []
        waiter = threading.Thread(target=lambda: ended.append(child.wait()))
        self._children.add(child.pid)
        waiter.start()
        told.tell(began=True)
        interrupted = False
        while waiter.is_alive():
            waiter.join(TELL_SECONDS)
            told.tell()
            if key in self.unwanted and not interrupted and not is_wanted():
                interrupted = True
                _interrupt(child.pid)
        self._children.discard(child.pid)
        self.unwanted.discard(key)
        answer["code"], answer["cpu"] = ended[0].code, ended[0].cpu

    def _send(self, task: Task, place: Path, answer: dict[str, Any], remote: Remote) -> None:
        """Keep the output, push it, and last the note that says what made it."""
        note = json.loads((place / ".tenfold/published" / slug(task["out"])).read_text())
        members = Digests(fresh=True).members(str(place / task["out"]))
        for member in members:
            keep(member.digest, place / task["out"] / member.name)
        digest = workspace.keep_listing(members)
        if digest != note["digest"]:
            raise UserError(f"{task['out']} was altered after it had been made.")
        before = remote.pushed
        remote.push([digest])
        entry = {**task["entry"], "outs": [{"path": task["out"], **folder_entry(members)}]}
        remote.note_run(entry)
        given = {"code": 0, "pushed": remote.pushed - before, "entry": entry, "note": note}
        answer |= given
        GIVEN.mkdir(parents=True, exist_ok=True)
        write_json(GIVEN / slug(task["out"]), {**given, "pushed": 0, "fetched": 0})

    def interrupt(self) -> None:
        """End all that runs here."""
        for pid in list(self._children):
            _interrupt(pid)

    def remote(self, name: str) -> Remote:
        """A DVC remote of this checkout."""
        with self._guard:
            if name not in self._remotes:
                self._remotes[name] = Remote(name)
            return self._remotes[name]

    @contextmanager
    def _server(self, runner: str, level: str) -> Iterator[ForkServer]:
        """The server that forks stages from the runner's code of the driver, held to one level of instructions.

        Those of drivers with other code end when nobody uses them.
        """
        key = (runner, level)
        with self._guard:
            if key not in self._servers:
                for other in [each for each in self._servers if each[0] != runner and not self._users[each]]:
                    self._servers.pop(other).close()
                self._servers[key] = ForkServer(MARKS, level, workspace.unpacked(runner))
            self._users[key] += 1
            server = self._servers[key]
        try:
            yield server
        finally:
            with self._guard:
                self._users[key] -= 1


class _Telling:
    """Says to the driver what a stage prints and what it spools, as it goes."""

    def __init__(self, place: Path, out: str, key: str, answer: dict[str, Any], tell: Tell) -> None:
        self.path = place / ".tenfold/logs" / f"{slug(out)}.log"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._spools = place / ".tenfold/tracking" / REPRODUCTION
        self._about = {"key": key, "run": answer["run"], "host": answer["host"]}
        self._offsets = {"log": 0, "spool": 0}
        self._tell = tell

    def tell(self, *, began: bool = False) -> None:
        for what, whole in (("log", self.log), ("spool", self.spool)):
            news = whole()[self._offsets[what] :]
            if what == "spool":
                news = news[: news.rfind(b"\n") + 1]  # whole lines
            if news or (began and what == "log"):
                self._tell({**self._about, "what": what, "at": self._offsets[what], "said": news})
                self._offsets[what] += len(news)

    def log(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""

    def spool(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted(self._spools.glob("*.jsonl")))


def _interrupt(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGINT)
    except ProcessLookupError:
        return


# What Dask calls

_site: Site | None = None
_site_guard = threading.Lock()


def site(name: str) -> Site:
    """This process's site, made when it is first needed."""
    global _site
    with _site_guard:
        if _site is None:
            workspace.clear()
            _site = Site(name)
        return _site


def run_stage(task: Task, key: str) -> dict[str, Any]:
    """What a driver submits."""
    from distributed import get_worker

    worker = get_worker()

    def is_wanted() -> bool:
        known = worker.state.tasks.get(key)
        return known is not None and known.state != "cancelled"

    return site(str(worker.name)).run(task, key, lambda event: worker.log_event(TOPIC, dict(event)), is_wanted)


def give_up(keys: list[str], dask_worker: Any = None) -> None:
    """What a driver runs on every worker at Ctrl-C: end these stages unless another driver waits for them."""
    site(str(dask_worker.name)).unwanted |= set(keys)


def probe(remote: str, digest: str, name: str) -> dict[str, Any]:
    """What `tenfold doctor` wants to know of a worker: whether it reads and writes the remote, its clock, its room."""
    found: dict[str, Any] = {"clock": time.time(), "free": shutil.disk_usage(ROOT).free / 1e9, "remote": ""}
    try:
        known = site(name).remote(remote)
        known.fetch([digest])
        known.forget()
        known.push([digest])
    except Exception as problem:
        found["remote"] = str(problem) or type(problem).__name__
    return found
