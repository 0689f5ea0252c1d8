"""What a record of one's own model says: the regime at each batch, the runtimes in order, and what to do."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from models.framework_tax.fits import Affine, affine
from tasks.framework_tax import record as records
from tasks.framework_tax.measuring import why_withheld
from tasks.framework_tax.record import Record, Timed

MOSTLY_FIXED, MOSTLY_GROWING = 0.5, 0.25
"""From this fixed share on most of a call does not grow with the batch, and up to that one most of it does."""
REMOVABLE = 0.5
"""The share of what is fixed that another runtime has to do without, for it to be the framework's."""
MISFIT = 0.1
"""Above this root mean square of relative errors latency is not affine in the batch."""
FREE = 0.1
"""What is free takes at most this share longer."""


@dataclass(frozen=True)
class Estimated:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def written(self) -> list[float]:
        return [self.value, self.low, self.high]


def answer(record: Record, mflops: float | None) -> dict[str, Any]:
    """The whole answer, as JSON holds it.

    Times are of processor time on one thread, which company disturbs less, and by the wall clock on more.

    Args:
        mflops: millions of operations of a batch of 1, where they were counted.
    """
    clock = "cpu" if record["plan"]["threads"] == 1 else "wall"
    points = records.sound(record)
    runtimes = list(dict.fromkeys(arm for _, arm, _ in points))
    batches = sorted({batch for _, _, batch in points})
    latency = {
        runtime: {batch: _median(point[clock]) for (_, arm, batch), point in points.items() if arm == runtime}
        for runtime in runtimes
    }
    fits = {runtime: fit for runtime in runtimes if (fit := _fits(points, runtime, clock))}
    misfits = {runtime: fit[0].error for runtime, fit in fits.items() if fit[0].error > MISFIT}
    fits = {runtime: fit for runtime, fit in fits.items() if runtime not in misfits}
    leanest = min(fits, key=lambda runtime: fits[runtime][0].fixed, default="")
    found: dict[str, Any] = {
        "clock": clock,
        "threads": record["plan"]["threads"],
        "machine": record["machine"],
        "withheld": why_withheld(record).get("unavailable", ""),
        "mflops": mflops,
        "latency_ms": _scaled(latency),
        "ranking": {str(batch): _ranking(points, batch, clock) for batch in batches},
        "regimes": {runtime: _regimes(fit, fits[leanest], batches) for runtime, fit in fits.items()},
        "leanest": leanest,
        "misfits": misfits,
        "knees": {runtime: fit[0].even for runtime, fit in fits.items()},
        "failed": [_why(point, point["failed"]) for point in record["points"] if point["failed"]],
        "void": [
            {"runtime": arm, "batch": batch, "reason": reason}
            for (_, arm, batch), reason in records.void(record).items()
        ],
        "cold": {runtime: _cold(record, points, runtime) for runtime in runtimes},
    }
    return found | {"advice": advice(found, batches)}


def _cold(record: Record, points: Mapping[Any, Timed], runtime: str) -> dict[str, Any]:
    """Seconds before the first answer."""
    own = {batch: point for (_, arm, batch), point in points.items() if arm == runtime}
    return {
        "import_seconds": record["arms"][runtime]["import_seconds"],
        "load_seconds": sum(point["load_seconds"] for point in own.values()),
        "first_call_seconds": {str(batch): point["first_call_seconds"] for batch, point in own.items()},
    }


def _median(values: Sequence[float]) -> Estimated:
    return Estimated(median(values), *records.interval(values))


def _scaled(latency: Mapping[str, Mapping[int, Estimated]]) -> dict[str, dict[str, list[float]]]:
    return {
        runtime: {str(batch): [1e3 * one for one in found.written()] for batch, found in own.items()}
        for runtime, own in latency.items()
    }


def _why(point: Timed, reason: str) -> dict[str, Any]:
    return {"runtime": point["arm"], "batch": point["batch"], "reason": reason}


def _fits(points: Mapping[Any, Timed], runtime: str, clock: str) -> list[Affine]:
    """The affine fit of the medians, then one a block; nothing below three batches.

    Batches up to 16, or the three smallest where these are fewer: beyond, a kernel may change its way.
    """
    own = {batch: point for (_, arm, batch), point in points.items() if arm == runtime}
    small = sorted(batch for batch in own if batch <= 16)
    used = small if len(small) >= 3 else sorted(own)[:3]
    if len(used) < 3:
        return []
    blocks = zip(*(own[batch][clock] for batch in used), strict=True)
    return [affine(used, [median(own[batch][clock]) for batch in used]), *(affine(used, times) for times in blocks)]


