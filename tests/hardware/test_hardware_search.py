"""The training simulator in use: searching strategies, reading public figures, fitting to them."""

import json
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hardware_situations import CALIBRATION, GIB, MIXTURE, SMALL, found, seconds

from models.hardware import points
from models.hardware.calibration import Calibration, Kernels
from models.hardware.cluster import CLUSTERS, Accelerator
from models.hardware.columns import as_columns, columns, flatten
from models.hardware.fit import fit, interval, observed_seconds, predict
from models.hardware.search import problems, search, valid
from models.hardware.step import step
from models.hardware.strategy import Strategy, world
from models.hardware.workload import WORKLOADS

# ---- search ----


def test_the_search_ranks_what_fits_and_says_what_binds() -> None:
    workload, cluster = WORKLOADS["llama-2-70b"], CLUSTERS["h100"]
    answer = search(workload, cluster, CALIBRATION, gpus=256, batch_tokens=256 * 4096)
    assert len(answer.options) == 10
    assert answer.problem is None
    assert all(a.seconds <= b.seconds for a, b in pairwise(answer.options))
    options = found(workload, cluster, 256, 256)
    steps = step(workload, cluster, options, CALIBRATION)
    assert answer.options[0].seconds == np.min(steps.seconds[steps.fits])
    for option in answer.options:
        assert world(option.strategy) == 256
        assert option.memory_bytes <= 80 * GIB
        assert sum(option.shares.values()) == pytest.approx(1)
    slow = replace(cluster, nic_gb_s=0.5)
    bound = search(SMALL, slow, CALIBRATION, gpus=256, batch_tokens=256 * 2048).options[0].bound
    assert bound != "compute"
    dear = search(workload, replace(cluster, dollars_per_gpu_hour=4.0), CALIBRATION, gpus=256, batch_tokens=256 * 4096)
    cost = answer.options[0].dollars_per_billion_tokens
    assert dear.options[0].dollars_per_billion_tokens == pytest.approx(2 * cost)


def test_infeasible_requests_say_why_and_what_is_nearest() -> None:
    workload, cluster = WORKLOADS["llama-2-70b"], CLUSTERS["h100"]
    answer = search(workload, cluster, CALIBRATION, gpus=4, batch_tokens=2**22)
    assert answer.options == []
    assert answer.problem is not None
    assert "GiB on a GPU of 80 GiB" in answer.problem
    assert answer.nearest is not None
    enough = int(answer.nearest.split()[0])
    assert search(workload, cluster, CALIBRATION, gpus=enough, batch_tokens=2**22).options
    odd = search(SMALL, cluster, CALIBRATION, gpus=7, batch_tokens=3 * 2048)
    assert odd.problem == "a batch of 3 sequences does not divide over 7 data-parallel ranks in micro-batches of 1"
    assert odd.nearest == "8 GPUs"


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (Strategy(data=3, batch=4), "a batch of 4 sequences does not divide over 3"),
        (Strategy(data=1, batch=1, tensor=16), "8 key-value heads do not divide over tensor degree 16"),
        (Strategy(data=1, batch=1, tensor=16), "tensor degree 16 does not fit into nodes of 8"),
        (Strategy(data=9, batch=9), "9 GPUs are not whole nodes of 8"),
        (Strategy(data=1, batch=1, context=3), "2048 tokens does not divide over context degree 3"),
        (Strategy(data=1, batch=1, sequence_parallel=True), "needs a tensor degree above 1"),
        (Strategy(data=1, batch=16, pipeline=16), "8 layers are fewer than 16 stages"),
        (Strategy(data=1, batch=3, pipeline=2, interleave=2), "a multiple of 2 micro-batches, not 3"),
        (Strategy(data=8, batch=8, interleave=2), "more than one pipeline stage"),
        (Strategy(data=8, batch=8, replicas=3), "3 replicas do not divide 8"),
        (Strategy(data=8, batch=8, shard="ddp", replicas=2), "DDP has no replicas"),
        (Strategy(data=8, batch=8, expert=2), "expert degree 2 does not divide 1 experts"),
    ],
)
def test_each_constraint_in_words(strategy: Strategy, words: str) -> None:
    assert any(words in problem for problem in problems(SMALL, CLUSTERS["h100"], strategy))
    assert not valid(as_columns(SMALL), as_columns(CLUSTERS["h100"]), columns([strategy]))[0]


