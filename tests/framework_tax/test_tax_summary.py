"""What the timings say together, on made records in which everything is known."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, read_json

from tasks.framework_tax.curves import Curves, fit_curves
from tasks.framework_tax.points import SMALL
from tasks.framework_tax.summary import Summary, summarise
from tests.framework_tax.made_records import point, record

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
FASTER = (("torchscript", 1.5), ("onnxruntime", 1.0))


def written(folder: Path, found: Mapping[str, Any]) -> Path:
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(found))
    return folder


def zoo() -> dict[str, Any]:
    """Eager 1 + 0.1 b milliseconds, TorchScript 0.6 + 0.1 b, ONNX Runtime 0.2 + 0.1 b."""
    fixed = {"eager": 1.0, "torchscript": 0.6, "onnxruntime": 0.2}
    return record(*(point(arm, b, t + 0.1 * b) for arm, t in fixed.items() for b in BATCHES))


def probes() -> dict[str, Any]:
    """Width 64 takes 1.3 times as long as 16; a planted millisecond is all in the fixed part."""
    made = [point(arm, 1, ms, "encoder-16-4") for arm, ms in (("eager", 1.0), ("onnxruntime", 0.2))]
    made += [
        point(arm, b, t + 0.1 * b, "encoder-64-4")
        for arm, t in (("eager", 1.3), ("eager, hooked", 1.4), ("eager, delayed", 2.4))
        for b in SMALL
    ]
    made += [point("eager, again", b, 1.3 + 0.1 * b, "encoder-64-4") for b in SMALL]
    made += [point(arm, 1, 0.5, "encoder-64-4") for arm in ("onnxruntime", "onnxruntime, again")]
    made += [point("eager", 1, ms, name) for name, ms in (("ffn-64-16", 3.0), ("ffn-256-1", 1.0))]
    made += [
        point(arm, b, 1 + b / threads, "conv-64-4")
        for threads, arm in ((1, "eager"), (2, "eager, two threads"))
        for b in (1, 32, 64)
    ]
    made += [
        point(arm, b, fixed + each * b, "encoder-256-4")
        for arm, fixed, each in (("eager", 1.0, 1.0), ("eager, int8", 2.0, 0.5), ("eager, bfloat16", 0.5, 2.0))
        for b in SMALL
    ]
    made += [point("eager, Intel's kernels", 1, 1.0, "encoder-256-4")]
    made += [point(arm, 1, ms, "encoder-64-4-256") for arm, ms in (("eager", 5.0), ("onnxruntime", 4.0))]
    return record(*made)


def summed(
    folder: Path,
    measured: Mapping[str, Any],
    probed: Mapping[str, Any],
    more: Mapping[str, int] | None = None,
    second: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    counted, taxed, out = folder / "counted", folder / "taxed", folder / "out"
    for one in (counted, taxed, out):
        one.mkdir(parents=True)
    flops = {"net": 1_000_000, "encoder-16-4": 1_000, "encoder-64-4": 16_000, **(more or {})}
    (counted / "flops.json").write_text(json.dumps(flops))
    taxes = [
        {"network": "net", "method": "profile", "batch": str(b), "block": 0, "tax": 1 / (1 + 0.1 * b)} for b in BATCHES
    ]
    untimed = ("in_kernels", "tax_apart")  # as a stage writes what it declares and did not time
    taxes += [{quantity: 0.0, "unavailable": f"{quantity}: not timed in this run"} for quantity in untimed]
    (taxed / "metrics.json").write_text(json.dumps(taxes))
    summarise(
        measured={name: written(folder / name, each) for name, each in (("zoo", measured), ("second", second)) if each},
        probed={"few": written(folder / "probes", probed)},
        taxed={"net": taxed},
        counted=counted,
        config=Summary(),
        out=out,
    )
    found: list[dict[str, Any]] = read_json(out / "metrics.json")
    return found


def values(rows: list[dict[str, Any]], quantity: str, **labels: Any) -> list[float]:
    """Those on which a verdict may rest."""
    judged = (row for row in rows if quantity in row and "unavailable" not in row)
    return [row[quantity] for row in judged if all(row.get(k) == v for k, v in labels.items())]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return summed(tmp_path_factory.mktemp("summary"), zoo(), probes())


def test_speed_ups_are_those_put_in_and_fall_with_the_batch(rows: list[dict[str, Any]]) -> None:
    (first,) = values(rows, "speedup", runtime="onnxruntime", batch="1")
    (last,) = values(rows, "speedup", runtime="onnxruntime", batch="128")
    assert first == pytest.approx(1.1 / 0.3, rel=0.02)
    assert last == pytest.approx(13.8 / 13.0, rel=0.02)
    (change,) = values(rows, "gap_change", runtime="onnxruntime")
    assert change == pytest.approx(math.log(1.1 / 0.3) - math.log(13.8 / 13.0), abs=0.02)
    (rank,) = values(rows, "gap_rank", runtime="onnxruntime")
    assert rank < -0.9
    (step,) = values(rows, "log_step", pair="torchscript over onnxruntime")
    assert step == pytest.approx(math.log(0.7 / 0.3), abs=0.02)


def test_speed_ups_by_tokens_are_those_put_in(rows: list[dict[str, Any]]) -> None:
    """The default length has no number in the network's name, and must be one of the lengths all the same."""
    found = {t: values(rows, "length_speedup", tokens=t, runtime="onnxruntime") for t in (16, 256)}
    assert [len(each) for each in found.values()] == [20, 20]
    assert found[16] == pytest.approx([1.4 / 0.5] * 20, rel=0.05)
    assert found[256] == pytest.approx([5.0 / 4.0] * 20, rel=0.05)


