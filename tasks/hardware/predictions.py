"""Predict the paper's own runs (Fernandez et al. 2024) from the frozen calibration, once for each of its draws.

Llama-2 models, 4,096 tokens, bf16, FSDP, two sequences a GPU whatever their number (weak scaling), on nodes of eight.
None of the paper's results is an input.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, config
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.hardware.calibration import Row, load, logarithms

if TYPE_CHECKING:
    from models.hardware.calibration import Calibration
    from models.hardware.cluster import Cluster
    from models.hardware.step import Steps
    from models.hardware.strategy import Strategy
    from models.hardware.workload import Workload


@config
class Target:
    """The paper's range of GPUs; `low` to `high` is the one its abstract speaks of.

    `local_batch`: sequences a GPU. `generations_at`: GPUs at which A100 and H100 are compared; the sources at hand do
    not state the paper's number.
    """

    frozen: str
    gpus: tuple[Count, ...] = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
    low: Count = 128
    high: Count = 2048
    local_batch: Count = 2
    generations_at: Count = 256


@measures(
    tokens_per_second_per_gpu="simulated tokens a second on each GPU",
    mfu="simulated share of the dense peak, by the formula without recomputation",
    watts="simulated watts of one GPU",
    tokens_per_joule="simulated tokens a joule",
    spent_milliseconds="simulated milliseconds of a step that go into each part of it",
    throughput_change="relative change of tokens a second on each GPU from the low to the high number of GPUs",
    change_correlation="correlation over the draws of a parameter's logarithm with the 7B model's change of throughput",
    power_change="relative change of watts of one GPU from the low to the high number of GPUs",
    mfu_gap="MFU on A100 minus MFU on H100",
    marginal_tokens="tokens a second that each added GPU brings when their number doubles to this one",
    model_parallel_gain="best of tensor and pipeline parallelism of 2 and 4 over FSDP alone, minus 1",
)
def predict(*, calibration: Path, config: Target, out: Path) -> None:
    """Write metrics.json: a row for each arm, number of GPUs and draw; `spent_milliseconds` for the best fit alone."""
    import numpy as np

    fitted, draws, _ = load(calibration, config.frozen)
    rows: list[Row] = []
    for number, draw in enumerate(draws):
        rows += [{"draw": number, **_rounded(row)} for row in _of_draw(draw, config)]
    falls = np.array([row["throughput_change"] for row in rows if row["arm"] == "7b" and "throughput_change" in row])
    rows += [
        {"arm": name, "change_correlation": float(np.corrcoef(column, falls)[0, 1])}
        for name, column in logarithms(draws).items()
    ]
    made = _weak_scaling(llama("7b"), "h100", fitted, config)
    for part, seconds in made.spent.items():
        rows += [
            {"arm": part, "gpus": str(gpus), "spent_milliseconds": 1000 * float(value)}
            for gpus, value in zip(config.gpus, seconds, strict=True)
        ]
    write_json(out / "metrics.json", rows)
    spool.note("Every figure here is simulated, none is measured.")


def _rounded(row: Row) -> Row:
    """To six digits: there are thousands of draws, each is published, and no simulation is as exact as that."""
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in row.items()}


def llama(size: str, sequence: int = 4096) -> "Workload":
    """Llama-2 of a size, with sequences of another length."""
    from models.hardware.workload import WORKLOADS

    return replace(WORKLOADS[f"llama-2-{size}"], sequence=sequence)


def _of_draw(draw: "Calibration", config: Target) -> list[Row]:
    rows: list[Row] = []
    arms = {
        "7b": (llama("7b"), config),
        "13b": (llama("13b"), config),
        "7b-long": (llama("7b", 8192), config),
        "7b-batch-4": (llama("7b"), replace(config, local_batch=2 * config.local_batch)),
    }
    for arm, (workload, target) in arms.items():
        made = _weak_scaling(workload, "h100", draw, target)
        rows += _changes(arm, made, config)
        if arm == "7b":
            rows += _curve(arm, made, config)
    slow = _weak_scaling(llama("7b"), "h100", draw, config, nic_gb_s=5.0)
    rows += _curve("7b-slow-network", slow, config)
    rows += _changes("7b-tree", _weak_scaling(llama("7b"), "h100", draw, config, gather_algorithm="tree"), config)
    a100 = _weak_scaling(llama("7b"), "a100", draw, config)
    rows += _curve("7b-a100", a100, config)
    at = config.gpus.index(config.generations_at)
    h100 = _weak_scaling(llama("7b"), "h100", draw, config)
    rows.append({"arm": "7b", "mfu_gap": float(a100.mfu[at] - h100.mfu[at])})
    return rows + _model_parallel(draw, config, h100)


def _weak_scaling(
    workload: "Workload", cluster: str, calibration: "Calibration", config: Target, **changes: Any
) -> "Steps":
    """Steps of FSDP with a fixed number of sequences a GPU, one for each number of GPUs."""
    from models.hardware.step import step

    strategies = [_fsdp(gpus, config.local_batch) for gpus in config.gpus]
    return step(workload, _cluster(cluster, **changes), strategies, calibration)


def _cluster(name: str, **changes: Any) -> "Cluster":
    from models.hardware.cluster import CLUSTERS

    return replace(CLUSTERS[name], **changes)


def _fsdp(gpus: int, local_batch: int, tensor: int = 1, pipeline: int = 1) -> "Strategy":
    """FSDP with the same batch of the step, whatever is split by tensors or stages."""
    from models.hardware.strategy import Strategy

    # A pipeline is fed by as many micro-batches as there are sequences.
    micro_batch = 1 if pipeline > 1 else local_batch * tensor
    return Strategy(
        data=gpus // (tensor * pipeline),
        batch=gpus * local_batch,
        micro_batch=micro_batch,
        tensor=tensor,
        sequence_parallel=tensor > 1,
        pipeline=pipeline,
        reduce_each_micro_batch=False,
    )


def _curve(arm: str, made: "Steps", config: Target) -> list[Row]:
    rows: list[Row] = []
    for index, gpus in enumerate(config.gpus):
        row: Row = {"arm": arm, "gpus": str(gpus)}
        for quantity in ("tokens_per_second_per_gpu", "mfu", "watts", "tokens_per_joule"):
            row[quantity] = float(getattr(made, quantity)[index])
        if index:
            before = config.gpus[index - 1]
            added = float(made.tokens_per_second[index] - made.tokens_per_second[index - 1])
            row["marginal_tokens"] = added / (gpus - before)
        rows.append(row)
    return rows


def _changes(arm: str, made: "Steps", config: Target) -> list[Row]:
    low, high = config.gpus.index(config.low), config.gpus.index(config.high)
    speed, power = made.tokens_per_second_per_gpu, made.watts
    return [
        {
            "arm": arm,
            "throughput_change": float(speed[high] / speed[low] - 1),
            "power_change": float(power[high] / power[low] - 1),
        }
    ]


def _model_parallel(draw: "Calibration", config: Target, alone: "Steps") -> list[Row]:
    """Tensor or pipeline parallelism of 2 and 4 within FSDP against FSDP alone, for each number of GPUs."""
    from models.hardware.step import step

    ways = [{"tensor": 2}, {"tensor": 4}, {"pipeline": 2}, {"pipeline": 4}]
    strategies = [_fsdp(gpus, config.local_batch, **way) for gpus in config.gpus for way in ways]
    speed = step(llama("7b"), _cluster("h100"), strategies, draw).tokens_per_second_per_gpu
    best = speed.reshape(len(config.gpus), len(ways)).max(1)
    gains = best / alone.tokens_per_second_per_gpu - 1
    return [
        {"arm": "7b", "gpus": str(gpus), "model_parallel_gain": float(gain)}
        for gpus, gain in zip(config.gpus, gains, strict=True)
    ]
