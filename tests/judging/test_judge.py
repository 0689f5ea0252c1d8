"""The judge on simulated papers: what a reader is told, and what where nothing can be known."""

import json
import math
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_claims import EIGHT, LOWER, claim, compare, controls, examples_of, rows_of, select, verdict_of
from scipy import stats

from tasks.judging.claims import Comparison, Control, Discrepancy, Judging, Selection, Statement
from tasks.judging.intervals import Kind, of_pairs
from tasks.judging.judge import verdicts
from tasks.judging.pairing import label_in_words

# How often it is wrong

FAMILIES = ("evaluation",)


def test_simulated_papers_through_the_whole_judge() -> None:
    """500 papers with one true claim, one null and one equality: the rates hold for what a user sees."""
    chance = np.random.default_rng(7)
    seen: dict[str, list[str]] = {"true": [], "null": [], "equal": []}
    claims = (
        claim("true", compare("less", "better", "base")),
        claim("null", compare("less", "same", "base")),
        claim("equal", compare("equivalent", "same", "base", 0.5)),
    )
    for _ in range(500):
        base = chance.normal(3, 1, 8)
        better, same = base - 0.4 + chance.normal(0, 0.1, 8), base + chance.normal(0, 0.1, 8)
        for found in verdict_of(rows_of(base=base, better=better, same=same), *claims):
            seen[found["id"]].append(found["verdict"])
    assert seen["true"].count("SUPPORTED") > 490
    assert seen["equal"].count("SUPPORTED") > 490
    decided = 500 - seen["null"].count("INCONCLUSIVE")
    assert decided <= stats.binom.ppf(0.999, 500, 0.05), "more than alpha explains once in a thousand times"
    assert decided >= stats.binom.ppf(0.001, 500, 0.05), "the true claims are decided first and leave all of alpha"


def test_a_thousand_computed_claims_are_judged_as_they_are() -> None:
    chance = np.random.default_rng(8)
    for left, right, margin in chance.integers(0, 5, (1000, 3)).tolist():
        rows = [{"stage": "evaluation", "arm": arm, "bits": value} for arm, value in (("a", left), ("b", right))]
        claims = [claim(kind, compare(kind, margin=margin, paired="")) for kind in get_args(Kind)]
        found = {one["id"]: one["verdict"] == "SUPPORTED" for one in verdict_of(rows, *claims)}
        assert found == {
            "less": left < right - margin,
            "greater": left > right + margin,
            "at most": left < right + margin,
            "equivalent": abs(left - right) < margin or (margin == 0 and left == right),
        }


@pytest.mark.parametrize("arms", [["a", "b", "b"], ["a", "a", "b"], ["a"], ["b"]])
def test_a_computed_claim_has_one_value_each_side(arms: list[str]) -> None:
    rows = [{"stage": "evaluation", "arm": arm, "bits": 3} for arm in arms]
    (found,) = verdict_of(rows, claim("less", compare("less", paired="")))
    assert found["verdict"] == "FAILED"
    assert "2 values, not one" in found["reason"] or "nothing was measured" in found["reason"]


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


