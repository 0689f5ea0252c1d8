"""A model of step time on this machine, fitted to some shapes and tested on others.

A step takes computation + communication + what the arm's wrapper costs:

- Each collective takes latency + bytes / bandwidth (α, β of its kind), as often and as large as the formulas of
  `models.hardware.volumes` say, none of it hidden: gloo's threads need the cores that compute.
- A matrix product (m, n, k) runs at the peak × h / (h + h₀), h the harmonic mean of its sizes; with 1/h written
  out, its time is linear in 1/peak and h₀/peak. Attention, elementwise work and the update cost a time an
  operation, an element and a weight; a layer and a step have a fixed cost.
- An arm adds a fixed cost a layer and a step.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Transformer, config
from tasks.base import spool
from tasks.base.measures import measures
from tasks.hardware.gloo.job import PARALLEL, Shape
from tasks.hardware.gloo.stages import strategy, workload, write_rows

if TYPE_CHECKING:
    import numpy as np

Row = dict[str, Any]

PARTS = ("operations", "gemm_area", "attention", "elements", "weights", "layers", "step")
"""What a process's computation is made of; each has one fitted cost in seconds."""


@config
class Fit:
    """`processes` are those of the timed runs."""

    processes: Count = 2


@measures(
    measured_seconds="median seconds of a training step",
    predicted_seconds="seconds of the step by the model that was fitted to the fit shapes",
    relative_error="share by which the prediction is above the measurement",
    mape="mean of the relative errors without their signs",
    latency_us="microseconds of a collective of no bytes",
    bytes_per_second="bytes of the whole tensor that a collective moves in a second, latency aside",
)
def fit_gloo(*, collectives: Path, steps: Path, config: Fit, out: Path) -> None:
    """Fit α, β and the costs of computing on the fit shapes, and predict every shape.

    Writes metrics.json: for each collective its α and β; for each shape and arm the measured and predicted
    seconds; for each split the mean error, over all arms and by arm; and costs.json, all fitted costs in seconds.
    """
    import numpy as np

    timed = json.loads((collectives / "metrics.json").read_text())
    rows = json.loads((steps / "metrics.json").read_text())
    links = {kind: line([row for row in timed if row["collective"] == kind]) for kind in KINDS}
    features = [process_features(row, config.processes) for row in rows]
    sent = np.array([communication(row, links, config.processes) for row in rows])
    measured = np.array([row["seconds"] for row in rows])
    design = np.array([[*work.values(), *overheads(row)] for work, row in zip(features, rows, strict=True)])
    fitting = np.array([row["split"] == "fit" for row in rows])
    costs = least_relative(design[fitting], measured[fitting], sent[fitting])
    predicted = design @ costs + sent
    detail = [
        {name: row[name] for name in LABELS}
        | {"measured_seconds": float(real), "predicted_seconds": float(told), "communication_seconds": float(moved)}
        | {"relative_error": float(told / real - 1)}
        for row, real, told, moved in zip(rows, measured, predicted, sent, strict=True)
    ]
    found = [
        {"collective": kind, "latency_us": 1e6 * latency, "bytes_per_second": 1 / per_byte}
        for kind, (latency, per_byte) in links.items()
    ]
    summary = summaries(detail)
    write_rows(out, [*found, *detail, *summary])
    names = [*PARTS, *(f"{arm} {part}" for arm in PARALLEL for part in ("layers", "step"))]
    (out / "costs.json").write_text(json.dumps(dict(zip(names, costs.tolist(), strict=True)), indent=1) + "\n")
    spool.table("links", found)
    spool.table("predictions", detail)
    spool.table("errors", summary)


KINDS = ("all-reduce", "all-gather", "reduce-scatter", "send")

LABELS = (
    "arm",
    "split",
    "width",
    "layers",
    "heads",
    "feed_forward",
    "vocabulary",
    "context",
    "batch",
    "micro_batches",
)


def line(rows: Sequence[Row]) -> tuple[float, float]:
    """Latency and seconds a byte, by least squares of the relative errors."""
    import numpy as np

    sizes = np.array([[1.0, row["bytes"]] for row in rows])
    seconds = np.array([row["seconds"] for row in rows])
    latency, per_byte = least_relative(sizes, seconds, np.zeros_like(seconds))
    return float(latency), float(per_byte)


def least_relative(design: "np.ndarray", measured: "np.ndarray", known: "np.ndarray") -> "np.ndarray":
    """Costs, none negative, for which `design @ costs + known` is nearest to `measured`, errors as shares of it."""
    from scipy.optimize import nnls

    scale = design.max(axis=0)
    scale[scale == 0] = 1.0
    costs, _ = nnls(design / scale / measured[:, None], 1 - known / measured)
    found: np.ndarray = costs / scale
    return found


