"""What is chosen and let through on validation images, and what is compared of arms and twins."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from conftest import read_json
from made_world import World, examples, made

from models.transfusion.settings import Sampling
from tasks.running.run import check_metrics
from tasks.transfusion.arms import ARMS, CODES, LATENTS, LINEAR, REHEARSED, TEXT, UNET
from tasks.transfusion.choosing import fewest_steps
from tasks.transfusion.contrasts import PAIRS, Contrasting, contrast
from tasks.transfusion.gate import Gate, judge_rehearsals, let_through
from tasks.transfusion.parity import HALF, SAME, Parity, Point, compare_twins, parity
from tasks.transfusion.passed import CAPTIONS, IMAGES, Passed, read_passed, write_passed
from tasks.transfusion.passed import TEXT as WRITING
from tasks.transfusion.rates import at_chosen_rates, best_of


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made(tmp_path_factory)


def test_every_family_has_the_rate_that_was_best_for_it_on_what_is_held_out(world: World) -> None:
    """One rate for all, or that with the least training loss, would let an arm win by its rate."""
    found = read_json(world.rates / "rates.json")
    assert set(found["chosen"]) == set(REHEARSED)
    assert {(row["arm"], row["rate"]) for row in found["tried"]} == {
        (arm, r) for arm in REHEARSED for r in (0.001, 0.01)
    }
    for arm, rate in found["chosen"].items():
        assert rate == min((row for row in found["tried"] if row["arm"] == arm), key=lambda row: row["loss"])["rate"]
    for arm, folder in at_chosen_rates(world.rehearsed, world.rates).items():
        assert folder == world.rehearsed[f"{arm}-{found['chosen'][arm]}"]
    losses = {row["arm"]: row for row in found["tried"]}
    assert losses[LINEAR]["loss"] == pytest.approx(losses[LINEAR]["text"] + 5 * losses[LINEAR]["image"])
    assert losses[TEXT]["image"] == losses[CODES]["image"] == 0.0


def test_of_equal_rates_the_smaller_one_is_taken() -> None:
    tried = [{"rate": 0.003, "loss": 1.0}, {"rate": 0.001, "loss": 1.0}, {"rate": 0.002, "loss": 1.5}]
    assert best_of(tried)["rate"] == 0.001


def test_more_steps_must_be_worth_their_while() -> None:
    def at(**distances: float) -> int:
        return fewest_steps({Sampling(steps=int(name[1:])): value for name, value in distances.items()}, 0.1).steps

    assert at(s25=100.0, s50=95.0, s100=91.0) == 25
    assert at(s25=100.0, s50=85.0, s100=80.0) == 50
    assert at(s25=100.0, s50=95.0, s100=80.0) == 100
    same = {Sampling(guidance=1.0): 100.0, Sampling(guidance=2.0): 99.0}
    assert fewest_steps(same, 0.1).guidance == 2.0


def test_each_side_is_sampled_as_was_best_on_validation_images(world: World) -> None:
    """Settings that are bad for codes would make a straw man of them; arms that read pixels are sampled alike."""
    found = read_json(world.chosen / "sampling.json")
    tried = {arm: [row for row in found["tried"] if row["arm"] == arm] for arm in (LINEAR, UNET, LATENTS, CODES)}
    assert {arm: len(rows) for arm, rows in tried.items()} == {LINEAR: 5, UNET: 5, LATENTS: 5, CODES: 4}
    assert [row["steps"] for row in tried[LATENTS]] == [2, 2, 2, 2, 3]
    both = [math.log(one["fd"]) + math.log(other["fd"]) for one, other in zip(tried[LINEAR], tried[UNET], strict=True)]
    for reads, logs, rows in (
        ("pixels", both, tried[LINEAR]),
        ("latents", [math.log(row["fd"]) for row in tried[LATENTS]], tried[LATENTS]),
        ("codes", [math.log(row["fd"]) for row in tried[CODES]], tried[CODES]),
    ):
        best = min(range(4), key=logs.__getitem__)
        settings = {name: value for name, value in rows[best].items() if name not in ("arm", "fd", "steps")}
        assert settings.items() <= found["chosen"][reads].items()


def reached(**given: Any) -> dict[str, dict[str, Any]]:
    """What the rehearsed models of each family reached; all is well but for what is given."""
    found: dict[str, dict[str, Any]] = {
        family: {"fd": 20.0, "alignment": 0.9, "caption_right": 0.9} for family in (LINEAR, UNET, LATENTS, CODES)
    }
    found[CODES]["fd"] = 40.0
    for family, row in given.items():
        found[{"linear": LINEAR, "unet": UNET, "latents": LATENTS, "codes": CODES}[family]] |= row
    return found


def autoencoders(codebook: float = 1.5, used: int = 200) -> dict[str, dict[str, Any]]:
    return {
        "continuous, reconstructed": {"fd": 0.5},
        "codebook, reconstructed": {"fd": codebook, "perplexity": used, "codes": 256},
    }


def test_the_gate_withholds_by_family_and_quantity() -> None:
    """A model that draws noise must not lose a comparison, nor may its captions take others' claims with them."""
    passed = let_through(reached(), autoencoders(), {LINEAR: 0.001}, Gate())
    assert passed == Passed({LINEAR: 0.001}, {family: {} for family in (LINEAR, UNET, LATENTS, CODES)}, {})
    deaf = let_through(reached(unet={"alignment": 0.11}), autoencoders(), {}, Gate())
    assert {family: set(about) for family, about in deaf.withheld.items() if about} == {UNET: {IMAGES}}
    assert "U-Net draws what is asked in 11%" in deaf.withheld[UNET][IMAGES]
    assert not deaf.twins
    mute = let_through(reached(linear={"caption_right": 0.13}), autoencoders(), {}, Gate())
    assert {family: set(about) for family, about in mute.withheld.items() if about} == {LINEAR: {CAPTIONS}}
    assert mute.because(LINEAR, CAPTIONS)["unavailable"] == mute.withheld[LINEAR][CAPTIONS]
    assert mute.because(LINEAR, IMAGES) == mute.because(TEXT, IMAGES) == {}
    assert not mute.stop
    assert (
        "nothing more is trained" in let_through(reached(linear={"alignment": 0.15}), autoencoders(), {}, Gate()).stop
    )


