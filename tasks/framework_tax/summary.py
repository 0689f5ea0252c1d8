"""What the timings say together: who is faster by how much, where FLOPs tell latency, what width and depth cost.

Ratios are of processor time, block by block, of points that were timed in the same block, network and batch alike.
Every row of a record that is not sound, or of a busy machine, says so and withholds the verdicts that rest on it.
"""

import json
import math
import random
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any

from models.config import Count, Fraction, Index, config
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.framework_tax import record as records
from tasks.framework_tax.arms import ARMS, REFERENCE, RUNTIMES
from tasks.framework_tax.blocks import read
from tasks.framework_tax.measuring import why_withheld
from tasks.framework_tax.networks import DEEP, WIDE
from tasks.framework_tax.record import Record, Timed, log_ratios, sound

Row = dict[str, Any]
Points = dict[tuple[str, str, int], Timed]

ORDER = ("eager", "torchscript", "onnxruntime")
"""The paper's three runtimes, the slowest first."""


@config
class Summary:
    """Above which tax a batch counts as framework-bound and below which as bound by its kernels.

    `shuffles` is how often labels are drawn anew.
    """

    framework_bound: Fraction = 0.5
    compute_bound: Fraction = 0.25
    shuffles: Count = 200
    seed: Index = 0


@measures(
    speedup="latency of eager over the runtime's, median over blocks",
    log_speedup="logarithm of eager's latency over the runtime's, mean over blocks, by network at batch 1",
    log_step="logarithm of the latency of a runtime over that of the paper's next one, mean over blocks, at batch 1",
    gap_change="log speed-up at batch 1 less that at the largest batch, by network",
    gap_rank="Spearman's rank correlation of log speed-up with batch, by network",
    elasticity="slope of log latency over log operations from batch to batch, eager, by network and regime",
    width_elasticity="the same from width to width at batch 1, block by block",
    width_cost="latency of the wider network over that of the narrower one less 1, block by block",
    deep_ratio="latency of the deep and thin network over that of the wide one with as many operations, block by block",
    small_speedup="eager's latency over ONNX Runtime's, encoder of width 64, batch 1, block by block",
    large_speedup="the same at width 512, batch 64",
    even_ratio="batch at which half of a call is kernels, over that in float32, by affine fits, block by block",
    thread_tax="share of a call at batch 1 by the wall clock that is more than its part of a large batch, block by "
    "block",
    methods_apart="tax by the affine fit less that by the profile at batch 1, median over blocks, by network",
    attributed="what the affine fit's fixed part grows by with a planted delay, as a share of the delay, block by "
    "block",
    kernel_change="what its part that grows with the batch changes by meanwhile, as a share, block by block",
    again_ratio="logarithm of eager's latency over eager's in another process, mean over points, block by block",
    in_order="share of blocks in which the paper's three runtimes stand in its order at batch 1",
    void_points="timed points of float32 runtimes whose outputs are not eager's",
    equal_points="timed points whose outputs are eager's within 1e-4",
    failed_points="points that could not be timed",
    precise_points="share of points whose 95 % interval is at most 5 % to either side, by clock",
    mflops_at="millions of operations of a call, by network and batch",
    latency_at="median milliseconds of processor time of that call in eager PyTorch",
    at_best_rate="milliseconds that its operations would take at the highest rate of any call in eager PyTorch",
)
def summarise(
    *,
    measured: dict[str, Path],
    probed: dict[str, Path],
    threaded: dict[str, Path],
    taxed: dict[str, Path],
    counted: Path,
    config: Summary,
    out: Path,
) -> None:
    """Write metrics.json.

    Args:
        measured: records of networks at all batches.
        probed: records of templates and controls.
        threaded: records of large batches on one thread and on two.
        taxed: tax of networks in eager.
        counted: operations by network.
    """
    flops = json.loads((counted / "flops.json").read_text())
    taxes = [row for folder in taxed.values() for row in json.loads((folder / "metrics.json").read_text())]
    rows: list[Row] = []
    zoo: list[Record] = [read(folder / "record.json") for folder in measured.values()]
    for record in zoo:
        withheld = why_withheld(record)
        points = sound(record)
        made = [*_gaps(points), *_elasticities(points, flops, taxes, config), *_work(points, flops)]
        rows += [row | withheld for row in made]
    probes: list[Record] = [read(folder / "record.json") for folder in probed.values()]
    for record in probes:
        points = sound(record)
        made = [*_widths(points, flops), *_depths(points), *_ends(points), *_precisions(points)]
        made += [*_planted(points), *_again(points)]
        rows += [row | why_withheld(record) for row in made]
    for folder in threaded.values():
        record = read(folder / "record.json")
        rows += [row | why_withheld(record) for row in _threads(record)]
    _at_best(rows)
    rows += _methods(taxes)
    rows += _orders(zoo, config)
    rows += _equality([*zoo, *probes])
    rows += _untimed(rows)
    write_json(out / "metrics.json", rows)


