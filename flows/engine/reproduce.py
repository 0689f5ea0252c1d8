"""The Prefect flow: a subflow for each paper, a task for each stage. The only importer of prefect."""

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, State, StateType
from prefect.events import emit_event
from prefect.exceptions import ObjectNotFound
from prefect.futures import PrefectFuture, wait
from prefect.runtime import flow_run
from prefect.states import Crashed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.engine.schedule import run_in_order
from flows.engine.server import has_died
from flows.engine.session import Session, opened
from flows.engine.stages import REPORT, SOURCES, ConcreteStage
from flows.engine.store import Store
from tasks.base.files import ROOT, STATE
from tasks.judging.register import VERDICTS
from tasks.judging.report import markdown, verdict_lines
from tasks.running.spools import is_alive, process

RUNS = STATE / "flow-runs"
"""A file for each run of a flow that was begun here, with the process that runs it."""
UNFINISHED = sorted(set(StateType) - TERMINAL_STATES)
"""The states of what Prefect believes to be under way."""
WATCH_SECONDS = 2.0
sessions: dict[str, Session] = {}


@flow(name="reproduce")
def reproduce(
    papers: list[str] | None = None,
    profile: str = "quick",
    settings: list[str] | None = None,
    jobs: int | None = None,
    cluster: str = "",
) -> dict[str, str]:
    """Bring papers up to date and return what became of each stage.

    Args:
        papers: Short names, such as btx; all papers by default.
        profile: quick shows that everything works; cpu and gpu are those to judge by.
        settings: Changes such as expert.steps=500.
        jobs: How many stages run at once; by default one a core.
        cluster: Where they run, if not here: a file that describes a cluster, or a scheduler's address.

    Raises:
        UserError: a name or a setting is wrong, or a stage failed.
    """
    _end_killed_runs()
    _note_run()
    with opened(papers or [], profile, settings or [], jobs, cluster=cluster) as session, server_watched(session):
        session.executor.marks["TENFOLD_FLOW_RUN"] = str(flow_run.id)
        sessions[session.name] = session
        work = session.plan.work
        if not work:
            _say_up_to_date(len(session.plan.stages))
        _run(session, [stage for stage in work if stage.paper == SOURCES])
        papers_with_work = sorted({stage.paper for stage in work} - {SOURCES, REPORT})
        subflows = [_paper.with_options(name=name) for name in papers_with_work]
        wait([each.submit(session.name, each.name, return_state=False) for each in subflows])
        session.raise_problems([stage for stage in work if stage.paper != REPORT])
        _run(session, [stage for stage in work if stage.paper == REPORT])
        session.raise_problems(work)
        return {title: outcome.state for title, outcome in session.outcomes.items()}