@pytest.mark.parametrize(
    ("found", "known", "withheld", "said"),
    [
        ({}, autoencoders(), set(), ""),
        ({}, autoencoders(codebook=3.0), {IMAGES}, "differ by 2.50, more than 10% of the 20.00"),
        ({}, autoencoders(used=30), {IMAGES, CAPTIONS, WRITING}, "Only 12% of the codebook"),
        ({"latents": {"alignment": 0.4}}, autoencoders(), {IMAGES}, "latents draws what is asked in 40%"),
        ({"codes": {"caption_right": 0.2}}, autoencoders(), {CAPTIONS}, "codes captions 20%"),
    ],
)
def test_a_rival_that_is_none_is_told_by_quantity(
    found: dict[str, Any], known: dict[str, dict[str, Any]], withheld: set[str], said: str
) -> None:
    """A poor codebook, or a side that is sampled into garbage, must not lose a comparison."""
    twins = let_through(reached(**found), known, {}, Gate()).twins
    assert set(twins) == withheld
    assert all(said in reason for reason in twins.values())


def test_the_gate_measures_rehearsed_models_on_validation_images(world: World) -> None:
    """On test images it would choose what is claimed by what came of it."""
    out = world.root / "judged"
    rows = read_json(out / "metrics.json")
    assert [row["arm"] for row in rows] == [LINEAR, UNET, LATENTS, CODES]
    check_metrics(judge_rehearsals, out)
    tried = read_json(world.chosen / "sampling.json")
    pixels = tried["chosen"]["pixels"].items()
    (best,) = [row for row in tried["tried"] if row["arm"] == LINEAR and pixels <= row.items()]
    assert rows[0]["fd"] == pytest.approx(best["fd"])
    passed = read_passed(out)
    assert passed.rates == read_json(world.rates / "rates.json")["chosen"]
    assert all("trained too little" in reason for family in passed.withheld.values() for reason in family.values())