# ---- points and the fit ----

EXAMPLE = yaml.safe_load((points.__doc__ or "").split("An example:")[1])


def test_the_example_of_a_point_is_read() -> None:
    timed, collective = points.read_points(EXAMPLE)
    assert isinstance(timed, points.StepPoint)
    assert timed.workload == WORKLOADS["llama-2-7b"]
    assert timed.cluster == replace(CLUSTERS["a100"], rails=2)
    assert observed_seconds(timed) == pytest.approx(2 * 4096 / 4550)
    from_mfu = timed.model_copy(update={"tokens_per_second_per_gpu": None})
    assert observed_seconds(from_mfu) == pytest.approx(observed_seconds(timed), rel=0.01)
    assert isinstance(collective, points.CollectivePoint)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"evidence": "GUESS"}, "evidence"),
        ({"workload": {"preset": "llama-9"}}, "there is no workload 'llama-9'"),
        ({"cluster": {"preset": "a100", "nic_gbit": 200}}, "nic_gbit"),
        ({"tokens_per_second_per_gpu": None, "mfu": None}, "give step_seconds"),
        ({"tokens_per_second_per_gpu": -1.0}, "greater than 0"),
        ({"speed": 3.0}, "speed"),
    ],
)
def test_a_wrong_point_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match="point fms-fsdp-7b-a100") as raised:
        points.read_points([EXAMPLE[0] | change])
    assert words in str(raised.value)
    with pytest.raises(ValueError, match="two of this id"):
        points.read_points([EXAMPLE[0], EXAMPLE[0]])


def made_points(truth: Calibration) -> list[points.Point]:
    """Figures that the simulator itself gives under a calibration, with their sources."""
    rows = []
    for number, (name, cluster, strategy) in enumerate(
        [
            ("llama-2-7b", "a100", {"data": 128, "batch": 256, "micro_batch": 2}),
            ("llama-2-13b", "a100", {"data": 128, "batch": 256, "recomputation": "full"}),
            ("megatron-22b", "a100", {"data": 1, "batch": 4, "micro_batch": 4, "tensor": 8, "shard": "ddp"}),
            ("llama-3-8b", "h100", {"data": 8, "batch": 8}),
            ("llama-2-7b", "h100", {"data": 1024, "batch": 1024}),
            ("llama-2-70b", "h100", {"data": 64, "batch": 512, "tensor": 8, "recomputation": "full"}),
        ]
    ):
        head = {"id": f"step-{number}", "source": f"source-{number}", "locator": "made", "evidence": "R"}
        work = {"workload": {"preset": name}, "cluster": {"preset": cluster}, "strategy": strategy}
        rows.append({"kind": "step", **head, **work, "step_seconds": 1.0})
    for nodes in (2, 16, 128):
        for size in (2**24, 2**28, 2**32):
            head = {"id": f"all-reduce-{nodes}-{size}", "source": "nccl", "locator": "made", "evidence": "DIG"}
            kind = {"collective": "all_reduce", "nodes": nodes, "message_bytes": size, "cluster": {"preset": "h100"}}
            rows.append({"kind": "collective", **head, **kind, "bus_bandwidth_gb_s": 1.0})
    seen = predict(points.read_points(rows), truth)
    for row in rows:
        row["step_seconds" if row["kind"] == "step" else "bus_bandwidth_gb_s"] = float(np.exp(seen[str(row["id"])]))
    return points.read_points(rows)


