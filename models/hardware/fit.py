"""Fit the calibration to public figures, with its uncertainty.

Least squares over log ratios of predicted to observed step seconds (and bus bandwidths, and watts where given), each
over its expected error, with a weak prior on the logarithm of every parameter. What no figure speaks of stays at its
prior, and varies with it in the draws.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter
from scipy.optimize import least_squares

from models.hardware.calibration import Calibration
from models.hardware.collectives import bus_bandwidth
from models.hardware.columns import Columns, as_columns, columns, flatten
from models.hardware.points import CollectivePoint, Point, StepPoint
from models.hardware.step import step
from models.hardware.strategy import world
from models.hardware.workload import model_flops

Floats = npt.NDArray[np.float64]

STEP_ERROR, COLLECTIVE_ERROR, WATT_ERROR = 0.05, 0.1, 0.05
"""How far (as a share) a good model may be from a figure, apart from the figure's own reading error."""


DRAW_TOLERANCE = 1e-3
"""Where a draw's fit may stop: far below what draws differ by."""


@dataclass(frozen=True)
class Prior:
    """A parameter's weak prior: standard deviation of its logarithm around the default, and hard bounds."""

    deviation: float
    least: float
    most: float


_EFFICIENCY, _LATENCY = Prior(0.2, 0.1, 1.0), Prior(0.7, 0.1, 200.0)

PRIORS: dict[str, Prior] = {
    **{f"{family}.gemm_ceiling": Prior(0.15, 0.2, 1.0) for family in ("volta", "ampere", "hopper")},
    **{f"{family}.gemm_scale": Prior(0.7, 10.0, 2000.0) for family in ("volta", "ampere", "hopper")},
    **{f"{family}.attention_ceiling": Prior(0.3, 0.05, 1.0) for family in ("volta", "ampere", "hopper")},
    "eager_efficiency": Prior(0.1, 0.5, 1.0),
    "memory_efficiency": Prior(0.15, 0.3, 1.0),
    "launch_us": Prior(0.5, 0.5, 30.0),
    "nvlink_efficiency": _EFFICIENCY,
    "nic_efficiency": _EFFICIENCY,
    "tree_efficiency": Prior(0.2, 0.3, 1.0),
    "collective_start_us": _LATENCY,
    "nvlink_hop_us": _LATENCY,
    "nic_hop_us": _LATENCY,
    "tree_hop_us": _LATENCY,
    "congestion_per_doubling": Prior(0.7, 0.0005, 0.2),
    "interference": Prior(0.5, 0.005, 0.6),
    "step_overhead_ms": Prior(0.7, 0.1, 200.0),
    "power_compute": Prior(0.2, 0.1, 1.2),
    "power_communication": Prior(0.5, 0.02, 1.0),
}
"""The parameters that are fitted; `reserved_gib` no figure of time speaks of, and it stays."""


@dataclass(frozen=True)
class Fitted:
    """A point estimate, an ensemble of draws, the log ratio of predicted to observed of every fitted figure, and
    `scatter`: the root mean square of those of step times, what is left beside the parameters' uncertainty."""

    calibration: Calibration
    draws: tuple[Calibration, ...]
    log_ratios: dict[str, float]
    scatter: float


def observed_seconds(point: StepPoint) -> float:
    """The step's seconds, given or worked out from tokens/s/GPU or the MFU."""
    if point.step_seconds is not None:
        return point.step_seconds
    tokens = point.strategy.batch * point.workload.sequence / world(point.strategy)
    if point.tokens_per_second_per_gpu is not None:
        return float(tokens / point.tokens_per_second_per_gpu)
    assert point.mfu is not None
    flops = 1e12 * point.cluster.accelerator.peak_tflops
    return float(tokens * model_flops(point.workload) / (flops * point.mfu))


@dataclass(frozen=True)
class _Figures:
    """Points in columns, for many calibrations at once."""

    steps: list[StepPoint]
    collectives: list[CollectivePoint]

    @classmethod
    def of(cls, points: Sequence[Point]) -> "_Figures":
        steps = [p for p in points if isinstance(p, StepPoint)]
        return cls(steps, [p for p in points if isinstance(p, CollectivePoint)])

    def log_ratios(self, calibrations: Columns) -> tuple[Floats, Floats, Floats]:
        """Of seconds, of watts (not a number where not observed) and of collectives; (calibrations, points) each."""
        number = len(calibrations.launch_us)
        seconds, draw = np.zeros((number, len(self.steps))), np.zeros((number, len(self.steps)))
        links = np.zeros((number, len(self.collectives)))
        if self.steps:
            workloads, clusters = columns([p.workload for p in self.steps]), columns([p.cluster for p in self.steps])
            made = step(workloads, clusters, columns([p.strategy for p in self.steps]), calibrations)
            seconds += np.log(made.seconds / np.array([observed_seconds(p) for p in self.steps]))
            draw += np.log(made.watts / np.array([p.watts_per_gpu or np.nan for p in self.steps]))
        if self.collectives:
            found = bus_bandwidth(
                np.array([p.collective for p in self.collectives]),
                np.array([float(p.message_bytes) for p in self.collectives]),
                np.array([p.nodes for p in self.collectives]),
                columns([p.cluster for p in self.collectives]),
                calibrations,
            )
            links += np.log(found / np.array([p.bus_bandwidth_gb_s for p in self.collectives]))
        return seconds, draw, links

    def errors(self) -> tuple[Floats, Floats, Floats]:
        """The expected error of each figure."""
        step_error = np.array([np.hypot(STEP_ERROR, p.relative_error) for p in self.steps])
        collective = np.array([np.hypot(COLLECTIVE_ERROR, p.relative_error) for p in self.collectives])
        return step_error, np.full(len(self.steps), WATT_ERROR), collective

    def ids(self) -> list[str]:
        return [p.id for p in self.steps] + [f"{p.id} (watts)" for p in self.steps] + [p.id for p in self.collectives]

    def sources(self) -> list[str]:
        steps = [p.source for p in self.steps]
        return steps + steps + [p.source for p in self.collectives]


