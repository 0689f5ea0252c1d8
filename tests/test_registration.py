"""A claim edited after its data exist is post hoc, whoever computed the data, and a new run does not launder it."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Clone, read_json

from tasks.registration import NOTHING_REGISTERED, digest, register


def claim(name: str, stages: list[str], margin: float = 0.0) -> dict[str, Any]:
    left = {"stages": stages, "quantity": "bits", "labels": {}}
    return {"id": name, "comparisons": [{"kind": "less", "left": left, "right": 1.0, "margin": margin}]}


@pytest.fixture
def params(tmp_path: Path) -> Path:
    path = tmp_path / "params.json"
    write(path, [claim("early", ["evaluation-0", "evaluation-1"])])
    (tmp_path / "registered.json").write_text(NOTHING_REGISTERED)
    return path


def write(path: Path, claims: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps({"verdicts": {"claims": claims, "controls": []}}))


def registered(params: Path) -> dict[str, str]:
    found: dict[str, str] = read_json(params.with_name("registered.json"))["claims"]
    return found


def test_a_claim_is_noted_when_its_first_data_are_computed(params: Path) -> None:
    register(params, "tokens")
    assert registered(params) == {}, "tokens are no data of this claim"
    register(params, "evaluation-1")
    assert registered(params) == {"early": digest(claim("early", ["evaluation-0", "evaluation-1"]))}


def test_an_edited_claim_keeps_its_first_digest(params: Path) -> None:
    register(params, "evaluation-0")
    before = registered(params)
    write(params, [claim("early", ["evaluation-0", "evaluation-1"], margin=0.1)])
    for stage in ("evaluation-1", "evaluation-0"):
        register(params, stage)
    assert registered(params) == before
    assert before["early"] != digest(claim("early", ["evaluation-0", "evaluation-1"], margin=0.1))


def test_a_claim_added_later_is_not_noted(params: Path) -> None:
    register(params, "evaluation-0")
    write(params, [claim("late", ["evaluation-0", "evaluation-1"])])
    register(params, "evaluation-1")
    register(params, "evaluation-0")
    assert "late" not in registered(params)


def test_a_claim_on_a_new_stage_is_noted(params: Path) -> None:
    register(params, "evaluation-0")
    write(params, [claim("new", ["ablation-0"])])
    register(params, "ablation-0")
    assert "new" in registered(params)


def test_more_seeds_after_the_fact_change_the_digest() -> None:
    """Going on until it is significant is an edit of the claim."""
    assert digest(claim("early", ["evaluation-0"])) != digest(claim("early", ["evaluation-0", "evaluation-1"]))


def test_the_engine_and_dvc_note_the_same_claims(finished: Clone, clone: Clone) -> None:
    clone.dvc("repro")
    register_of = "pipelines/quick/tiny/registered.json"
    assert read_json(clone.root / register_of) == read_json(finished.root / register_of)
    assert set(read_json(finished.root / register_of)["claims"]) == {
        "half-is-more", "third-is-more", "halves-agree", "one-half-is-more", "lines-count-alike", "planted", "shuffled",
    }  # fmt: skip


def test_an_edited_claim_is_post_hoc_and_retrains_nothing(done: Clone) -> None:
    done.edit("flows/tiny.py", lambda code: code.replace("test=greater(third, half)", "test=greater(half, third)"))
    output = done.tenfold("reproduce").stdout
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
    assert (done.root / "report.html").read_text().count('class="posthoc"') == 2  # the legend and the claim