def test_contrasts_are_differences_of_the_arms_named_and_withheld_with_them(world: World) -> None:
    arms = sorted({arm for pair in PAIRS.values() for arm in pair})
    evaluated = {}
    for number, arm in enumerate(arms):
        folder = world.folder(f"made-{number}")
        unsure = {"unavailable": "deaf"} if ARMS[arm].family == UNET else {}
        (folder / "metrics.json").write_text(json.dumps([{"arm": arm, "fd": float(number), **unsure}]))
        table = {"arm": [arm] * 2, "region": ["all"] * 2, "image": [4, 7], "log_mse": [10.0 * number, 20.0 * number]}
        pyarrow.parquet.write_table(pyarrow.table(table), folder / "examples.parquet")
        evaluated[arm] = folder
    out = world.folder("contrasts")
    contrast(evaluated=evaluated, config=Contrasting(seed=3), out=out)
    value = {arm: number for number, arm in enumerate(arms)}
    found = {(row["contrast"], name): row for row in read_json(out / "metrics.json") for name in row}
    for adapter, (causal, both, large, small) in PAIRS.items():
        assert found[adapter, "fd_gap"]["fd_gap"] == value[causal] - value[both]
        assert found[adapter, "patch_cost"]["patch_cost"] == value[large] - value[small]
        assert found[adapter, "log_mse_cost"]["log_mse_cost"] == 15.0 * (value[large] - value[small])
        for name in ("fd_gap", "patch_cost", "log_mse_gap", "log_mse_cost"):
            assert ("unavailable" in found[adapter, name]) == (adapter == UNET and "mse" not in name)
    linear = {
        row["image"]: row["log_mse_gap"]
        for row in examples(out)
        if row["contrast"] == "linear" and "log_mse_gap" in row
    }
    gap = value[PAIRS["linear"][0]] - value[PAIRS["linear"][1]]
    assert linear == {4: 10.0 * gap, 7: 20.0 * gap}


def lines(ratio: float, budgets: Sequence[float] = (0.125, 0.25, 0.5, 1.0), slope: float = -0.5) -> list[Point]:
    """Points on log y = 3 − 0.5 log flops of codes, and of latents that need `ratio` of the operations for the same."""
    points = []
    for arm, factor, falls in ((CODES, 1.0, -0.5), (LATENTS, ratio, slope)):
        for budget in budgets:
            for seed in (1, 2):
                flops = 10.0 + math.log(budget)
                value = 3 + falls * (flops - math.log(factor)) + 0.01 * (seed - 1.5)
                points.append(Point(arm, budget, seed, flops, {"fd": value}))
    return points


@pytest.mark.parametrize(("ratio", "found"), [(0.3, 0.3), (0.8, 0.8), (0.01, 0.125), (3.0, 1.0)])
def test_a_parity_ratio_is_found_where_it_was_put_and_else_its_bound(ratio: float, found: float) -> None:
    """What no budget reached is told as the bound that was seen: never extrapolated, never left out."""
    rows = parity(lines(ratio), "fd", Parity())
    by_seed = {row["seed"]: row["log_ratio"] for row in rows}
    assert by_seed == {seed: pytest.approx(math.log(found), abs=1e-6) for seed in (1, 2)}


def test_cheaper_steps_alone_are_no_ratio_below_one() -> None:
    """Where Transfusion is worse with all its steps, and these cost a little less, it does not need less."""
    points = [replace(point, log_flops=point.log_flops - 0.1 * (point.arm == LATENTS)) for point in lines(3.0)]
    assert {row["log_ratio"] for row in parity(points, "fd", Parity())} == {0.0}


