"""Transfusion against its discrete twin: at the same budget, and how much less of it gives the same (section 4.2).

The parity ratio is the training's operations that Transfusion needs over those that the twin spent, for the value that
the twin reached with its largest budget. Each one's logarithm is fitted as a line over the logarithm of operations, and
the value must lie within what Transfusion reached, for nothing is extrapolated.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Fraction, Index, config
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.transfusion.arms import CODES, LATENTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Row = dict[str, Any]

LEAST_BUDGETS = 4


@config
class Parity:
    """Bootstrap `draws` of the seeds of each budget; a codebook of which less than `least_used` is used is no rival."""

    seed: Index = 0
    draws: Count = 500
    least_used: Fraction = 0.25


@dataclass(frozen=True)
class Point:
    """What one training of an arm reached: the logarithms of its operations and of each metric."""

    arm: str
    budget: float
    seed: int
    log_flops: float
    logs: Mapping[str, float]


METRICS = {"fd": "Fréchet distance", "bits_per_byte": "bits a byte of text", "caption_wrong": "captions that are wrong"}
"""Lower is better in all of them."""


@measures(
    log_fd_gap="log Fréchet distance of latents less that of codes, at the same operations",
    log_bits_gap="the same of bits a byte of text",
    caption_gap="share of captions that are right with latents less that with codes",
    log_ratio="log of operations that Transfusion needs over those of the twin, for the same value: a bootstrap draw",
    parity_ratio="operations that Transfusion needs over those of the twin, for the same value",
    r_squared="share of the variance of the logarithm that the line explains, means by budget",
)
def compare_twins(
    *,
    judge: Path,
    reconstructed: Path,
    equal: dict[str, Path],
    scaled: dict[str, Path],
    config: Parity,
    out: Path,
) -> None:
    """Write metrics.json: the gaps at the full budget by seed, the ratio by metric with draws, and the lines' fit.

    Nothing is compared, and every row says why, where one autoencoder is much worse than the other: where their own
    Fréchet distances differ by more than real images of two splits do, or the codebook is hardly used.
    """
    reason = straw_man(judge, reconstructed, config)
    points = [point for folder in [*equal.values(), *scaled.values()] for point in [read_point(folder)]]
    rows: list[Row] = []
    for seed in sorted({point.seed for point in points if point.budget == 1.0}):
        by_arm = {point.arm: point.logs for point in points if point.seed == seed and point.budget == 1.0}
        latents, codes = by_arm[LATENTS], by_arm[CODES]
        row: Row = {
            "contrast": "latents less codes",
            "seed": seed,
            "log_fd_gap": latents["fd"] - codes["fd"],
            "log_bits_gap": latents["bits_per_byte"] - codes["bits_per_byte"],
            "caption_gap": math.exp(codes["caption_wrong"]) - math.exp(latents["caption_wrong"]),
        }
        rows.append({**row, "unavailable": reason} if reason else row)
    for metric in METRICS:
        rows += [{**row, "unavailable": reason} if reason else row for row in parity(points, metric, config)]
    write_json(out / "metrics.json", rows)
    spool.table("parity", [row for row in rows if "r_squared" in row])


def straw_man(judge: Path, reconstructed: Path, config: Parity) -> str:
    """Why the twin's autoencoder is no fair rival, in a sentence; empty where it is one."""
    real = json.loads((judge / "metrics.json").read_text())
    floor = next(row["fd"] for row in real if row["arm"] == "real train images")
    made = {row["arm"].split(",")[0]: row for row in json.loads((reconstructed / "metrics.json").read_text())}
    apart = abs(made["codebook"]["fd"] - made["continuous"]["fd"])
    if apart > floor:
        return f"The autoencoders' own Fréchet distances differ by {apart:.2f}, more than real images do ({floor:.2f})."
    share = made["codebook"]["perplexity"] / made["codebook"]["codes"]
    if share < config.least_used:
        return f"Only {share:.0%} of the codebook is used, so that the twin is no rival."
    return ""


