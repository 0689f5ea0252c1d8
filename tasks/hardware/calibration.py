"""Hardware scaling: calibrate the simulator on public figures, test it on others, predict the paper's runs.

Fernandez et al. 2024 (arXiv 2411.13055). The calibration sees only its own sources; its digest is frozen in the
paper file before the first look at the held-out ones, and every later stage refuses another one.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Index, config
from tasks.base import spool
from tasks.base.errors import UserError
from tasks.base.files import write_json
from tasks.base.measures import measures

if TYPE_CHECKING:
    import numpy as np

    from models.hardware.calibration import Calibration
    from models.hardware.points import Point, StepPoint

Row = dict[str, Any]


@config
class Fit:
    """Which sources to fit to, and how many draws make the uncertainty."""

    sources: tuple[str, ...]
    draws: Count = 100
    seed: Index = 0


@config
class HeldOut:
    """Which sources to test on, and the digest of the calibration that may be tested.

    `eight`: the figures on which Calculon published its own errors; all others make the other group.
    """

    sources: tuple[str, ...]
    frozen: str
    eight: tuple[str, ...]


@config
class Shuffled:
    """The same sources as those of the fit and of the test."""

    sources: tuple[str, ...]
    held_out: tuple[str, ...]
    eight: tuple[str, ...]
    seed: Index = 0


@measures(fit_error="mean absolute relative error of step time on the figures that were fitted")
def calibrate(*, figures: Path, config: Fit, out: Path) -> None:
    """Fit the calibration to the public figures of some sources; writes `calibration.json`, draws and all."""
    from models.hardware.fit import fit
    from models.hardware.points import StepPoint

    points = read(figures, config.sources)
    fitted = fit(points, draws=config.draws, seed=config.seed)
    written = {
        "digest": fitted.calibration.digest(),
        "calibration": asdict(fitted.calibration),
        "draws": [asdict(draw) for draw in fitted.draws],
        "scatter": fitted.scatter,
    }
    write_json(out / "calibration.json", written)
    errors: dict[str, list[float]] = {}
    for point in points:
        if isinstance(point, StepPoint):
            errors.setdefault(point.source, []).append(_relative(fitted.log_ratios[point.id]))
    rows = [{"arm": source, "fit_error": _mean(values), "points": len(values)} for source, values in errors.items()]
    write_json(out / "metrics.json", rows)
    print(f"calibration {fitted.calibration.digest()[:16]}: {len(points)} figures, scatter {fitted.scatter:.1%}")


@measures(
    observed_seconds="step time of a held-out figure, as printed or worked out from it",
    predicted_seconds="its prediction by the frozen calibration",
    signed_error="relative error of the prediction; above 0 it is too slow",
    error="the same without its sign",
    term_factor="by how much the named parameter, changed alone, would have to be multiplied to close the gap",
    mean_error="mean absolute relative error of step time over a source's held-out figures",
    worst_error="largest absolute relative error of step time over a source's held-out figures",
    covered="share of a source's held-out figures inside their 95 % prediction interval",
    figures="number of held-out figures",
)
def validate(*, figures: Path, calibration: Path, config: HeldOut, out: Path) -> None:
    """Predict figures of sources that were never fitted: by figure, by source, Calculon's eight and all others."""
    import numpy as np

    from models.hardware.fit import interval, observed_seconds, predict
    from models.hardware.points import StepPoint

    fitted, draws, scatter = load(calibration, config.frozen)
    points = [point for point in read(figures, config.sources) if isinstance(point, StepPoint)]
    best = predict(points, fitted)
    ensemble = [predict(points, draw) for draw in draws]
    parameters = logarithms(draws)
    rows: list[Row] = []
    for point in points:
        observed = observed_seconds(point)
        low, high = interval(np.array([observed * np.exp(one[point.id]) for one in ensemble]), scatter)
        name, slope = strongest(parameters, np.array([one[point.id] for one in ensemble]))
        rows.append(
            {
                "arm": point.source,
                "point": point.id,
                "figure": f"{point.id} ({name})",
                "term_factor": float(np.exp(np.clip(-best[point.id] / slope, -9, 9))),
                "error": abs(_relative(best[point.id], signed=True)),
                "signed_error": _relative(best[point.id], signed=True),
                "observed_seconds": observed,
                "predicted_seconds": observed * float(np.exp(best[point.id])),
                "low": low,
                "high": high,
                "inside": bool(low <= observed <= high),
            }
        )
    groups = {source: [row for row in rows if row["arm"] == source] for source in config.sources}
    groups["eight"] = [row for row in rows if row["point"] in config.eight]
    groups["others"] = [row for row in rows if row["point"] not in config.eight]
    spool.table("held-out figures", rows)
    rows += [
        {
            "arm": source,
            "mean_error": _mean([row["error"] for row in group]),
            "worst_error": max(row["error"] for row in group),
            "covered": _mean([float(row["inside"]) for row in group]),
            "figures": len(group),
        }
        for source, group in groups.items()
    ]
    write_json(out / "metrics.json", rows)


@measures(left_out_error="mean absolute relative error on a calibration source when all the others were fitted")
def leave_one_out(*, figures: Path, config: Fit, out: Path) -> None:
    """Fit to all calibration sources but one, and predict that one; once for each source with step times."""
    from models.hardware.fit import fit, predict
    from models.hardware.points import StepPoint

    points = read(figures, config.sources)
    rows = []
    for source in config.sources:
        left = [point for point in points if point.source == source and isinstance(point, StepPoint)]
        if left:
            fitted = fit([point for point in points if point.source != source], draws=0)
            errors = [_relative(value) for value in predict(left, fitted.calibration).values()]
            rows.append({"arm": source, "left_out_error": _mean(errors), "points": len(errors)})
    write_json(out / "metrics.json", rows)


