"""What must be found where it was put, and nowhere else: planted delays, equal labels, shuffled ones, outputs."""

import math
import random
from collections.abc import Iterable
from itertools import pairwise
from statistics import mean, median

from tasks.framework_tax import record as records
from tasks.framework_tax.arms import ARMS, REFERENCE
from tasks.framework_tax.measuring import why_withheld
from tasks.framework_tax.points import ORDER, Points, Row, fits, networks, of
from tasks.framework_tax.record import Record, log_ratios, sound


def planted(points: Points) -> Iterable[Row]:
    """Whether a planted delay is found, and in the right part; it is held against hooks that do nothing."""
    for network in networks(points):
        hooked = fits(points, network, "eager, hooked")
        each = median(fit.each for fit in hooked) if hooked else 0.0
        if not each:
            continue
        for block, (own, plain) in enumerate(zip(hooked, fits(points, network, REFERENCE), strict=False)):
            yield {"network": network, "block": block, "hooks_ms": 1e3 * (own.fixed - plain.fixed)}
        for arm, size in (("eager, delayed", "large"), ("eager, little delayed", "as the framework's")):
            found = of(points, network, arm)
            for block, (delayed, plain) in enumerate(zip(fits(points, network, arm), hooked, strict=False)):
                planted = 1e-6 * found[1]["facts"]["planted_us"]
                change = (delayed.each - plain.each) / each
                attributed = (delayed.fixed - plain.fixed) / planted
                labels = {"network": network, "planted": size, "block": block}
                yield labels | {"attributed": attributed, "kernel_change": change}


def again(points: Points) -> Iterable[Row]:
    """A runtime against itself in another process: labels without a difference."""
    for (network, arm, batch), point in points.items():
        runtime, _, how = arm.partition(", ")
        if how == "again" and (network, runtime, batch) in points:
            on = "" if runtime == REFERENCE else f" on {runtime}"
            for block, ratio in enumerate(log_ratios(point, points[network, runtime, batch])):
                yield {"again": f"{network}{on}, batch {batch}", "block": block, "again_ratio": ratio}


def orders(zoo: list[Record], shuffles: int, seed: int) -> Iterable[Row]:
    """In how many blocks the three runtimes stand in the paper's order; and what the judge finds in shuffled labels."""
    draw = random.Random(seed)
    by_network: list[list[tuple[float, ...]]] = []
    for record in zoo:
        points = sound(record)
        for network in networks(points):
            triple = [points.get((network, arm, 1)) for arm in ORDER]
            if all(triple):
                by_network.append(list(zip(*(point["cpu"] for point in triple if point), strict=True)))
    withheld = next(filter(None, map(why_withheld, zoo)), {})
    if by_network:
        yield {"labels": "as measured", "in_order": mean(_falls(s) for own in by_network for s in own)} | withheld
    if len(by_network) >= 2:
        alarms = [_alarm(by_network, draw) for _ in range(shuffles)]
        yield {"labels": "drawn anew", "false_alarms": mean(alarms)} | withheld


def _alarm(by_network: list[list[tuple[float, ...]]], draw: random.Random) -> bool:
    """Whether the first step of the order has an interval over networks without 0, its labels drawn in each block."""
    import numpy as np

    from tasks.judging.intervals import of_pairs

    steps = []
    for blocks in by_network:
        shuffled = [draw.sample(seconds, len(seconds)) for seconds in blocks]
        steps.append(mean(math.log(slower / faster) for slower, faster, *_ in shuffled))
    low, high = of_pairs(np.array(steps)).interval(0.95)
    return low > 0 or high < 0


def _falls(seconds: Iterable[float]) -> bool:
    return all(a > b for a, b in pairwise(seconds))


def equality(found: list[Record]) -> Iterable[Row]:
    """How many points count, and how many medians are as certain as they should be.

    Outputs are held against eager's in every record, and times are asked how certain they are in those that count.
    """
    every = [point for record in found for point in record["points"]]
    ran = [point for point in every if not point["failed"]]
    plain = [point for point in ran if ARMS[point["arm"]].precision == "float32"]
    voids = [point for point in plain if records.wrong(point)]
    yield {
        "over": "all points",
        "void_points": len(voids),
        "equal_points": len(plain) - len(voids),
        "failed_points": len(every) - len(ran),
    }
    counting = [record for record in found if not why_withheld(record)] or found
    withheld = next(filter(None, map(why_withheld, counting)), {})
    timed = [point for record in counting for point in records.timed(record)]
    for clock in ("cpu", "wall"):
        widths = [records.half_width(p[clock]) for p in timed if len(p[clock]) >= records.LEAST_BLOCKS]
        if widths:
            yield {"clock": clock, "precise_points": mean(width <= records.PRECISE for width in widths)} | withheld
