"""The hardware paper's stages: what is fitted is never tested, and what is tested was frozen before."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, read_json

from flows.hardware_scaling import stages
from models.hardware.calibration import Calibration
from models.hardware.points import read_points
from tasks.base.errors import UserError
from tasks.hardware import calibration as hardware
from tasks.hardware.predictions import Target, predict
from tools.advise import adviser as advise

FIGURES = ROOT / "data/hardware"
FEW = ("NVIDIA/nccl", "NVIDIA/dgxc-benchmarking")
PAPERS_OWN = ("37.22", "0.3722", "5.87", "0.0587", "59.67", "40.77", "658", "620.0")


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibration on few figures, with few draws."""
    out = tmp_path_factory.mktemp("calibration")
    hardware.calibrate(figures=FIGURES, config=hardware.Fit(sources=FEW, draws=2), out=out)
    return out


def digest(folder: Path) -> str:
    found: str = read_json(folder / "calibration.json")["digest"]
    return found


def test_no_source_is_both_fitted_and_tested() -> None:
    points = read_points(yaml.load((FIGURES / "figures.yaml").read_text(), Loader=yaml.CSafeLoader))
    fitted, tested = set(stages.CALIBRATION), set(stages.HELD_OUT)
    assert not fitted & tested
    assert fitted | tested == {point.source for point in points}, "a source that is in neither set tells nothing"
    unseen = [point.id for point in points if point.source in tested]
    assert set(stages.EIGHT) <= set(unseen)
    assert len(unseen) - len(stages.EIGHT) >= 12


