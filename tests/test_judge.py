"""The judge on simulated papers: how often it is wrong, and what it says where it cannot know."""

import json
import math
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy import stats

from tasks.claims import Comparison, Control, Judging, Selection, Statement
from tasks.intervals import Estimate, Kind, decide, edges, holm, nearest_edge, of_clusters, of_pairs, sign_flip_p
from tasks.judge import judge, verdicts
from tasks.registration import NOTHING_REGISTERED, digest
from tasks.report import Results, collect

PAPERS = 1000
ALPHA = 0.05


def select(arm: str, quantity: str = "bits") -> Selection:
    return Selection(stages=("evaluation",), quantity=quantity, labels={"arm": arm})


def compare(kind: Kind, left: str = "a", right: str | float = "b", margin: float = 0.0, **how: Any) -> Comparison:
    side = select(right) if isinstance(right, str) else right
    return Comparison(kind=kind, left=select(left), right=side, margin=margin, **{"paired": "seed", **how})


def claim(name: str, *comparisons: Comparison, expected: Any = "holds", **more: Any) -> Statement:
    words = {"says": name, "source": "Table 1", "evidence": "P", "paper_value": "1", "method": "measured"}
    return Statement(id=name, comparisons=comparisons, expected=expected, **words, **more)


def rows_of(**arms: Any) -> list[dict[str, Any]]:
    """One row a seed for each arm."""
    return [
        {"stage": "evaluation", "arm": arm, "seed": seed, "bits": value}
        for arm, values in arms.items()
        for seed, value in enumerate(values)
    ]


def verdict_of(rows: list[dict[str, Any]], *claims: Statement, controls: tuple[Control, ...] = ()) -> list[Any]:
    return verdicts(rows, Judging(claims=claims, controls=controls))[0]


def within_binomial_error(hits: int, low: float, high: float, trials: int = PAPERS) -> bool:
    """Whether the observed rate is compatible, at 99.9 %, with a true rate between `low` and `high`."""
    interval = stats.binomtest(hits, trials).proportion_ci(0.999)
    return bool(interval.low <= high and interval.high >= low)


# How often it is wrong


def test_seed_pairs_cover_and_rarely_support_a_null() -> None:
    chance = np.random.default_rng(1)
    estimates = [of_pairs(chance.normal(0.3, 1, 8)) for _ in range(PAPERS)]
    covered = sum(low <= 0.3 <= high for low, high in (e.interval(0.95) for e in estimates))
    assert within_binomial_error(covered, 0.93, 0.97)
    supported = sum(decide("less", -0.3, e.interval(0.95)) == "SUPPORTED" for e in estimates)
    assert within_binomial_error(supported, 0, ALPHA)


@pytest.mark.parametrize(("effect", "power"), [(1.0, 0.69), (1.5, 0.96)])
def test_power_is_as_documented(effect: float, power: float) -> None:
    chance = np.random.default_rng(2)
    found = sum(
        decide("greater", 0, of_pairs(chance.normal(effect, 1, 8)).interval(0.95)) == "SUPPORTED" for _ in range(PAPERS)
    )
    assert within_binomial_error(found, power - 0.02, power + 0.02)


def test_clusters_of_examples_cover() -> None:
    """Eight seeds of 200 examples: the seeds are the independent draws, 1,600 examples are not."""
    chance = np.random.default_rng(3)
    seeds = np.repeat(np.arange(8), 200)
    covered = naive = 0
    for _ in range(PAPERS):
        values = np.repeat(chance.normal(0.2, 0.3, 8), 200) + chance.normal(0, 1, 1600)
        low, high = of_clusters(values, seeds).interval(0.95)
        covered += low <= 0.2 <= high
        low, high = of_pairs(values).interval(0.95)
        naive += low <= 0.2 <= high
    assert within_binomial_error(covered, 0.93, 0.97)
    assert naive < 0.6 * PAPERS, "without clusters the interval would be far too narrow"


def test_uneven_clusters_cover() -> None:
    chance = np.random.default_rng(4)
    covered = 0
    for _ in range(PAPERS):
        sizes = chance.integers(1, 12, 150)
        clusters = np.repeat(np.arange(150), sizes)
        values = np.repeat(chance.normal(0, 0.5, 150), sizes) + chance.exponential(1, sizes.sum())
        low, high = of_clusters(values, clusters).interval(0.95)
        covered += low <= 1 <= high
    assert within_binomial_error(covered, 0.93, 0.97)


def test_a_difference_on_the_margin_is_rarely_called_equivalent() -> None:
    chance = np.random.default_rng(5)
    supported = sum(
        decide("equivalent", 1.0, of_pairs(chance.normal(1.0, 0.3, 8)).interval(0.95)) == "SUPPORTED"
        for _ in range(PAPERS)
    )
    assert within_binomial_error(supported, 0, ALPHA)


