"""The register of a pipeline: which claims stood when the data that could show them were first computed."""

from collections.abc import Iterable, Mapping
from typing import Any

from tasks.judging.claims import Control, Statement, families, identity

VERDICTS = "verdicts"
"""The name of the stage that judges, and of its entry in params.json."""

REGISTER = "registered.json"
NOTHING_REGISTERED = '{\n "claims": {},\n "measured": []\n}\n'


def entry(claim: Statement | Control, measured: Iterable[str] = (), elsewhere: Iterable[str] = ()) -> dict[str, Any]:
    """What the register notes of a claim.

    `measured` are the stages that the claim reads whose data existed when it was noted: then it came too late.
    `elsewhere` are the profiles at which there were such data: they had been seen, or could have been.
    """
    noted: dict[str, Any] = {"digest": identity(claim), "reads": sorted(families(claim))}
    noted |= {"measured": sorted(measured)} if measured else {}
    return noted | ({"elsewhere": sorted(elsewhere)} if elsewhere else {})


def is_post_hoc(claim: Statement, registered: Mapping[str, Any], measuring: Iterable[str]) -> bool:
    """Whether a claim was written or edited after its data existed; `measuring` are the families that there are now.

    A claim that reads another family than it did is an edited one, unless its family is gone: then it was renamed. One
    that is judged on a sample which grew after a look is as good as written afterwards.
    """
    if not claim.comparisons:
        return False
    noted = registered.get(claim.id)
    if claim.enlarged or noted is None or noted["digest"] != identity(claim) or noted.get("measured"):
        return True
    return bool((set(noted["reads"]) - families(claim)) & set(measuring))


def seen_at(claim: Statement, registered: Mapping[str, Any]) -> list[str]:
    """The other profiles at which the data of a claim existed when it was noted."""
    found: list[str] = registered.get(claim.id, {}).get("elsewhere", [])
    return found