def test_the_papers_own_results_are_no_input() -> None:
    """They may stand in claims, for comparison, and nowhere in what computes."""
    for path in [*(ROOT / "models/hardware").glob("*.py"), *(ROOT / "tasks/hardware").glob("*.py")]:
        text = path.read_text()
        assert not [number for number in PAPERS_OWN if re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", text)], path
    assert "2411.13055" not in {
        str(row.get("source")) for row in yaml.safe_load((FIGURES / "figures.yaml").read_text())
    }


def test_only_the_frozen_calibration_is_tested(calibration: Path, tmp_path: Path) -> None:
    frozen = hardware.HeldOut(sources=stages.HELD_OUT, frozen="0" * 64, eight=stages.EIGHT)
    with pytest.raises(UserError, match=r"log it in flows/hardware_scaling/stages\.py"):
        hardware.validate(figures=FIGURES, calibration=calibration, config=frozen, out=tmp_path)
    hardware.validate(
        figures=FIGURES, calibration=calibration, config=replace(frozen, frozen=digest(calibration)), out=tmp_path
    )
    rows = read_json(tmp_path / "metrics.json")
    eight = [row for row in rows if row.get("point") in stages.EIGHT]
    (summary,) = [row for row in rows if row["arm"] == "eight"]
    assert len(eight) == summary["figures"] == 8
    assert summary["mean_error"] == pytest.approx(sum(row["error"] for row in eight) / 8)
    assert summary["worst_error"] == max(row["error"] for row in eight)
    for row in eight:
        assert row["error"] == pytest.approx(abs(row["predicted_seconds"] / row["observed_seconds"] - 1))


def test_the_fit_sees_only_its_sources(calibration: Path, tmp_path: Path) -> None:
    """With every held-out figure doubled, the same calibration comes out."""
    rows = yaml.load((FIGURES / "figures.yaml").read_text(), Loader=yaml.CSafeLoader)
    for row in rows:
        if row["source"] not in FEW:
            for name in ("step_seconds", "tokens_per_second_per_gpu", "mfu", "bus_bandwidth_gb_s"):
                if name in row:
                    row[name] = 2 * row[name]
    (tmp_path / "figures.yaml").write_text(json.dumps(rows))
    out = tmp_path / "out"
    out.mkdir()
    hardware.calibrate(figures=tmp_path, config=hardware.Fit(sources=FEW, draws=2), out=out)
    assert digest(out) == digest(calibration)


def test_the_paper_is_predicted_from_every_draw(calibration: Path, tmp_path: Path) -> None:
    predict(calibration=calibration, config=Target(frozen=digest(calibration)), out=tmp_path)
    rows = read_json(tmp_path / "metrics.json")
    changes = {(row["arm"], row["draw"]): row["throughput_change"] for row in rows if "throughput_change" in row}
    assert {draw for _, draw in changes} == {0, 1}
    speeds = {
        (row["arm"], row["draw"]): row["tokens_per_second_per_gpu"]
        for row in rows
        if row.get("gpus") == "2048" and "tokens_per_second_per_gpu" in row
    }
    for draw in (0, 1):
        assert changes["7b", draw] <= changes["7b-tree", draw]
        assert speeds["7b-slow-network", draw] < speeds["7b", draw]
    largest = [row for row in rows if row.get("gpus") == "2048"]
    spent = sum(row["spent_milliseconds"] for row in largest if "spent_milliseconds" in row) / 1000
    speed = next(row["tokens_per_second_per_gpu"] for row in largest if "tokens_per_second_per_gpu" in row)
    assert spent == pytest.approx(2 * 4096 / speed, rel=0.5), "of the best fit, which is near its draws"


# Advice

K = Calibration()


def test_advice_names_the_constraint_and_the_nearest_setting() -> None:
    workload, cluster = advise.read_workload("llama-2-70b"), advise.read_cluster("h100")
    with pytest.raises(UserError, match=r"memory: the leanest of .* The nearest that is possible: \d+ GPUs"):
        advise.ask(workload, cluster, K, 2, 4_000_000)
    best = advise.ask(workload, cluster, K, 64, 4_000_000).options
    assert best == sorted(best, key=lambda option: option.seconds)
    assert len(best) == 10


def test_a_sweep_finds_a_knee_where_the_batch_is_fixed() -> None:
    workload, cluster = advise.read_workload("llama-2-7b"), advise.read_cluster("h100")
    curve = advise.sweep(workload, cluster, K, advise.span("gpus=8..512"), 1_000_000)
    assert [one.gpus for one in curve] == [8, 16, 32, 64, 128, 256][: len(curve)] or curve[-1].gpus == 512
    assert advise.knee(curve) is not None
    assert all(one.marginal is None or one.marginal < 1.01 for one in curve)


def test_a_users_own_cluster_and_its_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("preset: h100\nnic_gb_s: 25.0\naccelerator: {max_w: 500.0}\n")
    mine = advise.read_cluster(str(path))
    assert (mine.nic_gb_s, mine.accelerator.max_w, mine.accelerator.peak_tflops) == (25.0, 500.0, 989.0)
    for text, said in (
        ("preset: h1000\n", "there is no preset h1000; there are v100, a100"),
        ("preset: h100\nnic_gbps: 25\n", "nic_gbps"),
        ("preset: h100\nnic_gb_s: -1.0\n", "greater than 0"),
        ("preset: h100\nnic_gb_s: fast\n", "valid number"),
        ("- 1\n", "lines of the form field: value"),
        ("preset: h100\nnic_gb_s: .nan\n", "nic_gb_s"),
        ("preset: h100\nnic_gb_s: 2026-11-24\n", "valid number"),
        ("preset: !!python/object/apply:os.getcwd []\n", "is not YAML"),
        ("a: [\n", "is not YAML"),
    ):
        path.write_text(text)
        with pytest.raises(UserError) as caught:
            advise.read_cluster(str(path))
        assert said in str(caught.value)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not YAML"):
        advise.read_cluster(str(path))
    with pytest.raises(UserError, match="There is no cluster"):
        advise.read_cluster(str(tmp_path))
    with pytest.raises(UserError, match="neither a file nor one of llama-2-13b"):
        advise.read_workload("llama-2-7t")


@pytest.mark.parametrize(("text", "value"), [("4M", 4_000_000), ("512k", 512_000), ("1.5m", 1_500_000), ("7", 7)])
def test_numbers_of_tokens(text: str, value: int) -> None:
    assert advise.tokens(text) == value


@pytest.mark.parametrize("text", ["", "M", "-4M", "4X", "nan", "inf"])
def test_wrong_numbers_of_tokens(text: str) -> None:
    with pytest.raises(UserError, match="not a number of tokens"):
        advise.tokens(text)


def test_the_curves_are_one_file(tmp_path: Path) -> None:
    workload, cluster = advise.read_workload("llama-2-7b"), advise.read_cluster("a100")
    advise.draw(advise.sweep(workload, cluster, K, [8, 16], 1_000_000), "7B", tmp_path / "scaling.html")
    text = (tmp_path / "scaling.html").read_text()
    assert "7B (simulated)" in text
    assert 'src="http' not in text
