"""A reproduction without Prefect and MLflow, as continuous integration and clusters want it."""

from concurrent.futures import Future, ThreadPoolExecutor

from flows.engine.execute import Outcome
from flows.engine.schedule import run_in_order
from flows.engine.session import opened
from flows.engine.stages import ConcreteStage


def reproduce(papers: list[str], profile: str, settings: list[str], jobs: int | None, cluster: str = "") -> None:
    """Bring papers up to date (all where none is named); the record is the same as with Prefect.

    Raises:
        UserError: a name or a setting is wrong, or a stage failed.
    """
    with (
        opened(papers, profile, settings, jobs, track=False, cluster=cluster) as session,
        ThreadPoolExecutor(session.executor.jobs + 1) as pool,
    ):

        def begin(stage: ConcreteStage, upstream: list[Future[Outcome]]) -> Future[Outcome]:
            return pool.submit(session.executor.run, stage)

        run_in_order(session.plan.work, begin, session.ended_well)
        session.raise_problems(session.plan.work)
