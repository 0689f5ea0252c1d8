"""Concrete stages: what can run. Those that all papers share are made here; `expand` makes a paper's."""

import importlib
import os
import shlex
from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from flows.engine.catalogue import catalogue
from flows.engine.discover import Experiment
from flows.engine.paper import Needs
from tasks.base import manifest
from tasks.base.environment import Environment, describe
from tasks.base.files import ROOT
from tasks.base.manifest import Modules
from tasks.base.manifest import write as write_manifests
from tasks.judging.judge import judge
from tasks.judging.report import Report, report
from tasks.judging.results import collect
from tasks.sources.fetch import fetch

SOURCES = "sources"
REPORT = "report"
RUNNER = "tasks.running.run"

Inputs = Mapping[str, str | dict[str, str]]
"""Folders by the function's parameter names; a family of them by label."""


@dataclass(frozen=True)
class ConcreteStage:
    """A stage that can run: everything its command line and its entry in dvc.yaml need."""

    name: str
    pipeline: str
    function: str
    settings: dict[str, Any]
    inputs: Inputs
    axes: Mapping[str, Any]
    out: str
    kind: str
    environment: str | None
    needs: Needs = field(default_factory=Needs)

    @property
    def pipeline_file(self) -> str:
        """The dvc.yaml that holds it."""
        return os.path.normpath(f"{self.pipeline}/dvc.yaml")

    @property
    def params_file(self) -> str:
        """The params.json beside, with its settings."""
        return os.path.normpath(f"{self.pipeline}/params.json")

    @property
    def paper(self) -> str:
        """The paper it belongs to, or `sources` or `report`, which all papers share."""
        return REPORT if self.pipeline == "." else self.pipeline.rpartition("/")[2]

    @property
    def profile(self) -> str:
        """The profile or variant it belongs to; empty for what all profiles share."""
        return self.pipeline.split("/")[1] if self.pipeline.count("/") == 2 else ""

    @property
    def title(self) -> str:
        """How people are shown the stage: the paper and its name."""
        return f"{self.paper}/{self.name}"

    @property
    def module(self) -> str:
        """The module of its function."""
        return self.function.partition(":")[0]

    @property
    def code(self) -> str | None:
        """The file that says what its code is; what describes the code has none."""
        return None if self.kind == "environment" else manifest.file_of(self.module)

    @property
    def measures(self) -> bool:
        """Whether its function measures quantities on which claims may rest."""
        return hasattr(getattr(importlib.import_module(self.module), self.function.partition(":")[2]), "measures")

    @property
    def command(self) -> str:
        """The command that runs the stage, from the repository's root."""
        words = ["python -m", RUNNER, self.function, f"--config {self.params_file}:{self.name}"]
        words += [f"--code {self.code}"] if self.code else []
        words += [f"--environment {self.environment}"] if self.environment else []
        for name, value in self.inputs.items():
            if isinstance(value, str):
                words.append(f"--input {shlex.quote(f'{name}={value}')}")
            else:
                words += [f"--input {name}.{label}={folder}" for label, folder in value.items()]
        return " ".join([*words, f"--out {self.out}"])

    @property
    def input_folders(self) -> list[str]:
        """The folders it reads, its environment among them."""
        found = [self.environment] if self.environment else []
        for value in self.inputs.values():
            found += [value] if isinstance(value, str) else list(value.values())
        return sorted(set(found))

    @property
    def dependencies(self) -> list[str]:
        """What decides whether it is up to date: its code, and the folders it reads."""
        return [*([self.code] if self.code else []), *self.input_folders]


def source_stages(experiments: Mapping[str, Experiment]) -> list[ConcreteStage]:
    """What all papers share: the code, the environment and the machine as they are, and one fetch a source."""
    pipeline = f"pipelines/{SOURCES}"
    described: list[tuple[str, Callable[..., None], Any]] = [
        ("code", write_manifests, Modules(modules=_task_modules(experiments))),
        ("environment", describe, Environment()),
        ("machine", describe, Environment(hardware=True)),
    ]
    stages = [
        ConcreteStage(name, pipeline, path(function), to_json(config), {}, {}, f"data/{name}", "environment", None)
        for name, function, config in described
    ]
    inputs = source_inputs()
    for name, entry in catalogue().items():
        # The standard library is part of the interpreter, so it changes with the environment.
        environment = "data/environment" if entry.source.kind == "stdlib" else None
        out, settings = source_folder(name), to_json(entry.source)
        stages.append(ConcreteStage(name, pipeline, path(fetch), settings, inputs[name], {}, out, "fetch", environment))
    return stages


def source_inputs() -> dict[str, dict[str, str]]:
    """What each source is fetched from here: a user's own folder, in which what changes is fetched again."""
    with chdir(ROOT):  # from wherever the command was called
        folders = {name: entry.source.folder for name, entry in catalogue().items()}
    return {name: {"folder": folder} if folder else {} for name, folder in folders.items()}


def _task_modules(experiments: Mapping[str, Experiment]) -> tuple[str, ...]:
    """The modules of all stage functions, those that every paper has included."""
    own = {stage.function.__module__ for experiment in experiments.values() for stage in experiment.stages.values()}
    return tuple(sorted(own | {function.__module__ for function in (fetch, collect, judge, report)}))


def source_folder(name: str) -> str:
    """Where a source's files lie once they are fetched."""
    return f"data/{SOURCES}/{name}"


def report_stage(experiments: dict[str, Experiment]) -> ConcreteStage:
    """The stage of the root's dvc.yaml: what every paper's quick profile gave."""
    inputs: Inputs = {
        step: {name: f"data/quick/{name}/{step}" for name in experiments} for step in ("results", "verdicts")
    }
    return ConcreteStage(REPORT, ".", path(report), to_json(Report()), inputs, {}, "data/report", "compute", None)


def to_json(config: Any) -> dict[str, Any]:
    """Settings as JSON data; what JSON cannot hold raises instead of becoming a string."""
    values: dict[str, Any] = TypeAdapter(type(config)).dump_python(config, mode="json")
    return values


def path(function: Any) -> str:
    """A function as a command line names it."""
    return f"{function.__module__}:{function.__name__}"
