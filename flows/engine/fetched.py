"""The files of a source of data, for a tool: fetched first where they are not here yet."""

from pathlib import Path

from flows.engine.console import console
from flows.engine.execute import Executor
from flows.engine.plan import compile_papers, plan
from flows.engine.stages import source_folder, source_stages
from flows.engine.store import Store
from flows.engine.variant import Variant
from tasks.base.errors import UserError
from tasks.base.files import ROOT


def fetched(name: str, quiet: bool = False) -> Path:
    """The folder of the source `name`, as the stage that fetches it makes and records it.

    Raises:
        UserError: it cannot be fetched; the sentence says why.
    """
    path = ROOT / source_folder(name)
    if not path.is_dir():
        if not quiet:
            console.print(f"Fetching {name}, once.")
        _fetch(name)
    return path


def _fetch(name: str) -> None:
    known, _ = compile_papers(Variant("quick"))
    stages = source_stages(known)
    (stage,) = [stage for stage in stages if stage.name == name]
    store = Store()
    plan(stages, store, record=True)
    executor = Executor(store, jobs=1)
    try:
        executor.run(stage)
    except UserError as problem:
        raise UserError(
            f"{name} cannot be fetched ({str(problem).splitlines()[-2:][0]}): "
            f"mend that, or try dvc repro pipelines/sources/dvc.yaml:{name}."
        ) from problem
    finally:
        executor.finish()