@pytest.mark.parametrize(
    ("rows", "verdict", "said"),
    [
        (rows_of(b=EIGHT), "FAILED", "nothing was measured for bits of a"),
        ([], "FAILED", "nothing was measured for bits of a"),
        (rows_of(a=LOWER[:1], b=EIGHT[:1]), "INCONCLUSIVE", "1 seed; a verdict needs 8"),
        (rows_of(a=LOWER[:3], b=EIGHT[:3]), "INCONCLUSIVE", "3 seeds; a verdict needs 8"),
        (rows_of(a=LOWER[:7], b=EIGHT), "FAILED", "seed 7 on one side only"),
        (rows_of(a=[*LOWER[:7], math.nan], b=EIGHT), "FAILED", "nan for seed 7"),
        (rows_of(a=[*LOWER[:7], math.inf], b=EIGHT), "FAILED", "inf for seed 7"),
        (rows_of(a=LOWER, b=EIGHT) + rows_of(a=LOWER), "FAILED", "several values for one seed"),
        (rows_of(a=LOWER, b=EIGHT), "SUPPORTED", "lies wholly below 0"),
        (rows_of(a=EIGHT, b=LOWER), "CONTRADICTED", "lies wholly outside"),
        (rows_of(a=EIGHT, b=EIGHT), "INCONCLUSIVE", "+0 [+0, +0] lies exactly on 0"),
        (rows_of(a=LOWER, b=LOWER[::-1]), "INCONCLUSIVE", "straddles 0"),
        (rows_of(a=[None, *LOWER[1:]], b=EIGHT), "FAILED", "None for seed 0"),
        (rows_of(a=[1.0] * 8, b=[2.0] * 8), "SUPPORTED", "-1 [-1, -1]"),
    ],
)
def test_edge_cases_are_said(rows: list[dict[str, Any]], verdict: str, said: str) -> None:
    (found,) = verdict_of(rows, claim("less", compare("less")))
    assert found["verdict"] == verdict
    assert said in found["reason"]
    json.dumps(found, allow_nan=False)
    has_interval = verdict != "FAILED" and len(found["parts"][0]["pairs"]) > 1
    assert (found["interval"] is not None) == has_interval


@pytest.mark.filterwarnings("error")
def test_an_interval_for_too_few_seeds_has_the_level_that_was_asked_for() -> None:
    judging = Judging(families=FAMILIES, claims=(claim("less", compare("less")),), controls=(), alpha=0.2)
    ((found,), _) = verdicts(rows_of(a=LOWER[:3], b=EIGHT[:3]), judging)
    assert (found["verdict"], found["level"]) == ("INCONCLUSIVE", 0.8)


def test_comparisons_that_cannot_be_judged_do_not_widen_the_others() -> None:
    rows = rows_of(a=LOWER, b=EIGHT, few=EIGHT[:3], few_more=LOWER[:3])
    good = claim("good", compare("less"))
    few, broken = claim("few", compare("less", "few_more", "few")), claim("broken", compare("less", "nobody", "b"))
    found = verdict_of(rows, good, few, broken)[0]
    assert (found["level"], found["statistic"]) == (0.95, "Student t over pairs by seed, Holm over 1 claim")


def test_claims_share_alpha_and_the_parts_of_one_that_holds_do_not() -> None:
    """Support of all is an intersection-union test; a contradiction rests on one of two, so that is held to half."""
    rows = rows_of(a=LOWER, b=EIGHT)
    clear, against = compare("less", "a", "b"), compare("less", "b", "a")
    found = verdict_of(rows, claim("both", clear, clear, needed=2), claim("not-both", clear, against, needed=2))
    assert [one["verdict"] for one in found] == ["SUPPORTED", "CONTRADICTED"]
    levels = [part["level"] for one in found for part in one["parts"]]
    assert levels == pytest.approx([0.975, 0.975, 0.95, 0.975])
    assert found[0]["statistic"].endswith("Holm over 2 claims")
    assert all(part["plain"] == pytest.approx(one["plain"]) for one in found[:1] for part in one["parts"])
    low, high = found[0]["plain"]
    assert found[0]["interval"][0] < low < high < found[0]["interval"][1]


def test_a_small_effect_in_the_claimed_direction_is_said_to_be_one() -> None:
    (found,) = verdict_of(rows_of(a=LOWER, b=EIGHT), claim("much-less", compare("less", margin=5.0)))
    assert found["verdict"] == "CONTRADICTED"
    assert "in the claimed direction, but by less than the margin" in found["reason"]
    (found,) = verdict_of(rows_of(a=EIGHT, b=LOWER), claim("much-less", compare("less", margin=5.0)))
    assert found["verdict"] == "CONTRADICTED"
    assert "in the claimed direction" not in found["reason"]


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
            claim("open-still", fails, holds, open_, needed=2),
            claim("none", fails, fails, needed=1),
            claim("broken", holds, compare("less", "nobody", "b"), needed=1),
            Statement(
                id="untested", says="", source="", evidence="P", paper_value="", method="measured", whose="ours",
                expected="not tested", not_tested="no GPU",
            ),
        )
    }  # fmt: skip
    assert found == {
        "all": "SUPPORTED",
        "one-of-two": "SUPPORTED",
        "not-all": "CONTRADICTED",
        "open": "INCONCLUSIVE",
        "open-still": "INCONCLUSIVE",
        "none": "CONTRADICTED",
        "broken": "FAILED",
        "untested": "NOT TESTED",
    }


