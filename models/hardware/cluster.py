"""The machines: accelerators, the links inside a node and the network between nodes.

Datasheet values (dense bf16 or fp16 peaks, never the sparse ones). NVLink's datasheet figure counts both
directions; here a link's bandwidth is that of one direction.
"""

from typing import Annotated, Literal

from pydantic import Field

from models.config import Count, NotNegative, Positive, config

Factor = Annotated[float, Field(ge=1, allow_inf_nan=False)]
"""How many times over: at least one."""


@config
class Accelerator:
    """One GPU: dense 16-bit peak, memory size and bandwidth, power idle and at its limit.

    `family` chooses the calibration's kernel efficiencies.
    """

    family: Literal["volta", "ampere", "hopper"]
    peak_tflops: Positive
    memory_gib: Positive
    memory_gb_s: Positive
    idle_w: NotNegative
    max_w: Positive

    def __post_init__(self) -> None:
        if self.idle_w >= self.max_w:
            raise ValueError(f"idle_w {self.idle_w:g} must be below max_w {self.max_w:g}")


@config
class Cluster:
    """Nodes of equal GPUs on a rail-optimised network; how many nodes follows from the strategy.

    `nvlink_gb_s`: one GPU to the others of its node, one direction. `nic_gb_s`: one network card, one direction;
    `rails`: cards a node, shared by its GPUs. `oversubscription` divides the network's bandwidth for traffic that
    leaves a pod of `pod_nodes` nodes. The latencies are the wires' and switches', for one hop; the software's are in
    the calibration. `gather_algorithm` "tree" is the ablation in which all-gather and reduce-scatter have a
    logarithmic latency (NCCL 2.23's PAT). `dollars_per_gpu_hour` prices the results.
    """

    accelerator: Accelerator
    gpus_per_node: Count = 8
    nvlink_gb_s: Positive
    nvlink_latency_us: NotNegative = 1.0
    nic_gb_s: Positive
    nic_latency_us: NotNegative = 3.0
    rails: Count = 8
    pod_nodes: Count = 1024
    oversubscription: Factor = 1.0
    gather_algorithm: Literal["ring", "tree"] = "ring"
    dollars_per_gpu_hour: NotNegative = 2.0


V100 = Accelerator(family="volta", peak_tflops=125.0, memory_gib=32.0, memory_gb_s=900.0, idle_w=40.0, max_w=300.0)
A100 = Accelerator(family="ampere", peak_tflops=312.0, memory_gib=80.0, memory_gb_s=2039.0, idle_w=60.0, max_w=400.0)
H100 = Accelerator(family="hopper", peak_tflops=989.0, memory_gib=80.0, memory_gb_s=3350.0, idle_w=75.0, max_w=700.0)
H200 = Accelerator(family="hopper", peak_tflops=989.0, memory_gib=141.0, memory_gb_s=4800.0, idle_w=75.0, max_w=700.0)

CLUSTERS: dict[str, Cluster] = {
    "v100": Cluster(accelerator=V100, nvlink_gb_s=150.0, nic_gb_s=12.5, rails=1),
    "a100": Cluster(accelerator=A100, nvlink_gb_s=300.0, nic_gb_s=25.0),
    "h100": Cluster(accelerator=H100, nvlink_gb_s=450.0, nic_gb_s=50.0),
    "h200": Cluster(accelerator=H200, nvlink_gb_s=450.0, nic_gb_s=50.0),
}
"""Typical nodes of eight; idle watts are the cards' usual idle readings, not datasheet values."""
