"""One reproduction from its start to its end: plan, processes, terminal, tracking, Ctrl-C."""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from flows.engine.cluster.commands import require_dask
from flows.engine.console import console, cores
from flows.engine.errors import Interrupted
from flows.engine.execute import Executor, Outcome
from flows.engine.plan import Plan, anew
from flows.engine.stages import ConcreteStage
from flows.engine.store import Store
from flows.engine.terminal import Terminal, show_places
from flows.engine.variant import variant
from tasks.base.errors import UserError
from tasks.base.files import ROOT, STATE, slug
from tasks.judging.register import VERDICTS
from tasks.running.pusher import REFUSED
from tasks.running.spools import SPOOL, UNKNOWN, commit, process
from tasks.running.tracking import refused, waiting

if TYPE_CHECKING:
    from flows.engine.cluster.driver import Cluster

NOWHERE: dict[str, Any] = {"host": "", "queue": 0.0, "transfer": 0.0, "run": 0.0, "rest": 0.0, "tries": 0}
"""Of a stage that no worker ran."""
PUSH_SECONDS = 60
"""How long the end of a reproduction waits for its pusher; what is left then is pushed next time."""


@dataclass
class Session:
    """A reproduction in this process: its name, its plan, its executor, what became of each stage."""

    name: str
    plan: Plan
    executor: Executor
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def hear(self, outcome: Outcome) -> None:
        if outcome.state != "started":
            self.outcomes[outcome.stage.title] = outcome

    def stage(self, title: str) -> ConcreteStage:
        return next(stage for stage in self.plan.stages if stage.title == title)

    def ended_well(self, stage: ConcreteStage) -> bool:
        """Whether the stage is up to date now."""
        outcome = self.outcomes.get(stage.title)
        return outcome is not None and outcome.state in ("ran", "restored", "unchanged")

    def missing(self) -> set[str]:
        """What was to be made before and is not there: the outputs of stages that did not end well."""
        return {stage.out for stage in self.plan.work if not self.ended_well(stage)}

    def made(self, stage: ConcreteStage) -> bool:
        """Whether the stage's output was made or found in this reproduction."""
        outcome = self.outcomes.get(stage.title)
        return outcome is not None and outcome.state in ("ran", "restored")

    def rows(self) -> list[dict[str, Any]]:
        """What became of every stage, for a table; one that was up to date is "cached"."""
        work = {stage.out for stage in self.plan.work}
        rows = []
        for stage in self.plan.stages:
            outcome = self.outcomes.get(stage.title)
            state = outcome.state if outcome else "not run" if stage.out in work else "cached"
            took = {
                "seconds": round(outcome.seconds, 1) if outcome else 0.0,
                "cpu_seconds": round(outcome.cpu_seconds, 1) if outcome else 0.0,
            }
            rows.append({"paper": stage.paper, "stage": stage.name, "state": state, **took, "out": stage.out})
        if self.executor.cluster:
            places = self.executor.cluster.rows()
            rows = [{**row, **places.get(str(row["out"]), NOWHERE)} for row in rows]
        return rows

    def raise_problems(self, stages: Sequence[ConcreteStage]) -> None:
        """Raise unless every one of the stages has ended well.

        Raises:
            Interrupted: the user stopped the reproduction.
            UserError: stages failed, or did not run for want of others; the sentence names them.
        """
        if self.executor.stopped:
            raise Interrupted("Interrupted: finished stages are kept; the same command goes on from here.")
        failed = [stage.title for stage in stages if self._state(stage) == "failed"]
        unfinished = [stage.title for stage in stages if not self.ended_well(stage)]
        if failed:
            waiting = [title for title in unfinished if title not in failed]
            raise UserError(
                f"{len(failed)} of {len(self.plan.work)} stages failed: {', '.join(failed)}. "
                f"{'Not run for want of them: ' + ', '.join(waiting) + '. ' if waiting else ''}"
                "What does not depend on them is done and kept; the same command goes on from here."
            )
        if unfinished:
            raise UserError(
                f"{len(unfinished)} of {len(self.plan.work)} stages did not run: {', '.join(unfinished)}. "
                "What they read was not made; the same command goes on from here."
            )

    def _state(self, stage: ConcreteStage) -> str:
        outcome = self.outcomes.get(stage.title)
        return outcome.state if outcome else ""


