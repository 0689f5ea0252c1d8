"""What the timings say together: who is faster by how much, where FLOPs tell latency, what width and depth cost.

Ratios are of processor time, block by block, of points that were timed in the same block, network and batch alike. A
network whose record is not sound, or of a busy machine, is left out and named where others count. Where none counts,
every row says why, and withholds the verdicts that rest on it.
"""

import json
import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from statistics import mean, median

from models.config import Count, Fraction, Index, config
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.framework_tax.arms import ARMS, REFERENCE, RUNTIMES
from tasks.framework_tax.blocks import read
from tasks.framework_tax.controls import again, equality, orders, planted
from tasks.framework_tax.measuring import untimed, why_withheld
from tasks.framework_tax.networks import DEEP, LENGTHS, TOKENS, WIDE
from tasks.framework_tax.points import ORDER, Points, Row, fits, networks, of
from tasks.framework_tax.record import Record, log_ratios, sound

OPERATED = ("eager", "onnxruntime")
"""The runtimes whose latency is held against operations, network by network."""
LEAST_NETWORKS = 4
"""Fewer tell nothing of whether operations tell latency."""
LEADS = (("torchscript", "aotinductor"), ("torchscript", "openvino"), ("compile", "onnxruntime"))
"""Pairs of which the second should be faster. Each network has its own row, so that one that is missing spoils none."""


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
    knee="examples at which what grows with them takes as long as what does not, by affine fit to batches up to 16, "
    "median over blocks",
    speedup="latency of eager over the runtime's, median over blocks",
    log_speedup="logarithm of eager's latency over the runtime's, mean over blocks, by network at batch 1",
    log_step="logarithm of the latency of a runtime over that of the paper's next one, mean over blocks, at batch 1",
    log_lead="logarithm of the latency of a runtime over that of one that should be faster, mean over blocks, at batch "
    "1, by network",
    left_out="networks of which one of the two runtimes has no time that counts",
    flops_miss="how far a network's rate of operations is from the median network's, in logarithms, by batch",
    flops_miss_change="that at batch 1 less that at the largest batch, by network",
    flops_rank="Spearman's rank correlation of operations an example with latency over networks, by batch",
    gap_change="log speed-up at batch 1 less that at the largest batch, by network",
    gap_rank="Spearman's rank correlation of log speed-up with batch, by network",
    elasticity="slope of log latency over log operations from batch to batch, eager, by network and regime",
    width_elasticity="the same from width to width at batch 1, block by block",
    width_cost="latency of the wider network over that of the narrower one less 1, block by block",
    deep_ratio="latency of the deep and thin network over that of the wide one with as many operations, block by block",
    small_speedup="eager's latency over ONNX Runtime's, encoder of width 64, batch 1, block by block",
    large_speedup="the same at width 512, batch 64",
    length_speedup="eager's latency over the runtime's at batch 1, encoder of width 64, by tokens, block by block",
    fixed_share_change="share of a call at batch 1 that does not grow with the batch, less that in float32, by affine "
    "fits, block by block: above 0 where half of a call grows with the batch only at a larger one",
    each_change_ms="milliseconds that one more example takes, less those in float32",
    thread_tax="share of a call at batch 1 by the wall clock that is more than its part of a large batch, block by "
    "block",
    intel_ratio="latency of eager with the matrix products that MKL has for Intel's processors, over that with those "
    "which it takes here, block by block",
    methods_apart="share that does not grow with the batch less that outside kernels at batch 1, median over blocks, "
    "by network",
    ceiling="how much faster eager would be at batch 1 without all that is outside its kernels, by the method that "
    "tells them; and how much faster ONNX Runtime is",
    attributed="what the affine fit's fixed part grows by with a planted delay over empty hooks, as a share of the "
    "delay, block by block",
    hooks_ms="milliseconds by which empty hooks lengthen the fixed part, block by block",
    taken_for_kernels="share of a planted delay that profile or replay take for kernels, median over blocks",
    kernel_change="what its part that grows with the batch changes by meanwhile, as a share, block by block",
    again_ratio="logarithm of a runtime's latency over its own in another process, block by block, by point",
    in_order="share of blocks in which the paper's three runtimes stand in its order at batch 1",
    false_alarms="share of drawings of labels within blocks after which a step of the order has a 95 % interval "
    "without 0",
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
    taxed: dict[str, Path],
    counted: Path,
    config: Summary,
    out: Path,
) -> None:
    """Write metrics.json.

    Args:
        measured: records of networks at all batches.
        probed: records of templates and controls.
        taxed: tax of networks in eager.
        counted: operations by network.
    """
    flops = json.loads((counted / "flops.json").read_text())
    taxes = [row for folder in taxed.values() for row in json.loads((folder / "metrics.json").read_text())]
    taxes = [row for row in taxes if "network" in row]  # the others say what a stage did not time
    rows: list[Row] = []
    every: list[Record] = [read(folder / "record.json") for folder in measured.values()]
    zoo = [record for record in every if not why_withheld(record)] or every
    for record in zoo:
        withheld = why_withheld(record)
        points = sound(record)
        made = [*_gaps(points), *_knees(points), *_elasticities(points, flops, taxes, config), *_work(points, flops)]
        rows += [row | withheld for row in made]
    probes: list[Record] = [read(folder / "record.json") for folder in probed.values()]
    for record in probes:
        points = sound(record)
        made = [*_widths(points, flops), *_depths(points), *_ends(points), *_lengths(points), *_precisions(points)]
        made += [*_threads(points), *_makers(points), *planted(points), *again(points)]
        if not record.get("bfloat16"):
            made = [row | _without_bfloat16(row) for row in made]
        rows += [row | why_withheld(record) for row in made]
    _at_best(rows)
    rows += _operations(zoo, flops)
    rows += _left_out(every)
    rows += _methods(taxes)
    rows += _ceilings(taxes, rows)
    rows += orders(zoo, config.shuffles, config.seed)
    rows += equality([*every, *probes])
    rows += _untimed(rows)
    write_json(out / "metrics.json", rows + untimed(summarise, rows))