def test_an_order_is_there_and_is_gone_when_labels_are_drawn_anew(tmp_path: Path) -> None:
    """A summary that sorted its values, or looked at names alone, would find it in both."""
    several = [point(arm, 1, ms, f"net-{n}") for n in range(8) for arm, ms in (("eager", 2.0), *FASTER)]
    found = summed(tmp_path, record(*several), probes())
    assert values(found, "in_order", labels="as measured") == [1.0]
    (alarms,) = values(found, "false_alarms", labels="drawn anew")
    assert alarms < 0.1
    assert len(values(found, "log_step", pair="eager over torchscript")) == 8


def test_networks_that_a_runtime_misses_are_named_and_the_others_are_compared(tmp_path: Path) -> None:
    """One network that does not compile would else leave no verdict on any."""
    arms = (("eager", 2.0), *FASTER, ("compile", 1.5))
    several = [point(arm, 1, ms, f"net-{n}") for n in range(8) for arm, ms in arms]
    several[-1]["failed"] = "it was not compiled within 900 s"
    found = summed(tmp_path, record(*several), probes())
    assert len(values(found, "log_lead", lead="compile over onnxruntime")) == 7
    assert values(found, "left_out", compared="compile over onnxruntime", missing="net-7") == [1]
    assert values(found, "left_out", compared="eager over torchscript", missing="none") == [0]


def test_operations_at_one_rate_miss_latency_where_a_fixed_part_rules(tmp_path: Path) -> None:
    """Latency of 1 ms + one per million operations: at batch 1 it tells nothing of them, at batch 128 all."""
    flops = {f"net-{n}": 1000 * 4**n for n in range(8)}
    several = [point("eager", b, 1 + flops[name] * b / 1e6, name) for name in flops for b in (1, 128)]
    found = summed(tmp_path, record(*several), probes(), flops)
    assert sum(values(found, "flops_miss_change", runtime="eager")) / 8 > 0.1
    assert values(found, "flops_rank", runtime="eager", batch="128")[0] > 0.9


