"""The driver's side: sends stages to workers that share a DVC remote with it, and takes what they give.

It alone writes the record, registers claims and tells the tracking store. Dask chooses the worker and starts a stage
again elsewhere when one dies; Tenfold sends no more than fits, and sees to it that each stage goes to a machine like
its own.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from flows.engine import record
from flows.engine.cluster import worker, workspace
from flows.engine.cluster.hosts import started
from flows.engine.cluster.live import Live
from flows.engine.cluster.remote import Remote, RemoteAway
from flows.engine.cluster.roster import CONNECT_SECONDS, LOOK_SECONDS, PATIENCE_SECONDS, Lost, Roster
from flows.engine.cluster.settings import Settings
from flows.engine.processes import Ended
from flows.engine.record import Entry
from flows.engine.stages import ConcreteStage
from flows.engine.store import Store
from tasks.base.errors import UserError
from tasks.base.files import ROOT, STATE, slug
from tasks.judging.register import VERDICTS
from tasks.running import registration
from tasks.running.run import INTERRUPTED, instructions_of
from tasks.running.spools import commit

TRIES = 3
"""So often a stage is tried on other machines when one is not up to it."""
ANSWER_SECONDS = 1.0
SUBMITTED = STATE / "submitted"


@dataclass(frozen=True)
class Place:
    """Where a stage ran and how long each part of that took, in seconds, each by one clock alone.

    `queue` is for a free worker, `transfer` while bytes were on their way (to the remote, from there, and back), `rest`
    all else that Dask and Tenfold took; `bytes` are those that the worker had to fetch and to push.
    """

    host: str
    queue: float
    transfer: float
    run: float
    rest: float
    bytes: int
    tries: int


@dataclass
class Cluster:
    """The workers of a roster, as the executor uses them; `say` tells the user what is worth knowing."""

    roster: Roster
    remote: Remote
    store: Store
    say: Callable[[str], object]
    marks: dict[str, str] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    listeners: dict[str, Callable[[str], object]] = field(default_factory=dict)
    """By a stage's output who hears the lines that it prints."""

    def __post_init__(self) -> None:
        self._guard = threading.RLock()
        self._live: dict[str, Live] = {}
        self._entries: dict[str, Entry] = {}
        self._bundles: dict[str, str] = {}
        self.roster.subscribe(worker.TOPIC, self._hear)

    def takes(self, stage: ConcreteStage) -> bool:
        """Whether the stage runs on a worker."""
        return self.roster.takes(stage)

    def bring(self, stage: ConcreteStage, wanted: Entry) -> Entry | None:
        """What the remote already has of a stage, as when a driver was killed while it ran; its bytes are then here."""
        found = self.remote.find_run(wanted)
        if found is None:
            return None
        try:
            self.remote.fetch(out["md5"] for out in found["outs"])
        except RemoteAway:
            return None
        if self._pledged(stage, wanted):
            self._register(stage)
        return found

    def run(self, stage: ConcreteStage, log: Path) -> Ended:
        """Run a stage somewhere until it has an answer; then its output is in the cache here, and `result` names it.

        Raises:
            UserError: no worker can take it.
        """
        wanted = self.store.wanted(stage)
        avoid: list[str] = []
        self._pledge(stage, wanted)
        for attempt in range(1, TRIES + 1):
            begun = time.monotonic()
            with self.roster.room(stage.needs.cpu):
                free = time.monotonic()
                task = self._task(stage, wanted)
                sent = time.monotonic()
                answer = self._answer(stage, task, f"{self._key(stage, wanted)}.{attempt}", avoid, log)
            machine_failed = answer.get(worker.ELSEWHERE) or answer["code"] in (-signal.SIGKILL, INTERRUPTED)
            if self.roster.stopping.is_set() or not machine_failed:
                break
            avoid.append(answer["host"])
            self.remote.forget()
            if attempt < TRIES:
                lines = answer["log"].decode(errors="replace").strip().splitlines()
                said = lines[-1] if lines else f"exit code {answer['code']}"
                self.say(
                    f"{stage.title} did not end on {answer['host']} ({said}): it is tried again, elsewhere if possible."
                )
        if answer["code"] == 0:
            back = time.monotonic()
            self._bring_output(stage, task, f"{self._key(stage, wanted)}.{attempt}", answer)
            self._took(stage, answer)
            there = answer["seconds"]
            fetch, wait, run, push = (there.get(name, 0.0) for name in ("fetch", "wait", "run", "push"))
            self.places[stage.out] = Place(
                host=answer["host"],
                queue=free - begun + wait,
                transfer=sent - free + fetch + push + time.monotonic() - back,
                run=run,
                rest=max(0.0, back - sent - fetch - wait - run - push),
                bytes=answer["fetched"] + answer["pushed"],
                tries=attempt,
            )
        return Ended(answer["code"], answer["cpu"])

    def _bring_output(self, stage: ConcreteStage, task: dict[str, Any], key: str, answer: dict[str, Any]) -> None:
        """Fetch what a stage gave; what of it is damaged at the remote, its maker sends again."""
        for again in range(1, TRIES + 1):
            try:
                self.remote.fetch([answer["entry"]["outs"][0]["md5"]])
                return
            except RemoteAway as problem:
                if again == TRIES or self.roster.stopping.is_set():
                    raise
                self.say(f"{stage.title}: {problem} It is sent again.")
                others = [name for name in self.roster.describe() if name != answer["host"]]
                asked = {**task, "again": True}
                answer = self._answer(stage, asked, f"{key}.again.{again}", others, Path(os.devnull))
                if answer["code"] != 0:
                    raise

    def result(self, stage: ConcreteStage) -> Entry:
        """What the record is to say of a stage that has just run."""
        return self._entries.pop(stage.out)

    def _task(self, stage: ConcreteStage, wanted: Entry) -> dict[str, Any]:
        """What a worker is told; all of it that is bytes is at the remote when this returns."""
        inputs = {each["path"]: each["md5"] for each in wanted["deps"]}
        for path, digest in inputs.items():
            self.store.keep_input(path, digest)
        code = [self._bundle("runner", workspace.runner_files),
                self._bundle(inputs[str(stage.code)], lambda: workspace.stage_files(str(stage.code)))]  # fmt: skip
        self.remote.push([*code, *inputs.values()])
        return {
            "command": stage.command,
            "out": stage.out,
            "entry": wanted,
            "code": code,
            "inputs": inputs,
            "params": {stage.params_file: {stage.name: stage.settings}},
            "level": instructions_of(stage.environment or ""),
            "alone": stage.kind == "measure",
            "remote": self.remote.name,
            "again": False,
        }

    def _bundle(self, name: str, files: Callable[[], list[str]]) -> str:
        with self._guard:
            if name not in self._bundles:
                self._bundles[name] = workspace.bundle(self.store.digests, files())
            return self._bundles[name]

    def _key(self, stage: ConcreteStage, wanted: Entry) -> str:
        """The same for the same stage on the same inputs, whoever drives: two drivers share one computation."""
        return f"{stage.out}@{record.run_key(wanted)[:16]}"

    def _answer(
        self, stage: ConcreteStage, task: dict[str, Any], key: str, avoid: Sequence[str], log: Path
    ) -> dict[str, Any]:
        """Submit until somebody answers: what was lost with a scheduler, or with every worker, is sent again."""
        until = 0.0
        while True:
            if self.roster.stopping.is_set():
                return _without_answer(INTERRUPTED)
            try:
                return self._asked(stage, task, key, avoid, log)
            except Lost as lost:
                now = time.monotonic()
                until = until or now + PATIENCE_SECONDS
                self.roster.say_once(f"{lost}; what ran there is sent again when somebody is back.")
                if now > until:
                    raise UserError(
                        f"{lost}, and it has been so for {PATIENCE_SECONDS:.0f} s: what was done is kept. Start it "
                        "again, and run the same command."
                    ) from lost
                time.sleep(LOOK_SECONDS)

    def _asked(
        self, stage: ConcreteStage, task: dict[str, Any], key: str, avoid: Sequence[str], log: Path
    ) -> dict[str, Any]:
        from distributed import KilledWorker

        able = self.roster.able(stage, avoid)
        if not able:
            raise Lost(self.roster.why_not(stage).rstrip("."))
        resources = {"cpu": stage.needs.cpu, "gpu": stage.needs.gpu, "memory": stage.needs.memory}
        live = Live(log, self.marks, self.listeners.get(stage.out, _unheard))
        with self._guard:
            self._live[key] = live
        future = self.roster.client().submit(
            worker.run_stage,
            task,
            key,
            key=key,
            workers=able,
            resources={name: need for name, need in resources.items() if need},
            allow_other_workers=False,
        )
        try:
            while True:
                try:
                    answer: dict[str, Any] = future.result(timeout=ANSWER_SECONDS)
                    live.finish(answer)
                    return answer
                except TimeoutError:
                    if self.roster.stopping.is_set():
                        return _without_answer(INTERRUPTED)
                    if not set(able) & set(self.roster.present()):
                        raise Lost(f"Every worker that could take {stage.title} has gone") from None
                except KilledWorker as problem:
                    return _without_answer(-signal.SIGKILL, f"Every worker that it was sent to has died: {problem}\n")
                except (OSError, _cancelled()) as problem:
                    raise Lost(f"The scheduler at {self.roster.address} has gone") from problem
        finally:
            with suppress(Exception):
                future.release()
            with self._guard:
                self._live.pop(key, None)

    def _took(self, stage: ConcreteStage, answer: dict[str, Any]) -> None:
        """Note what a stage elsewhere has made, as its process would have done here."""
        path = STATE / "published" / slug(stage.out)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**answer["note"], "commit": commit()}))
        self._register(stage)
        self._entries[stage.out] = answer["entry"]

    # Claims

    def _pledge(self, stage: ConcreteStage, wanted: Entry) -> None:
        """Note which claims stood when a stage was sent: should this process die, its data are not older than they."""
        SUBMITTED.mkdir(parents=True, exist_ok=True)
        (SUBMITTED / slug(stage.out)).write_text(self._pledge_of(stage, wanted))

    def _pledged(self, stage: ConcreteStage, wanted: Entry) -> bool:
        with suppress(FileNotFoundError):
            return (SUBMITTED / slug(stage.out)).read_text() == self._pledge_of(stage, wanted)
        return False

    def _pledge_of(self, stage: ConcreteStage, wanted: Entry) -> str:
        claims = json.loads((ROOT / stage.params_file).read_text()).get(VERDICTS)
        return f"{record.run_key(wanted)} {sha256(json.dumps(claims, sort_keys=True).encode()).hexdigest()}"

    def _register(self, stage: ConcreteStage) -> None:
        if stage.measures:
            registration.register(ROOT / stage.params_file, stage.name)
        (SUBMITTED / slug(stage.out)).unlink(missing_ok=True)

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        said = event[1]
        with self._guard:
            live = self._live.get(said.get("key", ""))
        if live:
            live.hear(said)

    # The end

    def stop(self) -> None:
        """Give up what runs: workers end it unless another driver waits for it. Safe in a signal handler."""
        if not self.roster.stopping.is_set():
            self.roster.stopping.set()
            self._giving_up = threading.Thread(target=self._give_up)
            self._giving_up.start()

    def _give_up(self) -> None:
        keys = list(self._live)
        with suppress(Exception):
            self.roster.client().run(worker.give_up, keys, on_error="ignore")

    def close(self) -> None:
        """Leave the cluster."""
        if self.roster.stopping.is_set():
            self._giving_up.join(CONNECT_SECONDS)
        self.roster.close()

    def rows(self) -> dict[str, dict[str, Any]]:
        """By output where a stage ran and how long that took, for a table."""
        return {
            out: {
                "host": place.host,
                "queue": round(place.queue, 2),
                "transfer": round(place.transfer, 2),
                "run": round(place.run, 2),
                "rest": round(place.rest, 2),
                "tries": place.tries,
            }
            for out, place in self.places.items()
        }


def _unheard(line: str) -> None:
    """Of a line that nobody asked for."""


def _without_answer(code: int, said: str = "") -> dict[str, Any]:
    return {"code": code, "cpu": 0.0, "host": "", "log": said.encode()}


def _cancelled() -> type[BaseException]:
    """What Dask raises for a future of a scheduler that is no more."""
    from distributed.client import FutureCancelledError

    found: type[BaseException] = FutureCancelledError
    return found


@contextmanager
def opened(settings: Settings, store: Store, marks: dict[str, str], say: Callable[[str], object]) -> Iterator[Cluster]:
    """A cluster with its workers, those that are started for it included; at the end they are ended.

    Raises:
        UserError: it cannot be had; the sentence says why.
    """
    remote = Remote(settings.remote or None)
    with started(settings) as found:
        roster = Roster(found, say)
        cluster = Cluster(roster, remote, store, say, marks)
        try:
            remote.prepare()
            say(f"Cluster: {found.address}; Dask's dashboard: {roster.dashboard()}; DVC remote: {remote.place}")
            roster.wait_for_workers()
            yield cluster
        finally:
            cluster.close()
