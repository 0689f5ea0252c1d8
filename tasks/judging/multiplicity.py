"""A paper's claims together: at which level each one is decided, so that all decisions err with alpha.

Holm's step-down (1979) runs over the claims, whatever their intervals are over. Inside a claim of n comparisons, of
which k must hold, support is an intersection-union test (Berger 1982): it is false only if one of the n - k + 1 that
fail is called supported, so each is held to alpha / (n - k + 1), which for "all of" is alpha itself. A contradiction
rests on n - k + 1 comparisons out of n, so each is held to alpha / k.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Evidence:
    """What one comparison says: the two-sided p against the nearest edge of what is claimed, and on which side it is.

    Values that are compared as they are have p = 0.
    """

    p: float
    inside: bool


def share(inside: bool, number: int, needed: int) -> int:
    """By how much alpha is divided for a comparison on this side of a claim's edge."""
    return number - needed + 1 if inside else needed


def claim_p(found: Sequence[Evidence], needed: int) -> float:
    """The smallest alpha at which a claim is decided, one way or the other."""
    number = len(found)
    supporting = sorted(one.p for one in found if one.inside)
    against = sorted(one.p for one in found if not one.inside)
    p = 1.0
    if len(supporting) >= needed:
        p = min(p, supporting[needed - 1] * share(True, number, needed))
    if len(against) > number - needed:
        p = min(p, against[number - needed] * share(False, number, needed))
    return p


def holm(p: Sequence[float], alpha: float) -> list[float]:
    """The alpha of each claim.

    The claim with the smallest p gets alpha / m, the next one alpha / (m - 1), and so on; from the first one that is
    not decided, alpha stays as it is.
    """
    alphas = [0.0] * len(p)
    current, stopped = 0.0, False
    for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        if not stopped:
            current = alpha / (len(p) - rank)
            stopped = p[index] > current
        alphas[index] = current
    return alphas
