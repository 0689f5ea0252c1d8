"""Push what stages said to one MLflow store: the only module of the stages' side that imports mlflow.

One experiment a paper, a parent run for each reproduction, a child run for each stage that ran.
"""

import json
import logging
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from hashlib import md5
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tasks.base.files import ROOT
from tasks.running.mlflow_store import settings, tracking_uri
from tasks.running.run import published
from tasks.running.spools import SPOOL, is_alive

EXPERIMENTS = ROOT / "mlflow" / "experiments.json"
RUNS = SPOOL / "runs.json"
KIND = ("mlflow.experimentKind", "custom_model_development")
"""With this tag MLflow's page opens an experiment under Model training, rather than as traces of an application."""
LEADING = ("results", "verdicts")
"""The stages whose metrics and tables a paper's parent run carries too."""

LARGEST_MODEL = 100_000_000
"""Bytes of a model that MLflow gets a copy of; a larger one is where DVC keeps it."""

BATCH = 900
"""MLflow takes up to 1,000 metrics at once."""

SHORT_WAITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}
"""For a server that is down: what it does not take now is pushed next time, so there is nothing to wait for."""
REFUSED = SPOOL / "refused.jsonl"
"""What MLflow will not have, with its reason: set aside, so that the rest goes on."""
REFUSALS = (
    "INVALID_PARAMETER_VALUE",
    "BAD_REQUEST",
    "RESOURCE_DOES_NOT_EXIST",
    "RESOURCE_ALREADY_EXISTS",
    "INVALID_STATE",
)
"""MLflow's codes that say something of one item; any other says something of the store."""
LONGEST_NAME, LONGEST_PART = 250, 80
"""MLflow's limit, and ours for what stands between two slashes: a quantity, an arm and a column fit."""
STATUSES = ("FINISHED", "FAILED", "KILLED")
"""How a reproduction or a stage says that it ended."""
UNFIT = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What Python raises for a value that does not fit."""


def _is_the_items(problem: Exception) -> bool:
    """Whether an error says something of the item that was pushed, so that trying again would not help.

    A number too large for the database, say, is the cause of what MLflow calls an internal error.
    """
    from mlflow.exceptions import MlflowException

    if isinstance(problem, MlflowException):
        return problem.error_code in REFUSALS or isinstance(problem.__cause__, UNFIT)
    if isinstance(problem, OSError):  # a network or a disk that fails; but a file that is gone stays gone
        return isinstance(problem, FileNotFoundError)
    return isinstance(problem, UNFIT)


def accepted_name(name: str) -> str:
    """A metric's or parameter's name with what MLflow does not accept in it replaced.

    A part too long is cut by itself, and keeps apart from others that begin alike by a digest at its end.
    """
    plain = re.sub(r"[^\w\-. :/]+", " -", name)
    return "/".join(_short(part.strip(" .") or "-") for part in plain.split("/"))[:LONGEST_NAME]


def _short(part: str) -> str:
    if len(part) <= LONGEST_PART:
        return part
    return f"{part[: LONGEST_PART - 9]}-{md5(part.encode(), usedforsecurity=False).hexdigest()[:8]}"


class Pusher:
    """Pushes spools to one MLflow store, remembering in a file beside each spool how far it has come."""

    def __init__(self) -> None:
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        for name, value in (("MLFLOW_DISABLE_TELEMETRY", "true"), *SHORT_WAITS.items()):
            os.environ.setdefault(name, value)
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            sqlite3.connect(settings()["store"]).close()  # MLflow would try for minutes what cannot be opened
        import mlflow

        SPOOL.mkdir(parents=True, exist_ok=True)
        self._client = mlflow.MlflowClient(tracking_uri())
        self._about: dict[str, str] = _read(EXPERIMENTS)
        self._experiments: dict[str, str] = {}
        self._sizes: dict[Path, int] = {}

    def push(self) -> None:
        """Push all that has been said since the last time; forget a reproduction that is over."""
        for folder in pending():
            ended = _end_of(folder)
            done = [self._pushed(spool, ended) for spool in sorted(folder.glob("*.jsonl")) if spool.stem != "own"]
            self._try({"reproduction": folder.name}, self._push_own, folder, ended)
            if ended and all(done):
                for parent in _read(folder / "parents.json").values():
                    self._try({"run": parent}, self._client.set_terminated, parent, ended)
                shutil.rmtree(folder)

    def _pushed(self, spool: Path, ended: str | None) -> bool:
        """Push one stage's spool, and say whether it is at its end; where its run is refused, that is the end."""
        size = spool.stat().st_size
        if not ended and self._sizes.get(spool) == size:
            return False  # it has said nothing since, as most have most of the time
        self._sizes[spool] = size
        over = [True]
        self._try({"spool": spool.name}, lambda: over.append(self._push_spool(spool, ended)))
        return over[-1]

    def _push_spool(self, spool: Path, ended: str | None) -> bool:
        """Push one stage's spool; whether it is at its end."""
        state = _read(spool.with_suffix(".state"))
        events = list(_events(spool, state))
        if events and events[0]["kind"] == "start" and "run" not in state:
            state |= self._start_run(events[0], spool.parent)
        self._push_events(events, state)
        over = next((event for event in events if event["kind"] == "end"), None)
        if over or (ended and "ended" not in state):
            state["ended"] = over["status"] if over else "KILLED"
            for run in filter(None, [state.get("run"), *state.get("arms", {}).values()]):
                self._client.set_terminated(run, state["ended"], _milliseconds(over))
        _write(spool.with_suffix(".state"), state)
        return "ended" in state

    def _try(self, item: Mapping[str, Any], call: Callable[..., object], *arguments: Any, **named: Any) -> None:
        """Push one item; one that MLflow refuses is set aside with the reason, and the rest goes on."""
        try:
            call(*arguments, **named)
        except Exception as problem:
            if not _is_the_items(problem):
                raise
            said = {"reason": " ".join(str(problem).split())[:500], "item": str(dict(item))[:500]}
            with open(REFUSED, "a", encoding="utf-8") as file:
                file.write(json.dumps(said) + "\n")

    def _start_run(self, start: dict[str, Any], folder: Path) -> dict[str, Any]:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag

        profile, paper = _profile_and_paper(start["pipeline"])
        parent = self._parent(folder, paper, profile, start)
        tags = {
            "mlflow.parentRunId": parent,
            "mlflow.source.name": start["function"],
            "mlflow.source.git.commit": start["commit"].rstrip("+"),
            "stage": start["stage"],
            "profile": profile,
            "commit": start["commit"],
            "dvc": f"{start['pipeline']}/dvc.yaml:{start['stage']}",
            "identity": start["identity"],
            "prefect_flow_run": start["flow_run"],
            **({"host": start["host"]} if "host" in start else {}),  # of a stage that ran elsewhere
        }
        run = self._client.create_run(
            self._experiment(paper), start_time=_milliseconds(start), tags=tags, run_name=start["stage"]
        )
        identifier: str = run.info.run_id
        params = [Param(accepted_name(name), str(value)) for name, value in _flat(start["settings"] or {})]
        self._try(start, self._client.log_batch, identifier, params=params, tags=[RunTag("code", start["function"])])
        datasets = [
            DatasetInput(
                Dataset(given["folder"], given["digest"], "dvc", json.dumps({"path": given["folder"]})),
                [InputTag("mlflow.data.context", name)],
            )
            for name, given in start["inputs"].items()
        ]
        if datasets:
            self._try(start, self._client.log_inputs, identifier, datasets)
        _write(RUNS, {**_read(RUNS), start["out"]: identifier})
        return {
            "run": identifier,
            "out": start["out"],
            "parent": parent if start["stage"] in LEADING else None,
            "identity": start["identity"],
            "model": _registered(paper, profile, start["stage"], start["settings"] or {}),
            "tags": {"profile": profile, "commit": start["commit"], "dvc": tags["dvc"]},
        }

    def _push_events(self, events: list[dict[str, Any]], state: dict[str, Any]) -> None:
        from mlflow.entities import Metric

        run = state.get("run")
        if not run:
            return
        metrics = [
            Metric(accepted_name(event["name"]), event["value"], _milliseconds(event), event["step"])
            for event in events
            if event["kind"] == "metric"
        ]
        # What a paper's results and verdicts say leads its parent run, where reproductions are compared.
        for target in filter(None, [run, state.get("parent")]):
            for start in range(0, len(metrics), BATCH):
                self._try(events[0], self._client.log_batch, target, metrics=metrics[start : start + BATCH])
            for metric in metrics:
                if metric.key.startswith("verdicts/"):
                    self._client.set_tag(target, metric.key.replace("/", "."), f"{metric.value:.0f}")
            for event in events:
                if event["kind"] == "table":
                    self._try(event, self._log_table, target, event)
        if state.get("parent"):
            self._push_arms(events, metrics, state)
        notes = [event["text"] for event in events if event["kind"] == "note"]
        if notes:
            before = self._client.get_run(run).data.tags.get("mlflow.note.content", "")
            self._client.set_tag(run, "mlflow.note.content", "\n\n".join(filter(None, [before, *notes])))
        state.setdefault("artifacts", []).extend(e["name"] for e in events if e["kind"] == "artifact")
        state["said"] = next((event for event in events if event["kind"] == "model"), state.get("said"))
        if any(event["kind"] == "end" and event["status"] == "FINISHED" for event in events):
            for name in state["artifacts"]:
                self._try({"artifact": name}, self._client.log_artifact, run, str(ROOT / state["out"] / name))
            if state["said"] and published(state["out"]).get("identity") == state["identity"]:
                self._try({"model": state["model"]}, self._log_model, state["said"], state)

    def _log_model(self, said: dict[str, Any], state: dict[str, Any]) -> None:
        """A stage's output as a model of MLflow, and as a version of the registered model of its paper and arm."""
        import numpy as np
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import ModelSignature
        from mlflow.pyfunc import save_model
        from mlflow.types import Schema, TensorSpec

        run, out = state["run"], ROOT / state["out"]
        if sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) > LARGEST_MODEL:
            self._client.set_tag(run, "model", "too large for a copy here; the tag dvc says where it is")
            return
        name, alias = state["model"]
        inputs = [TensorSpec(np.dtype(kind), tuple(shape), of) for of, (kind, shape) in said["inputs"].items()]
        kind, shape = said["output"]
        with TemporaryDirectory() as folder:
            save_model(
                f"{folder}/model",
                loader_module=said["loader"],
                data_path=str(out),
                signature=ModelSignature(Schema(inputs), Schema([TensorSpec(np.dtype(kind), tuple(shape))])),
                input_example={of: np.array(said["example"][of], said["inputs"][of][0]) for of in said["inputs"]},
                pip_requirements=["tenfold"],
            )
            experiment = self._client.get_run(run).info.experiment_id
            model = self._client.create_logged_model(experiment, name, run, tags=state["tags"])
            self._client.log_model_artifacts(model.model_id, f"{folder}/model")
        self._client.finalize_logged_model(model.model_id, "READY")
        self._client.log_outputs(run, [LoggedModelOutput(model.model_id, 0)])
        if not self._client.search_registered_models(f"name = '{name}'"):
            self._client.create_registered_model(name)
        version = self._client.create_model_version(
            name, model.artifact_location, run, tags=state["tags"], model_id=model.model_id
        )
        self._client.set_registered_model_alias(name, alias, version.version)

    def _log_table(self, run: str, event: dict[str, Any]) -> None:
        """A table as MLflow keeps it, which is nothing where there are no rows."""
        if rows := event["rows"]:
            columns = {name: [row.get(name) for row in rows] for name in rows[0]}
            self._client.log_table(run, columns, f"{_file_name(event['name'])}.json")

    def _push_arms(self, events: list[dict[str, Any]], metrics: list[Any], state: dict[str, Any]) -> None:
        """A run for each row of the result tables, in an experiment of their own, whose charts so compare arms.

        What the parent calls `bits_per_byte/btx/mean` is `bits_per_byte/mean` in the run of btx. The arms of an
        earlier reproduction at the same profile leave the page (MLflow keeps deleted runs).
        """
        from mlflow.entities import Metric

        arms = state.setdefault("arms", {})
        parent = self._client.get_run(state["parent"])
        profile = parent.data.tags.get("profile", "")
        experiment = self._experiment(f"{self._client.get_experiment(parent.info.experiment_id).name} arms")
        rows = [
            row for event in events if event["kind"] == "table" and event["name"] != "verdicts" for row in event["rows"]
        ]
        names = dict.fromkeys(str(next(iter(row.values()))) for row in rows)
        if names and not arms:
            for earlier in self._client.search_runs([experiment], f"tags.profile = '{profile}'", max_results=1000):
                self._client.delete_run(earlier.info.run_id)
        for arm in names:
            if arm not in arms:
                tags = {"arm": arm, "profile": profile, "parent": state["parent"]}
                began = min(event["time"] for event in events)
                made = self._client.create_run(experiment, _milliseconds({"time": began}), tags, f"{arm} ({profile})")
                arms[arm] = made.info.run_id
        for arm, run in arms.items():
            batch = [
                Metric(f"/{metric.key}/".replace(part, "/", 1).strip("/"), metric.value, metric.timestamp, 0)
                for part in [f"/{accepted_name(arm)}/"]
                for metric in metrics
                if part in f"/{metric.key}/"
            ]
            for start in range(0, len(batch), BATCH):
                self._try({"arm": arm}, self._client.log_batch, run, metrics=batch[start : start + BATCH])

    def _push_own(self, folder: Path, ended: str | None) -> None:
        """Push what the reproduction itself says: the table of its stages, with the run that made each."""
        state = _read(folder / "own.state")
        for event in _events(folder / "own.jsonl", state):
            if event["kind"] == "stages":
                rows = [{**row, "run": _read(RUNS).get(row["out"], "")} for row in event["rows"]]
                parent = self._parent(folder, event["paper"], event["tags"]["profile"], event)
                columns = {name: [row[name] for row in rows] for name in rows[0]}
                self._try({"paper": event["paper"]}, self._client.log_table, parent, columns, "stages.json")
                for name, value in event["tags"].items():
                    self._client.set_tag(parent, name, value)
            if event["kind"] == "file":
                parent = self._parent(folder, event["paper"], event["profile"], event)
                self._try(event, self._client.log_artifact, parent, event["path"])
        _write(folder / "own.state", state)

    def _parent(self, folder: Path, paper: str, profile: str, event: dict[str, Any]) -> str:
        """The run of a paper's part in this reproduction, made when it is first needed."""
        parents = _read(folder / "parents.json")
        if paper not in parents:
            engine = "dvc repro" if folder.name.startswith("dvc-") else "tenfold reproduce"
            started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["time"]))
            run = self._client.create_run(
                self._experiment(paper),
                start_time=_milliseconds(event),
                tags={"reproduction": folder.name, "profile": profile, "engine": engine},
                run_name=f"{profile} {started}".strip(),
            )
            parents[paper] = run.info.run_id
            _write(folder / "parents.json", parents)
        identifier: str = parents[paper]
        return identifier

    def _experiment(self, paper: str) -> str:
        if paper not in self._experiments:
            found = self._client.get_experiment_by_name(paper)
            if found:
                identifier = found.experiment_id
                if found.lifecycle_stage == "deleted":  # in the page's bin, where nothing could be pushed to it
                    self._client.restore_experiment(identifier)
            elif os.environ.get("MLFLOW_TRACKING_URI"):
                identifier = self._client.create_experiment(paper)
            else:
                folder = ROOT / settings()["artifacts"] / paper.replace(" ", "-")
                identifier = self._client.create_experiment(paper, folder.as_uri())
            self._client.set_experiment_tag(identifier, *KIND)
            if paper in self._about:
                note = ("mlflow.note.content", self._about[paper])
                self._try({"paper": paper}, self._client.set_experiment_tag, identifier, *note)
            self._experiments[paper] = identifier
        return self._experiments[paper]


