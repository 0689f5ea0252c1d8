"""Note which claims stood when the data that could show them were first computed.

The claims of a paper stand in the settings of its `verdicts` stage, in params.json. When a stage that
measures has run for the first time, the digests of the claims that rest on it go into `registered.json`
beside. A claim that is not noted there as it stands was written or edited after its data existed:
it is *post hoc*.
"""

import fcntl
import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

STAGE = "verdicts"
"""The name of the stage that judges, and of its entry in params.json."""

REGISTER = "registered.json"
NOTHING_REGISTERED = '{\n "claims": {},\n "measured": []\n}\n'


def digest(claim: Mapping[str, Any]) -> str:
    """The digest of a claim or control as params.json holds it: its words, its test and its prediction."""
    return sha256(json.dumps(claim, sort_keys=True).encode()).hexdigest()[:16]


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
        for claim in [*judging["claims"], *judging["controls"]]:
            rests_on = stages_of(claim)
            if stage in rests_on and not rests_on & set(known["measured"]):
                known["claims"].setdefault(claim["id"], digest(claim))
        noted = {"claims": dict(sorted(known["claims"].items())), "measured": sorted([*known["measured"], stage])}
        fresh = path.with_name(f".{REGISTER}.fresh")
        fresh.write_text(json.dumps(noted, indent=1) + "\n")
        fresh.replace(path)


def stages_of(claim: Mapping[str, Any]) -> set[str]:
    """The stages whose data a claim rests on."""
    sides = [side for comparison in claim["comparisons"] for side in (comparison["left"], comparison["right"])]
    return {stage for side in sides if isinstance(side, dict) for stage in side["stages"]}