def fit(points: Sequence[Point], *, start: Calibration | None = None, draws: int = 100, seed: int = 0) -> Fitted:
    """Fit the parameters of PRIORS to the points, with `start` (the default calibration) as the priors' centres.

    Each draw fits anew to as many sources as there are, drawn with replacement, from prior centres drawn from the
    priors: an ensemble for prediction intervals. Values are rounded to five digits, so that digests are stable.

    Raises:
        ValueError: there are no points.
    """
    if not points:
        raise ValueError("there are no points to fit to")
    start = start or Calibration()
    figures = _Figures.of(points)
    names = sorted(set(figures.sources()))
    values = flatten(start)
    centre = np.log([max(values[name], prior.least) for name, prior in PRIORS.items()])
    deviation = np.array([prior.deviation for prior in PRIORS.values()])
    best = _solve(figures, start, centre, centre, np.ones(len(figures.sources())))
    random = np.random.default_rng(seed)
    ensemble = []
    for _ in range(draws):
        times = random.multinomial(len(names), np.full(len(names), 1 / len(names)))
        counts = dict(zip(names, times, strict=True))
        weights = np.array([float(counts[source]) for source in figures.sources()])
        drawn = _within_bounds(random.normal(centre, deviation))
        ensemble.append(_calibration(start, _solve(figures, start, drawn, best, weights, DRAW_TOLERANCE)))
    calibration = _calibration(start, best)
    found = np.concatenate([part[0] for part in figures.log_ratios(as_columns(calibration))])
    ratios = {name: float(value) for name, value in zip(figures.ids(), found, strict=True) if np.isfinite(value)}
    steps = [ratios[point.id] for point in figures.steps]
    scatter = float(np.sqrt(np.mean(np.square(steps)))) if steps else 0.0
    return Fitted(calibration, tuple(ensemble), ratios, scatter)


def predict(points: Sequence[Point], calibration: Calibration) -> dict[str, float]:
    """The log ratio of predicted to observed seconds (or bus bandwidth) of each point."""
    figures = _Figures.of(points)
    seconds, _, links = figures.log_ratios(as_columns(calibration))
    names = [p.id for p in figures.steps] + [p.id for p in figures.collectives]
    return {name: float(value) for name, value in zip(names, [*seconds[0], *links[0]], strict=True)}


def interval(values: Floats, scatter: float, *, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """A prediction interval of a positive quantity from its values under the draws, with the fit's scatter on top."""
    random = np.random.default_rng(seed)
    spread = np.log(values)[:, None] + scatter * random.standard_normal((len(values), 200))
    low, high = np.quantile(spread, [(1 - level) / 2, (1 + level) / 2])
    return float(np.exp(low)), float(np.exp(high))


def _solve(
    figures: _Figures, start: Calibration, centre: Floats, guess: Floats, weights: Floats, tolerance: float = 1e-6
) -> Floats:
    """The logarithms of the parameters that fit best."""
    deviation = np.array([prior.deviation for prior in PRIORS.values()])
    scale = np.sqrt(weights) / np.concatenate(figures.errors())

    def residuals(many: Floats) -> Floats:
        found = np.concatenate(figures.log_ratios(_columns(start, many)), axis=1)
        return np.concatenate([np.nan_to_num(found) * scale, (many - centre) / deviation], axis=1)

    def slopes(theta: Floats) -> Floats:
        shift = 1e-5
        moved = residuals(np.vstack([theta, theta + shift * np.eye(len(theta))]))
        return np.asarray((moved[1:] - moved[0]).T / shift)

    bounds = np.log([[prior.least for prior in PRIORS.values()], [prior.most for prior in PRIORS.values()]])
    inside = np.clip(guess, bounds[0] + 1e-6, bounds[1] - 1e-6)
    solved = least_squares(
        lambda theta: residuals(theta[None])[0],
        inside,
        jac=slopes,
        bounds=bounds,
        xtol=tolerance,
        ftol=tolerance,
        max_nfev=60,
    )
    return np.asarray(solved.x, dtype=np.float64)


def _within_bounds(theta: Floats) -> Floats:
    return np.clip(theta, *np.log([[p.least for p in PRIORS.values()], [p.most for p in PRIORS.values()]]))


def _columns(start: Calibration, many: Floats) -> Columns:
    """Calibrations in columns of shape (many, 1), that meet points of shape (points,)."""
    values: dict[str, Any] = {name: np.full((len(many), 1), value) for name, value in flatten(start).items()}
    values |= {name: np.exp(many[:, [column]]) for column, name in enumerate(PRIORS)}
    return _nest(values)


def _nest(values: dict[str, Any]) -> Columns:
    families = {name.partition(".")[0] for name in values if "." in name}
    whole = {name: value for name, value in values.items() if "." not in name}
    for family in families:
        inner = {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{family}.")}
        whole[family] = Columns(**inner)
    return Columns(**whole)


def _calibration(start: Calibration, theta: Floats) -> Calibration:
    """The record of these logarithms, rounded."""
    values = flatten(start) | {name: float(f"{np.exp(theta[i]):.5g}") for i, name in enumerate(PRIORS)}
    nested: dict[str, Any] = {}
    for name, value in values.items():
        family, _, field = name.partition(".")
        if field:
            nested.setdefault(family, {})[field] = value
        else:
            nested[name] = value
    return TypeAdapter(Calibration).validate_json(json.dumps(nested))