def test_a_claim_of_several_comparisons_is_explained_by_those_that_made_its_verdict() -> None:
    """A failure is not blamed on a comparison that worked, nor a contradiction on one that is open."""
    rows = rows_of(a=LOWER, b=EIGHT, c=EIGHT)
    against, open_, broken = compare("greater", "a", "b"), compare("less", "c", "b"), compare("less", "nobody", "b")
    failed, contradicted, supported = verdict_of(
        rows,
        claim("failed", against, broken, needed=2),
        claim("contradicted", open_, against, needed=2),
        claim("supported", open_, compare("less", "a", "b"), needed=1),
    )
    assert "nothing was measured for bits of nobody" in failed["reason"]
    assert "a against b" in contradicted["reason"]
    assert contradicted["interval"][1] < 0
    assert supported["reason"].startswith("1 of 2 comparisons hold and 1 must; c against b")
    assert supported["interval"][1] < 0


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


def test_a_planted_effect_that_is_not_there_withholds_the_verdicts() -> None:
    rows = rows_of(a=LOWER, b=EIGHT, noised=[value + 0.3 + 0.01 * (i % 3) for i, value in enumerate(LOWER)])
    judging = Judging(families=FAMILIES, claims=(claim("less", compare("less")),), controls=controls("noised"))
    claims, checked = verdicts(rows, judging)
    assert checked[0]["passed"]
    assert claims[0]["verdict"] == "SUPPORTED"
    broken = Judging(families=FAMILIES, claims=judging.claims, controls=controls("a"))
    claims, checked = verdicts(rows, broken)
    assert not checked[0]["passed"]
    assert claims[0]["verdict"] == "FAILED"
    assert claims[0]["reason"] == "withheld: the control planted did not pass"


def test_a_control_is_judged_on_two_seeds_at_its_own_level() -> None:
    """Even where claims need eight; on one seed it cannot pass."""
    judging = Judging(
        families=("evaluation",),
        claims=tuple(claim(f"less-{i}", compare("less")) for i in range(9)),
        controls=controls("b"),
    )
    for seeds, passed in ((2, True), (1, False)):
        claims, (control,) = verdicts(rows_of(a=LOWER[:seeds], b=EIGHT[:seeds]), judging)
        assert control["passed"] is passed
        assert {one["verdict"] for one in claims} == {"INCONCLUSIVE"}, "a lack of seeds stays what it is"
    _, (control,) = verdicts(rows_of(a=LOWER, b=EIGHT), judging)
    assert control["parts"][0]["level"] == 0.95


def test_a_shuffling_that_does_not_shuffle_withholds_the_verdicts() -> None:
    """Shuffled labels must tell nothing; if they tell as much as the true ones, labels leak."""
    comparison = compare("less", "shuffled", "null")
    shuffled = Control(id="shuffled", kind="shuffled", says="", comparisons=(comparison,))
    null = [0.05 + 0.001 * (i % 4) for i in range(8)]
    for told, passed in (([0.02 + 0.001 * (i % 3) for i in range(8)], True), ([value * 9 for value in null], False)):
        rows = rows_of(a=LOWER, b=EIGHT, shuffled=told, null=null)
        claims, checked = verdicts(
            rows, Judging(families=FAMILIES, claims=(claim("less", compare("less")),), controls=(shuffled,))
        )
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


# Examples in clusters


BY_EXAMPLE = claim("by-example", compare("greater", paired="example", cluster="seed"))


def by_example(a: dict[int, list[float]], b: dict[int, list[float]], rows: Any = ()) -> Any:
    return verdicts(rows, Judging(families=FAMILIES, claims=(BY_EXAMPLE,), controls=()), examples_of(a, b))[0][0]