def test_one_paper_in_twenty_has_a_false_verdict_at_most() -> None:
    """Ten nulls a paper: with Holm the whole paper errs with alpha, without it four papers in ten would."""
    chance = np.random.default_rng(6)
    wrong = plain = 0
    for _ in range(PAPERS):
        family = [("less", 0.0, of_pairs(chance.normal(0, 1, 8))) for _ in range(10)]
        levels = holm(family, ALPHA)  # type: ignore[arg-type]
        wrong += any(
            decide("less", 0.0, e.interval(level)) != "INCONCLUSIVE"
            for (_, _, e), level in zip(family, levels, strict=True)
        )
        plain += any(decide("less", 0.0, e.interval(0.95)) != "INCONCLUSIVE" for _, _, e in family)
    assert within_binomial_error(wrong, 0, ALPHA)
    assert plain > 0.3 * PAPERS


def test_simulated_papers_through_the_whole_judge() -> None:
    """200 papers with one true claim, one null and one equality: the rates hold for what a user sees."""
    chance = np.random.default_rng(7)
    seen: dict[str, list[str]] = {"true": [], "null": [], "equal": []}
    claims = (
        claim("true", compare("less", "better", "base")),
        claim("null", compare("less", "same", "base")),
        claim("equal", compare("equivalent", "same", "base", 0.5)),
    )
    for _ in range(200):
        base = chance.normal(3, 1, 8)
        better, same = base - 0.4 + chance.normal(0, 0.1, 8), base + chance.normal(0, 0.1, 8)
        for found in verdict_of(rows_of(base=base, better=better, same=same), *claims):
            seen[found["id"]].append(found["verdict"])
    assert seen["true"].count("SUPPORTED") > 195
    assert seen["equal"].count("SUPPORTED") > 195
    decided = 200 - seen["null"].count("INCONCLUSIVE")
    assert within_binomial_error(decided, 0, ALPHA, 200)


def test_computed_values_are_never_wrong() -> None:
    one = [{"stage": "evaluation", "arm": arm, "bits": value} for arm, value in (("a", 3), ("b", 3), ("c", 4))]
    equal, less, differ = verdict_of(
        one,
        claim("equal", compare("equivalent", "a", "b", paired="")),
        claim("less", compare("less", "a", "c", paired="")),
        claim("differ", compare("equivalent", "a", "c", paired="")),
    )
    assert (equal["verdict"], less["verdict"], differ["verdict"]) == ("SUPPORTED", "SUPPORTED", "CONTRADICTED")
    assert equal["interval"] is None
    assert "differ by -1" in differ["reason"]


# What it says where it cannot know

EIGHT = [3.0, 3.1, 2.9, 3.05, 2.95, 3.02, 2.98, 3.0]
LOWER = [value - 0.5 + 0.01 * index for index, value in enumerate(EIGHT)]


@pytest.mark.parametrize(
    ("rows", "verdict", "said"),
    [
        (rows_of(b=EIGHT), "FAILED", "nothing was measured for bits of a"),
        (rows_of(a=LOWER[:1], b=EIGHT[:1]), "INCONCLUSIVE", "1 seeds; a verdict needs 8"),
        (rows_of(a=LOWER[:3], b=EIGHT[:3]), "INCONCLUSIVE", "3 seeds; a verdict needs 8"),
        (rows_of(a=LOWER[:7], b=EIGHT), "FAILED", "seed 7 is on one side only"),
        (rows_of(a=[*LOWER[:7], math.nan], b=EIGHT), "FAILED", "nan for seed 7"),
        (rows_of(a=[*LOWER[:7], math.inf], b=EIGHT), "FAILED", "inf for seed 7"),
        (rows_of(a=LOWER, b=EIGHT) + rows_of(a=LOWER), "FAILED", "several values for one seed"),
        (rows_of(a=LOWER, b=EIGHT), "SUPPORTED", "lies wholly below 0"),
        (rows_of(a=EIGHT, b=LOWER), "CONTRADICTED", "lies wholly outside"),
        (rows_of(a=EIGHT, b=EIGHT), "INCONCLUSIVE", "+0 [+0, +0]"),
        (rows_of(a=[1.0] * 8, b=[2.0] * 8), "SUPPORTED", "-1 [-1, -1]"),
    ],
)
def test_edge_cases_are_said(rows: list[dict[str, Any]], verdict: str, said: str) -> None:
    (found,) = verdict_of(rows, claim("less", compare("less")))
    assert found["verdict"] == verdict
    assert said in found["reason"]
    json.dumps(found, allow_nan=False)


