"""Collectives over links of imposed bandwidth and latency: does their time follow as the α-β model says?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.config import Count, config
from tasks.base import spool
from tasks.base.measures import measures
from tasks.hardware.gloo.fit import least_relative
from tasks.hardware.gloo.job import Job
from tasks.hardware.gloo.launch import launch
from tasks.hardware.gloo.network import ADDRESSES, DEVICE, FRAME, PAYLOAD, Link, Unavailable, linked
from tasks.hardware.gloo.stages import quartiles, watched, write_rows

Row = dict[str, Any]

RING = {"all-gather": (1.0, 0.5), "all-reduce": (2.0, 1.0)}
"""Hops, and share of the whole tensor that crosses each link, of a ring of two: n-1 and (n-1)/n, or twice that."""


@config
class ShapedTimes:
    """Links to fit gloo's own hops and bytes to, links to test the prediction on, sizes in bytes."""

    fit: tuple[Link, ...]
    held_out: tuple[Link, ...]
    sizes: tuple[Count, ...]
    repetitions: Count


FOLLOWED = 0.2
"""A link is followed if the mean error of its predictions, without their signs, is below this share."""


@measures(
    links="held-out links of imposed bandwidth or latency that were made and timed",
    followed="of them, those on which the mean error of the prediction is below 20 %",
)
def measure_shaped(*, config: ShapedTimes, out: Path) -> None:
    """Time all-gather and all-reduce over each link between two network namespaces, and predict them.

    The formulas take a collective as (hops) × latency + (bytes) / bandwidth; gloo needs more of both, because
    a receiver first says that it is ready, behind what it is sending itself. How much more is fitted on the
    `fit` links, one of them bare, and tested on the others. Where links cannot be made, metrics.json holds one
    row that says why: `unavailable`.
    """
    rows: list[Row] = []
    try:
        for split, links in (("fit", config.fit), ("held-out", config.held_out)):
            for link in links:
                labels = {"split": split, "megabits": link.megabits, "milliseconds": link.milliseconds}
                rows += [labels | row for row in over(link, config)]
    except Unavailable as refusal:
        spool.note(f"No link of imposed bandwidth can be made here: {refusal}")
        write_rows(out, [{"arm": "shaped", "links": 0, "followed": 0, "unavailable": str(refusal)}])
        return
    predict(rows)
    held = [row for row in rows if row["split"] == "held-out"]
    errors: dict[tuple[Any, Any], list[float]] = {}
    for row in held:
        errors.setdefault((row["megabits"], row["milliseconds"]), []).append(abs(row["relative_error"]))
    summary = {
        "arm": "shaped",
        "links": len(errors),
        "followed": sum(sum(found) / len(found) < FOLLOWED for found in errors.values()),
        "mape": sum(abs(row["relative_error"]) for row in held) / len(held),
        "formula_mape": sum(abs(row["formula_error"]) for row in held) / len(held),
    }
    write_rows(out, [*rows, summary])
    spool.table("shaped links", rows)
    spool.table("shaped links, errors", [summary])


def over(link: Link, config: ShapedTimes) -> list[Row]:
    """The collectives' times over one link."""
    job = Job(work="collectives", processes=2, sizes=config.sizes, repetitions=config.repetitions)
    meet = ["--nnodes", "2", "--master-addr", ADDRESSES[0], "--master-port", "29500"]
    with linked(link) as ends, watched() as machine:
        nodes = [(ends.inside(end), [*meet, "--node-rank", str(end)], DEVICE) for end in (0, 1)]
        found = launch(job, nodes, seconds=300)
    return [
        {name: row[name] for name in ("collective", "bytes", "wire_bytes")} | quartiles(row["seconds"]) | machine
        for row in found
        if row["collective"] in RING
    ]


def predict(rows: Sequence[Row]) -> None:
    """Add the formula's and the fitted prediction and their errors to each row."""
    import numpy as np

    for kind, (hops, share) in RING.items():
        of_kind = [row for row in rows if row["collective"] == kind]
        bare = [row for row in of_kind if not row["megabits"] and not row["milliseconds"]]
        start = min(row["seconds"] for row in bare)
        design = np.array([[1.0, row["bytes"], row["milliseconds"] / 1000, _on_link(row)] for row in of_kind])
        seconds = np.array([row["seconds"] for row in of_kind])
        fitting = np.array([row["split"] == "fit" for row in of_kind])
        costs = least_relative(design[fitting], seconds[fitting], np.zeros(fitting.sum()))
        for row, told in zip(of_kind, design @ costs, strict=True):
            formula = start + hops * row["milliseconds"] / 1000 + share * _on_link(row)
            row["formula_seconds"], row["formula_error"] = formula, formula / row["seconds"] - 1
            row["predicted_seconds"], row["relative_error"] = float(told), float(told / row["seconds"] - 1)


def _on_link(row: Row) -> float:
    """Seconds that the whole tensor would take to pass the link's token bucket, frames included."""
    return 8e-6 * row["bytes"] * FRAME / PAYLOAD / row["megabits"] if row["megabits"] else 0.0