def test_examples_are_paired_within_their_cluster() -> None:
    """Three seeds of uneven size: the side means are those of all examples, and differ by the effect."""
    a = {0: [1.0, 2.0, 3.0, 4.0], 1: [1.5, 2.5], 2: [1.1]}
    b = {seed: [value - 0.5 - 0.01 * seed for value in values] for seed, values in a.items()}
    found = by_example(a, b)
    assert (found["verdict"], found["n"]) == ("SUPPORTED", 3)
    assert found["statistic"] == "Student t over a bootstrap of 3 clusters by seed, Holm over 1 claim"
    part = found["parts"][0]
    assert part["left_mean"] - part["right_mean"] == pytest.approx(part["effect"])
    assert [pair["left"] for pair in part["pairs"]] == [2.5, 2.0, 1.1]


def test_examples_and_seeds_may_share_a_quantity() -> None:
    """The mean over examples stands in metrics.json under the same name; neither is read for the other."""
    values = {seed: [1.0 + 0.1 * seed, 2.0] for seed in range(8)}
    lower = {seed: [value - 1 for value in values] for seed, values in values.items()}
    judging = Judging(families=FAMILIES, claims=(BY_EXAMPLE, claim("by-seed", compare("less"))), controls=())
    found, _ = verdicts(rows_of(a=LOWER, b=EIGHT), judging, examples_of(values, lower))
    assert [one["verdict"] for one in found] == ["SUPPORTED", "SUPPORTED"]


def test_comparisons_over_examples_and_over_seeds_share_alpha() -> None:
    """The claim over examples is open at 95 %; so the clear one over seeds is decided first, at half of alpha."""
    a = {seed: [1.0 + step, 1.0 + step] for seed, step in enumerate((0.9, -0.5, 0.8, -0.2, 0.6))}
    b = {seed: [1.0, 1.0] for seed in a}
    judging = Judging(families=FAMILIES, claims=(BY_EXAMPLE, claim("by-seed", compare("less"))), controls=())
    (examples, seeds), _ = verdicts(rows_of(a=LOWER, b=EIGHT), judging, examples_of(a, b))
    assert (examples["verdict"], examples["level"], seeds["level"]) == ("INCONCLUSIVE", 0.95, 0.975)


def test_claims_over_seeds_items_clusters_and_draws_share_alpha() -> None:
    """Whatever an interval is over, a paper's claims err together: the clearest of four is held to a quarter."""
    rows = [*rows_of(a=LOWER, b=EIGHT), *drawn()]
    claims = (
        claim("seeds", compare("less")),
        claim("items", replace(crossed(), left=select("c"), right=1.0)),
        claim("clusters", Comparison(**CLUSTERS)),
        claim("draws", compare("less", "d", 0.0, paired="draw"), method="simulated"),
    )
    rows = [{**row, "arm": "d"} if "draw" in row else row for row in rows]
    examples = [{**row, "arm": "c"} for row in answers(8, 60) if row["arm"] == "a"]
    found = verdicts(rows, Judging(families=FAMILIES, claims=claims, controls=()), examples)[0]
    assert [one["verdict"] for one in found] == ["SUPPORTED", "SUPPORTED", "SUPPORTED", "CONSISTENT"]
    assert sorted(one["level"] for one in found) == pytest.approx([1 - 0.05 / share for share in (1, 2, 3, 4)])
    assert all(one["statistic"].endswith("Holm over 4 claims") for one in found)


CLUSTERS: Any = {
    "kind": "greater", "left": select("c"), "right": 1.0, "margin": 0.0, "paired": "seed", "cluster": "example",
}  # fmt: skip


def test_edge_cases_of_examples_are_said() -> None:
    two = {0: [1.0, 2.0], 1: [1.0, 2.0]}
    assert "nothing was measured" in by_example({}, {}, rows_of(a=LOWER, b=EIGHT))["reason"]
    one = by_example({0: [1.0, 2.0]}, {0: [0.0, 1.0]})
    assert (one["verdict"], one["reason"]) == ("INCONCLUSIVE", "1 seed; a verdict needs 2")
    missing = by_example(two, {0: [1.0, 2.0], 1: [1.0]})
    assert (missing["verdict"], missing["reason"]) == ("FAILED", "seed 1 example 1 on one side only")
    many = by_example({0: [1.0] * 900}, {0: [1.0]})
    assert many["reason"].endswith("seed 0 example 5 and 894 more on one side only")
    assert "nan for seed 1 example 0" in by_example({**two, 1: [math.nan, 1.0]}, two)["reason"]