def _of(points: Points, network: str, arm: str) -> dict[int, Timed]:
    """A network's points on an arm, by batch."""
    return {b: point for (n, a, b), point in sorted(points.items()) if (n, a) == (network, arm)}


def _networks(points: Points) -> list[str]:
    return list(dict.fromkeys(network for network, _, _ in points))


def _gaps(points: Points) -> Iterable[Row]:
    """How much faster than eager each runtime is, batch by batch, and how that changes with the batch."""
    from scipy.stats import spearmanr

    for network in _networks(points):
        eager = _of(points, network, REFERENCE)
        for runtime in RUNTIMES[1:]:
            own = _of(points, network, runtime)
            logs = {batch: log_ratios(own[batch], eager[batch]) for batch in own if batch in eager}
            labels = {"network": network, "runtime": runtime, "series": f"{network}, {runtime}"}
            for batch, values in logs.items():
                yield labels | {"batch": str(batch), "speedup": math.exp(median(values))}
            if 1 in logs:
                yield {"network": network, "runtime": runtime, "log_speedup": mean(logs[1])}
            if len(logs) >= 2 and 1 in logs:
                change = mean(logs[1]) - mean(logs[max(logs)])
                yield {"network": network, "runtime": runtime, "gap_change": change}
            if len(logs) >= 4:
                rank = float(spearmanr(list(logs), [mean(values) for values in logs.values()]).statistic)
                yield {"network": network, "runtime": runtime, "gap_rank": rank}
        for slower, faster in pairwise(ORDER):
            one, other = points.get((network, faster, 1)), points.get((network, slower, 1))
            if one and other:
                yield {"network": network, "pair": f"{slower} over {faster}", "log_step": mean(log_ratios(one, other))}


def _elasticities(points: Points, flops: Mapping[str, int], taxes: list[Row], config: Summary) -> Iterable[Row]:
    """Slopes over batches; which regime a batch is in says the profile, which is another measurement."""
    from models.framework_tax.fits import elasticity

    for network in _networks(points):
        eager = _of(points, network, REFERENCE)
        shares: dict[int, list[float]] = {}
        for row in taxes:
            if "tax" in row and row["network"] == network and row["method"] == "profile":
                shares.setdefault(int(row["batch"]), []).append(row["tax"])
        level = {batch: median(values) for batch, values in shares.items() if batch in eager}
        regimes = {
            "framework-bound": sorted(b for b, share in level.items() if share >= config.framework_bound),
            "bound by kernels": sorted(b for b, share in level.items() if share <= config.compute_bound),
        }
        for regime, batches in regimes.items():
            if len(batches) >= 2 and flops.get(network):
                work = [flops[network] * batch for batch in batches]
                slope = elasticity(work, [median(eager[batch]["cpu"]) for batch in batches])
                yield {"network": network, "regime": regime, "elasticity": slope} | _busy(taxes)


def _at_best(rows: list[Row]) -> None:
    """Add what each call would take, were the machine as well used as by the call that uses it best."""
    calls = [row for row in rows if "latency_at" in row]
    best = max((row["mflops_at"] / row["latency_at"] for row in calls), default=1.0)
    for row in calls:
        row["at_best_rate"] = row["mflops_at"] / best


def _busy(taxes: list[Row]) -> Row:
    """Why nothing may rest on the taxes; nothing where it may."""
    return next(({"unavailable": row["unavailable"]} for row in taxes if "unavailable" in row), {})


