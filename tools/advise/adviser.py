"""Advise on a user's own cluster: search strategies with the calibrated simulator, and draw how they scale."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError

if TYPE_CHECKING:
    from models.hardware.calibration import Calibration
    from models.hardware.cluster import Cluster
    from models.hardware.search import Answer, Option
    from models.hardware.workload import Workload

KNEE = 0.9
"""The knee of a curve: where a GPU first does less than this share of what it does in the smallest cluster."""


@dataclass(frozen=True)
class Scaled:
    """The best strategy for a number of GPUs, and the one for twice as many: what the next doubling buys."""

    gpus: int
    best: "Option"
    doubled: "Option | None"

    @property
    def marginal(self) -> float | None:
        """Tokens a second that each added GPU of the next doubling brings, as a share of what each brings now."""
        if self.doubled is None:
            return None
        added = (self.doubled.tokens_per_second - self.best.tokens_per_second) / self.gpus
        return added / self.best.tokens_per_second_per_gpu


def read_calibration(folder: Path) -> "Calibration":
    """The calibration that the pipeline fitted.

    Raises:
        UserError: there is none.
    """
    from pydantic import TypeAdapter

    from models.hardware.calibration import Calibration

    path = folder / "calibration.json"
    if not path.exists():
        raise UserError("There is no calibration here yet: run tenfold reproduce hardware_scaling (two minutes).")
    found: Calibration = TypeAdapter(Calibration).validate_json(json.dumps(json.loads(path.read_text())["calibration"]))
    return found


@dataclass(frozen=True)
class HeldOut:
    """How far the simulator was off on step times of other people's runs that it was not fitted to."""

    figures: int
    mean_error: float
    worst_error: float

    def __str__(self) -> str:
        return (
            f"On {self.figures} step times of other people's runs that it had not seen, the simulator was off by "
            f"{self.mean_error:.0%} on average and {self.worst_error:.0%} at worst."
        )


def read_held_out(folder: Path) -> HeldOut | None:
    """What the pipeline measured on figures held out, over all their sources; None where it has not."""
    path = folder / "metrics.json"
    if not path.exists():
        return None
    rows = [row for row in json.loads(path.read_text()) if "error" in row]
    errors = [row["error"] for row in rows]
    return HeldOut(len(errors), sum(errors) / len(errors), max(errors)) if errors else None


def read_workload(name: str) -> "Workload":
    """A known model by its name, or the model of a YAML file with the fields of `Workload`.

    Raises:
        UserError: no such model or file, or a field is wrong.
    """
    from models.hardware.workload import WORKLOADS, Workload

    if name in WORKLOADS:
        return WORKLOADS[name]
    made: Workload = _from_file(name, Workload, WORKLOADS, "model", sorted(WORKLOADS))
    return made


def read_cluster(name: str) -> "Cluster":
    """A known cluster by its name, or that of a YAML file with the fields of `Cluster`.

    In a file `preset: h100` starts from a known one, so that only what differs has to be given.

    Raises:
        UserError: no such cluster or file, or a field is wrong.
    """
    from models.hardware.cluster import CLUSTERS, Cluster

    if name in CLUSTERS:
        return CLUSTERS[name]
    made: Cluster = _from_file(name, Cluster, CLUSTERS, "cluster", sorted(CLUSTERS))
    return made


def _from_file(name: str, kind: Any, presets: dict[str, Any], what: str, known: list[str]) -> Any:
    import yaml
    from pydantic import TypeAdapter, ValidationError

    path = Path(name)
    if not path.is_file():
        raise UserError(
            f"There is no {what} {name}: it is neither a file nor one of {', '.join(known)}. "
            f"A YAML file with {', '.join(field.name for field in fields(kind))} describes your own."
        )
    try:
        given = yaml.safe_load(path.read_text())
        if not isinstance(given, dict):
            raise UserError(f"{name}: a {what} is described by lines of the form field: value.")
        adapter = TypeAdapter(kind)
        preset = given.pop("preset", None)
        if preset is not None and preset not in presets:
            raise UserError(f"{name}: there is no preset {preset}; there are {', '.join(presets) or 'none'}.")
        start = adapter.dump_python(presets[preset], mode="json") if preset else {}
        # What JSON has no word for, such as a date, becomes text, which no field takes.
        return adapter.validate_json(json.dumps(_merged(start, given), default=str))
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise UserError(f"{name} is not YAML: {' '.join(str(problem).split())}.") from problem
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or what
        raise UserError(
            f"{name}: {where}: {first['msg'].lower()}. The units are in the names of the fields."
        ) from problem


