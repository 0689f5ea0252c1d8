"""What the rehearsals on validation images let through, as later stages read it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.base.files import write_json

FILE = "passed.json"

IMAGES, CAPTIONS, TEXT = "images", "captions", "text"
"""What is claimed of a model: how near its images are to real ones, what it says of images, how it writes."""


@dataclass(frozen=True)
class Passed:
    """The learning `rates` of families, why nothing more is trained (`stop`), and what is withheld.

    `withheld` has, for a family and for IMAGES or CAPTIONS, the reason in a sentence; `twins` has it for comparisons of
    latents with codes, and for TEXT, too.
    """

    rates: dict[str, float]
    withheld: dict[str, dict[str, str]]
    twins: dict[str, str]
    stop: str = ""

    def because(self, family: str, about: str) -> dict[str, str]:
        """The column `unavailable` of rows about this; nothing where they may be claimed of."""
        reason = self.withheld.get(family, {}).get(about, "")
        return {"unavailable": reason} if reason else {}


def write_passed(passed: Passed, out: Path) -> None:
    """Write passed.json."""
    write_json(out / FILE, asdict(passed))


def read_passed(folder: Path) -> Passed:
    """What `write_passed` wrote."""
    return Passed(**json.loads((folder / FILE).read_text()))
