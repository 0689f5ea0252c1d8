"""Papers → `pipelines/`, `dvc.yaml` and `prefect.yaml`: files that need no Tenfold to understand."""

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from flows.engine.discover import Experiment, broken, choose
from flows.engine.expand import expand
from flows.engine.paper import PROFILES
from flows.engine.stages import REPORT, SOURCES, ConcreteStage, report_stage, source_stages
from flows.engine.variant import Variant
from tasks.base.errors import UserError
from tasks.base.files import ROOT
from tasks.judging.judge import EFFECTS, SUMMARY
from tasks.judging.register import NOTHING_REGISTERED, REGISTER, VERDICTS

HEADER = "# Compiled from flows/ by `tenfold compile`: edit the paper, not this file.\n"
WORK_POOL = "tenfold"
LONGEST_NOTE = 20_000
"""What MLflow takes of an experiment's description, in characters."""
MORE = "- More is in the report."
SHARED = f"pipelines/{SOURCES}/"
SHARED_DESCRIPTIONS = {
    SOURCES: "A run for each source of data that was fetched, for all papers: the catalogue is `data/sources.yaml`.",
    REPORT: "A run for each time that the results of all papers were put together into one report.",
}
"""What MLflow's page says above the runs of what no paper has for itself."""


def compiled(
    experiments: dict[str, Experiment], variants: Sequence[Variant] = (), names: Sequence[str] = ()
) -> dict[str, str]:
    """Every compiled file by its path; with `variants`, theirs for the papers of these names, or for all.

    The profile of a GPU, as a variant, is compiled when it is run, and kept current from then on.
    """
    wanted = [
        (name, Variant(profile))
        for profile in PROFILES
        for name in experiments
        if profile != "gpu" or (ROOT / "pipelines" / profile / name).exists()
    ]
    wanted += [(experiment.name, chosen) for chosen in variants for experiment in choose(list(names), experiments)]
    pipelines = [source_stages(experiments), [report_stage(experiments)]]
    pipelines += [expand(experiments[name], chosen) for name, chosen in dict.fromkeys(wanted)]
    files = {
        "prefect.yaml": HEADER + _yaml(_deployments(experiments)),
        "mlflow/experiments.json": json.dumps(_descriptions(experiments), indent=1, ensure_ascii=False) + "\n",
    }
    for stages in pipelines:
        entries = {"stages": {s.name: _dvc_stage(s) for s in stages}}
        files[stages[0].pipeline_file] = HEADER + _yaml(entries | _dvc_shows(stages))
        files[stages[0].params_file] = json.dumps({s.name: s.settings for s in stages}, indent=1) + "\n"
    return files


def stale(files: dict[str, str]) -> list[str]:
    """The compiled files that differ from what is on disk, and those on disk that no paper has any more."""
    _check_registers(files)
    on_disk = {path: (ROOT / path).read_bytes() for path in files if (ROOT / path).is_file()}
    differing = [path for path, text in files.items() if on_disk.get(path) != text.encode()]
    return differing + [path for path in _registers(files) if not (ROOT / path).exists()] + _leftover(files)


def write(files: dict[str, str]) -> list[str]:
    """Bring the compiled files up to date; returns those that changed."""
    changed = stale(files)
    if broken():  # its pipelines stay, and what all papers share still names it
        changed = [path for path in changed if path.startswith("pipelines/") and not path.startswith(SHARED)]
        changed = [path for path in changed if path in files or path in _registers(files)]
    for path in changed:
        if path in files or path in _registers(files):
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            _put(ROOT / path, files.get(path))
        else:
            shutil.rmtree((ROOT / path).parent)
    return changed


