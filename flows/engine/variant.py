"""A profile with settings that a user changed by `-S key=value`, checked before any work."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from flows.engine.discover import Experiment
from flows.engine.errors import did_you_mean, first_error
from flows.engine.paper import PROFILES
from flows.engine.stages import to_json
from tasks.base.errors import UserError


@dataclass(frozen=True)
class Variant:
    """A profile and the changes to it: `quick`, or `quick+expert.steps=500`."""

    base: str
    changes: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        return "+".join([self.base, *(f"{key}={value}" for key, value in self.changes)])


def variant(profile: str, changes: list[str]) -> Variant:
    """Read `--profile` and `-S key=value` options.

    Raises:
        UserError: an unknown profile, or an option that is not key=value with a plain value.
    """
    if profile not in PROFILES:
        raise UserError(f"There is no profile {profile}.{did_you_mean(profile, PROFILES)}")
    pairs = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_]+)+", key):
            raise UserError(f"-S {change} is not of the form stage.setting=value, such as -S expert.general=0.05.")
        if not re.fullmatch(r"[A-Za-z0-9_.+-]+", value):
            raise UserError(f"-S {change}: the value must be a number, a word, true or false.")
        pairs[key.replace("-", "_")] = value
    return Variant(profile, tuple(sorted(pairs.items())))


def settings(experiment: Experiment, chosen: Variant) -> dict[str, Any]:
    """Each stage's settings at the profile, with the user's changes put in.

    Raises:
        UserError: a change names no stage or setting, or its value does not fit.
    """
    found = {name: stage.config_at(chosen.base) for name, stage in experiment.stages.items()}
    for key, value in chosen.changes:
        stage, _, dotted = key.partition(".")
        name = stage.replace("_", "-")
        if name not in found:
            raise UserError(f"-S {key}={value}: {experiment.name} has no stage {name}.{did_you_mean(name, found)}")
        if dotted in experiment.stages[name].each:
            raise UserError(f"-S {key}={value}: {name} runs once for each {dotted}, so it cannot be set to one value.")
        values = to_json(found[name])
        values = _put(values, _whole(values, dotted), value, f"-S {key}={value}: {name}")
        try:
            found[name] = TypeAdapter(type(found[name])).validate_json(json.dumps(values))
        except ValidationError as problem:
            raise UserError(f"-S {key}={value}: {first_error(problem)}.") from problem
    return found


def _whole(values: dict[str, Any], dotted: str) -> str:
    """The whole name of a setting of which the end was given, as steps for optimisation.steps, if only one ends so."""
    whole = [name for name in _names(values) if name == dotted or name.endswith(f".{dotted}")]
    return whole[0] if len(whole) == 1 else dotted


def _names(values: dict[str, Any], where: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield f"{where}{name}"
        if isinstance(value, dict):
            yield from _names(value, f"{where}{name}.")


def _put(values: dict[str, Any], dotted: str, text: str, where: str) -> dict[str, Any]:
    """Set one setting inside nested ones."""
    place: Any = values
    *parents, last = dotted.split(".")
    for step in [*parents, last]:
        if not isinstance(place, dict) or step not in place:
            known = place if isinstance(place, dict) else {}
            raise UserError(f"{where} has no setting {step}.{did_you_mean(step, known)}")
        if step != last:
            place = place[step]
    if isinstance(place[last], dict):
        raise UserError(f"{where}.{last} is a group of settings: set one of {', '.join(sorted(place[last]))}.")
    place[last] = _value(text)
    return values


def _value(text: str) -> Any:
    """A number, true or false as JSON reads it; anything else is a word."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
