"""From comparisons to verdicts: at which level each claim of a paper is decided, and what its parts say together."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.judging.multiplicity import Evidence, claim_p, holm, share
from tasks.judging.parts import SIMULATED, Part, Rules


@dataclass(frozen=True)
class Decided:
    """A claim's verdict, why, and the comparison that speaks for it: the weakest of those that made the verdict."""

    parts: list[Part]
    verdict: str
    reason: str
    leading: Part | None
    statistic: str


def decide_claims(claims: Sequence[tuple[list[Part], int]], rules: Rules) -> list[Decided]:
    """The verdicts of claims, each given by its comparisons and how many of them must hold.

    Those with an interval share alpha (see multiplicity.py). Comparisons that cannot be judged widen no other.
    """
    family = [index for index, (parts, _) in enumerate(claims) if _has_interval(parts)]
    p = [claim_p(_evidence(*claims[index]), claims[index][1]) for index in family]
    for index, alpha in zip(family, holm(p, rules.alpha), strict=True):
        parts, needed = claims[index]
        for part in parts:
            if not part.verdict and part.evidence:
                part.decided_at(1 - alpha / share(part.evidence.inside, len(parts), needed))
    return [
        _decided(parts, needed, len(family) if index in family else 0) for index, (parts, needed) in enumerate(claims)
    ]


def _has_interval(parts: list[Part]) -> bool:
    """Whether an interval can decide the claim; a run that broke or a missing device decides it before."""
    broken = any(part.verdict in ("FAILED", "NOT TESTED") for part in parts)
    return not broken and any(part.estimate and not part.verdict for part in parts)


def _evidence(parts: list[Part], needed: int) -> list[Evidence]:
    """What cannot be decided speaks for neither side."""
    return [part.evidence or Evidence(1.0, False) for part in parts]


def _decided(parts: list[Part], needed: int, family: int) -> Decided:
    if not parts:
        return Decided(parts, "", "", None, "none")
    for part in parts:
        if not part.verdict:  # of a claim that is decided without it
            part.decided_at(part.level or 1.0)
    verdict, reason = together(parts, needed)
    plain = {said: word for word, said in SIMULATED.items()}.get(verdict, verdict)
    # The weakest of the parts that made the verdict speaks for the claim.
    deciding = [part for part in parts if part.verdict == plain] or parts
    leading = max(deciding, key=lambda part: -1.0 if part.p is None else part.p)
    statistic = leading.statistic
    if family:
        statistic += f", Holm over {family} claim{'' if family == 1 else 's'}"
    return Decided(parts, verdict, reason, leading, statistic)


def together(parts: list[Part], needed: int) -> tuple[str, str]:
    """The verdict on a claim of several comparisons, of which `needed` must hold, and why."""
    if len(parts) == 1:
        return parts[0].word, parts[0].reason
    counts = Counter(part.verdict for part in parts)
    if counts["FAILED"]:
        verdict = "FAILED"
    elif counts["NOT TESTED"]:
        return next((part.verdict, part.reason) for part in parts if part.verdict == "NOT TESTED")
    elif counts["SUPPORTED"] >= needed:
        verdict = "SUPPORTED"
    elif counts["CONTRADICTED"] > len(parts) - needed:
        verdict = "CONTRADICTED"
    else:
        verdict = "INCONCLUSIVE"
    reason = f"{counts['SUPPORTED']} of {len(parts)} comparisons hold and {needed} must"
    telling = [part for part in parts if (part.verdict == verdict) != (verdict == "SUPPORTED")]
    if telling:
        reason += f"; {telling[0].name}: {telling[0].reason}"
    return (SIMULATED.get(verdict, verdict) if parts[0].simulated else verdict), reason


def came_true(expected: str, verdict: str) -> bool | None:
    """Whether a prediction came true; None where there is no verdict either way."""
    held = {"SUPPORTED": True, "CONSISTENT": True, "CONTRADICTED": False, "INCONSISTENT": False}.get(verdict)
    return None if held is None else held == (expected == "holds")
