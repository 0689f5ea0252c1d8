"""Find the papers: every module of `flows` that defines `paper`."""

import importlib
import pkgutil
from dataclasses import dataclass
from types import ModuleType

import flows
from flows.engine.errors import did_you_mean
from flows.engine.paper import Paper, Stage
from tasks.errors import UserError


@dataclass(frozen=True)
class Experiment:
    """A paper file as found: the short name, the paper, and its stages by name in order."""

    name: str
    paper: Paper
    stages: dict[str, Stage]
    about: str


def papers() -> dict[str, Experiment]:
    """All papers by their short names, sorted."""
    names = sorted(found.name for found in pkgutil.iter_modules(flows.__path__) if not found.ispkg)
    return {name: read(importlib.import_module(f"flows.{name}")) for name in names}


def read(module: ModuleType) -> Experiment:
    """Read one paper's module.

    Raises:
        UserError: the module defines no paper, or names a stage twice.
    """
    name = module.__name__.rpartition(".")[2]
    paper = getattr(module, "paper", None)
    if not isinstance(paper, Paper):
        raise UserError(f"flows/{name}.py defines no paper: give it a module-level `paper = Paper(…)`.")
    stages = {variable.replace("_", "-"): value for variable, value in vars(module).items() if isinstance(value, Stage)}
    if len({id(stage) for stage in stages.values()}) < len(stages):
        raise UserError(f"flows/{name}.py holds one stage under two names: keep one variable for each stage.")
    return Experiment(name, paper, stages, (module.__doc__ or "").strip())


def choose(names: list[str], known: dict[str, Experiment]) -> list[Experiment]:
    """The papers with the given names, or all of them.

    Raises:
        UserError: a name is not a paper's.
    """
    for name in names:
        if name not in known:
            raise UserError(f"There is no paper {name}.{did_you_mean(name, known)}")
    return [known[name] for name in sorted(set(names))] if names else list(known.values())