def test_regimes_come_from_the_profile_and_slopes_from_the_clock(rows: list[dict[str, Any]]) -> None:
    (below,) = values(rows, "elasticity", regime="framework-bound")
    (above,) = values(rows, "elasticity", regime="bound by kernels")
    assert below < 0.4
    assert above > 0.8


def test_a_planted_delay_is_the_frameworks_and_no_kernels(rows: list[dict[str, Any]]) -> None:
    assert len(values(rows, "attributed", planted="large")) == 20
    assert all(0.8 < one < 1.2 for one in values(rows, "attributed"))
    assert all(abs(one) < 0.3 for one in values(rows, "kernel_change"))
    assert values(rows, "hooks_ms") == pytest.approx([0.1] * 20, abs=0.1)
    assert all(abs(one) < 0.02 for one in values(rows, "again_ratio"))
    for what in ("encoder-64-4, batch 1", "encoder-64-4 on onnxruntime, batch 1"):
        assert len(values(rows, "again_ratio", again=what)) == 20


def test_a_knee_is_where_both_parts_take_as_long(rows: list[dict[str, Any]]) -> None:
    for runtime, knee in (("eager", 10), ("torchscript", 6), ("onnxruntime", 2)):
        assert values(rows, "knee", network="net", runtime=runtime) == pytest.approx([knee], rel=0.1)


def test_a_fit_that_misses_the_latencies_says_nothing(tmp_path: Path) -> None:
    """Two programs, for batch 1 and for more, would else be given one fixed part."""
    spoilt = probes()
    for one in spoilt["points"]:
        if one["arm"] == "eager, hooked" and one["batch"] == 4:
            one["cpu"] = [3 * seconds for seconds in one["cpu"]]
    assert not values(summed(tmp_path, zoo(), spoilt), "attributed")


def test_widths_and_depths_are_compared_block_by_block(rows: list[dict[str, Any]]) -> None:
    cost = values(rows, "width_cost", widened="16 to 64", runtime="eager")
    assert len(cost) == 20
    assert cost == pytest.approx([0.4] * 20, abs=0.05)
    assert values(rows, "width_elasticity", runtime="eager") == pytest.approx([math.log(1.4, 16)] * 20, abs=0.02)
    assert values(rows, "deep_ratio", runtime="eager") == pytest.approx([3.0] * 20, rel=0.04)


def test_two_threads_leave_a_larger_share_to_the_host(rows: list[dict[str, Any]]) -> None:
    one, two = (values(rows, "thread_tax", threads=t) for t in (1, 2))
    assert sum(one) / 20 == pytest.approx(0.5, abs=0.05)
    assert sum(two) / 20 == pytest.approx(2 / 3, abs=0.05)


def test_fewer_bits_move_the_knee_by_more_than_what_they_cost(rows: list[dict[str, Any]]) -> None:
    """A fixed part that grew alone would move it, too: what another example takes is told beside."""
    for precision, share, each in (("int8", 0.8 - 0.5, -0.5), ("bfloat16", 0.2 - 0.5, 1.0)):
        assert values(rows, "fixed_share_change", precision=precision) == pytest.approx([share] * 20, abs=0.05)
        assert values(rows, "each_change_ms", precision=precision) == pytest.approx([each] * 20, abs=0.05)


def test_a_curve_without_a_fixed_part_has_a_finite_change(tmp_path: Path) -> None:
    """The knee of such a curve is 0 and its logarithm infinite, of which the stage's file could hold nothing."""
    spoilt = probes()
    for one in spoilt["points"]:
        if one["arm"] == "eager, int8":
            one["wall"] = [1e-3 * one["batch"] ** 1.03 * (1 + 1e-4 * block) for block in range(20)]
            one["cpu"] = one["wall"]
    changes = values(summed(tmp_path, zoo(), spoilt), "fixed_share_change", precision="int8")
    assert changes == pytest.approx([-0.5] * 20, abs=0.05)


