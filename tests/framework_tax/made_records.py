"""Records as blocks.measure writes them, made up: sound ones, of which a test spoils one thing."""

import random
from typing import Any

from tasks.framework_tax.arms import ARMS


def point(
    arm: str = "eager", batch: int = 1, ms: float = 1.0, network: str = "net", blocks: int = 20
) -> dict[str, Any]:
    """A sound point with some noise."""
    draw = random.Random(f"{arm} {batch} {network}")
    wall = [1e-3 * ms * (1 + 0.02 * draw.random()) for _ in range(blocks)]
    return {
        "network": network,
        "arm": arm,
        "batch": batch,
        "wall": wall,
        "cpu": [0.99 * one for one in wall],
        "calls": 10,
        "before": 1,
        "warm_up": 20,
        "load_seconds": 0.1,
        "first_call_seconds": 0.05,
        "error": 0.0 if arm == "eager" else 1e-6,
        "facts": {"threads": ARMS[arm].threads_of(1), "precision": ARMS[arm].precision, "planted_us": 1000},
        "operators": {"Linear": 4},
        "torch_operators": 100 if arm.startswith("eager") else 10,
        "failed": "",
    }


def record(*points: dict[str, Any], blocks: int = 20, threads: int = 1) -> dict[str, Any]:
    """A sound record of these points."""
    arms = list(dict.fromkeys(one["arm"] for one in points))
    draw = random.Random(0)
    orders = [draw.sample([one["arm"] for one in points], len(points)) for _ in range(blocks)]
    return {
        "plan": {"threads": threads, "blocks": blocks, "settle": 0.2, "least": 0.01, "seed": 0, "most": 0},
        "arms": {arm: {"pid": 100 + place, "import_seconds": 1.0} for place, arm in enumerate(arms)},
        "orders": orders,
        "points": list(points),
        "machine": "a processor",
        "busy": {"others": 0.0},
        "bfloat16": True,
    }
