"""Find the papers: every module of `flows`, or package where a paper has grown, but for the engine.

A paper's stages are the variables of its module that hold a `Stage`; a package has them in its module `stages`.
"""

import importlib
import pkgutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import flows
from flows.engine.errors import did_you_mean, why
from flows.engine.paper import Paper, Stage
from tasks.base.errors import UserError

ENGINE = "engine"


@dataclass(frozen=True)
class Experiment:
    """A paper as found: the short name, the paper, its stages by name in order, and the file that holds them."""

    name: str
    paper: Paper
    stages: dict[str, Stage]
    about: str
    file: str


def papers() -> dict[str, Experiment]:
    """All papers by their short names, sorted; one that cannot be read is named, and stops no other."""
    found = {}
    if any(path.lstat().st_mtime > time.time() - 1 for folder in flows.__path__ for path in Path(folder).rglob("*.py")):
        # Bytecode is dated in whole seconds: that of an edit would stand for the next one of the same length.
        sys.dont_write_bytecode = True
    for name in sorted(module.name for module in pkgutil.iter_modules(flows.__path__) if module.name != ENGINE):
        try:
            found[name] = read(importlib.import_module(f"flows.{name}"))
        except Exception as problem:
            _name_broken(name, why(problem))
    return found


def broken() -> dict[str, str]:
    """Why papers could not be read, by their names, as far as that has been tried."""
    return dict(_broken)


_broken: dict[str, str] = {}


def _name_broken(name: str, problem: str) -> None:
    """Say it once: a command looks for the papers several times."""
    if _broken.get(name) != problem:
        print(f"tenfold: The paper {name} cannot be read and is left out: {problem}", file=sys.stderr)
        _broken[name] = problem


def read(module: ModuleType) -> Experiment:
    """Read one paper's module.

    Raises:
        UserError: the module defines no paper, or names a stage twice.
    """
    name = module.__name__.rpartition(".")[2]
    holder, file = module, f"flows/{name}.py"
    if hasattr(module, "__path__"):
        holder, file = importlib.import_module(f"{module.__name__}.stages"), f"flows/{name}/stages.py"
    paper = getattr(module, "paper", None)
    if not isinstance(paper, Paper):
        raise UserError(f"{module.__name__} defines no paper: give it a module-level `paper = Paper(…)`.")
    stages = {variable.replace("_", "-"): value for variable, value in vars(holder).items() if isinstance(value, Stage)}
    if len({id(stage) for stage in stages.values()}) < len(stages):
        raise UserError(f"{file} holds one stage under two names: keep one variable for each stage.")
    return Experiment(name, paper, stages, (module.__doc__ or "").strip(), file)


def choose(names: list[str], known: dict[str, Experiment]) -> list[Experiment]:
    """The papers with the given names, or all of them.

    Raises:
        UserError: a name is not a paper's.
    """
    for name in names:
        if name in _broken and name not in known:
            raise UserError(f"The paper {name} cannot be read: {_broken[name]}")
        if name not in known:
            raise UserError(f"There is no paper {name}.{did_you_mean(name, known)}")
    return [known[name] for name in sorted(set(names))] if names else list(known.values())
