"""What a record of timings says, and whether it can be believed: the checks that withhold a verdict.

A record is what `blocks.measure` gives. It holds what each library said of itself (threads, precision, process), how
often each point was called before it counted, and every block's seconds; the checks read those and trust nothing else.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from tasks.framework_tax.arms import ARMS, LEAST_WARM_UP, LOW_TOLERANCE, TOLERANCE

Record = Mapping[str, Any]
Timed = Mapping[str, Any]

LEAST_BLOCKS = 8
"""Below them a median has no interval, and no verdict is given."""
PRECISE = 0.05
"""How certain a median should be: half of its interval over it."""
CONTENDED, MOST_CONTENDED = 1.1, 0.2
"""A block that took so much longer by the wall clock than by the processor's had to wait; so many may have."""
SLACK = 1.15
"""How much more processor time than threads × wall time the clocks may show: they are read one after the other."""


def problems(record: Record) -> list[str]:
    """What makes the record's times incomparable or impossible, a sentence each; none of a sound record."""
    plan = record["plan"]
    found = []
    if plan["blocks"] < LEAST_BLOCKS:
        found.append(f"{plan['blocks']} blocks are no sample: a verdict needs {LEAST_BLOCKS}")
    if not plan["blocks"] <= len(record["orders"]) <= max(plan["blocks"], plan["most"]):
        found.append(f"{len(record['orders'])} of {plan['blocks']} blocks were run")
    arms = {point["arm"] for point in timed(record)}
    if len(arms) > 1 and len({tuple(order) for order in record["orders"]}) < 2:
        found.append("every block had the same order")
    shared = [pid for pid, count in Counter(arm["pid"] for arm in record["arms"].values()).items() if count > 1]
    if shared:
        found.append("two runtimes shared a process")
    for point in timed(record):
        found += [f"{named(point)}: {said}" for said in _of_point(point, record)]
    found += _unequal(record)
    found += _contended(record)
    return list(dict.fromkeys(found))


def _of_point(point: Timed, record: Record) -> Iterator[str]:
    plan, blocks = record["plan"], len(record["orders"])
    threads, precision = point["facts"].get("threads"), point["facts"].get("precision")
    asked = ARMS[point["arm"]].threads_of(plan["threads"])
    if threads != asked:
        yield f"it ran on {threads} threads, not {asked}"
    if precision != ARMS[point["arm"]].precision:
        yield f"it computed in {precision}, not {ARMS[point['arm']].precision}"
    if point["warm_up"] < LEAST_WARM_UP:
        yield f"{point['warm_up']} calls before those that count: caches were cold"
    if {len(point["wall"]), len(point["cpu"])} != {blocks}:
        yield f"{len(point['wall'])} times of {blocks} blocks"
    seconds = [*point["wall"], *point["cpu"]]
    if not all(math.isfinite(one) and one > 0 for one in seconds):
        yield "a time is not above zero"
    elif any(c > SLACK * asked * w for w, c in zip(point["wall"], point["cpu"], strict=False)):
        yield f"more processor time than {asked} threads can have in that time"
    elif len(point["wall"]) > 1 and len(set(point["wall"])) == 1:
        yield "every block took the same time to the last digit"


def _unequal(record: Record) -> Iterator[str]:
    """With more calls in a block a runtime would be timed warmer than another."""
    calls: dict[tuple[str, int], set[tuple[int, int]]] = {}
    for point in timed(record):
        calls.setdefault((point["network"], point["batch"]), set()).add((point["before"], point["calls"]))
    for (network, batch), counts in calls.items():
        if len(counts) > 1:
            said = " and ".join(f"{before} + {counted}" for before, counted in sorted(counts))
            yield f"{network} at batch {batch}: runtimes had {said} calls in a block"


def _contended(record: Record) -> Iterator[str]:
    """On one thread a call that waits for nobody takes as long by either clock."""
    alone = [p for p in timed(record) if ARMS[p["arm"]].threads_of(record["plan"]["threads"]) == 1]
    pairs = [(w, c) for point in alone for w, c in zip(point["wall"], point["cpu"], strict=False)]
    waited = sum(w > CONTENDED * c for w, c in pairs)
    if waited > MOST_CONTENDED * len(pairs):
        yield f"{waited} of {len(pairs)} blocks waited for a core that others had"


def _fallen_back(record: Record) -> dict[tuple[str, str, int], str]:
    """A compiled graph dispatches fewer of torch's operators than eager does, or it is eager."""
    eager = {(p["network"], p["batch"]): p["torch_operators"] for p in timed(record) if p["arm"] == "eager"}
    return {
        (p["network"], p["arm"], p["batch"]): f"it fell back to eager, for it dispatches {p['torch_operators']} of "
        "torch's operators"
        for p in timed(record)
        if p["arm"] in ("compile", "aotinductor")
        and p["torch_operators"] >= eager.get((p["network"], p["batch"]), math.inf)
    }


def named(point: Timed) -> str:
    """A point in words."""
    return f"{point['network']} on {point['arm']} at batch {point['batch']}"


def timed(record: Record) -> list[Timed]:
    """The points that were timed."""
    return [point for point in record["points"] if not point["failed"]]


def wrong(point: Timed) -> str:
    """By how much its outputs are not the reference's; empty where they are."""
    allowed = TOLERANCE if ARMS[point["arm"]].precision == "float32" else LOW_TOLERANCE
    return "" if point["error"] <= allowed else f"outputs differ from the reference's by {point['error']:.2g}"


def void(record: Record) -> dict[tuple[str, str, int], str]:
    """Why points do not count, by network, arm and batch: they gave other outputs, or were eager in disguise."""
    differing = {(p["network"], p["arm"], p["batch"]): wrong(p) for p in timed(record) if wrong(p)}
    return _fallen_back(record) | differing


def sound(record: Record) -> dict[tuple[str, str, int], Timed]:
    """The points that count, by network, arm and batch."""
    left_out = void(record)
    keyed = {(p["network"], p["arm"], p["batch"]): p for p in timed(record)}
    return {key: point for key, point in keyed.items() if key not in left_out}


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """The interval of the median by order statistics, whatever the distribution (Conover 1999, Section 3.2).

    With 8 values it is from the first to the last (99.2 %), with 20 from the sixth to the fifteenth (95.9 %).

    Raises:
        ValueError: fewer than six values, of which not even the extremes make an interval at 95 %.
    """
    count, rest = len(values), 1 - level
    ordered = sorted(values)
    tail, cut = 0.0, 0
    while 2 * (tail + math.comb(count, cut) / 2**count) <= rest:
        tail += math.comb(count, cut) / 2**count
        cut += 1
    if cut == 0:
        raise ValueError(f"{count} values give no interval of the median at {level:.0%}")
    return ordered[cut - 1], ordered[count - cut]


def half_width(values: Sequence[float]) -> float:
    """Half of the interval over the median."""
    low, high = interval(values)
    return (high - low) / 2 / median(values)


def log_ratios(one: Timed, other: Timed) -> list[float]:
    """log(other / one) of processor time, block by block: above 0 where `one` is faster."""
    return [math.log(b / a) for a, b in zip(one["cpu"], other["cpu"], strict=True)]


def lag(values: Sequence[float]) -> float:
    """The correlation of each value with the next: where it is large, a block is hardly a new sample."""
    middle = sum(values) / len(values)
    around = [one - middle for one in values]
    spread = sum(one**2 for one in around)
    return sum(a * b for a, b in pairwise(around)) / spread if spread else 0.0