def _methods(taxes: list[Row]) -> Iterable[Row]:
    """How far the affine fit and the profile are apart, by network."""
    apart: dict[str, list[float]] = {}
    for row in taxes:
        if "tax_apart" in row:
            apart.setdefault(row["network"], []).append(row["tax_apart"])
    for network, values in apart.items():
        yield {"network": network, "methods_apart": median(values)} | _busy(taxes)


EXPECTED: tuple[tuple[str, Row], ...] = (
    *(("log_speedup", {"runtime": runtime}) for runtime in ("torchscript", "compile", "aotinductor", "openvino")),
    ("large_speedup", {}),
    ("even_ratio", {"network": "encoder-256-4", "precision": "int8"}),
    *(("elasticity", {"regime": regime}) for regime in ("framework-bound", "bound by kernels")),
)
"""What claims rest on and a profile may not time, or a machine may not be able to."""


def _untimed(rows: list[Row]) -> Iterable[Row]:
    """A row that says so for each of these that is not there: its claim is not tested, rather than failed."""
    for quantity, labels in EXPECTED:
        if not any(quantity in row and labels.items() <= row.items() for row in rows):
            yield labels | {quantity: None, "unavailable": f"{quantity.replace('_', ' ')}: not timed in this run"}


def _work(points: Points, flops: Mapping[str, int]) -> Iterable[Row]:
    """Operations and latency of every call in eager, for a figure."""
    for network in _networks(points):
        for batch, point in _of(points, network, REFERENCE).items():
            if flops.get(network):
                figures = {"mflops_at": flops[network] * batch / 1e6, "latency_at": 1e3 * median(point["cpu"])}
                yield {"call": f"{network}, batch {batch}"} | figures


WIDTHS = {"encoder-{}-4": ((16, 64), (256, 512))}
"""Templates with the widths between which slopes are taken: where the framework should dominate, and kernels."""


def _widths(points: Points, flops: Mapping[str, int]) -> Iterable[Row]:
    for template, ranges in WIDTHS.items():
        for narrow, wide in ranges:
            names = template.format(narrow), template.format(wide)
            for arm in ORDER:
                small, large = (points.get((name, arm, 1)) for name in names)
                if not small or not large:
                    continue
                labels = {"widened": f"{narrow} to {wide}", "runtime": arm}
                for block, ratio in enumerate(log_ratios(small, large)):
                    slope = ratio / math.log(flops[names[1]] / flops[names[0]])
                    yield labels | {"block": block, "width_elasticity": slope, "width_cost": math.exp(ratio) - 1}


def _depths(points: Points) -> Iterable[Row]:
    for arm in ORDER:
        deep, wide = points.get((DEEP, arm, 1)), points.get((WIDE, arm, 1))
        if deep and wide:
            for block, ratio in enumerate(log_ratios(wide, deep)):
                yield {"runtime": arm, "block": block, "deep_ratio": math.exp(ratio)}


def _ends(points: Points) -> Iterable[Row]:
    """The speed-up at the ends of the sheet's scale."""
    for network, batch, quantity in (("encoder-64-4", 1, "small_speedup"), ("encoder-512-4", 64, "large_speedup")):
        eager, own = points.get((network, REFERENCE, batch)), points.get((network, "onnxruntime", batch))
        if eager and own:
            for block, ratio in enumerate(log_ratios(own, eager)):
                yield {"block": block, quantity: math.exp(ratio)}


SMALL = (1, 2, 4, 8, 16)
"""The batches of affine fits, block by block."""


def _fits(points: Points, network: str, arm: str) -> list[Any]:
    """Affine fits of processor time over small batches, a block each; none where a batch is missing."""
    from models.framework_tax.fits import affine

    own = _of(points, network, arm)
    if not set(SMALL) <= set(own):
        return []
    blocks = range(len(own[1]["cpu"]))
    return [affine(SMALL, [own[batch]["cpu"][block] for batch in SMALL]) for block in blocks]