def test_the_makers_kernels_are_set_against_those_that_are_taken(rows: list[dict[str, Any]]) -> None:
    assert values(rows, "intel_ratio") == pytest.approx([0.5] * 20, abs=0.02)


def test_a_network_whose_record_is_not_sound_is_left_out_and_named(tmp_path: Path) -> None:
    """Else one would leave no verdict on any, or be compared all the same."""
    good, spoilt = (record(*(point(arm, 1, ms, name) for arm, ms in (("eager", 2.0), *FASTER))) for name in "ab")
    spoilt["points"][0]["facts"]["threads"] = 2
    found = summed(tmp_path, good, probes(), second=spoilt)
    assert len(values(found, "log_step", pair="eager over torchscript")) == 1
    assert not any(row.get("network") == "b" for row in found)
    assert values(found, "left_out", compared="eager over torchscript", missing="b") == [1]


def test_where_no_record_is_sound_all_that_rests_on_them_is_withheld(tmp_path: Path) -> None:
    spoilt = zoo()
    spoilt["points"][0]["facts"]["threads"] = 2
    found = summed(tmp_path, spoilt, probes())
    assert all("unavailable" in row for row in found if "log_step" in row or "gap_change" in row or "in_order" in row)
    assert not any("unavailable" in row for row in found if row.get("deep_ratio"))


def test_the_stage_measures_all_that_it_declares(rows: list[dict[str, Any]]) -> None:
    """The engine takes no stage that leaves out a quantity: one that a profile does not time says so instead."""
    for quantity in summarise.measures:  # type: ignore[attr-defined]
        found = [row for row in rows if quantity in row]
        assert found, quantity
        assert all(isinstance(row[quantity], int | float) and math.isfinite(row[quantity]) for row in found), quantity
    assert all("unavailable" in row for row in rows if "large_speedup" in row)


def test_void_points_are_counted_and_compared_with_nothing(tmp_path: Path) -> None:
    spoilt = zoo()
    for one in spoilt["points"]:
        if one["arm"] == "onnxruntime" and one["batch"] == 1:
            one["error"] = 0.2
    found = summed(tmp_path, spoilt, probes())
    assert values(found, "void_points") == [1]
    assert not values(found, "speedup", runtime="onnxruntime", batch="1")
    assert not values(found, "in_order")


def test_published_curves_are_fitted_to_the_sheets_figures(tmp_path: Path) -> None:
    """The sheet's reading: eager is flat to 8 and 16 on ResNet-50, to 4 on BERT; the tax falls from 82 to 2 %."""
    fit_curves(curves=ROOT / "data/framework_tax", config=Curves(), out=tmp_path)
    found = read_json(tmp_path / "metrics.json")
    flat = {row["curve"]: row["flat_to"] for row in found if "flat_to" in row}
    assert (flat["ResNet-50 fp32, PyTorch"], flat["ResNet-50 fp16, PyTorch"], flat["BERT fp32, PyTorch"]) == (8, 16, 4)
    tax = {row["batch"]: row["published_tax"] for row in found if "published_tax" in row}
    assert (round(tax["1"], 2), round(tax["16"], 2), round(tax["64"], 2)) == (0.82, 0.25, 0.02)
    (speedup,) = values(found, "published_speedup", sped_up="ResNet-50 fp32, ONNX Runtime", batch="1")
    assert speedup == pytest.approx(3.3, abs=0.01)
    assert all(ratio > 2 for ratio in values(found, "knee_ratio"))
    assert all(growth >= 0 for growth in values(found, "tax_growth"))
    assert len(values(found, "tax_growth")) < len(values(found, "fit_error")), "curves without a flat part tell none"
    foretold = {row["batch"]: row["foretold_ms"] for row in found if "foretold_ms" in row}
    assert foretold == pytest.approx({"8": 15.33, "16": 15.33, "32": 18.1, "64": 32.6}, abs=0.01)