def _gaps(points: Points) -> Iterable[Row]:
    """How much faster than eager each runtime is, batch by batch, and how that changes with the batch."""
    from scipy.stats import spearmanr

    for network in networks(points):
        eager = of(points, network, REFERENCE)
        for runtime in RUNTIMES[1:]:
            own = of(points, network, runtime)
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
        for slower, faster in LEADS:
            one, other = points.get((network, faster, 1)), points.get((network, slower, 1))
            if one and other:
                lead = mean(log_ratios(one, other))
                yield {"network": network, "lead": f"{slower} over {faster}", "log_lead": lead}
        for slower, faster in pairwise(ORDER):
            one, other = points.get((network, faster, 1)), points.get((network, slower, 1))
            if one and other:
                yield {"network": network, "pair": f"{slower} over {faster}", "log_step": mean(log_ratios(one, other))}


def _knees(points: Points) -> Iterable[Row]:
    """The knee of each network on each runtime, where the affine fit to small batches is close enough."""
    for network in networks(points):
        for runtime in RUNTIMES:
            if found := [fit.even for fit in fits(points, network, runtime) if math.isfinite(fit.even)]:
                yield {"network": network, "runtime": runtime, "knee": median(found)}


def _elasticities(points: Points, flops: Mapping[str, int], taxes: list[Row], config: Summary) -> Iterable[Row]:
    """Slopes over batches; which regime a batch is in says the profile, which is another measurement."""
    from models.framework_tax.fits import elasticity

    for network in networks(points):
        eager = of(points, network, REFERENCE)
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