def read_point(folder: Path) -> Point:
    """What one evaluated training reached."""
    rows: Sequence[Row] = json.loads((folder / "metrics.json").read_text())
    found: Row = {name: value for row in rows for name, value in row.items() if name != "of"}
    # A caption more is taken to be wrong, so that none wrong has a logarithm, too.
    count = next(row["of"] for row in rows if "caption_right" in row)
    wrong = 1 - found["caption_right"] + 1 / (count + 1)
    logs = {"fd": found["log_fd"], "bits_per_byte": math.log(found["bits_per_byte"]), "caption_wrong": math.log(wrong)}
    return Point(found["arm"], found["budget"], found["seed"], math.log(found["flops"]), logs)


def parity(points: Sequence[Point], metric: str, config: Parity) -> list[Row]:
    """The ratio of one metric, with its bootstrap draws, or why there is none; and how well the lines fit."""
    import numpy as np

    tables = {arm: _table(points, arm, metric) for arm in (LATENTS, CODES)}
    rows: list[Row] = []
    fits = {arm: _line(x, [float(np.mean(each)) for each in y]) for arm, (x, y) in tables.items()}
    for arm, (_, _, explained) in fits.items():
        if math.isfinite(explained):
            rows.append({"arm": arm, "metric": metric, "r_squared": explained})
    reached = [float(np.mean(each)) for each in tables[LATENTS][1]]
    wanted = float(np.mean(tables[CODES][1][-1]))
    reason = ""
    if min(len(x) for x, _ in tables.values()) < LEAST_BUDGETS:
        reason = f"There are fewer than {LEAST_BUDGETS} budgets, so that no line is fitted."
    elif not min(reached) <= wanted <= max(reached):
        side = "better" if max(reached) < wanted else "worse"
        reason = f"With every budget Transfusion is {side} than the twin is with its largest, so there is no ratio."
    if reason:
        return [*rows, {"metric": metric, "draw": 0, "log_ratio": None, "unavailable": reason}]
    rows.append({"metric": metric, "parity_ratio": math.exp(_log_ratio(tables, None))})
    drawn = np.random.default_rng(config.seed)
    draws = [_log_ratio(tables, drawn) for _ in range(config.draws)]
    return [*rows, *({"metric": metric, "draw": draw, "log_ratio": log} for draw, log in enumerate(draws))]


Curve = tuple[list[float], list[list[float]]]
"""Log operations by budget, and there the values of the seeds."""


def _table(points: Sequence[Point], arm: str, metric: str) -> Curve:
    budgets: dict[float, list[float]] = {}
    flops: dict[float, float] = {}
    for point in sorted(points, key=lambda each: (each.budget, each.seed)):
        if point.arm == arm:
            budgets.setdefault(point.budget, []).append(point.logs[metric])
            flops[point.budget] = point.log_flops
    return list(flops.values()), list(budgets.values())


def _log_ratio(tables: Mapping[str, Curve], drawn: "np.random.Generator | None") -> float:
    """Of means by budget, or of means of seeds that are drawn with replacement."""
    import numpy as np

    means: dict[str, NDArray[np.float64]] = {}
    for arm, (_, values) in tables.items():
        chosen = values
        if drawn is not None:
            chosen = [[each[at] for at in drawn.integers(len(each), size=len(each))] for each in values]
        means[arm] = np.array([np.mean(each) for each in chosen])
    slope, level, _ = _line(tables[LATENTS][0], means[LATENTS].tolist())
    spent = tables[CODES][0][-1]
    return float((means[CODES][-1] - level) / slope - spent)


def _line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Slope, level and R² of the least-squares line; a single point has no slope."""
    import numpy as np

    if len(x) < 2:
        return math.nan, math.nan, math.nan
    slope, level = np.polyfit(x, y, 1)
    left = np.array(y) - slope * np.array(x) - level
    spread = float(((np.array(y) - np.mean(y)) ** 2).sum())
    return float(slope), float(level), 1 - float((left**2).sum()) / spread if spread else math.nan