def _precisions(points: Points) -> Iterable[Row]:
    """Where half of a call is kernels, in fewer bits."""
    for network in _networks(points):
        plain = _fits(points, network, REFERENCE)
        for arm, kind in ARMS.items():
            if kind.precision == "float32":
                continue
            for block, (own, other) in enumerate(zip(_fits(points, network, arm), plain, strict=False)):
                if math.isfinite(own.even) and math.isfinite(other.even) and other.even > 0:
                    labels = {"network": network, "precision": kind.precision, "block": block}
                    yield labels | {"even_ratio": own.even / other.even}


def _planted(points: Points) -> Iterable[Row]:
    """Whether a planted delay is found, and in the right part."""
    for network in _networks(points):
        own = _of(points, network, "eager, delayed")
        pairs = zip(_fits(points, network, "eager, delayed"), _fits(points, network, REFERENCE), strict=False)
        for block, (delayed, plain) in enumerate(pairs):
            planted = 1e-6 * own[1]["facts"]["planted_us"]
            change = delayed.each / plain.each - 1 if plain.each > 0 else math.inf
            attributed = (delayed.fixed - plain.fixed) / planted
            yield {"network": network, "block": block, "attributed": attributed, "kernel_change": change}


def _again(points: Points) -> Iterable[Row]:
    """Eager against eager in another process: labels without a difference."""
    pairs = [
        log_ratios(point, points[network, REFERENCE, batch])
        for (network, arm, batch), point in points.items()
        if arm == "eager, again" and (network, REFERENCE, batch) in points
    ]
    for block, values in enumerate(zip(*pairs, strict=True)):
        yield {"over": "both labels", "block": block, "again_ratio": mean(values)}


def _threads(record: Record) -> Iterable[Row]:
    """Tax by the wall clock: what a call at batch 1 takes beyond its part of the step between two large batches."""
    points = sound(record)
    per_block: dict[int, list[float]] = {}
    for network in _networks(points):
        own = _of(points, network, REFERENCE)
        if len(own) < 3 or 1 not in own:
            continue
        *_, middle, largest = own
        walls = zip(own[1]["wall"], own[middle]["wall"], own[largest]["wall"], strict=True)
        for block, (one, some, most) in enumerate(walls):
            per_block.setdefault(block, []).append(1 - (most - some) / (largest - middle) / one)
    for block, shares in per_block.items():
        yield {"threads": record["plan"]["threads"], "block": block, "thread_tax": mean(shares)}


def _orders(zoo: list[Record], config: Summary) -> Iterable[Row]:
    """In how many blocks the three runtimes stand in the paper's order; and with their labels drawn anew."""
    draw = random.Random(config.seed)
    kept, shuffled = [], []
    for record in zoo:
        points = sound(record)
        for network in _networks(points):
            triple = [points.get((network, arm, 1)) for arm in ORDER]
            if all(triple):
                for seconds in zip(*(point["cpu"] for point in triple if point), strict=True):
                    kept.append(_falls(seconds))
                    shuffled += [_falls(draw.sample(seconds, len(seconds))) for _ in range(config.shuffles)]
    withheld = next(filter(None, map(why_withheld, zoo)), {})
    for name, found in (("as measured", kept), ("drawn anew", shuffled)):
        if found:
            yield {"labels": name, "in_order": mean(found)} | withheld


def _falls(seconds: Iterable[float]) -> bool:
    return all(a > b for a, b in pairwise(seconds))


def _equality(found: list[Record]) -> Iterable[Row]:
    """How many points count, and how many medians are as certain as they should be."""
    every = [point for record in found for point in record["points"]]
    ran = [point for point in every if not point["failed"]]
    plain = [point for point in ran if ARMS[point["arm"]].precision == "float32"]
    voids = [point for point in plain if records.void(point)]
    withheld = next(filter(None, map(why_withheld, found)), {})
    yield {
        "over": "all points",
        "void_points": len(voids),
        "equal_points": len(plain) - len(voids),
        "failed_points": len(every) - len(ran),
    } | withheld
    for clock in ("cpu", "wall"):
        widths = [records.half_width(p[clock]) for p in ran if len(p[clock]) >= records.LEAST_BLOCKS]
        if widths:
            yield {"clock": clock, "precise_points": mean(width <= 0.05 for width in widths)} | withheld