def test_a_small_effect_in_the_claimed_direction_is_said_to_be_one() -> None:
    (found,) = verdict_of(rows_of(a=LOWER, b=EIGHT), claim("much-less", compare("less", margin=5.0)))
    assert found["verdict"] == "CONTRADICTED"
    assert "in the claimed direction, but by less than the margin" in found["reason"]


def test_claims_of_several_comparisons() -> None:
    rows = rows_of(a=LOWER, b=EIGHT, c=EIGHT)
    holds, fails, open_ = compare("less", "a", "b"), compare("greater", "a", "b"), compare("less", "b", "c")
    found = {
        one["id"]: one["verdict"]
        for one in verdict_of(
            rows,
            claim("all", holds, holds, needed=2),
            claim("one-of-two", holds, fails, needed=1),
            claim("not-all", holds, fails, needed=2),
            claim("open", holds, open_, needed=2),
            claim("none", fails, fails, needed=1),
            claim("broken", holds, compare("less", "nobody", "b"), needed=1),
            Statement(
                id="untested", says="", source="", evidence="P", paper_value="", method="measured",
                expected="not tested", not_tested="no GPU",
            ),
        )
    }  # fmt: skip
    assert found == {
        "all": "SUPPORTED",
        "one-of-two": "SUPPORTED",
        "not-all": "CONTRADICTED",
        "open": "INCONCLUSIVE",
        "none": "CONTRADICTED",
        "broken": "FAILED",
        "untested": "NOT TESTED",
    }


def test_predictions_are_counted_only_where_there_is_a_verdict() -> None:
    no = "does not hold at this scale"
    found = verdict_of(
        rows_of(a=LOWER, b=EIGHT, c=EIGHT),
        claim("right", compare("less", "a", "b")),
        claim("wrong", compare("less", "a", "b"), expected=no),
        claim("right-no", compare("greater", "a", "b"), expected=no),
        claim("open", compare("less", "b", "c")),
    )
    assert [one["as_expected"] for one in found] == [True, False, True, None]


# Controls can fail, and then nothing is claimed


def controls(noise: str) -> tuple[Control, ...]:
    planted = Control(id="planted", kind="planted", says="", comparisons=(compare("greater", noise, "a"),))
    return (planted,)


def test_a_planted_effect_that_is_not_there_withholds_the_verdicts() -> None:
    rows = rows_of(a=LOWER, b=EIGHT, noised=[value + 0.3 + 0.01 * (i % 3) for i, value in enumerate(LOWER)])
    judging = Judging(claims=(claim("less", compare("less")),), controls=controls("noised"))
    claims, checked = verdicts(rows, judging)
    assert checked[0]["passed"]
    assert claims[0]["verdict"] == "SUPPORTED"
    broken = Judging(claims=judging.claims, controls=controls("a"))
    claims, checked = verdicts(rows, broken)
    assert not checked[0]["passed"]
    assert claims[0]["verdict"] == "FAILED"
    assert claims[0]["reason"] == "withheld: the control planted did not pass"


def test_a_shuffling_that_does_not_shuffle_withholds_the_verdicts() -> None:
    """Shuffled labels must tell nothing; if they tell as much as the true ones, labels leak."""
    comparison = compare("less", "shuffled", "null")
    shuffled = Control(id="shuffled", kind="shuffled", says="", comparisons=(comparison,))
    null = [0.05 + 0.001 * (i % 4) for i in range(8)]
    for told, passed in (([0.02 + 0.001 * (i % 3) for i in range(8)], True), ([value * 9 for value in null], False)):
        rows = rows_of(a=LOWER, b=EIGHT, shuffled=told, null=null)
        claims, checked = verdicts(rows, Judging(claims=(claim("less", compare("less")),), controls=(shuffled,)))
        assert checked[0]["passed"] is passed
        assert claims[0]["verdict"] == ("SUPPORTED" if passed else "FAILED")


# Rules

VALUES = st.lists(st.floats(-10, 10).map(lambda value: round(value, 3)), min_size=8, max_size=8)


@given(left=VALUES, right=VALUES, margin=st.sampled_from([0.0, 0.1, 2.0]))
@settings(max_examples=30, deadline=None)
def test_swapping_the_sides_mirrors_the_claim(left: list[float], right: list[float], margin: float) -> None:
    rows = rows_of(a=left, b=right)
    (one,) = verdict_of(rows, claim("x", compare("less", "a", "b", margin)))
    (other,) = verdict_of(rows, claim("x", compare("greater", "b", "a", margin)))
    assert one["verdict"] == other["verdict"]


