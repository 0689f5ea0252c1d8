"""Latency of networks by runtime and batch: what was timed, block by block, and medians with their intervals."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from models.config import Count, Index, Positive, config
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.framework_tax import record as records
from tasks.framework_tax.arms import ARMS
from tasks.framework_tax.blocks import Plan, Point, measure
from tasks.framework_tax.networks import names_of, wanted
from tasks.framework_tax.runtimes import tried
from tasks.timing.machine import alone, has_bfloat16, kernels

Row = dict[str, Any]

NEEDED = 2
"""Cores that others leave free: a runtime's, and one on which the system does its own work."""


@config
class Part:
    """Networks by name, apart by spaces, on arms at batches: every combination is a point."""

    networks: str
    arms: tuple[str, ...]
    batches: tuple[Count, ...]


@config
class Measuring:
    """What is timed, in how many blocks, after which warm-up, on how many threads.

    `networks`, where it is given, stands in the parts that name none. `settle` and `least` are seconds of warm-up and
    of a block at each point. There are more blocks, up to `most`, where medians are not certain to 5 % after `blocks`.
    """

    parts: tuple[Part, ...]
    networks: str = ""
    blocks: Count = 20
    most: Index = 0
    threads: Count = 1
    settle: Positive = 0.2
    least: Positive = 0.01
    seed: Index = 0


@measures(
    cpu_ms="median milliseconds of processor time of a call, of all threads, by network, runtime and batch",
    wall_ms="median milliseconds of a call by the wall clock",
    half_width="half of the 95 % interval of the median of processor time, over the median",
    wall_half_width="the same of the wall clock",
    first_call_ms="milliseconds of the first call with a batch, after loading",
    load_ms="milliseconds to load a network from what was built, and to bind its inputs",
    output_error="largest difference of outputs from eager's, relative to the root of their mean square",
    graph_operators="operators of the loaded graph (modules in eager, compiled graphs and cache misses in compile)",
    torch_operators="operators of torch that a call dispatches",
    void="1 where outputs differ from eager's by more than 1e-4, or a graph fell back to it: the time does not count",
    lag="correlation of a block's processor time with the next one's, median over points",
    load="the machine's load average over a minute when timing began, and when it ended",
)
def measure_latency(*, built: Path, trained: dict[str, Path] | None = None, config: Measuring, out: Path) -> None:
    """Write record.json, every block of every point, and metrics.json, a row a point.

    Args:
        built: a folder a network, with what each runtime reads.
        trained: folders of trained weights, by network.
    """
    points = [
        Point(name, arm, batch)
        for part in config.parts
        for name in names_of(part.networks or config.networks)
        for arm in part.arms
        for batch in part.batches
        if tried(ARMS[arm].runtime, wanted(name, trained))
    ]
    names = list(dict.fromkeys(point.network for point in points))
    asked = {name: wanted(name, trained) for name in names}
    plan = Plan(config.threads, config.blocks, config.settle, config.least, config.seed, config.most)
    before = os.getloadavg()[0]
    with alone(needed=NEEDED) as busy:
        record = measure(points, asked, {name: (built / name).resolve() for name in names}, plan)
    load = {"when it began": before, "when it ended": os.getloadavg()[0]}
    record |= {"machine": kernels(), "busy": busy, "load": load, "bfloat16": has_bfloat16()}
    write_json(out / "record.json", record)
    write_json(out / "metrics.json", rows(record))


def rows(record: Mapping[str, Any]) -> list[Row]:
    """A row a point, with why it cannot be judged by: the machine was busy, or the record is not sound."""
    found: list[Row] = [{"over": "this machine", "kernels": record["machine"]}]
    withheld = why_withheld(record)
    voids = records.void(record)
    found += [{"when": when, "load": load} for when, load in record.get("load", {}).items()]
    lags = [records.lag(point["cpu"]) for point in records.timed(record) if len(point["cpu"]) >= records.LEAST_BLOCKS]
    if lags:
        found.append({"timed": ", ".join(dict.fromkeys(p["network"] for p in record["points"])), "lag": median(lags)})
    if withheld:
        spool.note(withheld["unavailable"])
    for point in record["points"]:
        labels = {
            "point": records.named(point),
            "series": f"{point['network']}, {point['arm']}",
            "network": point["network"],
            "runtime": point["arm"],
            "batch": str(point["batch"]),
            "threads": str(ARMS[point["arm"]].threads_of(record["plan"]["threads"])),
        }
        if point["failed"]:
            found.append(labels | {"failed": point["failed"]})
            continue
        reason = voids.get((point["network"], point["arm"], point["batch"]), "")
        found.append(labels | {"void": int(bool(reason)), "output_error": point["error"]} | withheld)
        if reason:
            spool.note(f"{records.named(point)} is void: {reason}")
            continue
        figures = {
            "cpu_ms": 1e3 * median(point["cpu"]),
            "wall_ms": 1e3 * median(point["wall"]),
            "first_call_ms": 1e3 * point["first_call_seconds"],
            "load_ms": 1e3 * point["load_seconds"],
            "graph_operators": sum(point["operators"].values()),
            "torch_operators": point["torch_operators"],
        }
        if len(point["cpu"]) >= records.LEAST_BLOCKS:
            figures["half_width"] = records.half_width(point["cpu"])
            figures["wall_half_width"] = records.half_width(point["wall"])
        found.append(labels | figures | withheld)
    return found


def untimed(function: Callable[..., None], rows: Sequence[Row]) -> list[Row]:
    """A row for each quantity that a stage declares and did not time in this run: the value is none, and says so."""
    declared: Mapping[str, str] = getattr(function, "measures", {})
    return [
        {quantity: 0.0, "unavailable": f"{quantity.replace('_', ' ')}: not timed in this run"}
        for quantity in declared
        if not any(quantity in row for row in rows)
    ]


def why_withheld(record: Mapping[str, Any]) -> Row:
    """The column `unavailable` of rows that no verdict may rest on; nothing where one may."""
    if "unavailable" in record.get("busy", {}):
        return {"unavailable": record["busy"]["unavailable"]}
    if found := records.problems(record):
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return {"unavailable": f"the record is not sound: {found[0]}{more}"}
    return {}