def process_features(row: Row, processes: int) -> Mapping[str, float]:
    """What one process computes in a step of the row's arm, in units of `PARTS`.

    In a pipeline it is what lies on the longest path: every micro-batch on the last stage (it has the head),
    and one on each of the others.
    """
    shape = shape_of(row)
    tokens = shape.batch * shape.architecture.context
    layers = shape.architecture.layers
    if row["arm"] == "pipeline":
        part = tokens // shape.micro_batches
        first = work(shape, part, layers // processes, 1, head=False)
        last = work(shape, part, layers // processes, 1, head=True)
        path = {name: (processes - 1) * first[name] + shape.micro_batches * last[name] for name in PARTS}
        return path | {"weights": last["weights"], "step": 1.0}
    if row["arm"] in ("ddp", "fsdp", "fsdp-keep"):
        made = work(shape, tokens // processes, layers, 1, head=True)
        return made | {"weights": made["weights"] / (1 if row["arm"] == "ddp" else processes)}
    if row["arm"] in ("tensor", "tensor-sequence"):
        return work(shape, tokens, layers, processes, head=True)
    return work(shape, tokens, layers, 1, head=True)


def work(shape: Shape, tokens: int, layers: int, share: int, *, head: bool) -> dict[str, float]:
    """Forward and backward pass and update of `layers` layers on `tokens` tokens, 1/`share` of the columns each."""
    sizes = shape.architecture
    d, f, vocabulary = sizes.width, sizes.feed_forward // share, sizes.vocabulary // share
    products = layers * [(d, 3 * d // share), (d // share, d), (d, 2 * f), (f, d)] + head * [(d, vocabulary)]
    # Elementwise passes over each tensor, counted from the operators of models.transformer, both ways:
    # residuals and norms 14 times the width, rotary positions and transposes 12, SwiGLU 12 times f, softmax 6.
    elements = tokens * (layers * (14 * d + 12 * d // share + 12 * f) + head * 6 * vocabulary)
    return {
        "operations": 6.0 * tokens * sum(n * k for n, k in products),
        "gemm_area": 2.0 * sum(tokens * (n + k) + n * k for n, k in products),
        "attention": 6.0 * layers * tokens * sizes.context * (d // share),
        "elements": float(elements),
        "weights": float(sum(n * k for n, k in products) + vocabulary * d),
        "layers": float(layers),
        "step": 1.0,
    }


def overheads(row: Row) -> list[float]:
    """For each arm, its layers passed through and its step, 0 for the arms that the row is not."""
    passes = row["layers"] // 2 * (row["micro_batches"] + 1) if row["arm"] == "pipeline" else row["layers"]
    return [value * (row["arm"] == arm) for arm in PARALLEL for value in (float(passes), 1.0)]


def communication(row: Row, links: Mapping[str, tuple[float, float]], processes: int) -> float:
    """Seconds of the row's collectives, by the formulas' counts and bytes.

    A pipeline waits for the first message, the last one, and an exchange between each two micro-batches.
    """
    from models.hardware.volumes import volumes

    if row["arm"] == "single":
        return 0.0
    shape = shape_of(row)
    if row["arm"] == "pipeline":
        size = 4 * shape.batch // shape.micro_batches * shape.architecture.context * shape.architecture.width
        return (shape.micro_batches + 1) * _seconds(links["send"], size)
    sent = volumes(workload(shape), strategy(row["arm"], shape, processes))
    return sum(count * _seconds(links[kind], size) for (kind, size), count in sent.items())


def _seconds(link: tuple[float, float], size: int) -> float:
    return link[0] + link[1] * size


def shape_of(row: Row) -> Shape:
    """The shape whose sizes the row carries."""
    sizes = ("vocabulary", "width", "layers", "heads", "feed_forward", "context")
    architecture = Transformer(**{name: row[name] for name in sizes}, tied_embeddings=False)
    return Shape(architecture=architecture, batch=row["batch"], micro_batches=row["micro_batches"])


def summaries(detail: Sequence[Row]) -> list[Row]:
    """The mean absolute relative error of each split, over all arms and of each."""
    made = []
    for split in ("fit", "held-out"):
        for arm in ("all", "single", *PARALLEL):
            errors = [
                abs(row["relative_error"]) for row in detail if row["split"] == split and arm in ("all", row["arm"])
            ]
            made.append({"split": split, "arm": arm, "shapes": len(errors), "mape": sum(errors) / len(errors)})
    return made
