"""Differences between arms of one seed that a claim compares with other differences."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.config import Index, config
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.transfusion.arms import CAUSAL, LINEAR, UNET, UNET_CAUSAL
from tasks.transfusion.evaluation import write_examples

PAIRS = {
    "linear": (CAUSAL, LINEAR, "linear, patch 4", LINEAR),
    "U-Net": (UNET_CAUSAL, UNET, "U-Net, patch 4", UNET),
}
"""By adapter: the causal and the bidirectional arm, and the arms with large and small patches."""


@config
class Contrasting:
    """The seed whose arms are compared."""

    seed: Index = 0


@measures(
    fd_gap="points of Fréchet distance of the causal arm less that of the bidirectional one",
    log_mse_gap="the same of an image's log error of the foretold noise",
    patch_cost="points of Fréchet distance with patches of 4 × 4 less that with patches of 2 × 2",
)
def contrast(*, evaluated: dict[str, Path], config: Contrasting, out: Path) -> None:
    """Write metrics.json with both gaps of each adapter, and examples.parquet with the second, image by image.

    Distances are compared as they are and not as logarithms: what so few images add to each is gone from a difference.
    """
    distances, errors = read_evaluated(evaluated)
    rows: list[dict[str, Any]] = []
    examples: list[dict[str, Any]] = []
    for adapter, (causal, bidirectional, large, small) in PAIRS.items():
        labels = {"contrast": adapter, "seed": config.seed}
        gaps = {image: error - errors[bidirectional][image] for image, error in errors[causal].items()}
        examples += [{**labels, "image": image, "log_mse_gap": gap} for image, gap in gaps.items()]
        rows.append(
            {
                **labels,
                "fd_gap": distances[causal] - distances[bidirectional],
                "log_mse_gap": sum(gaps.values()) / len(gaps),
                "patch_cost": distances[large] - distances[small],
            }
        )
    write_json(out / "metrics.json", rows)
    write_examples(examples, out)


def read_evaluated(evaluated: Mapping[str, Path]) -> tuple[dict[str, float], dict[str, dict[int, float]]]:
    """By arm, the Fréchet distance, and by image the log error of the foretold noise."""
    import pyarrow.parquet

    distances: dict[str, float] = {}
    errors: dict[str, dict[int, float]] = {}
    for folder in evaluated.values():
        for row in json.loads((folder / "metrics.json").read_text()):
            if "fd" in row:
                distances[row["arm"]] = row["fd"]
        for row in pyarrow.parquet.read_table(folder / "examples.parquet").to_pylist():
            if row.get("region") == "all":
                errors.setdefault(row["arm"], {})[row["image"]] = row["log_mse"]
    return distances, errors
