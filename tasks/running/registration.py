"""Note which claims stood when the data that could show them were first computed.

The claims of a paper stand in the settings of its `verdicts` stage, in params.json. When a stage that
measures has run for the first time, the identities of the claims that rest on it go into `registered.json`
beside. A claim that is not noted there as it stands was written or edited after its data existed:
it is *post hoc*.
"""

import fcntl
import json
import os
from pathlib import Path

from pydantic import TypeAdapter

from tasks.judging.claims import Control, Judging, Statement, selections
from tasks.judging.register import REGISTER, VERDICTS, entry


def register(params: Path, stage: str) -> None:
    """Note the claims that rest on `stage`, whose data have just been computed for the first time.

    A claim that rests on a stage measured earlier is not noted: it is too late for it.
    """
    path = params.with_name(REGISTER)
    folder = os.open(params.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        judging = json.loads(params.read_text()).get(VERDICTS)
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
    finally:
        os.close(folder)