# Seeds and items


def crossed(kind: Kind = "greater", **how: Any) -> Any:
    return compare(kind, items="example", **how)


def answers(seeds: int, items: int, effect: float = 0.3, spread: float = 0.1) -> list[dict[str, Any]]:
    """Records in which a is better than b by an effect that varies by seed and by item."""
    chance = np.random.default_rng(11)
    by_seed, by_item = spread * chance.normal(size=seeds), 3 * spread * chance.normal(size=items)
    a = {s: (1 + effect + by_seed[s] + by_item + spread * chance.normal(size=items)).tolist() for s in range(seeds)}
    return examples_of(a, {s: [1.0] * items for s in range(seeds)})


def judged(examples: list[dict[str, Any]], *claims: Statement, **how: Any) -> Any:
    return verdicts((), Judging(families=FAMILIES, claims=claims, controls=(), **how), examples)[0]


def test_seeds_and_items_are_crossed() -> None:
    examples = answers(8, 60)
    (found,) = judged(examples, claim("both", crossed()))
    (part,) = found["parts"]
    assert found["verdict"] == "SUPPORTED"
    assert found["statistic"] == "Student t over 8 seeds crossed with 60 examples, Holm over 1 claim"
    assert (part["n"], part["n_items"], [pair["pair"] for pair in part["pairs"]]) == (8, 60, [*range(8)])
    assert part["left_mean"] - part["right_mean"] == pytest.approx(part["effect"])
    these, others = (judged(examples, claim("x", crossed(fixed=fixed)))[0] for fixed in ("items", "seeds"))
    assert these["statistic"].startswith("Student t over pairs by seed, about these 60 examples alone")
    assert others["statistic"].startswith("Student t over 60 examples, about these 8 seeds alone")
    width, by_seed, by_item = (one["plain"][1] - one["plain"][0] for one in (found, these, others))
    assert width > max(by_seed, by_item)


@pytest.mark.parametrize(("seeds", "items", "said"), [
    (8, 29, "29 examples; a verdict needs 30"),
    (7, 30, "7 seeds; a verdict needs 8"),
    (8, 1, "1 example; a verdict needs 30"),
    (8, 30, "lies wholly above 0"),
])  # fmt: skip
def test_a_verdict_needs_thirty_items_as_it_needs_eight_seeds(seeds: int, items: int, said: str) -> None:
    (found,) = judged(answers(seeds, items), claim("both", crossed()))
    assert said in found["reason"]
    assert found["verdict"] == ("SUPPORTED" if "wholly" in said else "INCONCLUSIVE")


@pytest.mark.parametrize(("seeds", "said"), [(1, "this 1 seed"), (4, "these 4 seeds")])
def test_a_claim_about_few_fixed_models_is_judged_by_items_alone(seeds: int, said: str) -> None:
    """It says so; without `fixed` it would be one about new models, for which there are too few."""
    examples = answers(seeds, 60)
    (found,) = judged(examples, claim("these", crossed(fixed="seeds")))
    assert found["verdict"] == "SUPPORTED"
    assert found["statistic"] == f"Student t over 60 examples, about {said} alone, Holm over 1 claim"
    values = np.array([row["bits"] for row in examples if row["arm"] == "a"]).reshape(seeds, 60) - 1.0
    assert found["plain"] == pytest.approx(of_pairs(values.mean(0)).interval(0.95), rel=1e-5)
    (new,) = judged(examples, claim("new", crossed()))
    assert (new["verdict"], new["reason"]) == ("INCONCLUSIVE", f"{said.split(' ', 1)[1]}; a verdict needs 8")
    (few,) = judged(answers(seeds, 29), claim("these", crossed(fixed="seeds")))
    assert (few["verdict"], few["reason"]) == ("INCONCLUSIVE", "29 examples; a verdict needs 30")


