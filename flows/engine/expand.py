"""A paper at a profile → its concrete stages: names, settings, input and output folders."""

import dataclasses
import inspect
import itertools
import math
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from flows.engine.catalogue import catalogue
from flows.engine.discover import Experiment
from flows.engine.errors import did_you_mean, first_error
from flows.engine.paper import (
    PROFILES,
    AtLeast,
    Claim,
    Control,
    Discrepancy,
    Handle,
    Measurement,
    NotTested,
    Profiles,
    Source,
    Stage,
    Test,
)
from flows.engine.stages import ConcreteStage, Inputs, path, source_folder, to_json
from flows.engine.variant import Variant, settings
from tasks.base.errors import UserError
from tasks.judging.claims import Comparison, Judging, Selection, Statement, label, member
from tasks.judging.claims import Control as CompiledControl
from tasks.judging.claims import Discrepancy as CompiledDiscrepancy
from tasks.judging.judge import judge
from tasks.judging.parts import DRAW
from tasks.judging.register import REGISTER, VERDICTS
from tasks.judging.results import Results, collect


def expand(experiment: Experiment, chosen: Variant) -> list[ConcreteStage]:
    """The concrete stages of a paper at a profile, in the order of the experiment.

    A variant holds only what the change reaches; the rest is read from the profile it departs from.

    Raises:
        UserError: a handle, an axis, an input or a setting does not fit; the sentence says which.
    """
    stages = _Expansion(experiment, chosen).stages()
    if not chosen.changes:
        return stages
    plain = {stage.name: stage for stage in _Expansion(experiment, Variant(chosen.base)).stages()}
    kept: dict[str, str] = {}
    changed = []
    for stage in stages:
        # In running order: a stage that reads what is made anew is made anew itself.
        moved = dataclasses.replace(stage, inputs=_replaced(stage.inputs, kept))
        if moved.settings == plain[stage.name].settings and moved.inputs == plain[stage.name].inputs:
            kept[stage.out] = plain[stage.name].out
        else:
            changed.append(moved)
    return changed


def _replaced(inputs: Inputs, folders: dict[str, str]) -> Inputs:
    return {
        name: folders.get(value, value)
        if isinstance(value, str)
        else {label: folders.get(folder, folder) for label, folder in value.items()}
        for name, value in inputs.items()
    }


PLAIN = ("margin", "paired", "cluster", "items", "weight", "fixed", "size", "margin_of")
"""What a comparison is in a paper and in its compiled form alike."""