@measures(shuffled_error="mean absolute relative error on the held-out figures after a fit to shuffled ones")
def validate_shuffled(*, figures: Path, config: Shuffled, out: Path) -> None:
    """The control: fit to figures whose MFU belong to one another, and predict the held-out ones.

    A calibration that learns from its figures must do better than that.
    """
    import numpy as np

    from models.hardware.fit import fit, observed_seconds, predict
    from models.hardware.points import StepPoint

    points = read(figures, config.sources)
    steps = [point for point in points if isinstance(point, StepPoint)]
    efficiency = np.array([_least_seconds(point) / observed_seconds(point) for point in steps])
    shuffled = np.random.default_rng(config.seed).permutation(efficiency)
    false = [
        point.model_copy(update={"step_seconds": float(_least_seconds(point) / share)})
        for point, share in zip(steps, shuffled, strict=True)
    ]
    fitted = fit([*false, *(point for point in points if not isinstance(point, StepPoint))], draws=0)
    unseen = [p for p in read(figures, config.held_out) if isinstance(p, StepPoint) and p.id not in config.eight]
    errors = [_relative(value) for value in predict(unseen, fitted.calibration).values()]
    write_json(out / "metrics.json", [{"arm": "others", "shuffled_error": _mean(errors)}])


@measures(
    memory_error="absolute relative error of a figure's memory, by kind",
    worst_memory_error="largest of them",
    memory_figures="number of memory figures",
)
def check_memory(*, figures: Path, config: HeldOut, out: Path) -> None:
    """Compare the memory formulas, in which nothing is fitted, with the figures that print memory."""
    from models.hardware.calibration import Calibration
    from models.hardware.memory import memory
    from models.hardware.points import StepPoint

    rows: list[Row] = []
    for point in read(figures, config.sources):
        if not isinstance(point, StepPoint):
            continue
        held = memory(point.workload, point.strategy, Calibration())
        for kind, printed, bytes_ in (
            # As Calculon counts them: of the layers, without embedding and output.
            ("states", point.parameter_and_optimizer_gib, held.parameters + held.gradients + held.optimizer),
            ("activations", point.activation_gib, held.activations),
        ):
            if printed is not None:
                found = float(bytes_) / 2**30
                rows.append(
                    {"arm": kind, "point": point.id, "printed": printed, "computed": found,
                     "memory_error": abs(found / printed - 1)}
                )  # fmt: skip
    spool.table("memory", rows)
    rows.append(
        {
            "arm": "all",
            "worst_memory_error": max(row["memory_error"] for row in rows),
            "memory_figures": len(rows),
        }
    )
    write_json(out / "metrics.json", rows)


def logarithms(draws: "Sequence[Calibration]") -> "dict[str, np.ndarray]":
    """The logarithm of each parameter over the draws, of those that vary."""
    import numpy as np

    from models.hardware.columns import flatten

    values = [flatten(draw) for draw in draws]
    made = {name: np.log([float(one[name]) for one in values]) for name in values[0]}
    return {name: column for name, column in made.items() if np.std(column) > 1e-6}


def strongest(parameters: "dict[str, np.ndarray]", predicted: "np.ndarray") -> "tuple[str, float]":
    """The parameter with which a prediction moves most closely over the draws, and the slope of the two logarithms."""
    import numpy as np

    name = max(parameters, key=lambda one: abs(float(np.corrcoef(parameters[one], predicted)[0, 1])))
    slope = float(np.polyfit(parameters[name], predicted, 1)[0])
    return name, slope


def read(figures: Path, sources: Sequence[str]) -> "list[Point]":
    """The figures of the given sources.

    Raises:
        UserError: a figure has not its shape, or a source has none.
    """
    import yaml

    from models.hardware.points import read_points

    try:
        points = read_points(yaml.load((figures / "figures.yaml").read_text(), Loader=yaml.CSafeLoader))
    except ValueError as problem:
        raise UserError(f"figures.yaml: {problem}. Correct that entry.") from problem
    known = {point.source for point in points}
    if missing := sorted(set(sources) - known):
        raise UserError(f"figures.yaml has no figure of {missing[0]}; it has {', '.join(sorted(known))}.")
    return [point for point in points if point.source in sources]


def load(calibration: Path, frozen: str) -> "tuple[Calibration, list[Calibration], float]":
    """The calibration, its draws and its scatter.

    Raises:
        UserError: it is not the frozen one.
    """
    from pydantic import TypeAdapter

    from models.hardware.calibration import Calibration

    written = json.loads((calibration / "calibration.json").read_text())
    if written["digest"] != frozen:
        raise UserError(
            f"The calibration is {written['digest']}, but {frozen or 'nothing'} is frozen: if the change is meant, "
            "log it in flows/hardware_scaling/stages.py with the held-out error before and after, and freeze it there."
        )
    adapter = TypeAdapter(Calibration)

    def made(values: Any) -> Calibration:
        return adapter.validate_json(json.dumps(values))

    return made(written["calibration"]), [made(draw) for draw in written["draws"]], written["scatter"]


def _least_seconds(point: "StepPoint") -> float:
    """A step's seconds at the dense peak: what the MFU is a share of."""
    from models.hardware.strategy import world
    from models.hardware.workload import model_flops

    tokens = point.strategy.batch * point.workload.sequence
    return float(
        tokens * model_flops(point.workload) / (world(point.strategy) * 1e12 * point.cluster.accelerator.peak_tflops)
    )


def _relative(log_ratio: float, *, signed: bool = False) -> float:
    """The relative error of a prediction from the logarithm of its ratio to what was observed."""
    from math import expm1

    return expm1(log_ratio) if signed else abs(expm1(log_ratio))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
