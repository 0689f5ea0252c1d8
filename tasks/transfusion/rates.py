"""At which learning rate the arms of a family are trained: that with the least loss on validation images and text."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from models.config import config
from tasks.base import spool
from tasks.base.files import write_json
from tasks.transfusion.generators import VALIDATION, arm_of

FILE = "rates.json"


@config
class ChoosingRates:
    """Nothing is set: every family is judged by the loss that it is trained on."""


def choose_rates(*, rehearsed: dict[str, Path], config: ChoosingRates, out: Path) -> None:
    """Write rates.json: by family the rate, and all that was tried, with the curves' beginnings and ends.

    Codes and values have losses of different kinds, so that each is compared with its own at other rates alone.
    """
    tried = [trial(folder) for folder in rehearsed.values()]
    best = {family: best_of(row for row in tried if row["arm"] == family) for family in {row["arm"] for row in tried}}
    chosen = {family: row["rate"] for family, row in sorted(best.items())}
    write_json(out / FILE, {"chosen": chosen, "tried": tried})
    spool.table("learning rates", tried)


def trial(folder: Path) -> dict[str, Any]:
    """What came of one rehearsal."""
    training = json.loads((folder / "training.json").read_text())
    validation = json.loads((folder / VALIDATION).read_text())
    (_, began), (_, ended) = training["losses"][0], training["losses"][-1]
    return {"arm": arm_of(folder), "rate": training["rate"], "began": began, "ended": ended, **validation}


def best_of(tried: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The trial with the least loss; of equal ones that with the smallest rate."""
    return min(tried, key=lambda row: (row["loss"], row["rate"]))


def at_chosen_rates(rehearsed: Mapping[str, Path], rates: Path) -> dict[str, Path]:
    """By family, the rehearsal at the rate that was chosen."""
    chosen = json.loads((rates / FILE).read_text())["chosen"]
    found = {}
    for folder in rehearsed.values():
        family = arm_of(folder)
        if json.loads((folder / "training.json").read_text())["rate"] == chosen[family]:
            found[family] = folder
    return found
