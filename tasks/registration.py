"""Note which claims stood when the data that could show them were first computed.

The claims of a paper stand in the settings of its `verdicts` stage, in params.json. When a stage that
measures has run for the first time, the identities of the claims that rest on it go into `registered.json`
beside. A claim that is not noted there as it stands was written or edited after its data existed:
it is *post hoc*.
"""

import fcntl
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tasks.claims import Control, Judging, Statement, families, identity, selections

STAGE = "verdicts"
"""The name of the stage that judges, and of its entry in params.json."""

REGISTER = "registered.json"
NOTHING_REGISTERED = '{\n "claims": {},\n "measured": []\n}\n'


def register(params: Path, stage: str) -> None:
    """Note the claims that rest on `stage`, whose data have just been computed for the first time.

    A claim that rests on a stage measured earlier is not noted: it is too late for it.
    """
    path = params.with_name(REGISTER)
    with open(params) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        judging = json.load(file).get(STAGE)
        if judging is None or not path.exists():
            return
        known = json.loads(path.read_text())
        if stage in known["measured"]:
            return
        config: Judging = TypeAdapter(Judging).validate_json(json.dumps(judging))
        claims: list[Statement | Control] = [*config.claims, *config.controls]
        for claim in claims:
            rests_on = {name for selection in selections(claim) for name in selection.stages}
            if stage in rests_on and not rests_on & set(known["measured"]):
                known["claims"].setdefault(claim.id, entry(claim))
        noted = {"claims": dict(sorted(known["claims"].items())), "measured": sorted([*known["measured"], stage])}
        fresh = path.with_name(f".{REGISTER}.fresh")
        fresh.write_text(json.dumps(noted, indent=1) + "\n")
        fresh.replace(path)


def entry(claim: Statement | Control) -> dict[str, Any]:
    """What the register notes of a claim."""
    return {"digest": identity(claim), "reads": sorted(families(claim))}


def is_post_hoc(claim: Statement, registered: Mapping[str, Any], measuring: Iterable[str]) -> bool:
    """Whether a claim was written or edited after its data existed; `measuring` are the families that there are now.

    A claim that reads another family than it did is an edited one, unless its family is gone: then it was renamed.
    """
    if not claim.comparisons:
        return False
    noted = registered.get(claim.id)
    if noted is None or noted["digest"] != identity(claim):
        return True
    return bool((set(noted["reads"]) - families(claim)) & set(measuring))
