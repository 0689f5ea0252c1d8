"""The free parameters of the simulator. Their values come from public figures (`fit.py`); the defaults are the priors.

The priors are round figures from before any fit: what vendors' and kernel authors' public benchmarks usually show.
"""

import hashlib
import json
from dataclasses import asdict
from typing import Any

import numpy as np

from models.config import Fraction, NotNegative, Positive, config
from models.hardware.columns import Numbers, Record


@config
class Kernels:
    """Efficiency of matrix products on one GPU family.

    A product (m, n, k) runs at peak × `gemm_ceiling` × h/(h + `gemm_scale`), h the harmonic mean of m, n and k in
    elements. Fused attention over q local tokens runs at peak × `attention_ceiling` × q/(q + `gemm_scale`).
    """

    gemm_ceiling: Fraction
    gemm_scale: NotNegative
    attention_ceiling: Fraction


@config
class Calibration:
    """Everything that is fitted, frozen and hashed.

    `eager_efficiency`: share of that efficiency which is left where kernels are not fused (an eager framework, its
    casts and gaps). `memory_efficiency`, `nvlink_efficiency`, `nic_efficiency`: share of the datasheet bandwidth that
    is reached; `tree_efficiency`: bandwidth of NCCL's tree over its ring's. `launch_us`: between kernels.
    `collective_start_us`: of each collective. `nvlink_hop_us`, `nic_hop_us`: software and protocol latency of a hop,
    beyond the wire's; `tree_hop_us`: what a hop between nodes of a tree takes beyond a ring's (a chunk is reduced
    before it goes on). `congestion_per_doubling`: added transfer time for each doubling of nodes (a share).
    `interference`: share of its speed that computation loses while a collective runs beside it. `step_overhead_ms`:
    of each step, outside the model. `power_compute`, `power_communication`: share of the power above idle that busy
    tensor cores and busy links draw. `reserved_gib`: memory of CUDA, NCCL and fragmentation.
    """

    volta: Kernels = Kernels(gemm_ceiling=0.75, gemm_scale=150.0, attention_ceiling=0.35)
    ampere: Kernels = Kernels(gemm_ceiling=0.85, gemm_scale=150.0, attention_ceiling=0.6)
    hopper: Kernels = Kernels(gemm_ceiling=0.7, gemm_scale=150.0, attention_ceiling=0.4)
    eager_efficiency: Fraction = 0.9
    memory_efficiency: Fraction = 0.8
    launch_us: NotNegative = 3.0
    nvlink_efficiency: Fraction = 0.8
    nic_efficiency: Fraction = 0.85
    tree_efficiency: Fraction = 0.9
    collective_start_us: NotNegative = 15.0
    nvlink_hop_us: NotNegative = 1.0
    nic_hop_us: NotNegative = 7.0
    tree_hop_us: NotNegative = 10.0
    congestion_per_doubling: NotNegative = 0.01
    interference: Fraction = 0.1
    step_overhead_ms: NotNegative = 5.0
    power_compute: Positive = 0.7
    power_communication: NotNegative = 0.3
    reserved_gib: NotNegative = 3.0

    def digest(self) -> str:
        """SHA-256 of the values, the same for equal calibrations on any machine."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def kernels(name: str, cluster: Record, calibration: Record) -> Numbers:
    """The field `name` of the calibration of the cluster's GPU family."""
    family = cluster.accelerator.family

    def of(member: str) -> Any:
        return getattr(getattr(calibration, member), name)

    return np.where(family == "volta", of("volta"), np.where(family == "ampere", of("ampere"), of("hopper")))
