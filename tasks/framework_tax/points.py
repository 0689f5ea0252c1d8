"""The sound points of a record, picked by network and arm, and the affine fits through them."""

from statistics import median
from typing import Any

from tasks.framework_tax.record import Timed
from tasks.framework_tax.taxing import MISFIT

Row = dict[str, Any]
Points = dict[tuple[str, str, int], Timed]

SMALL = (1, 2, 4, 8, 16)
"""The batches of affine fits, block by block."""
ORDER = ("eager", "torchscript", "onnxruntime")
"""The paper's three runtimes, the slowest first."""


def of(points: Points, network: str, arm: str) -> dict[int, Timed]:
    """A network's points on an arm, by batch."""
    return {b: point for (n, a, b), point in sorted(points.items()) if (n, a) == (network, arm)}


def networks(points: Points) -> list[str]:
    return list(dict.fromkeys(network for network, _, _ in points))


def fits(points: Points, network: str, arm: str) -> list[Any]:
    """Affine fits of processor time over small batches, a block each; none where a batch is missing or they misfit."""
    from models.framework_tax.fits import affine

    own = of(points, network, arm)
    if not set(SMALL) <= set(own):
        return []
    blocks = range(len(own[1]["cpu"]))
    found = [affine(SMALL, [own[batch]["cpu"][block] for batch in SMALL]) for block in blocks]
    return found if median(fit.error for fit in found) <= MISFIT else []
