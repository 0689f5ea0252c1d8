"""The Prefect flow: a subflow for each paper, a task for each stage. The only importer of prefect."""

import json
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, wait
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner

from flows.engine.execute import StageFailed, cores
from flows.engine.session import Session, opened
from flows.engine.stages import REPORT, SOURCES, ConcreteStage
from tasks.base.files import ROOT
from tasks.judging.register import VERDICTS
from tasks.judging.report import markdown, verdict_lines

MANY_THREADS: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=1000)
"""Every waiting task has a thread; how many stages run at once is the executor's business."""

FETCH_RETRIES = 2
RETRY_SECONDS = [2.0, 15.0]

Futures = dict[str, PrefectFuture[Any]]
sessions: dict[str, Session] = {}


@flow(name="reproduce", task_runner=MANY_THREADS)  # type: ignore[arg-type]
def reproduce(
    papers: list[str] | None = None,
    profile: str = "quick",
    settings: list[str] | None = None,
    jobs: int | None = None,
) -> dict[str, str]:
    """Bring papers up to date (all by default) and return what became of each stage.

    `settings` are changes such as "expert.steps=500"; `jobs` bounds how many stages run at once, by
    default one a core.

    Raises:
        UserError: a name or a setting is wrong, or a stage failed.
    """
    with opened(papers or [], profile, settings or [], jobs or cores()) as session:
        session.executor.marks["TENFOLD_FLOW_RUN"] = str(flow_run.id)
        sessions[session.name] = session
        work = session.plan.work
        shared = _submit(session, [stage for stage in work if stage.paper == SOURCES])
        ready = list(shared.values())
        subflows = [
            _paper.with_options(name=paper).submit(session.name, paper, wait_for=ready, return_state=False)
            for paper in sorted({stage.paper for stage in work} - {SOURCES, REPORT})
        ]
        wait([*shared.values(), *subflows])
        session.raise_problems()
        wait(list(_submit(session, [stage for stage in work if stage.paper == REPORT]).values()))
        session.raise_problems()
        return {title: outcome.state for title, outcome in session.outcomes.items()}


@task(cache_policy=NO_CACHE)
def _paper(session: str, paper: str) -> None:
    """Prefect runs subflows side by side only when each is called from a task."""
    reproduce_paper.with_options(name=paper)(session, paper)


@flow(name="paper", task_runner=MANY_THREADS)  # type: ignore[arg-type]
def reproduce_paper(session: str, paper: str) -> None:
    """The stages of one paper; leaves a table of the stages and the paper's results as artifacts.

    Raises:
        UserError: a stage failed.
    """
    here = sessions[session]
    stages = [stage for stage in here.plan.work if stage.paper == paper]
    wait(list(_submit(here, stages).values()))
    key = paper.replace("_", "-")
    rows = [row for row in here.rows() if row["paper"] == paper]
    create_table_artifact(key=f"{key}-stages", table=rows, description=f"What became of the stages of {paper}")
    here.raise_problems(paper)
    lines = "\n".join(_result_lines(stages))
    create_markdown_artifact(key=f"{key}-results", markdown=lines, description=f"Verdicts and tables of {paper}")


@task(cache_policy=NO_CACHE)
def run_stage(session: str, stage: str) -> str:
    """Bring one stage up to date and return what became of it."""
    here = sessions[session]
    return here.executor.run(here.stage(stage)).state


def _submit(session: Session, stages: list[ConcreteStage]) -> Futures:
    """Hand stages to Prefect, each waiting for those whose outputs it reads."""
    futures: Futures = {}
    for stage in stages:
        upstream = [futures[folder] for folder in stage.input_folders if folder in futures]
        prepared = run_stage.with_options(name=stage.name)
        if stage.kind == "fetch":
            prepared = prepared.with_options(
                retries=FETCH_RETRIES, retry_delay_seconds=RETRY_SECONDS, retry_condition_fn=_may_pass
            )
        futures[stage.out] = prepared.submit(session.name, stage.title, wait_for=upstream, return_state=False)
    return futures


def _may_pass(task: Any, run: Any, state: Any) -> bool:
    """Retry what may pass by itself, such as a network that does not answer; not a wrong hash."""
    problem = state.result(raise_on_failure=False)
    return isinstance(problem, StageFailed) and problem.retryable


def _result_lines(stages: list[ConcreteStage]) -> list[str]:
    lines: list[str] = []
    for stage in stages:
        if stage.name == VERDICTS:
            verdicts = json.loads((ROOT / stage.out / "verdicts.json").read_text())
            lines = ["## Verdicts", "", *verdict_lines(verdicts), *lines]
        if stage.name == "results":
            for table in json.loads((ROOT / stage.out / "tables.json").read_text()):
                lines += [f"## {table['title']}", "", *markdown(table), ""]
    return lines
