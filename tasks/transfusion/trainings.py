"""Which trainings failed, by a rule written before them: they are counted and shown, and stay in every mean."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from models.config import Positive, config
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.transfusion.evaluation import labels_of

Row = dict[str, Any]


@config
class Counting:
    """A training failed that ends at a loss above its first one, or above its arm's median by the share `apart`.

    One whose loss is no number any more stops the run, and no claim on its arm is judged without it.
    """

    apart: Positive = 0.1


@measures(
    failed="share of trainings that failed: one of them has 0 or 1",
    last_loss="loss over the last fiftieth of a training",
)
def count_failed(
    *,
    main: dict[str, Path],
    more: dict[str, Path],
    text: dict[str, Path],
    twins: dict[str, Path],
    config: Counting,
    out: Path,
) -> None:
    """Write metrics.json: of each training how it ended, and whether it failed."""
    folders = [folder for family in (main, more, text, twins) for folder in family.values()]
    rows = judged([json.loads((folder / "training.json").read_text()) for folder in folders], config)
    write_json(out / "metrics.json", rows)
    failed = [row for row in rows if row["failed"]]
    spool.note(f"{len(failed)} of {len(rows)} trainings failed.")
    spool.table("trainings that failed", failed)


def judged(trainings: Sequence[Row], config: Counting) -> list[Row]:
    """Of each training how it ended, and whether it failed, beside those of the same arm and budget."""
    ends: dict[tuple[str, float], list[float]] = {}
    for each in trainings:
        ends.setdefault((each["arm"], each["budget"]), []).append(each["losses"][-1][1])
    rows = []
    for each in trainings:
        began, ended = each["losses"][0][1], each["losses"][-1][1]
        usual = median(ends[each["arm"], each["budget"]])
        failed = ended > began or ended > usual * (1 + config.apart)
        rows.append(
            {
                **labels_of(each["arm"], each["seed"], each["budget"]),
                "failed": float(failed),
                "last_loss": ended,
                "rate": each["rate"],
            }
        )
    return rows