@contextmanager
def server_watched(session: Session) -> Iterator[None]:
    """End this process when Prefect's server dies under it: Prefect would ask for an answer again and again."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(WATCH_SECONDS):
            if has_died():
                session.executor.stop(at_once=True)
                print(
                    "tenfold: The Prefect server of this repository was killed, as when memory runs out: finished "
                    "stages are kept. Run the same command again, or with --plain, which needs no server.",
                    file=sys.stderr,
                    flush=True,
                )
                os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


@task(cache_policy=NO_CACHE)
def _paper(session: str, paper: str) -> None:
    """Prefect runs subflows side by side only when each is called from a task."""
    reproduce_paper.with_options(name=paper)(session, paper)


@flow(name="paper")
def reproduce_paper(session: str, paper: str) -> None:
    """The stages of one paper; leaves a table of the stages and the paper's results as artifacts.

    Raises:
        UserError: a stage failed.
    """
    _note_run()
    here = sessions[session]
    stages = [stage for stage in here.plan.work if stage.paper == paper]
    before = _verdicts(stages)
    _run(here, stages)
    _tell_changes(paper, before, _verdicts(stages))
    key = paper.replace("_", "-")
    rows = [row for row in here.rows() if row["paper"] == paper]
    create_table_artifact(key=f"{key}-stages", table=rows, description=f"What became of the stages of {paper}")
    here.raise_problems(stages)
    lines = "\n".join(_result_lines(here.executor.store, stages))
    create_markdown_artifact(key=f"{key}-results", markdown=lines, description=f"Verdicts and tables of {paper}")


def _say_up_to_date(stages: int) -> None:
    """Leave a word in the log and an artifact where there is nothing to do: a run without tasks looks broken."""
    said = f"{stages} stages are up to date: nothing to do."
    get_run_logger().info(said)
    create_markdown_artifact(key="up-to-date", markdown=said, description="Nothing to do")


def _verdicts(stages: list[ConcreteStage]) -> dict[str, str]:
    """The verdicts that lie on the disk, by claim; none where nothing was judged."""
    for stage in stages:
        if stage.name == VERDICTS:
            with suppress(OSError, ValueError):
                found = json.loads((ROOT / stage.out / "verdicts.json").read_text())
                return {claim["id"]: claim["verdict"] for claim in found["claims"]}
    return {}


def _tell_changes(paper: str, before: dict[str, str], after: dict[str, str]) -> None:
    """Emit an event, on which an automation can act, where a verdict is another than that of the run before."""
    told = [(claim, before.get(claim, verdict), verdict) for claim, verdict in after.items()]
    changed = [f"{claim}: {earlier} → {verdict}" for claim, earlier, verdict in told if earlier != verdict]
    if changed:
        emit_event(
            "tenfold.verdicts.changed",
            resource={"prefect.resource.id": f"tenfold.paper.{paper}", "prefect.resource.name": paper},
            payload={"changes": changed},
        )


def _note_run() -> None:
    """Note which process runs this flow: Prefect would show a killed one as running for ever."""
    RUNS.mkdir(parents=True, exist_ok=True)
    (RUNS / str(flow_run.id)).write_text(process(os.getpid()))


def _end_killed_runs() -> None:
    """Say to Prefect that the runs of processes which are no more have crashed, unless they had ended before."""
    notes = [note for note in RUNS.glob("*") if not is_alive(note.read_text(errors="replace"))]
    if not notes:
        return
    with get_client(sync_client=True) as client:
        for note in notes:
            with suppress(ObjectNotFound, ValueError):  # it was another server's, or is no note of ours
                _end_killed_run(client, UUID(note.name))
            note.unlink(missing_ok=True)


def _end_killed_run(client: SyncPrefectClient, run: UUID) -> None:
    crashed: State[Any] = Crashed(message="Its process was killed.")
    known = client.read_flow_run(run).state
    if known is None or not known.is_final():
        client.set_flow_run_state(run, crashed, force=True)
    own = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
    running = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=UNFINISHED)))
    while found := client.read_task_runs(flow_run_filter=own, task_run_filter=running):
        for each in found:
            client.set_task_run_state(each.id, crashed, force=True)


@task(cache_policy=NO_CACHE)
def run_stage(session: str, stage: str) -> str:
    """Bring one stage up to date and return what became of it."""
    here = sessions[session]
    chosen = here.stage(stage)
    if here.executor.cluster:
        here.executor.cluster.listeners[chosen.out] = get_run_logger().info
    return here.executor.run(chosen).state


def _run(session: Session, stages: list[ConcreteStage]) -> None:
    """A Prefect task for each stage, begun when those whose outputs it reads have ended well."""
    # A thread for each stage that runs; how many do at once is the executor's business.
    with ThreadPoolTaskRunner[Any](max_workers=session.executor.jobs + 1) as runner:

        def begin(stage: ConcreteStage, upstream: list[PrefectFuture[Any]]) -> PrefectFuture[Any]:
            prepared = run_stage.with_options(name=stage.name)
            return runner.submit(prepared, {"session": session.name, "stage": stage.title}, wait_for=upstream)

        run_in_order(stages, begin, session.ended_well, session.missing())


def _result_lines(store: Store, stages: list[ConcreteStage]) -> list[str]:
    lines: list[str] = []
    for stage in stages:
        if stage.name == VERDICTS:
            verdicts = json.loads(store.read(stage, "verdicts.json"))
            lines = ["## Verdicts", "", *verdict_lines(verdicts), *lines]
        if stage.name == "results":
            for table in json.loads(store.read(stage, "tables.json")):
                lines += [f"## {table['title']}", "", *markdown(table), ""]
    return lines
