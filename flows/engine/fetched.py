"""What a tool needs and takes seconds to make: the files of a source, or of a stage that only they are needed for."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.engine.discover import papers
from flows.engine.execute import Executor
from flows.engine.expand import expand
from flows.engine.paper import Stage
from flows.engine.plan import compile_papers, plan, select
from flows.engine.stages import ConcreteStage, source_folder, source_stages
from flows.engine.store import Store
from flows.engine.trained import Output, home, is_here, made, member_of
from flows.engine.variant import Variant
from tasks.base.errors import UserError
from tasks.base.files import ROOT


def fetched(name: str) -> Path:
    """The folder of the source `name`, as the stage that fetches it makes and records it.

    Raises:
        UserError: it cannot be fetched; the sentence says why.
    """
    path = ROOT / source_folder(name)
    if not path.is_dir():
        _say(f"fetching {name}, once.")
        known, _ = compile_papers(Variant("quick"))
        stages = source_stages(known)
        try:
            _run(stages, next(stage for stage in stages if stage.name == name))
        except UserError as problem:
            raise UserError(
                f"{name} cannot be fetched ({str(problem).splitlines()[-2:][0]}): "
                f"mend that, or try dvc repro pipelines/sources/dvc.yaml:{name}."
            ) from problem
    return path


def ready(stage: Stage, profile: str, **axes: Any) -> Output:
    """What `made` gives; where it is not here, it is made first. For stages that take seconds.

    Raises:
        UserError: it cannot be made; the sentence says why.
    """
    if not is_here(stage, profile, **axes):
        experiment, name = home(stage)
        wanted = member_of(expand(experiment, Variant(profile)), name, axes)
        _say(f"making {wanted.title}, once.")
        _run(select([experiment.name], Variant(profile), papers()), wanted)
    return made(stage, profile, **axes)


def _run(stages: Sequence[ConcreteStage], wanted: ConcreteStage) -> None:
    """Run a stage after those that it needs."""
    makers = {stage.out: stage for stage in stages}
    needed, waiting = set(), [wanted.out]
    while waiting:
        needed.add(out := waiting.pop())
        waiting += [folder for folder in makers[out].input_folders if folder in makers]
    store = Store()
    plan(list(stages), store, record=True)
    executor = Executor(store, jobs=1)
    try:
        for stage in stages:
            if stage.out in needed and stage.kind != "environment":
                executor.run(stage)
    finally:
        executor.finish()


def _say(sentence: str) -> None:
    """Beside the answer, so that --json stays JSON."""
    print(f"tenfold: {sentence}", file=sys.stderr)
