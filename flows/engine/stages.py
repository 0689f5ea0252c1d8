"""Concrete stages: what can run. Those that all papers share are made here; `expand` makes a paper's."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from flows.engine.discover import Experiment
from flows.engine.errors import first_error
from tasks.closure import ROOT, import_closure
from tasks.environment import Environment, describe
from tasks.errors import UserError
from tasks.fetch import Source as SourceEntry
from tasks.fetch import fetch
from tasks.report import Report, report

SOURCES = "sources"
REPORT = "report"
RUNNER = "tasks.run"

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
    def command(self) -> str:
        """The command that runs the stage, from the repository's root."""
        words = ["python -m", RUNNER, self.function, f"--config {self.params_file}:{self.name}"]
        for name, value in self.inputs.items():
            if isinstance(value, str):
                words.append(f"--input {name}={value}")
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
    def code(self) -> list[str]:
        """The repository files whose code can run in it."""
        module = self.function.split(":")[0]
        return sorted({*import_closure(module), *import_closure(RUNNER)})


def catalogue() -> dict[str, SourceEntry]:
    """The data sources by name.

    Raises:
        UserError: an entry of data/sources.yaml is wrong.
    """
    # The safe loader, as safe_load uses it, in C: many times faster, and this is read by every command.
    entries = yaml.load((ROOT / "data/sources.yaml").read_text(), Loader=yaml.CSafeLoader)
    adapter = TypeAdapter(SourceEntry)
    found = {}
    for name, entry in entries.items():
        try:
            found[name] = adapter.validate_json(json.dumps({"name": name, **entry}))
        except ValidationError as problem:
            raise UserError(f"data/sources.yaml, {name}: {first_error(problem)}. Correct that entry.") from problem
    return found


def source_stages() -> list[ConcreteStage]:
    """The environment, the machine (for stages that measure time), and one fetch a source."""
    pipeline = f"pipelines/{SOURCES}"
    stages = [
        ConcreteStage(name, pipeline, path(describe), to_json(config), {}, {}, f"data/{name}", "environment", None)
        for name, config in (("environment", Environment()), ("machine", Environment(processor=True)))
    ]
    for name, entry in catalogue().items():
        # The standard library is part of the interpreter, so it changes with the environment.
        environment = "data/environment" if entry.kind == "stdlib" else None
        out = source_folder(name)
        stages.append(ConcreteStage(name, pipeline, path(fetch), to_json(entry), {}, {}, out, "fetch", environment))
    return stages


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