def pending() -> list[Path]:
    """The folders of reproductions of which not all is pushed, the oldest first."""
    return sorted(folder for folder in SPOOL.iterdir() if folder.is_dir())


def _end_of(folder: Path) -> str | None:
    """How a reproduction ended, or None while it lives; one that died without a word was killed."""
    events = list(_events(folder / "own.jsonl", {}))
    if events and events[-1].get("status") in STATUSES:
        return str(events[-1]["status"])
    owner = str(events[0].get("process")) if events else folder.name.removeprefix("dvc-")
    if is_alive(owner):
        return None
    if not folder.name.startswith("dvc-"):
        return "KILLED"
    ends = [[{}, *_events(spool, {})][-1].get("status") for spool in folder.glob("*.jsonl")]
    return "FINISHED" if all(end == "FINISHED" for end in ends) else "FAILED"


def _events(spool: Path, state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The whole lines written since `state["offset"]`, which moves on."""
    if spool.exists():
        with open(spool, "rb") as file:
            file.seek(state.get("offset", 0))
            for line in file:
                if not line.endswith(b"\n"):
                    break
                state["offset"] = state.get("offset", 0) + len(line)
                try:
                    event: dict[str, Any] = json.loads(line)
                except ValueError:  # cut off by a full disk or a kill
                    continue
                if isinstance(event, dict):
                    yield event


def _profile_and_paper(pipeline: str) -> tuple[str, str]:
    """What a pipeline's folder says: pipelines/PROFILE/PAPER, pipelines/sources, or the root for the report."""
    parts = pipeline.split("/")
    return (parts[1], parts[2]) if len(parts) == 3 else ("", {".": "report"}.get(pipeline, parts[-1]))


def _registered(paper: str, profile: str, stage: str, settings: Mapping[str, Any]) -> tuple[str, str]:
    """The registered model of a stage, as in btx-finetuned, and the alias of its version, as in cpu-seed-1."""
    seed = f"-{settings['seed']}" if "seed" in settings else ""
    alias = f"{profile}-seed{seed}" if seed else profile
    return f"{paper}-{stage.removesuffix(seed)}", re.sub(r"[^\w-]", "-", alias)


def _flat(values: dict[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{where}{name}.")
        else:
            yield f"{where}{name}", value


def _milliseconds(event: dict[str, Any] | None) -> int:
    return int((event["time"] if event else time.time()) * 1000)


def _file_name(title: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in title.lower()).strip("-")


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(path: Path, data: dict[str, Any]) -> None:
    fresh = path.with_name(f"{path.name}.fresh")
    fresh.write_text(json.dumps(data))
    fresh.replace(path)
