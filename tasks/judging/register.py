"""The register of a pipeline: which claims stood when the data that could show them were first computed."""

from collections.abc import Iterable, Mapping
from typing import Any

from tasks.judging.claims import Control, Statement, families, identity

VERDICTS = "verdicts"
"""The name of the stage that judges, and of its entry in params.json."""

REGISTER = "registered.json"
NOTHING_REGISTERED = '{\n "claims": {},\n "measured": []\n}\n'


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