@contextmanager
def opened(
    papers: list[str], profile: str, settings: list[str], jobs: int | None, *, track: bool = True, cluster: str = ""
) -> Iterator[Session]:
    """Plan a reproduction and get everything ready to run it; at the end, write what it did.

    Without `track`, no stage leaves a spool, and nothing goes to the tracking store. `cluster` is a file or an address,
    and without `jobs` as many stages run at once as there are cores.

    Raises:
        UserError: a name or a setting is wrong.
    """
    chosen = variant(profile, settings)
    store = Store()
    planned, _ = anew(papers, chosen, store, record=True)
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    marks = {"TENFOLD_COMMIT": commit()} | ({"TENFOLD_REPRODUCTION": name} if track else {})
    if commit() == UNKNOWN:
        console.print("git does not say which commit this is, so no result will name one: tenfold doctor shows why.")
    with _joined(cluster, store, marks, planned) as workers:
        executor = Executor(store, jobs or (workers.roster.jobs() if workers else cores()), marks, cluster=workers)
        session = Session(name, planned, executor)
        terminal = Terminal(planned)
        executor.listeners += [session.hear, terminal.hear]
        with tracked(session, profile) if track else nullcontext(), terminal, stopping(executor):
            try:
                yield session
            finally:
                executor.finish()
        if workers and workers.places:
            show_places(workers)


@contextmanager
def _joined(given: str, store: Store, marks: dict[str, str], planned: Plan) -> "Iterator[Cluster | None]":
    """The cluster that the user named, looked at before anything runs; None where none was named."""
    if not given or not planned.work:
        yield None
        return
    require_dask()
    from flows.engine.cluster import driver
    from flows.engine.cluster.settings import read

    with driver.opened(read(given), store, marks, partial(console.print, markup=False)) as cluster:
        cluster.roster.check(planned.work)
        yield cluster


@contextmanager
def stopping(executor: Executor) -> Iterator[None]:
    """On Ctrl-C end the running stages and go on to the orderly end; a second one ends everything."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        if executor.stopped:
            executor.stop(at_once=True)
            os._exit(128 + number)
        executor.stop()

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def tracked(session: Session, profile: str) -> Iterator[None]:
    """Say to the spool what this reproduction is and how it ended, with a pusher beside it."""
    own = SPOOL / session.name / "own.jsonl"
    own.parent.mkdir(parents=True, exist_ok=True)

    def say(event: dict[str, Any]) -> None:
        with open(own, "a") as file:
            file.write(json.dumps({**event, "time": time.time()}) + "\n")

    say({"kind": "start", "process": process(os.getpid()), "commit": commit()})
    with open(SPOOL / "pusher.log", "ab") as log:
        pusher = subprocess.Popen(
            [sys.executable, "-m", "tasks.running.tracking", "--follow"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    except Interrupted:
        status = "KILLED"
        raise
    finally:
        rows = session.rows()
        for paper in sorted({stage.paper for stage in session.plan.work}):
            tags = {"profile": profile, "flow_run": session.executor.marks.get("TENFOLD_FLOW_RUN", "")}
            say({"kind": "stages", "paper": paper, "rows": [r for r in rows if r["paper"] == paper], "tags": tags})
        try:
            if status != "KILLED":
                for paper, path in _reports(session):
                    say({"kind": "file", "paper": paper, "profile": profile, "path": str(path)})
        finally:
            say({"kind": "end", "status": status})
            assert pusher.stdin
            pusher.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                pusher.wait(PUSH_SECONDS)
            _say_what_waits(session.name)


def _say_what_waits(reproduction: str) -> None:
    """Tell the user when the tracking store has not got all: the results are recorded all the same."""
    left, why = waiting(reproduction)
    if left:
        console.print(
            f"The tracking store did not take all that was said ({why or 'it is slow'}): {left} spools wait in "
            f"{os.path.relpath(SPOOL, ROOT)}, and the next run pushes them. No result is lost.",
            markup=False,
        )
    if number := refused():
        where = os.path.relpath(REFUSED, ROOT)
        console.print(f"MLflow has refused {number} items so far; see {where} for which and why.", markup=False)


def _reports(session: Session) -> Iterator[tuple[str, Path]]:
    """Write the page and the figures of each paper with new verdicts: (paper, file), for the tracking store."""
    judged = [stage for stage in session.plan.work if stage.name == VERDICTS and session.made(stage)]
    if not judged:
        return
    from flows.engine.evidence import gather
    from flows.engine.report import write_figures, write_page

    base, *changes = judged[0].profile.split("+")
    for stage, evidence in zip(judged, gather([stage.paper for stage in judged], base, changes), strict=True):
        folder = STATE / "reports" / slug(stage.pipeline)
        folder.mkdir(parents=True, exist_ok=True)
        yield stage.paper, write_page(evidence, folder / "report.html")
        for path in write_figures(evidence, folder):
            yield stage.paper, path