def test_the_fit_finds_what_made_the_figures() -> None:
    """Predictions, not every parameter: what no figure speaks of stays at its prior, and shows in the draws."""
    truth = replace(
        CALIBRATION,
        ampere=Kernels(gemm_ceiling=0.7, gemm_scale=250.0, attention_ceiling=0.5),
        hopper=Kernels(gemm_ceiling=0.6, gemm_scale=200.0, attention_ceiling=0.3),
        nic_efficiency=0.7,
        tree_hop_us=25.0,
    )
    made = made_points(truth)
    before = predict(made, CALIBRATION)
    fitted = fit(made, draws=8, seed=3)
    after = predict(made, fitted.calibration)
    assert max(map(abs, after.values())) < 0.06 < max(map(abs, before.values()))
    assert fitted.log_ratios.keys() == after.keys()
    assert fitted.calibration.nic_efficiency == pytest.approx(0.7, rel=0.07)
    assert fitted.calibration.volta == CALIBRATION.volta
    assert fitted.calibration.reserved_gib == CALIBRATION.reserved_gib
    spread = [draw.volta.gemm_ceiling for draw in fitted.draws]
    assert len(set(spread)) > 4
    again = fit(made, draws=2, seed=3)
    assert again.calibration.digest() == fitted.calibration.digest()
    assert again.draws == fitted.draws[:2]
    values = np.array([seconds(SMALL, CLUSTERS["a100"], Strategy(data=64, batch=64), draw) for draw in fitted.draws])
    low, high = interval(values, fitted.scatter)
    assert low < seconds(SMALL, CLUSTERS["a100"], Strategy(data=64, batch=64), truth) < high


def test_draws_vary_as_sources_disagree() -> None:
    """Two sources that measured the same 25 % apart: a draw of one alone follows it, the estimate is between."""
    head = {"kind": "step", "locator": "made", "evidence": "R", "cluster": {"preset": "a100"}}
    work = {"workload": {"preset": "llama-2-7b"}, "strategy": {"data": 8, "batch": 64}}
    expected = seconds(WORKLOADS["llama-2-7b"], CLUSTERS["a100"], Strategy(data=8, batch=64))
    made = points.read_points(
        [
            head | work | {"id": name, "source": name, "step_seconds": expected * f}
            for name, f in (("a", 0.89), ("b", 1.11))
        ]
    )
    fitted = fit(made, draws=12)
    draws = [predict(made[:1], draw)["a"] for draw in fitted.draws]
    assert min(draws) < 0.05
    assert max(draws) > 0.17
    assert predict(made[:1], fitted.calibration)["a"] == pytest.approx(np.log(1 / 0.89), abs=0.03)
    assert fitted.scatter == pytest.approx(0.11, abs=0.02)


def test_a_calibration_survives_json() -> None:
    changed = replace(CALIBRATION, launch_us=4.5)
    values = json.loads(json.dumps(asdict(changed)))
    kernels = {name: Kernels(**values.pop(name)) for name in ("volta", "ampere", "hopper")}
    assert Calibration(**kernels, **values).digest() == changed.digest()
    assert flatten(changed)["hopper.gemm_ceiling"] == CALIBRATION.hopper.gemm_ceiling


def test_the_paper_s_results_are_nowhere_in_the_model() -> None:
    """A number printed from a constant would be no prediction."""
    text = "".join(path.read_text() for path in Path(points.__file__).parent.glob("*.py"))
    for number in ("37.2", "5.87", "59.67", "40.77", "658", "620", "52.6"):
        assert number not in text


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="must be below max_w"):
        Accelerator(family="hopper", peak_tflops=1.0, memory_gib=1.0, memory_gb_s=1.0, idle_w=9.0, max_w=8.0)
    with pytest.raises(ValueError, match="multiple of the 16 heads"):
        replace(SMALL, width=1025)
    with pytest.raises(ValueError, match="only 8 experts"):
        replace(MIXTURE, top_k=9)