@given(left=VALUES, right=VALUES, kind=st.sampled_from(get_args(Kind)), power=st.integers(-3, 3))
@settings(max_examples=30, deadline=None)
def test_the_unit_does_not_matter(left: list[float], right: list[float], kind: Kind, power: int) -> None:
    scale = 2.0**power  # exact in floating point
    rows, scaled = rows_of(a=left, b=right), rows_of(a=[v * scale for v in left], b=[v * scale for v in right])
    (one,) = verdict_of(rows, claim("x", compare(kind, margin=0.5)))
    (other,) = verdict_of(scaled, claim("x", compare(kind, margin=0.5 * scale)))
    assert one["verdict"] == other["verdict"]


@given(
    kind=st.sampled_from(get_args(Kind)),
    margin=st.floats(0, 5),
    ends=st.tuples(st.floats(-9, 9), st.floats(-9, 9)).map(sorted),
)
def test_the_interval_decides(kind: Kind, margin: float, ends: list[float]) -> None:
    """Against points of the interval, one by one: all of them in the region, none of them, or some."""
    low, high = edges(kind, margin)
    inside = [low < point < high for point in np.linspace(ends[0], ends[1], 101)]
    verdict = decide(kind, margin, (ends[0], ends[1]))
    if verdict == "SUPPORTED":
        assert all(inside)
    if verdict == "CONTRADICTED":
        assert not any(inside)
    assert decide("less", margin + 1, (ends[0], ends[1])) != "SUPPORTED" or decide("less", margin, ends) == "SUPPORTED"  # type: ignore[arg-type]


@given(effect=st.floats(-3, 3), error=st.floats(0.01, 2), kind=st.sampled_from(get_args(Kind)))
def test_p_and_interval_agree(effect: float, error: float, kind: Kind) -> None:
    """The interval at level 1 - p just touches the nearest edge."""
    estimate, edge = Estimate(effect, error, 7), nearest_edge(kind, 1.0, effect)
    p = estimate.p(edge)
    if 1e-6 < p < 0.999:
        assert min(abs(end - edge) for end in estimate.interval(1 - p)) == pytest.approx(0, abs=1e-6)


def test_all_sign_flips_of_eight_seeds_are_tried() -> None:
    assert sign_flip_p(np.array([-1.0, -2, -3, -1, -2, -3, -1, -2]), 0.0) == pytest.approx(2 / 256)


# Files


def test_the_stage_from_end_to_end(tmp_path: Path) -> None:
    """Seeds in metrics.json, examples in Parquet, a register that holds one claim of two."""
    chance = np.random.default_rng(8)
    measured = tmp_path / "evaluation"
    measured.mkdir()
    (measured / "metrics.json").write_text(
        json.dumps([{k: v for k, v in row.items() if k != "stage"} for row in rows_of(a=LOWER, b=EIGHT)])
    )
    examples = [
        {"arm": arm, "seed": seed, "example": example, "right_answers": float(chance.random() < rate)}
        for arm, rate in (("a", 0.7), ("b", 0.5))
        for seed in range(4)
        for example in range(300)
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(examples), measured / "examples.parquet")
    (tmp_path / "results").mkdir()
    collect(measured={"evaluation": measured}, config=Results(tables=()), out=tmp_path / "results")
    early = claim("early", compare("less"))
    by_example = Comparison(
        kind="greater", left=select("a", "right_answers"), right=select("b", "right_answers"), margin=0.0,
        paired="example", cluster="seed",
    )  # fmt: skip
    late = claim("late", by_example)
    noted = json.loads(NOTHING_REGISTERED)
    noted["claims"]["early"] = digest(TypeAdapter(Statement).dump_python(early, mode="json"))
    (tmp_path / "registered.json").write_text(json.dumps(noted))
    (tmp_path / "verdicts").mkdir()
    judge(
        results=tmp_path / "results",
        registered=tmp_path / "registered.json",
        config=Judging(claims=(early, late), controls=controls("b")),
        out=tmp_path / "verdicts",
    )
    found = json.loads((tmp_path / "verdicts/verdicts.json").read_text())
    first, second = found["claims"]
    assert (first["verdict"], first["post_hoc"]) == ("SUPPORTED", False)
    assert (second["verdict"], second["post_hoc"]) == ("SUPPORTED", True)
    assert [pair["pair"] for pair in second["parts"][0]["pairs"]] == [0, 1, 2, 3]
    assert found["controls"][0]["passed"]
    keys = {
        "id", "says", "source", "evidence", "paper_value", "expected", "method", "verdict", "reason", "as_expected",
        "post_hoc", "statistic", "n", "effect", "interval", "level", "p", "needed", "parts",
    }  # fmt: skip
    assert set(first) == set(second) == keys
    assert first["parts"][0]["pairs"][0]["left_stage"] == "evaluation"
