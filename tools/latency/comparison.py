"""Two answers side by side: whether a change made a model slower, with an interval."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, variance
from typing import Any

from tasks.base.errors import UserError
from tasks.framework_tax import record as records

KEPT = ("threads", "clock", "machine")
"""What both have to share, or their times are no comparison."""
LEVEL = 0.05
"""How often any point at all may be called changed where none is (Bonferroni)."""
LEAST = 0.05
"""Processes of the same program differ by that much: a smaller change is none."""


@dataclass(frozen=True)
class Change:
    """How many times as long the second takes at a point, with an interval that holds for all points at once."""

    runtime: str
    batch: int
    ratio: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        if self.low > 1 + LEAST:
            return "slower"
        return "faster" if self.high < 1 / (1 + LEAST) else "not told apart"


def compare(before: Path, after: Path) -> list[Change]:
    """The points that both have, by Welch's t over the logarithms of their blocks, at 95 % for all points together.

    Raises:
        UserError: a file is no answer, a record is withheld, or they differ in threads, clock, machine or precision.
    """
    one, other = _read(before), _read(after)
    for path, found in ((before, one), (after, other)):
        if found["withheld"]:
            raise UserError(f"{path} is no sound measurement ({found['withheld']}): measure it again.")
    for name in KEPT:
        if one[name] != other[name]:
            raise UserError(f"{before} and {after} differ in {name}: {one[name]} and {other[name]}.")
    clock = one["clock"]
    old, new = (_times(found["record"], clock) for found in (one, other))
    shared = sorted(set(old) & set(new))
    if not shared:
        raise UserError(f"{before} and {after} share no runtime and batch.")
    return [_change(runtime, batch, old[runtime, batch], new[runtime, batch], len(shared)) for runtime, batch in shared]


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        found["record"]["points"], found["withheld"], found["clock"], found["machine"], found["threads"]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise UserError(f"{path} is no answer of tenfold latency: give a file that it wrote.") from problem
    return found


def _times(record: Mapping[str, Any], clock: str) -> dict[tuple[str, int], list[float]]:
    return {(arm, batch): list(point[clock]) for (_, arm, batch), point in records.sound(record).items()}


def _change(runtime: str, batch: int, before: list[float], after: list[float], points: int) -> Change:
    from scipy.special import stdtrit

    old, new = ([math.log(one) for one in values] for values in (before, after))
    errors = [variance(values) / len(values) for values in (old, new)]
    difference, error = mean(new) - mean(old), math.sqrt(sum(errors))
    if not error:
        return Change(runtime, batch, math.exp(difference), math.exp(difference), math.exp(difference))
    freedom = sum(errors) ** 2 / sum(e**2 / (len(v) - 1) for e, v in zip(errors, (old, new), strict=True))
    half = float(stdtrit(freedom, 1 - LEVEL / 2 / points)) * error
    return Change(runtime, batch, *(math.exp(difference + shift) for shift in (0.0, -half, half)))
