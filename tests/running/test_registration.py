"""A claim edited after its data exist is post hoc, whoever computed the data, and a new run does not launder it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Clone, read_json

from flows.engine.stages import to_json
from tasks.judging.claims import Comparison, Judging, Selection, Statement, identity
from tasks.judging.register import NOTHING_REGISTERED, entry, is_post_hoc, seen_at
from tasks.running.registration import register


def claim(name: str, seeds: int, family: str = "evaluation", margin: float = 0.0) -> Statement:
    side = Selection(family=family, axes={"seed": tuple(range(seeds))}, quantity="bits", labels={})
    one = Comparison(kind="less", left=side, right=1.0, margin=margin, paired="seed")
    words = {"says": name, "source": "Table 1", "evidence": "P", "paper_value": "1", "method": "measured"}
    words["whose"] = "paper, with a number"
    return Statement(id=name, comparisons=(one,), expected="holds", **words)  # type: ignore[arg-type]


@pytest.fixture
def params(tmp_path: Path) -> Path:
    path = tmp_path / "pipelines/cpu/paper/params.json"
    path.parent.mkdir(parents=True)
    write(path, claim("early", seeds=2))
    path.with_name("registered.json").write_text(NOTHING_REGISTERED)
    return path


def write(path: Path, *claims: Statement) -> None:
    judging = Judging(claims=claims, controls=(), families=("evaluation", "ablation"))
    path.write_text(json.dumps({"verdicts": to_json(judging)}))


def registered(params: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(params.with_name("registered.json"))["claims"]
    return found


def test_a_claim_is_noted_when_its_first_data_are_computed(params: Path) -> None:
    register(params, "tokens")
    assert registered(params) == {}, "tokens are no data of this claim"
    register(params, "evaluation-1")
    assert registered(params) == {"early": entry(claim("early", seeds=2))}


def test_an_edited_claim_keeps_its_first_digest(params: Path) -> None:
    register(params, "evaluation-0")
    before = registered(params)
    write(params, claim("early", seeds=2, margin=0.1))
    for stage in ("evaluation-1", "evaluation-0"):
        register(params, stage)
    assert registered(params) == before
    assert before["early"] != entry(claim("early", seeds=2, margin=0.1))


def test_a_claim_added_later_is_noted_with_the_data_that_there_were(params: Path) -> None:
    """So it is post hoc by itself, also where the rest of its data came after it."""
    register(params, "evaluation-0")
    write(params, claim("late", seeds=2))
    register(params, "evaluation-1")
    register(params, "evaluation-0")
    noted = registered(params)
    assert noted["late"] == {**entry(claim("late", seeds=2)), "measured": ["evaluation-0"]}
    assert is_post_hoc(claim("late", seeds=2), noted, ["evaluation"])
    assert not is_post_hoc(claim("early", seeds=2), noted, ["evaluation"])


def test_what_had_been_seen_at_another_profile_is_noted(params: Path) -> None:
    """It makes no claim post hoc, for another profile has other seeds and sizes; but it is told."""
    quick = params.parents[2] / "quick/paper/registered.json"
    quick.parent.mkdir(parents=True)
    quick.write_text(json.dumps({"claims": {}, "measured": ["evaluation-7"]}))
    write(params, claim("early", seeds=2), claim("other", seeds=1, family="ablation"))
    register(params, "evaluation-0")
    register(params, "ablation-0")
    noted = registered(params)
    assert seen_at(claim("early", seeds=2), noted) == ["quick"]
    assert seen_at(claim("other", seeds=1, family="ablation"), noted) == []
    assert not is_post_hoc(claim("early", seeds=2), noted, ["evaluation"])


def test_a_sample_enlarged_after_a_look_makes_a_claim_post_hoc(params: Path) -> None:
    grown = replace(claim("early", seeds=2), enlarged="25 questions more, after it had been inconclusive")
    register(params, "evaluation-0")
    assert identity(grown) == identity(claim("early", seeds=2))
    assert is_post_hoc(grown, registered(params), ["evaluation"])


def test_a_claim_on_a_new_stage_is_noted(params: Path) -> None:
    register(params, "evaluation-0")
    write(params, claim("new", seeds=1, family="ablation"))
    register(params, "ablation-0")
    assert "new" in registered(params)


def test_more_seeds_after_the_fact_change_the_digest() -> None:
    """Going on until it is significant is an edit of the claim."""
    assert identity(claim("early", seeds=1)) != identity(claim("early", seeds=2))


def test_an_edited_claim_is_post_hoc_and_retrains_nothing(done: Clone) -> None:
    done.edit("flows/tiny.py", lambda code: code.replace("test=greater(third, half)", "test=greater(half, third)"))
    output = done.tenfold("reproduce", "--plain").stdout
    ran = {line.split()[1] for line in output.splitlines() if line.startswith("✓")}
    assert ran == {"tiny/verdicts", "report/report"}
    claims = read_json(done.root / "data/quick/tiny/verdicts/verdicts.json")["claims"]
    assert {claim["id"]: claim["post_hoc"] for claim in claims} == {
        "half-is-more": False,
        "third-is-more": True,
        "halves-agree": False,
        "one-half-is-more": False,
        "lines-count-alike": False,
        "all-languages": False,
    }
    assert "(post hoc)" in done.tenfold("claims").stdout
    assert ", post hoc" in done.tenfold("trace", "third-is-more").stdout
    done.tenfold("report")
    assert (done.root / "report/tiny.html").read_text().count('class="posthoc"') == 2  # the legend and the claim
