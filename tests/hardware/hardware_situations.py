"""What the tests of the training simulator share: small workloads and random valid configurations."""

from dataclasses import fields, replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from models.hardware.calibration import Calibration
from models.hardware.cluster import CLUSTERS, Cluster
from models.hardware.search import candidates
from models.hardware.step import Steps, step
from models.hardware.strategy import Strategy
from models.hardware.workload import WORKLOADS, Workload

CALIBRATION = Calibration()
SMALL = Workload(width=1024, layers=8, heads=16, key_value_heads=8, feed_forward=2816, vocabulary=32000, sequence=2048)
MIXTURE = replace(SMALL, experts=8, top_k=2)
OLD = replace(WORKLOADS["megatron-22b"], layers=8)
GIB = 2**30

FAST = settings(max_examples=30, deadline=None)


def found(workload: Workload, cluster: Cluster, gpus: int, batch: int) -> list[Strategy]:
    """Valid strategies, worked out once."""
    key = (workload, cluster, gpus, batch)
    if key not in FOUND:
        FOUND[key] = candidates(*key)
    return FOUND[key]


FOUND: dict[Any, list[Strategy]] = {}


@st.composite
def situations(draw: st.DrawFn) -> tuple[Workload, Cluster, Strategy]:
    """A random valid configuration."""
    workload = draw(st.sampled_from([SMALL, MIXTURE, OLD, WORKLOADS["llama-2-7b"]]))
    cluster = CLUSTERS[draw(st.sampled_from(["v100", "a100", "h100"]))]
    gpus = draw(st.sampled_from([1, 8, 64, 1024]))
    options = found(workload, cluster, gpus, gpus * draw(st.sampled_from([1, 4])))
    strategy = options[draw(st.integers(0, len(options) - 1))]
    return workload, cluster, replace(strategy, regather=draw(st.booleans()))


def seconds(workload: Workload, cluster: Cluster, strategy: Strategy, calibration: Calibration = CALIBRATION) -> float:
    return float(step(workload, cluster, strategy, calibration).seconds[0])


def numbers(steps: Steps) -> dict[str, Any]:
    """Every output by name."""
    made: dict[str, Any] = {}
    for name, value in ((f.name, getattr(steps, f.name)) for f in fields(steps)):
        if isinstance(value, dict):
            made |= {f"{name}.{key}": item for key, item in value.items()}
        elif hasattr(value, "__dataclass_fields__"):
            made |= {f"{name}.{f.name}": getattr(value, f.name) for f in fields(value)}
        else:
            made[name] = value
    return made