def _merged(start: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The changes put over the start, inside nested fields too."""
    merged = dict(start)
    for name, value in changes.items():
        nested = isinstance(value, dict) and isinstance(start.get(name), dict)
        merged[name] = _merged(start[name], value) if nested else value
    return merged


def tokens(text: str) -> int:
    """A number of tokens as people write it: 4M, 512k, 1000000, 4,194,304.

    Raises:
        UserError: it is not one.
    """
    scale = {"k": 10**3, "m": 10**6, "b": 10**9}.get(text[-1:].lower(), 1)
    digits = text[:-1] if scale > 1 else text
    if re.fullmatch(r"\d{1,3}(,\d{3})+", digits):
        digits = digits.replace(",", "")
    try:
        value = int(float(digits) * scale)
    except (ValueError, OverflowError):
        value = 0
    if value < 1:
        raise UserError(f"{text} is not a number of tokens, such as 4M, 512k or 1000000.")
    return value


def span(text: str) -> list[int]:
    """The doublings of `gpus=8..4096`.

    Raises:
        UserError: it is not of that form.
    """
    name, _, limits = text.partition("=")
    low, dots, high = limits.partition("..")
    if name != "gpus" or not dots or not (low.isdigit() and high.isdigit()) or not 0 < int(low) <= int(high):
        raise UserError(f"--sweep {text} is not of the form gpus=8..4096.")
    values = [int(low)]
    while values[-1] * 2 <= int(high):
        values.append(values[-1] * 2)
    return values


def ask(
    workload: "Workload", cluster: "Cluster", calibration: "Calibration", gpus: int, batch_tokens: int, best: int = 10
) -> "Answer":
    """The best strategies.

    Raises:
        UserError: none is possible; the sentence says which constraint fails and what the nearest possible setting is.
    """
    from models.hardware.search import search

    answer = search(workload, cluster, calibration, gpus=gpus, batch_tokens=batch_tokens, best=best)
    if not answer.options:
        nearest = f" The nearest that is possible: {answer.nearest}." if answer.nearest else ""
        raise UserError(f"No strategy is possible: {answer.problem}.{nearest}")
    return answer


def sweep(
    workload: "Workload",
    cluster: "Cluster",
    calibration: "Calibration",
    gpus: list[int],
    batch_tokens: int,
    tell: Callable[[int], None] = lambda done: None,
) -> list[Scaled]:
    """The best strategy for each number of GPUs at which there is one, with the same batch throughout."""
    from models.hardware.search import search

    found = {}
    for done, number in enumerate([*gpus, 2 * gpus[-1]]):
        tell(done)
        answer = search(workload, cluster, calibration, gpus=number, batch_tokens=batch_tokens, best=1)
        if answer.options:
            found[number] = answer.options[0]
    return [Scaled(number, found[number], found.get(2 * number)) for number in gpus if number in found]


def knee(curve: list[Scaled]) -> int | None:
    """The number of GPUs from which each does less than KNEE of what it does at the start."""
    start = curve[0].best.tokens_per_second_per_gpu
    return next((one.gpus for one in curve if one.best.tokens_per_second_per_gpu < KNEE * start), None)


def draw(curve: list[Scaled], title: str, out: Path) -> None:
    """Write the scaling curves to one HTML file: throughput, efficiency, energy, price, where the time goes."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    names = ("tokens/s", "share of the first point's tokens/s a GPU", "kJ a million tokens", "$ a billion tokens")
    figure = make_subplots(
        rows=3, cols=2, subplot_titles=[*names, "share of a step's time", "gain of the next doubling"]
    )
    gpus = [one.gpus for one in curve]
    first = curve[0].best.tokens_per_second_per_gpu
    curves = (
        [one.best.tokens_per_second for one in curve],
        [one.best.tokens_per_second_per_gpu / first for one in curve],
        [one.best.joules_per_billion_tokens / 1e6 for one in curve],
        [one.best.dollars_per_billion_tokens for one in curve],
    )
    text = [describe(one.best) for one in curve]
    for place, values in enumerate(curves):
        line = go.Scatter(x=gpus, y=values, text=text, mode="lines+markers", name=names[place], showlegend=False)
        figure.add_trace(line, row=place // 2 + 1, col=place % 2 + 1)
    for part in curve[0].best.shares:
        shares = [one.best.shares[part] for one in curve]
        if max(shares) > 0.005:
            figure.add_trace(go.Scatter(x=gpus, y=shares, stackgroup="time", name=part), row=3, col=1)
    marginal = go.Scatter(x=gpus, y=[one.marginal for one in curve], mode="lines+markers", showlegend=False)
    figure.add_trace(marginal, row=3, col=2)
    figure.update_xaxes(type="log", title="GPUs", tickvals=gpus)
    figure.update_yaxes(type="log", row=1, col=1)
    if (at := knee(curve)) is not None:
        figure.add_vline(x=at, line_dash="dot", annotation_text=f"knee: {at} GPUs", row=1, col=2)
    figure.update_layout(title=f"{title} (simulated)", height=1000, template="plotly_white")
    figure.write_html(out, include_plotlyjs=True)


def describe(option: "Option") -> str:
    """A strategy in a few words: its degrees and what it shards, keeps and recomputes."""
    s = option.strategy
    words = [f"{s.shard}{'' if s.shard != 'fsdp' or s.reshard else ' kept'} × {s.data}"]
    words += [f"{s.replicas} replicas"] if s.replicas > 1 else []
    words += [
        f"{name} {getattr(s, name)}" for name in ("tensor", "pipeline", "context", "expert") if getattr(s, name) > 1
    ]
    words += [f"interleaved {s.interleave}"] if s.interleave > 1 else []
    words += [f"micro-batch {s.micro_batch}"]
    words += [f"{s.recomputation} recomputation"] if s.recomputation != "none" else []
    return ", ".join(words)