@pytest.mark.parametrize(
    ("points", "said"), [(lines(0.5, (0.5, 1.0)), "fewer than 4"), (lines(1.0, slope=0.5), "must fall")]
)
def test_no_line_goes_through_two_points_or_rises(points: list[Point], said: str) -> None:
    if "fall" in said:  # its values are about those of the twin, so that the line is asked
        shift = 3 - 0.5 * 10.0 - np.mean([p.logs["fd"] for p in points if p.arm == LATENTS])
        points = [replace(p, logs={"fd": p.logs["fd"] + shift}) if p.arm == LATENTS else p for p in points]
    withheld = parity(points, "fd", Parity())
    assert all(math.isfinite(row["log_ratio"]) for row in withheld)
    assert [row["seed"] for row in withheld] == [1, 2]
    assert all(said in row["unavailable"] for row in withheld)


def test_twins_are_compared_by_seed_with_all_and_half_of_the_steps_and_withheld_by_quantity(world: World) -> None:
    """What is read of an evaluation, item by item; what the gate withholds says why in every row and example."""
    evaluated: dict[str, Path] = {}
    for arm, worse in ((LATENTS, 0.0), (CODES, 0.5)):
        for budget in (0.5, 1.0):
            folder = world.folder(f"{arm} {budget} made")
            labels = {"arm": arm, "budget": budget, "seed": 1}
            rows = [
                {**labels, "flops": 1000 * budget},
                {**labels, "alignment": 0.9},
                {**labels, "fd": 9.0, "log_fd": 2.0 + worse - budget},
                {**labels, "bits_per_byte": 3.0 + worse},
                {**labels, "caption_right": 0.75 - worse, "of": 3},
            ]
            (folder / "metrics.json").write_text(json.dumps(rows))
            table = [
                {
                    "document": 0,
                    "bytes": 10,
                    "bits_per_byte": 3.0 + worse - budget,
                    "image": None,
                    "caption_right": None,
                },
                {"document": 1, "bytes": 30, "bits_per_byte": 3.0, "image": None, "caption_right": None},
                {"document": None, "bytes": None, "bits_per_byte": None, "image": 8, "caption_right": 1.0 - 2 * worse},
            ]
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), folder / "examples.parquet")
            evaluated[f"{arm}-{budget}"] = folder
    gate, out = world.folder("twins let through"), world.folder("compared")
    for withheld, gap in ((IMAGES, "log_fd_gap"), (CAPTIONS, "caption_gap"), (WRITING, "bits_gap"), ("", "")):
        write_passed(Passed({}, {}, {withheld: "no rival"} if withheld else {}), gate)
        compare_twins(gate=gate, evaluated=evaluated, config=Parity(), out=out)
        rows = read_json(out / "metrics.json")
        found = {(row["contrast"], name): row for row in rows if "contrast" in row for name in row}
        assert found[SAME, "log_fd_gap"]["log_fd_gap"] == pytest.approx(-0.5)
        assert found[HALF, "log_fd_gap"]["log_fd_gap"] == pytest.approx(0.0)
        assert found[SAME, "bits_gap"]["bits_gap"] == pytest.approx(-0.5 * 10 / 40)
        assert found[HALF, "bits_gap"]["bits_gap"] == pytest.approx(0.0)
        assert found[SAME, "caption_gap"]["caption_gap"] == pytest.approx(1.0)
        single = examples(out)
        assert [row["bits_gap"] for row in single if "bits_gap" in row and row["contrast"] == SAME] == [-0.5, 0.0]
        assert [row["caption_gap"] for row in single if "caption_gap" in row] == [1.0, 1.0]
        for row in (*rows, *single):
            if "log_ratio" not in row:
                assert ("unavailable" in row) == (gap in row)
        ratios = {row["metric"]: row["unavailable"] for row in rows if "log_ratio" in row}
        assert ("fewer than 4 budgets" in ratios["fd"]) == (withheld != IMAGES)
    check_metrics(compare_twins, out)