class _Expansion:
    """The expansion of one paper at one profile, stage by stage."""

    def __init__(self, experiment: Experiment, chosen: Variant) -> None:
        self._experiment = experiment
        self._chosen = chosen
        self._settings = settings(experiment, chosen)
        self._names = {id(stage): name for name, stage in experiment.stages.items()}
        self._sources = catalogue()
        self._made: dict[str, list[ConcreteStage]] = {}

    def stages(self) -> list[ConcreteStage]:
        _check_claims(self._experiment)
        for name, stage in self._experiment.stages.items():
            where = f"{self._experiment.file}, stage {name}"
            _check_settings(stage, where)
            self._made[name] = [self._one(name, stage, axes, where) for axes in _axes(stage, self._chosen.base)]
        results = self._results()
        return [*itertools.chain(*self._made.values()), results, self._verdicts(results)]

    def _one(self, name: str, stage: Stage, axes: dict[str, Any], where: str) -> ConcreteStage:
        config = self._settings[name]
        try:
            config = dataclasses.replace(config, **axes)
        except ValidationError as problem:
            raise UserError(
                f"{where}: `each` does not fit {type(config).__name__}: {first_error(problem)}."
            ) from problem
        except TypeError as problem:
            raise UserError(
                f"{where}: {type(config).__name__} has no field for an axis of `each` ({problem})."
            ) from problem
        inputs = {
            parameter: self._folders(
                handle.at(self._chosen.base) if isinstance(handle, Profiles) else handle,
                axes,
                f"{where}, input {parameter}",
            )
            for parameter, handle in stage.inputs.items()
        }
        _check_inputs(stage, inputs, where)
        return self._concrete(member(name, axes.values()), stage, config, axes, inputs)

    def _results(self) -> ConcreteStage:
        """The last stage of every paper: gather what its measuring stages measured."""
        config = Results(tables=tuple(self._experiment.paper.tables))
        measuring = self._measuring()
        if not measuring:
            raise UserError(f"{self._experiment.file}: no stage measures anything; see tasks/base/measures.py.")
        declared = {quantity for name in measuring for quantity in _measures(self._experiment.stages[name])}
        for table in config.tables:
            for quantity in table.quantities:
                if quantity not in declared:
                    close = did_you_mean(quantity, declared)
                    raise UserError(
                        f"{self._experiment.file}, table {table.title!r}: no stage declares {quantity}, "
                        f"see tasks/base/measures.py.{close}"
                    )
        measured = {stage.name: stage.out for name in measuring for stage in self._made[name]}
        return self._concrete("results", Stage(collect, config), config, {}, {"measured": measured})

    def _measuring(self) -> list[str]:
        return [name for name, stage in self._experiment.stages.items() if _measures(stage)]

    def _verdicts(self, results: ConcreteStage) -> ConcreteStage:
        """The stage after the results: judge each claim."""
        paper = self._experiment.paper
        judging = Judging(
            claims=tuple(self._statement(claim) for claim in paper.claims),
            controls=tuple(
                CompiledControl(id=c.id, kind=c.kind, says=c.says, **self._comparisons(c.test)) for c in paper.controls
            ),
            families=tuple(self._measuring()),
        )
        inputs = {"results": results.out, "registered": f"{results.pipeline}/{REGISTER}"}
        return self._concrete(VERDICTS, Stage(judge, judging), judging, {}, inputs)

    def _statement(self, claim: Claim) -> Statement:
        if isinstance(claim.test, NotTested):
            how: dict[str, Any] = {"not_tested": claim.test.reason}
        else:
            how = self._comparisons(claim.test)
        words = {field.name: getattr(claim, field.name) for field in dataclasses.fields(claim) if field.name != "test"}
        return Statement(**words, **how)

    def _comparisons(self, test: Test | AtLeast) -> dict[str, Any]:
        group = test if isinstance(test, AtLeast) else AtLeast(1, (test,))
        comparisons = tuple(
            Comparison(
                kind=one.kind,
                left=self._selection(one.left),
                right=self._selection(one.right) if isinstance(one.right, Measurement) else one.right,
                discrepancy=self._discrepancy(one.discrepancy) if one.discrepancy else None,
                **{name: getattr(one, name) for name in PLAIN},
            )
            for one in group.tests
        )
        return {"comparisons": comparisons, "needed": group.needed}

    def _discrepancy(self, given: Discrepancy) -> CompiledDiscrepancy:
        return CompiledDiscrepancy(
            errors=self._selection(given.errors),
            within=given.within,
            times=given.times,
            of=self._selection(given.of) if given.of else None,
        )

    def _selection(self, measurement: Measurement) -> Selection:
        return Selection(
            family=self._names[id(measurement.stage)],
            quantity=measurement.quantity,
            labels=dict(measurement.labels),
            axes={axis: tuple(values) for axis, values in _values(measurement.stage, self._chosen.base).items()},
        )

    def _concrete(self, name: str, stage: Stage, config: Any, axes: dict[str, Any], inputs: Inputs) -> ConcreteStage:
        place = f"{self._chosen.name}/{self._experiment.name}"
        return ConcreteStage(
            name=name,
            pipeline=f"pipelines/{place}",
            function=path(stage.function),
            settings=to_json(config),
            inputs=inputs,
            axes=axes,
            out=f"data/{place}/{name}",
            kind=stage.kind,
            environment="data/machine" if stage.native or stage.kind == "measure" else "data/environment",
            needs=stage.needs_at(self._chosen.base),
        )

    def _folders(self, handle: Handle, axes: Mapping[str, Any], where: str) -> str | dict[str, str]:
        if isinstance(handle, Mapping):
            folders = {label: self._folders(one, axes, f"{where}.{label}") for label, one in handle.items()}
            if several := [label for label, folder in folders.items() if not isinstance(folder, str)]:
                raise UserError(f"{where}.{several[0]} is a family of stages; in a dictionary each must be one stage.")
            return {label: str(folder) for label, folder in folders.items()}
        if isinstance(handle, Source):
            if handle.name not in self._sources:
                raise UserError(f"{where}: no source {handle.name}.{did_you_mean(handle.name, self._sources)}")
            return source_folder(handle.name)
        name = self._names.get(id(handle))
        if name not in self._made:
            raise UserError(f"{where}: it must be a stage that stands above as a variable of the paper.")
        return _sharing(self._made[name], axes, where)


