"""Which workers there are at a scheduler, what each can take, and how many stages fit on them."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from flows.engine.cluster.hosts import Started
from flows.engine.cluster.serve import configure
from flows.engine.console import cores
from flows.engine.stages import ConcreteStage
from tasks.base.environment import environment
from tasks.base.errors import UserError
from tasks.base.files import ROOT
from tasks.base.manifest import DISTRIBUTIONS

LOOK_SECONDS = 0.5
PATIENCE_SECONDS = float(os.environ.get("TENFOLD_CLUSTER_PATIENCE", "120"))
"""How long a scheduler, or all workers that could take a stage, may be gone before the stage fails."""
CONNECT_SECONDS = min(20.0, PATIENCE_SECONDS)

T = TypeVar("T")

MACHINE = "data/machine"

Described = dict[str, Any]
"""What a worker says of itself, and what Dask says of it."""


class Lost(Exception):
    """The scheduler, or every worker that could have answered, has gone."""


@dataclass
class Roster:
    """The workers at a scheduler, and the connection to it; `say` tells the user what is worth knowing.

    Raises:
        UserError: nobody answers.
    """

    started: Started
    say: Callable[[str], object]

    def __post_init__(self) -> None:
        self._guard = threading.RLock()
        self.stopping = threading.Event()
        self._workers: dict[str, Described] = {}
        self._looked = 0.0
        self._taken: dict[str, bool] = {}
        self._used = 0
        self._freed = threading.Condition()
        self._said: set[str] = set()
        self._topics: dict[str, Callable[[Any], None]] = {}
        self._dask: Any = None
        self._connected()

    @property
    def address(self) -> str:
        """The scheduler's."""
        return self.started.address

    def takes(self, stage: ConcreteStage) -> bool:
        """Whether the stage is one for the workers.

        What is fetched, and what describes this machine, is made here; so is what depends on the machine's model, as
        all that measures does, where no worker is of that model.
        """
        with self._guard:
            if stage.out not in self._taken:  # decided once, whoever comes and goes
                elsewhere = stage.kind in ("compute", "measure")
                self._taken[stage.out] = elsewhere and (not _is_bound(stage) or bool(self.able(stage)))
            return self._taken[stage.out]

    def capacity(self) -> int:
        """How many cores the workers have together."""
        with suppress(Lost):
            self.present()
        return int(sum(each["resources"].get("cpu", 0) for each in self._workers.values()))

    def jobs(self) -> int:
        """How many stages the driver has in hand at once: what fits now, and workers that come later."""
        return 2 * max(self.capacity(), self.started.cpus, cores())

    def wait_for_workers(self) -> None:
        """Return when all workers have come that were started, or as many as did within the time for it.

        Of workers in the queue of a batch system the first one will do: the others are used when they come.

        Raises:
            UserError: there is none.
        """
        until = time.monotonic() + PATIENCE_SECONDS
        enough = 1 if self.started.queued else max(1, self.started.workers)
        while len(self.present()) < enough and (self.started.queued or time.monotonic() < until):
            if self.started.workers:
                self.say_once(f"Waiting for the first of {self.started.workers} workers to come to {self.address}.")
            else:
                self.say_once(f"No worker is at {self.address} yet; start some: tenfold worker {self.address}")
            time.sleep(LOOK_SECONDS)
        if not self.present():
            raise UserError(f"No worker has come to {self.address}: start some, each in a checkout of its own, by "
                            f"tenfold worker {self.address}.")  # fmt: skip

    def check(self, stages: Sequence[ConcreteStage]) -> None:
        """Say at once what no worker can take, before anything runs.

        Raises:
            UserError: which stage, what it needs, and what each worker lacks.
        """
        # Of thousands of stages most want the same.
        for stage in {(each.code, each.needs, each.kind, each.environment): each for each in reversed(stages)}.values():
            if stage.kind not in ("compute", "measure") or self.able(stage):
                continue
            if not _is_bound(stage):
                raise UserError(self.why_not(stage))
            self.say_once(f"{stage.title} depends on this machine's model, so it runs here: {self.why_not(stage)}")

    def describe(self) -> dict[str, Described]:
        """What each worker is, by its name."""
        return {str(each["name"]): each for each in self.present().values()}

    def dashboard(self) -> str:
        return str(self.client().dashboard_link)

    def present(self) -> dict[str, Described]:
        """The workers by their addresses; asked for anew at most twice a second, and in full only where one is new."""
        with self._guard:
            if time.monotonic() - self._looked > LOOK_SECONDS:
                client = self.client()
                try:
                    there = client.ncores()
                    if set(there) - set(self._workers):
                        self._workers = client.scheduler_info(n_workers=-1)["workers"]
                    self._workers = {address: self._workers[address] for address in there if address in self._workers}
                except OSError as problem:
                    raise Lost(f"The scheduler at {self.address} has gone") from problem
                self._looked = time.monotonic()
                for each in self._workers.values():
                    if differing := self.unlike(each):
                        self.say_once(f"The worker {each['name']} is not used: {differing}.")
            return dict(self._workers)

    def unlike(self, each: Described) -> str:
        """In what a worker's environment differs from the one that the record is going to name."""
        described = each.get("tenfold")
        if described is None:
            return "it was not started by tenfold worker"
        here = environment()
        return ", ".join(f"{name} is {described[name]} there and {here[name]} here" for name in here
                         if described[name] != here[name])  # fmt: skip

    def lacks(self, each: Described, stage: ConcreteStage, libraries: Mapping[str, str]) -> str:
        """Why a worker cannot take a stage whose code imports these libraries; empty when it can."""
        if differing := self.unlike(each):
            return differing
        needs = {"cpu": stage.needs.cpu, "gpu": stage.needs.gpu, "memory": stage.needs.memory}
        offers = each["resources"]
        lacking = [f"{name} {offers.get(name, 0):g} of {need:g}" for name, need in needs.items()
                   if need > offers.get(name, 0)]  # fmt: skip
        if lacking:
            return f"it has {', '.join(lacking)}"
        there = each["tenfold"]["libraries"]
        for library, version in libraries.items():
            names = DISTRIBUTIONS.get(library, (library,))
            found = next((there[name] for n in names if (name := n.lower().replace("_", "-")) in there), "absent")
            if found != version:
                return f"{library} is {found} there and {version} here"
        if _is_bound(stage):
            here, machine = environment(hardware=True), each["tenfold"]["machine"]
            for name in here:
                if machine[name] != here[name]:
                    return f"its {name} is {machine[name]}, this one's {here[name]}"
        return ""

    def able(self, stage: ConcreteStage, avoid: Sequence[str] = ()) -> list[str]:
        """The addresses of the workers that can take a stage; those to avoid only where there are no others."""
        present, libraries = self.present(), _libraries(stage)
        able = [address for address, each in present.items() if not self.lacks(each, stage, libraries)]
        return [address for address in able if present[address]["name"] not in avoid] or able

    def why_not(self, stage: ConcreteStage) -> str:
        """What a stage needs and each worker lacks, in words."""
        needs, libraries = stage.needs, _libraries(stage)
        wants = f"{needs.cpu} cpu" + (f", {needs.gpu} gpu" if needs.gpu else "")
        wants += f", {needs.memory:g} GB" if needs.memory else ""
        each = "; ".join(f"{one['name']}: {self.lacks(one, stage, libraries)}" for one in self.present().values())
        return f"No worker can take {stage.title}, which needs {wants}. {each or 'There is none'}."

    def say_once(self, sentence: str) -> None:
        with self._guard:
            if sentence in self._said:
                return
            self._said.add(sentence)
        self.say(sentence)

    @contextmanager
    def room(self, need: int) -> Iterator[None]:
        """Room for so many cores: what waits here goes to whoever is free first, and dies with no worker."""
        with self._freed:
            while self._used and self._used + need > self.capacity() and not self.stopping.is_set():
                self._freed.wait(LOOK_SECONDS)
            self._used += need
        try:
            yield
        finally:
            with self._freed:
                self._used -= need
                self._freed.notify_all()

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """What a function gives on the worker whose name is the last argument."""
        address = next(each for each, said in self.present().items() if said["name"] == arguments[-1])
        found: T = self.client().run(function, *arguments, workers=[address])[address]
        return found

    def subscribe(self, topic: str, hear: Callable[[Any], None]) -> None:
        """Hear what workers say, also after a scheduler has come back."""
        self._topics[topic] = hear
        self.client().subscribe_topic(topic, hear)

    def close(self) -> None:
        """Leave the scheduler."""
        if self._dask is not None:
            with suppress(Exception):
                self._dask.close(timeout=2)

    def client(self) -> Any:
        with self._guard:
            if self._dask is None or self._dask.status not in ("running", "connecting"):
                self._connected()
            return self._dask

    def _connected(self) -> None:
        configure()
        from distributed import Client

        try:
            self._dask = Client(
                self.address,
                security=self.started.security,
                set_as_default=False,
                timeout=CONNECT_SECONDS,
                name="tenfold",
            )
        except (OSError, TimeoutError) as problem:
            self._dask = None
            if self._workers:
                raise Lost(f"The scheduler at {self.address} has gone") from problem
            said = next(iter(str(problem).splitlines()), type(problem).__name__)
            raise UserError(
                f"No scheduler answers at {self.address} ({said}): start one by tenfold scheduler, or name another."
            ) from problem
        for topic, hear in self._topics.items():
            self._dask.subscribe_topic(topic, hear)


def _is_bound(stage: ConcreteStage) -> bool:
    """Whether what a stage gives depends on the model of processor and GPU."""
    return stage.environment == MACHINE


def _libraries(stage: ConcreteStage) -> dict[str, str]:
    """The libraries that a stage's code imports, with the versions here."""
    found: dict[str, str] = json.loads((ROOT / str(stage.code)).read_text())["libraries"]
    return found