def _regimes(fits: Sequence[Affine], leanest: Sequence[Affine], batches: Sequence[int]) -> dict[str, dict[str, Any]]:
    """By batch: the fixed share and the part that the leanest runtime does without, with intervals, and the regime."""
    best, *blocks = fits
    removable = [_removable(own, other) for own, other in zip(blocks, leanest[1:], strict=True)]
    less = [_removable(best, leanest[0]), *records.interval(removable)]
    found = {}
    for batch in batches:
        low, high = records.interval([fit.tax(batch) for fit in blocks])
        room = FREE * (best.fixed + best.each * batch)
        found[str(batch)] = {
            "fixed": [best.tax(batch), low, high],
            "removable": less,
            "regime": _regime(low, high, less[1]),
            "free_batch": batch + math.floor(room / best.each) if best.each > 0 else None,
        }
    return found


def _removable(own: Affine, leanest: Affine) -> float:
    """The share of what is fixed that the leanest runtime does without."""
    return 1 - leanest.fixed / own.fixed if own.fixed > 0 else 0.0


def _regime(low: float, high: float, removable: float) -> str:
    """By whole intervals. What is fixed may be weights that are read: it is the framework's if another one has less."""
    if low >= MOSTLY_FIXED:
        return "framework-bound" if removable >= REMOVABLE else "mostly fixed"
    return "growing with the batch" if high <= MOSTLY_GROWING else "between"


def _ranking(points: Mapping[Any, Timed], batch: int, clock: str) -> list[dict[str, Any]]:
    """Runtimes from the fastest on, each with how much slower it is than the one before, block by block."""
    own = sorted((point for (_, _, b), point in points.items() if b == batch), key=lambda p: median(p[clock]))
    found: list[dict[str, Any]] = []
    for place, point in enumerate(own):
        row: dict[str, Any] = {"runtime": point["arm"], "error": point["error"]}
        for name, other in (("slower_than_first", own[0]), ("slower_than_before", own[max(0, place - 1)])):
            if place:
                row[name] = _ratio(point[clock], other[clock]).written()
        row["tied_with_before"] = bool(place) and row["slower_than_before"][1] <= 1
        found.append(row)
    return found


def _ratio(one: Sequence[float], other: Sequence[float]) -> Estimated:
    """The median ratio of times of the same block."""
    return _median([a / b for a, b in zip(one, other, strict=True)])


def advice(found: Mapping[str, Any], batches: Sequence[int]) -> list[str]:
    """What to do, in the terms of the paper's recommendations; nothing of a record that is not to be believed."""
    if found["withheld"]:
        return [f"Measure again: {found['withheld']}."]
    said = []
    base = "eager" if "eager" in found["latency_ms"] else next(iter(found["latency_ms"]), "")
    for batch in batches:
        ranking = found["ranking"][str(batch)]
        if not ranking:
            continue
        first = ranking[0]["runtime"]
        regime = found["regimes"].get(base, {}).get(str(batch))
        gain = next((row.get("slower_than_first") for row in ranking if row["runtime"] == base), None)
        words = f"Batch {batch}: {first} is fastest"
        if len(ranking) > 1 and ranking[1]["tied_with_before"]:
            words = f"Batch {batch}: {first} and {ranking[1]['runtime']} are not told apart"
        if gain:
            words += f", {gain[0]:.2f} × as fast as {base} [{gain[1]:.2f}, {gain[2]:.2f}]"
        if regime is None:
            off = found["misfits"].get(base)
            why = f"{base} is not affine in the batch, by {off:.0%}" if off else "Three batches tell the regime"
            said.append(f"{words}. {why}.")
            continue
        share, low, high = regime["fixed"]
        words += f". {base} is {regime['regime']} ({share:.0%} [{low:.0%}, {high:.0%}] do not grow with the batch)"
        if regime["regime"] == "framework-bound":
            words += _spare(regime, batch, found["leanest"])
        elif regime["regime"] == "mostly fixed":
            words += ": no runtime that was timed does without most of that, so it may be weights that are read or "
            words += "kernels too small to be quick; a larger batch is nearly free."
        elif regime["regime"] == "growing with the batch":
            words += ": fewer operations, fewer bits or more threads help, another runtime by its kernels alone."
        else:
            words += ": both count; report the regime beside a latency."
        said.append(words)
    return said


def _spare(regime: Mapping[str, Any], batch: int, leanest: str) -> str:
    share, low, high = regime["removable"]
    words = f": operations do not tell its latency; {leanest} does without {share:.0%} [{low:.0%}, {high:.0%}] of that"
    if regime["free_batch"] and regime["free_batch"] > batch:
        words += f"; a batch of {regime['free_batch']} costs {FREE:.0%} more"
    return words + "."
