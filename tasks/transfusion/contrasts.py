"""Differences between arms of one seed that a claim compares with other differences."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.config import Index, config
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.transfusion.arms import CAUSAL, LARGE, LINEAR, UNET, UNET_CAUSAL, UNET_LARGE
from tasks.transfusion.evaluation import write_examples

PAIRS = {"linear": (CAUSAL, LINEAR, LARGE, LINEAR), "U-Net": (UNET_CAUSAL, UNET, UNET_LARGE, UNET)}
"""By adapter: the causal and the bidirectional arm, and the arms with large and small patches."""


@config
class Contrasting:
    """The seed whose arms are compared."""

    seed: Index = 0


@measures(
    fd_gap="points of Fréchet distance of the causal arm less that of the bidirectional one",
    log_mse_gap="the same of an image's log error of the foretold noise",
    patch_cost="points of Fréchet distance with patches of 4 × 4 less that with patches of 2 × 2",
    log_mse_cost="the same of an image's log error of the foretold noise",
)
def contrast(*, evaluated: dict[str, Path], config: Contrasting, out: Path) -> None:
    """Write metrics.json with gap and cost of each adapter, and examples.parquet with those in errors, image by image.

    Distances are compared as they are and not as logarithms: what so few images add to each is gone from a difference.
    Where one of both is withheld, so is their difference.
    """
    read = [read_evaluated(folder) for folder in evaluated.values()]
    by_arm = {each.arm: each for each in read}
    rows: list[dict[str, Any]] = []
    examples: list[dict[str, Any]] = []
    for adapter, (causal, bidirectional, large, small) in PAIRS.items():
        labels = {"contrast": adapter, "seed": config.seed}
        for (more, less), distance, error in (
            ((causal, bidirectional), "fd_gap", "log_mse_gap"),
            ((large, small), "patch_cost", "log_mse_cost"),
        ):
            left, right = by_arm[more], by_arm[less]
            apart = {image: found - right.errors[image] for image, found in left.errors.items()}
            examples += [{**labels, "image": image, error: value} for image, value in apart.items()]
            reason = left.withheld or right.withheld
            unsure = {"unavailable": reason} if reason else {}
            rows += [
                {**labels, distance: left.distance - right.distance, **unsure},
                {**labels, error: sum(apart.values()) / len(apart)},
            ]
    write_json(out / "metrics.json", rows)
    write_examples(examples, out)


@dataclass(frozen=True)
class Evaluated:
    """The Fréchet distance of an arm, why it is withheld, and by image the log error of the foretold noise."""

    arm: str
    distance: float
    withheld: str
    errors: Mapping[int, float]


def read_evaluated(folder: Path) -> Evaluated:
    """What of an evaluation is compared."""
    import pyarrow.parquet

    distance = next(row for row in json.loads((folder / "metrics.json").read_text()) if "fd" in row)
    table = pyarrow.parquet.read_table(folder / "examples.parquet").to_pylist()
    errors = {row["image"]: row["log_mse"] for row in table if row.get("region") == "all"}
    return Evaluated(distance["arm"], distance["fd"], distance.get("unavailable", ""), errors)