def _sharing(family: list[ConcreteStage], axes: Mapping[str, Any], where: str) -> str | dict[str, str]:
    """The members of `family` that share these axes: one folder, or several by their other labels."""
    chosen = [stage for stage in family if all(axes.get(axis, value) == value for axis, value in stage.axes.items())]
    if not chosen:
        raise UserError(f"{where}: no such stage for {', '.join(f'{axis} {value}' for axis, value in axes.items())}.")
    free = [axis for axis in family[0].axes if axis not in axes]
    if not free:
        return chosen[0].out
    return {label(stage.axes[axis] for axis in free): stage.out for stage in chosen}


def _values(stage: Stage, profile: str) -> dict[str, list[Any]]:
    return {
        axis: list(given.at(profile) if isinstance(given, Profiles) else given) for axis, given in stage.each.items()
    }


def _axes(stage: Stage, profile: str) -> list[dict[str, Any]]:
    values = _values(stage, profile)
    return [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]


def _check_settings(stage: Stage, where: str) -> None:
    expected = stage.function.__annotations__.get("config")
    configs = [stage.config.at(p) for p in PROFILES] if isinstance(stage.config, Profiles) else [stage.config]
    for config in configs:
        if type(config) is not expected:
            raise UserError(f"{where}: {stage.function.__name__} takes {expected}, not {type(config).__name__}.")


def _check_inputs(stage: Stage, inputs: Inputs, where: str) -> None:
    parameters = {
        name: str(parameter.annotation)
        for name, parameter in inspect.signature(stage.function).parameters.items()
        if name not in ("config", "out")
    }
    if missing := sorted(set(parameters) - set(inputs)):
        raise UserError(f"{where}: {stage.function.__name__} also needs the input {missing[0]}.")
    for name, value in inputs.items():
        if name not in parameters:
            raise UserError(f"{where}: {stage.function.__name__} has no input {name}.{did_you_mean(name, parameters)}")
        if ("dict" in parameters[name]) != isinstance(value, dict):
            given = "a family of stages" if isinstance(value, dict) else "one stage"
            raise UserError(f"{where}: the input {name} is {given}, but the function takes {parameters[name]}.")


def _check_claims(experiment: Experiment) -> None:
    handles = {id(stage) for stage in experiment.stages.values()}
    tested: list[Claim | Control] = [*experiment.paper.claims, *experiment.paper.controls]
    for claim in tested:
        where = f"flows/{experiment.name}, {type(claim).__name__.lower()} {claim.id}"
        if not re.fullmatch(r"[a-z0-9-]+", claim.id) or sum(claim.id == other.id for other in tested) > 1:
            raise UserError(f"{where}: an id is made of a-z, 0-9 and -, and belongs to one claim or control alone.")
        if isinstance(claim.test, NotTested) or (isinstance(claim, Claim) and claim.expected == "not tested"):
            if not (isinstance(claim.test, NotTested) and isinstance(claim, Claim) and claim.expected == "not tested"):
                raise UserError(f'{where}: a claim with NotTested, and no other, is expected to be "not tested".')
            continue
        group = claim.test if isinstance(claim.test, AtLeast) else AtLeast(1, (claim.test,))
        if not 0 < group.needed <= len(group.tests):
            raise UserError(f"{where}: {group.needed} of {len(group.tests)} comparisons cannot be needed.")
        for test in group.tests:
            _check_test(test, handles, where)
            if isinstance(claim, Claim) and test.margin and not test.margin_of:
                raise UserError(f'{where}: a margin says whose it is, margin_of="paper" or "ours".')


def _check_test(test: Test, handles: set[int], where: str) -> None:
    own = [test.discrepancy.errors, test.discrepancy.of] if test.discrepancy else []
    for measurement in (test.left, test.right, *own):
        if measurement is None or isinstance(measurement, float | int):
            continue
        known = _measures(measurement.stage)
        if id(measurement.stage) not in handles:
            raise UserError(f"{where}: its stage is not a variable of the paper.")
        if measurement.quantity not in known:
            function = measurement.stage.function.__name__
            close = did_you_mean(measurement.quantity, known)
            raise UserError(f"{where}: {function} does not measure {measurement.quantity}.{close}")
    if not math.isfinite(test.margin) or test.margin < 0:
        raise UserError(f"{where}: the margin must be zero or more.")
    if test.items and (test.cluster or not test.paired):
        raise UserError(f"{where}: items are crossed with what pairs, such as seeds, and are no clusters.")
    if test.fixed == "seeds" and not test.items:
        raise UserError(f"{where}: about these very seeds alone there is no interval, unless it is over items.")
    if test.discrepancy and test.paired != DRAW:
        raise UserError(f"{where}: a discrepancy is that of a simulator, whose values are paired by draw.")


def _measures(stage: Stage) -> dict[str, str]:
    return getattr(stage.function, "measures", {})