def _operations(zoo: list[Record], flops: Mapping[str, int]) -> Iterable[Row]:
    """Whether operations tell which network takes how long: at one batch, and over networks."""
    from scipy.stats import spearmanr

    seconds: dict[tuple[str, int], dict[str, float]] = {}
    for record in zoo:
        for (network, arm, batch), point in sound(record).items():
            if arm in OPERATED and flops.get(network):
                seconds.setdefault((arm, batch), {})[network] = median(point["cpu"])
    withheld = next(filter(None, map(why_withheld, zoo)), {})
    misses: dict[tuple[str, int], dict[str, float]] = {}
    for (arm, batch), own in sorted(seconds.items()):
        if len(own) < LEAST_NETWORKS:
            continue
        logs = {network: math.log(flops[network] * batch / taken) for network, taken in own.items()}
        typical = median(logs.values())
        misses[arm, batch] = {network: abs(rate - typical) for network, rate in logs.items()}
        rank = float(spearmanr([flops[network] for network in own], list(own.values())).statistic)
        yield {"runtime": arm, "batch": str(batch), "flops_rank": rank} | withheld
        for network, miss in misses[arm, batch].items():
            yield {"network": network, "runtime": arm, "batch": str(batch), "flops_miss": miss} | withheld
    for arm in OPERATED:
        batches = [batch for name, batch in misses if name == arm]
        if 1 in batches and len(batches) >= 2:
            first, last = misses[arm, 1], misses[arm, max(batches)]
            for network in first:
                if network in last:
                    change = first[network] - last[network]
                    yield {"network": network, "runtime": arm, "flops_miss_change": change} | withheld


def _left_out(zoo: list[Record]) -> Iterable[Row]:
    """How many networks a comparison of two runtimes at batch 1 does without, and which."""
    every = [(record, network) for record in zoo for network in {point["network"] for point in record["points"]}]
    for slower, faster in (*pairwise(ORDER), *LEADS):
        missing = []
        for record, network in every:
            timed = {point["arm"] for point in record["points"] if point["network"] == network}
            points = {} if why_withheld(record) else sound(record)
            if {slower, faster} <= timed and not {(network, slower, 1), (network, faster, 1)} <= set(points):
                missing.append(network)
        labels = {"compared": f"{slower} over {faster}", "missing": ", ".join(sorted(missing)) or "none"}
        yield labels | {"left_out": len(missing)}


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
    """How far the affine fit and the profile are apart, by network; and what they make of a planted delay."""
    apart: dict[tuple[str, str], list[float]] = {}
    planted: dict[str, list[float]] = {}
    for row in taxes:
        if "tax_apart" in row:
            apart.setdefault((row["network"], row["cost"]), []).append(row["tax_apart"])
        if "in_kernels" in row:
            planted.setdefault(row["method"], []).append(row["in_kernels"])
    for (network, cost), values in apart.items():
        yield {"network": network, "cost": cost, "methods_apart": median(values)} | _busy(taxes)
    for method, values in planted.items():
        yield {"method": method, "taken_for_kernels": median(values)} | _busy(taxes)


def _ceilings(taxes: list[Row], rows: list[Row]) -> list[Row]:
    """What taking away the framework's share could give at most, beside what ONNX Runtime gives."""
    shares: dict[tuple[str, str], list[float]] = {}
    for row in taxes:
        if "tax" in row and "taxed" in row and row["batch"] == "1":
            shares.setdefault((row["network"], f"by {row['method']}"), []).append(row["tax"])
    found = [
        {"network": network, "by": by, "ceiling": 1 / (1 - median(values))} | _busy(taxes)
        for (network, by), values in shares.items()
        if median(values) < 1
    ]
    seen = [row for row in rows if "speedup" in row and row["runtime"] == "onnxruntime" and row["batch"] == "1"]
    taxed = {network for network, _ in shares}
    return found + [
        {"network": row["network"], "by": "ONNX Runtime, seen", "ceiling": row["speedup"]}
        | ({"unavailable": row["unavailable"]} if "unavailable" in row else {})
        for row in seen
        if row["network"] in taxed
    ]


EXPECTED: tuple[tuple[str, Row], ...] = (
    *(("log_lead", {"lead": f"{slower} over {faster}"}) for slower, faster in LEADS),
    *(("log_step", {"pair": f"{slower} over {faster}"}) for slower, faster in pairwise(ORDER)),
    *((name, {"runtime": "onnxruntime"}) for name in ("gap_change", "gap_rank")),
    *((name, {"runtime": runtime}) for name in ("flops_miss_change",) for runtime in ("eager", "onnxruntime")),
    ("small_speedup", {}),
    ("large_speedup", {}),
    *(("length_speedup", {"tokens": tokens, "runtime": "onnxruntime"}) for tokens in (TOKENS, max(LENGTHS))),
    ("width_cost", {"widened": "16 to 64", "runtime": "onnxruntime"}),
    *(("deep_ratio", {"runtime": runtime}) for runtime in ("eager", "onnxruntime")),
    *(
        (name, {"network": "encoder-256-4", "precision": precision})
        for name in ("fixed_share_change", "each_change_ms")
        for precision in ("int8", "bfloat16")
    ),
    *(("thread_tax", {"threads": threads}) for threads in (1, 2)),
    *(("methods_apart", {"cost": cost}) for cost in ("taken off", "left in")),
    *(("elasticity", {"regime": regime}) for regime in ("framework-bound", "bound by kernels")),
)
"""What claims rest on and a profile may not time, or a machine may not be able to."""