def test_items_weigh_by_their_column() -> None:
    """As documents by their bytes: the mean is the one of all bytes."""
    examples = [{**row, "bytes": 1.0 + row["example"]} for row in answers(8, 40)]
    (found,) = judged(examples, claim("both", crossed(weight="bytes")))
    left = [(row["bits"], row["bytes"]) for row in examples if row["arm"] == "a"]
    assert found["effect"] + 1 == pytest.approx(sum(v * w for v, w in left) / sum(w for _, w in left))
    del examples[0]["bytes"]
    (found,) = judged(examples, claim("both", crossed(weight="bytes")))
    assert found["reason"] == "bits of a was measured without the weight bytes"


# Sizes and margins


@pytest.mark.parametrize(("size", "said"), [
    (-0.9, "the direction holds, smaller than printed (-0.9)"),
    (-0.1, "the direction holds, larger than printed (-0.1)"),
    (-0.465, "the direction holds, not told apart from the printed size (-0.465)"),
])  # fmt: skip
def test_the_printed_size_is_judged_apart_from_the_direction(size: float, said: str) -> None:
    (found,) = verdict_of(rows_of(a=LOWER, b=EIGHT), claim("less", compare("less", size=size)))
    assert found["verdict"] == "SUPPORTED"
    assert said in found["reason"]
    (other,) = verdict_of(rows_of(a=EIGHT, b=LOWER), claim("less", compare("less", size=size)))
    assert "the difference is smaller than printed" in other["reason"]


def test_a_margin_says_whose_it_is() -> None:
    mine = compare("less", margin=5.0, margin_of="ours")
    (found,) = verdict_of(rows_of(a=LOWER, b=EIGHT), claim("much-less", mine))
    assert found["reason"].endswith("in the claimed direction, but by less than a margin of ours")
    assert found["parts"][0]["margin_of"] == "ours"


# Simulators


DRAWS = 200


def drawn(draws: int = DRAWS, mean: float = -0.37) -> list[dict[str, Any]]:
    values = np.random.default_rng(9).normal(mean, 0.05, draws)
    rows: list[dict[str, Any]] = [
        {"stage": "evaluation", "arm": "a", "draw": draw, "bits": float(value)} for draw, value in enumerate(values)
    ]
    errors = {"one": (0.20, 0.24, 0.16), "two": (-0.1, -0.06, -0.14)}
    return rows + [
        {"stage": "tested", "arm": source, "figure": number, "off": value}
        for source, group in errors.items()
        for number, value in enumerate(group)
    ]


def off(**how: Any) -> Discrepancy:
    errors = Selection(family="tested", axes={}, quantity="off", labels={})
    return Discrepancy(errors=errors, within="arm", **how)


def test_a_simulation_is_consistent_or_inconsistent_and_no_more() -> None:
    rows = drawn()
    near = claim("near", compare("equivalent", "a", -0.37, 0.25, paired="draw"), method="simulated")
    wide = claim("wide", compare("equivalent", "a", -0.37, 0.06, paired="draw"), method="simulated")
    away = claim("away", compare("greater", "a", 0.0, paired="draw"), method="simulated")
    found, straddling, against = verdict_of(rows, near, wide, away)
    words = [one["verdict"] for one in (found, straddling, against)]
    assert words == ["CONSISTENT", "INCONCLUSIVE", "INCONSISTENT"]
    assert [part["verdict"] for part in against["parts"]] == ["INCONSISTENT"]
    values = np.array([row["bits"] for row in rows[:DRAWS]]) + 0.37
    ends = np.array([np.quantile(part, [0.025, 0.975]) for part in (values, values[::2], values[1::2])])
    assert found["plain"] == pytest.approx([ends[:, 0].min(), ends[:, 1].max()], rel=1e-6)
    assert found["statistic"] == (
        "central share of 200 draws of the calibration, or of either half of them, Holm over 3 claims"
    )
    assert (found["as_expected"], against["as_expected"]) == (True, False)
    (few,) = verdict_of(rows[:20], near)
    assert few["reason"] == "20 draws; a verdict needs 50"


