"""Transfusion against its discrete twin: with as many steps, with half, and how many give the same (section 4.2).

With two budgets there is no line, and half the steps are compared with all of the twin's. With four or more, the parity
ratio is the training's operations that Transfusion needs over those that the twin spent, for the value that
the twin reached with its largest budget. Seed by seed, the logarithm of Transfusion's value is fitted as a line over
the logarithm of operations. Nothing is extrapolated: a ratio lies between that of the smallest budget and
1, and at either end it is a bound (1 stands for whatever is more).
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.config import Fraction, config
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.transfusion.arms import CODES, LATENTS
from tasks.transfusion.evaluation import write_examples
from tasks.transfusion.passed import CAPTIONS, IMAGES, TEXT, read_passed

Row = dict[str, Any]

LEAST_BUDGETS = 4


@config
class Parity:
    """When a line is one: it must explain `least_explained` of the variance of means by budget."""

    least_explained: Fraction = 0.8


@dataclass(frozen=True)
class Point:
    """What one training of an arm reached: the logarithms of its operations and of each metric."""

    arm: str
    budget: float
    seed: int
    log_flops: float
    logs: Mapping[str, float]


METRICS = {"fd": IMAGES, "bits_per_byte": TEXT, "caption_wrong": CAPTIONS}
"""What is compared, and what of the twins it is about; lower is better in all of them."""
GAPS = {"log_fd_gap": IMAGES, "bits_gap": TEXT, "caption_gap": CAPTIONS}

SAME, HALF = "latents less codes", "latents, half of the steps, less codes"
CONTRASTS = {SAME: 1.0, HALF: 0.5}
"""The share of the steps that latents have had; codes have had all of them."""


@measures(
    log_fd_gap="log Fréchet distance of latents less that of codes",
    bits_gap="bits a byte of a document with latents less those with codes",
    caption_gap="captions that are right with latents less those with codes, by image",
    log_ratio="log of operations that Transfusion needs over those of the twin, for the same value; bounded by budgets",
)
def compare_twins(*, gate: Path, evaluated: dict[str, Path], config: Parity, out: Path) -> None:
    """Write metrics.json and examples.parquet: gaps with as many steps and with half as many, and ratios by metric.

    What the gate withholds is so here, by quantity: every row of it says why.
    """
    twins = read_passed(gate).twins
    unsure = {about: {"unavailable": twins[about]} if about in twins else {} for about in (IMAGES, TEXT, CAPTIONS)}
    points = {folder: read_point(folder) for folder in evaluated.values()}
    rows: list[Row] = []
    examples: list[Row] = []
    for seed in sorted({point.seed for point in points.values()}):
        at = {(p.arm, p.budget): folder for folder, p in points.items() if p.seed == seed}
        codes = at[CODES, 1.0]
        for contrast, share in CONTRASTS.items():
            labels: Row = {"contrast": contrast, "seed": seed}
            latents = at[LATENTS, share]
            found = [{**labels, **row} for row in gaps(latents, codes)]
            examples += [{**row, **unsure[GAPS[gap]]} for row in found for gap in GAPS if gap in row]
            mean = {"log_fd_gap": points[latents].logs["fd"] - points[codes].logs["fd"]}
            for gap in ("bits_gap", "caption_gap"):
                weighed = [(row[gap], row.get("bytes", 1)) for row in found if gap in row]
                mean[gap] = sum(value * weight for value, weight in weighed) / sum(weight for _, weight in weighed)
            rows += [{**labels, gap: value, **unsure[GAPS[gap]]} for gap, value in mean.items()]
    for metric, about in METRICS.items():
        rows += [{**row, **unsure[about]} for row in parity(list(points.values()), metric, config)]
    write_json(out / "metrics.json", rows)
    write_examples(examples, out)
    spool.table("parity", [row for row in rows if "log_ratio" in row])


def gaps(latents: Path, codes: Path) -> Iterator[Row]:
    """Document by document and image by image, what was measured with latents less that with codes."""
    import pyarrow.parquet

    read = [pyarrow.parquet.read_table(folder / "examples.parquet").to_pylist() for folder in (latents, codes)]
    for quantity, item, gap in (("bits_per_byte", "document", "bits_gap"), ("caption_right", "image", "caption_gap")):
        left, right = ({row[item]: row for row in rows if row[quantity] is not None} for rows in read)
        for number, row in left.items():
            kept = {item: number, "bytes": row["bytes"]} if item == "document" else {item: number}
            yield {**kept, gap: row[quantity] - right[number][quantity]}


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
    """The ratio of one metric by seed, or why there is none."""
    curves = {arm: _means(points, arm, metric) for arm in (LATENTS, CODES)}
    slope, _, explained = _line(*curves[LATENTS])
    reason = ""
    if min(len(x) for x, _ in curves.values()) < LEAST_BUDGETS:
        reason = f"There are fewer than {LEAST_BUDGETS} budgets, so that no line is fitted."
    # Where every budget is better than the twin's largest, the answer is a bound that needs no line.
    elif max(curves[LATENTS][1]) >= curves[CODES][1][-1] and not (slope < 0 and explained >= config.least_explained):
        reason = (
            f"Transfusion's line over budgets has a slope of {slope:+.2f} and explains {explained:.0%}: it must fall, "
            f"and explain {config.least_explained:.0%}."
        )
    seeds = sorted({point.seed for point in points})
    if reason:
        # A row must have a number; with `unavailable` no claim reads it.
        return [{"metric": metric, "seed": seed, "log_ratio": 0.0, "unavailable": reason} for seed in seeds]
    logs = {seed: log_ratio([point for point in points if point.seed == seed], metric) for seed in seeds}
    return [{"metric": metric, "seed": seed, "log_ratio": log} for seed, log in logs.items()]


def log_ratio(points: Sequence[Point], metric: str) -> float:
    """Of one seed, held between the ratio of the smallest budget and 1: at either end it is a bound."""
    (x, y), (spent, reached) = (_means(points, arm, metric) for arm in (LATENTS, CODES))
    least, most = x[0] - spent[-1], max(0.0, x[-1] - spent[-1])
    wanted = reached[-1]
    if max(y) < wanted:
        return least
    slope, level, _ = _line(x, y)
    if min(y) > wanted or slope >= 0:
        return most
    return min(most, max(least, (wanted - level) / slope - spent[-1]))


def _means(points: Sequence[Point], arm: str, metric: str) -> tuple[list[float], list[float]]:
    """Log operations by budget, and there the mean of seeds."""
    budgets: dict[float, list[Point]] = {}
    for point in sorted(points, key=lambda each: each.budget):
        if point.arm == arm:
            budgets.setdefault(point.budget, []).append(point)
    flops = [found[0].log_flops for found in budgets.values()]
    return flops, [sum(point.logs[metric] for point in found) / len(found) for found in budgets.values()]


def _line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Slope, level and R² of the least-squares line; a single point has no slope."""
    import numpy as np

    if len(x) < 2:
        return math.nan, math.nan, math.nan
    slope, level = np.polyfit(x, y, 1)
    left = np.array(y) - slope * np.array(x) - level
    spread = float(((np.array(y) - np.mean(y)) ** 2).sum())
    return float(slope), float(level), 1 - float((left**2).sum()) / spread if spread else math.nan