def _untimed(rows: list[Row]) -> Iterable[Row]:
    """A row that says so for each of these that is not there: its claim is not tested, rather than failed."""
    for quantity, labels in EXPECTED:
        if not any(quantity in row and labels.items() <= row.items() for row in rows):
            reason = f"{quantity.replace('_', ' ')}: not timed in this run, or no fit to it is close enough"
            yield labels | {quantity: 0.0, "unavailable": reason}


def _work(points: Points, flops: Mapping[str, int]) -> Iterable[Row]:
    """Operations and latency of every call in eager, for a figure."""
    for network in networks(points):
        for batch, point in of(points, network, REFERENCE).items():
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


def _lengths(points: Points) -> Iterable[Row]:
    """The speed-up over eager by the length of a text."""
    named = {TOKENS: "encoder-64-4"} | {tokens: f"encoder-64-4-{tokens}" for tokens in LENGTHS}
    for tokens, network in sorted(named.items()):
        for arm in ORDER[1:]:
            eager, own = points.get((network, REFERENCE, 1)), points.get((network, arm, 1))
            if eager and own:
                for block, ratio in enumerate(log_ratios(own, eager)):
                    labels = {"tokens": tokens, "length": f"{tokens} tokens", "runtime": arm, "block": block}
                    yield labels | {"length_speedup": math.exp(ratio)}


def _precisions(points: Points) -> Iterable[Row]:
    """Where half of a call grows with the batch, in fewer bits, and how fast it grows."""
    for network in networks(points):
        plain = fits(points, network, REFERENCE)
        for arm, kind in ARMS.items():
            if kind.precision == "float32":
                continue
            for block, (own, other) in enumerate(zip(fits(points, network, arm), plain, strict=False)):
                labels = {"network": network, "precision": kind.precision, "block": block}
                labels |= {"reduced": f"{network}, {kind.precision}"}
                figures = {
                    "fixed_share_change": own.tax(1) - other.tax(1),
                    "each_change_ms": 1e3 * (own.each - other.each),
                }
                yield labels | figures


def _without_bfloat16(row: Row) -> Row:
    if row.get("precision") != "bfloat16":
        return {}
    return {"unavailable": "this processor has no instructions for bfloat16"}


THREADS = {1: REFERENCE, 2: "eager, two threads"}
"""The arms that differ in threads alone."""


def _threads(points: Points) -> Iterable[Row]:
    """Tax by the wall clock: what a call at batch 1 takes beyond its part of the step between two large batches."""
    for threads, arm in THREADS.items():
        per_block: dict[int, list[float]] = {}
        for network in networks(points):
            own, others = of(points, network, arm), of(points, network, THREADS[2])
            shared = sorted(set(own) & set(others))
            if len(shared) < 3 or 1 not in shared:
                continue
            *_, middle, largest = shared
            walls = zip(own[1]["wall"], own[middle]["wall"], own[largest]["wall"], strict=True)
            for block, (one, some, most) in enumerate(walls):
                per_block.setdefault(block, []).append(1 - (most - some) / (largest - middle) / one)
        for block, shares in per_block.items():
            yield {"threads": threads, "spread": f"over {threads}", "block": block, "thread_tax": mean(shares)}


def _makers(points: Points) -> Iterable[Row]:
    """How much of latency hangs on the maker of the processor, by which MKL picks its kernels."""
    for (network, arm, batch), point in points.items():
        if ARMS[arm].intel and (network, REFERENCE, batch) in points:
            for block, ratio in enumerate(log_ratios(points[network, REFERENCE, batch], point)):
                yield {"product": f"{network}, batch {batch}", "block": block, "intel_ratio": math.exp(ratio)}
