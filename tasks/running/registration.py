"""Note which claims stood when the data that could show them were first computed.

The claims of a paper stand in the settings of its `verdicts` stage, in params.json. When a stage that
measures has run for the first time, the identities of the claims that rest on it go into `registered.json`
beside, with what had been measured by then. A claim that is not noted there as it stands was written or edited
after its data existed, and one that was noted when there were such data was written after them: it is *post hoc*.
"""

import fcntl
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tasks.base.errors import UserError
from tasks.judging.claims import Control, Judging, Statement, families, selections
from tasks.judging.register import REGISTER, VERDICTS, entry


def register(params: Path, stage: str) -> None:
    """Note the claims that rest on `stage`, whose data have just been computed for the first time."""
    path = params.with_name(REGISTER)
    folder = os.open(params.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        judging = json.loads(params.read_text()).get(VERDICTS)
        if judging is None or not path.exists():
            return
        known = _read(path)
        if stage in known["measured"]:
            return
        config: Judging = TypeAdapter(Judging).validate_json(json.dumps(judging))
        claims: list[Statement | Control] = [*config.claims, *config.controls]
        others = _measured_elsewhere(path, config.families)
        for claim in claims:
            rests_on = {name for selection in selections(claim) for name in selection.stages}
            if stage in rests_on and claim.id not in known["claims"]:
                before = rests_on & set(known["measured"])
                elsewhere = [profile for profile, there in others.items() if there & families(claim)]
                known["claims"][claim.id] = entry(claim, before, elsewhere)
        noted = {"claims": dict(sorted(known["claims"].items())), "measured": sorted([*known["measured"], stage])}
        fresh = path.with_name(f".{REGISTER}.fresh")
        fresh.write_text(json.dumps(noted, indent=1) + "\n")
        fresh.replace(path)
    finally:
        os.close(folder)


def _read(path: Path) -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads(path.read_text())
        if isinstance(known["claims"], dict) and isinstance(known["measured"], list):
            return known
    except (ValueError, KeyError, TypeError):
        pass
    where = os.path.relpath(path)
    raise UserError(f"{where} is damaged, and says which claims were written beforehand: git restore {where}.")


def _measured_elsewhere(path: Path, measuring: Iterable[str]) -> dict[str, set[str]]:
    """By profile the families that the paper had measured there, out of the registers beside this one."""
    found = {}
    for other in sorted(path.parents[2].glob(f"*/{path.parent.name}/{REGISTER}")):
        if other != path:
            stages = _read(other)["measured"]
            found[other.parents[1].name] = {
                family for family in measuring if any(f"{stage}-".startswith(f"{family}-") for stage in stages)
            }
    return found