def _put(path: Path, text: str | None) -> None:
    """Write a compiled file, or begin a register, in one step: another process may be reading or filling it."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(NOTHING_REGISTERED if text is None else text)
    if text is None:
        with suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
    else:
        fresh.replace(path)


def _check_registers(files: dict[str, str]) -> None:
    """Raises UserError for a register that cannot be read."""
    for path in _registers(files):
        try:
            known = json.loads((ROOT / path).read_bytes())
            whole = isinstance(known["claims"], dict) and isinstance(known["measured"], list)
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError):
            whole = False
        if not whole:
            raise UserError(f"{path} cannot be read: git restore {path}, and run the same again.")


def _registers(files: dict[str, str]) -> list[str]:
    """The registers of claims: a pipeline begins with an empty one, which only running stages fill."""
    return [path.replace("dvc.yaml", REGISTER) for path in files if path.endswith("dvc.yaml") and path.count("/") == 3]


def _leftover(files: dict[str, str]) -> list[str]:
    """Pipelines of the fixed profiles whose paper is gone; a user's variants are the user's."""
    found = []
    for profile in PROFILES:
        for path in sorted((ROOT / "pipelines" / profile).glob("*/dvc.yaml")):
            relative = path.relative_to(ROOT).as_posix()
            if relative not in files:
                found.append(relative)
    return found


def _dvc_stage(stage: ConcreteStage) -> dict[str, Any]:
    entry: dict[str, Any] = {"cmd": stage.command}
    if stage.pipeline != ".":
        entry = {"wdir": "/".join([".."] * len(stage.pipeline.split("/"))), **entry}
    if stage.dependencies:
        entry["deps"] = stage.dependencies
    entry["params"] = [{stage.params_file: [stage.name]}]
    entry["outs"] = [stage.out]
    if stage.kind == "environment":
        entry["always_changed"] = True
    return entry


def _dvc_shows(stages: Sequence[ConcreteStage]) -> dict[str, Any]:
    """What `dvc metrics`, `dvc plots` and `dvc exp show` show of a paper; no part of any stage."""
    judged = [stage for stage in stages if stage.name == VERDICTS]
    if not judged:
        return {}
    up = "/".join([".."] * len(judged[0].pipeline.split("/")))
    title = f"{judged[0].paper}: effects at {judged[0].profile}"
    # Named by its title: of a plot that is named by its file DVC shows nothing, nor of any other plot, where one such
    # file is in no cache, as those of a profile that has not run here.
    plot = {"x": "effect", "y": {f"{up}/{judged[0].out}/{EFFECTS}": "claim"}, "template": "bar_horizontal"}
    return {
        "metrics": [f"{up}/{judged[0].out}/{SUMMARY}"],
        "plots": [{title: {**plot, "title": title}}],
    }


def _deployments(experiments: dict[str, Experiment]) -> dict[str, Any]:
    entrypoint = "flows.engine.reproduce.reproduce"
    pool = {"name": WORK_POOL}
    one_each = [
        {
            "name": name,
            "description": f"{experiment.paper.title} (arXiv {experiment.paper.arxiv})",
            "entrypoint": entrypoint,
            "parameters": {"papers": [name], "profile": "quick"},
            "work_pool": pool,
        }
        for name, experiment in experiments.items()
    ]
    every = {
        "name": "all",
        "description": "All papers, a subflow each",
        "entrypoint": entrypoint,
        "parameters": {"papers": [], "profile": "quick"},
        "work_pool": pool,
    }
    return {"name": "tenfold", "deployments": [*one_each, every]}


def _descriptions(experiments: dict[str, Experiment]) -> dict[str, str]:
    """What MLflow's page says above each experiment's runs, in Markdown."""
    described = {name: _within("\n\n".join(_description(experiment))) for name, experiment in experiments.items()}
    arms = (
        "A run for each arm of {name}, as the latest reproduction at each profile gave it: open the charts to compare."
    )
    return described | {f"{name} arms": arms.format(name=name) for name in experiments} | SHARED_DESCRIPTIONS


def _within(text: str) -> str:
    """As much of it as MLflow takes, up to the end of a line: of what is longer it would take no run either."""
    if len(text) <= LONGEST_NOTE:
        return text
    return text[: text.rindex("\n", 0, LONGEST_NOTE - len(MORE)) + 1] + MORE


def _description(experiment: Experiment) -> list[str]:
    paper = experiment.paper
    measured = {
        quantity: meaning
        for stage in experiment.stages.values()
        for quantity, meaning in getattr(stage.function, "measures", {}).items()
    }
    reading = (
        "A run that is named after a profile and a time is one reproduction; beneath it lies a run for each stage "
        "that ran then, and its `stages.json` names the run behind each stage that was up to date. To compare "
        "reproductions, select those runs and open their charts: each metric is `quantity/row/column` of the "
        "result tables, and `verdicts/…` counts the verdicts. To compare arms, open the charts of the "
        "experiment beside whose name ends in arms. The reproduction's artifacts hold "
        "`report.html`, in which each number leads to the command that recomputes it, and its figures. A stage's "
        "run holds its settings as parameters, its inputs with DVC's digests as datasets, and its curves as metrics."
    )
    lines = [f"**{paper.title}** ({paper.authors} {paper.year}, arXiv {paper.arxiv})", experiment.about]
    lines += ["### How to read these runs", reading]
    lines += ["### What is measured", "\n".join(f"- `{name}`: {meaning}" for name, meaning in measured.items())]
    if paper.claims:
        claims = [f"- `{c.id}` ({c.source}): {c.says}. Expected here: {c.expected}." for c in paper.claims]
        lines += ["### The claims", "\n".join(claims)]
    if paper.caveats:
        lines += ["### What to know", "\n".join(f"- {caveat}" for caveat in paper.caveats)]
    return lines


def _yaml(data: dict[str, Any]) -> str:
    text: str = yaml.dump(data, Dumper=_PlainDumper, sort_keys=False, width=1_000_000, allow_unicode=True)
    return text


class _PlainDumper(yaml.CSafeDumper):
    """Writes shared lists out in full: no anchors and aliases for a reader to resolve."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