def test_the_interval_of_a_simulation_holds_the_simulators_own_error() -> None:
    rows = drawn()
    bare = compare("less", "a", 0.0, paired="draw")
    alone, with_error, ten, in_units = (
        verdict_of(rows, claim("x", one, method="simulated"))[0]
        for one in (
            bare,
            replace(bare, discrepancy=off(times=1.0)),
            replace(bare, discrepancy=off(times=10.0)),
            replace(bare, discrepancy=off(times=1.0, of=select("a"))),
        )
    )
    logs = [np.log1p(group) for group in ((0.20, 0.24, 0.16), (-0.1, -0.06, -0.14))]
    spread = math.sqrt(sum(((one - one.mean()) ** 2).sum() for one in logs) / 4)
    assert with_error["parts"][0]["error"] == pytest.approx(spread)
    assert in_units["parts"][0]["error"] == pytest.approx(spread * abs(alone["effect"]))
    assert with_error["plain"][1] > alone["plain"][1]
    assert (alone["verdict"], ten["verdict"]) == ("CONSISTENT", "INCONCLUSIVE")
    assert "simulator's own error" in ten["statistic"]
    (lost,) = verdict_of(rows[:DRAWS], claim("x", replace(bare, discrepancy=off(times=1.0)), method="simulated"))
    assert (lost["verdict"], lost["reason"]) == ("FAILED", "nothing was measured for off")


@pytest.mark.parametrize("mean", [-0.37, -0.1, 0.0])
def test_twice_as_many_draws_change_no_verdict(mean: float) -> None:
    """With the simulator's own error the tails do not hang on the outermost draws."""
    one = compare("less", "a", 0.0, paired="draw", discrepancy=off(times=1.0))
    rows = drawn(800, mean)
    tested = rows[800:]
    verdicts_at = {
        verdict_of([*rows[:draws], *tested], claim("x", one, method="simulated"))[0]["verdict"]
        for draws in (100, 200, 400, 800)
    }
    assert len(verdicts_at) == 1


def test_a_level_needs_draws_in_its_tails() -> None:
    """At 99.5 % a hundred draws say nothing of what one in four hundred would be."""
    claims = [claim(f"{i}", compare("less", "a", 0.0, paired="draw"), method="simulated") for i in range(10)]
    few, enough = verdict_of(drawn(399), *claims)[0], verdict_of(drawn(400), *claims)[0]
    assert enough["verdict"] == "CONSISTENT"
    assert few["verdict"] == "INCONCLUSIVE"
    assert few["reason"].endswith("but 399 draws tell nothing at 99.50%; a verdict needs 400")


def test_no_verdict_hangs_on_half_of_the_draws() -> None:
    """Where one half decides and the other does not, there is none: so it is asked before the draws are doubled."""
    rows = [
        {"stage": "evaluation", "arm": "a", "draw": draw, "bits": 0.1 if draw in (0, 2, 4) else -1.0 - draw / 99}
        for draw in range(100)
    ]
    one = claim("x", compare("less", "a", 0.0, paired="draw"), method="simulated")
    assert verdict_of([{**row, "bits": min(row["bits"], -1.0)} for row in rows], one)[0]["verdict"] == "CONSISTENT"
    assert verdict_of(rows, one)[0]["verdict"] == "INCONCLUSIVE"


def test_what_a_machine_cannot_measure_is_not_tested() -> None:
    """Its counts are zero and true; without the column they would contradict the claim."""
    rows = [{"stage": "evaluation", "arm": "a", "bits": 0, "unavailable": "no network namespaces"}]
    links = compare("greater", "a", 0.0, paired="")
    (found,) = verdict_of(rows, claim("links", links, links, needed=2))
    assert (found["verdict"], found["reason"]) == ("NOT TESTED", "no network namespaces")
    (found,) = verdict_of([{"stage": "evaluation", "arm": "a", "bits": 0}], claim("links", links))
    assert found["verdict"] == "CONTRADICTED"


@pytest.mark.parametrize(
    ("key", "value", "said"), [("at_batch", "32", "at batch 32"), ("share", 0.5, "share 0.5"), ("arm", "btx", "btx")]
)
def test_a_number_alone_names_no_side(key: str, value: object, said: str) -> None:
    """ "1 against 32" tells nobody of what."""
    assert label_in_words(key, value) == said
