"""What a stage made, for a tool: found by the stage's handle, and whether it is still what the code would make."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from flows.engine.discover import Experiment, papers
from flows.engine.expand import expand
from flows.engine.paper import Stage
from flows.engine.plan import plan, select
from flows.engine.stages import ConcreteStage
from flows.engine.store import Store
from flows.engine.variant import Variant
from tasks.base.errors import UserError
from tasks.base.files import ROOT


@dataclass(frozen=True)
class Output:
    """A stage's folder with the settings that it was made with; `stale` says what has changed since, if anything."""

    folder: Path
    settings: Any
    stale: str


def made(stage: Stage, profile: str, **axes: Any) -> Output:
    """What the stage made at the profile, for these values of its axes, whether or not it is up to date.

    Raises:
        UserError: it has not been made here; the sentence names the command that makes it.
    """
    experiment, name = home(stage)
    concrete = member_of(expand(experiment, Variant(profile)), name, axes)
    if not (ROOT / concrete.out).is_dir():
        again = f"tenfold reproduce {experiment.name} --profile {profile}"
        raise UserError(f"{concrete.title} has not run here at {profile}: run {again} first.")
    settings = TypeAdapter(type(stage.config_at(profile))).validate_python(concrete.settings, strict=False)
    return Output(ROOT / concrete.out, settings, "")


def trained(stage: Stage, profile: str, **axes: Any) -> Output:
    """The same, and what has changed since: that is looked for in the whole plan, which takes a moment.

    Raises:
        UserError: it has not been made here; the sentence names the command that makes it.
    """
    found = made(stage, profile, **axes)
    experiment, name = home(stage)
    concrete = member_of(expand(experiment, Variant(profile)), name, axes)
    again = f"tenfold reproduce {experiment.name} --profile {profile}"
    known = papers()
    planned = plan(select([experiment.name], Variant(profile), known), Store())
    reasons = planned.reasons.get(concrete.out, [])
    stale = ""
    if reasons or concrete.out in planned.waiting:
        why = str(reasons[0]) if reasons else "what it was made of is to be made anew"
        stale = f"{concrete.title} is not up to date at {profile} ({why}); to bring it up to date: {again}."
    return replace(found, stale=stale)


def is_here(stage: Stage, profile: str, **axes: Any) -> bool:
    """Whether the stage has made something at the profile, be it up to date or not."""
    experiment, name = home(stage)
    return (ROOT / member_of(expand(experiment, Variant(profile)), name, axes).out).is_dir()


def home(stage: Stage) -> tuple[Experiment, str]:
    """The paper that a stage belongs to, and its name there."""
    for experiment in papers().values():
        for name, handle in experiment.stages.items():
            if handle is stage:
                return experiment, name
    raise ValueError("the stage belongs to no paper")


def member_of(stages: list[ConcreteStage], name: str, axes: dict[str, Any]) -> ConcreteStage:
    """The one of some concrete stages that a stage is for these values of its axes."""
    from tasks.judging.claims import member

    wanted = member(name, axes.values())
    return next(stage for stage in stages if stage.name == wanted)
