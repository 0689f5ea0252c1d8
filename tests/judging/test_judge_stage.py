"""The judge as a stage: what it reads, what it writes, and what it tells the tracking store."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from made_claims import EIGHT, LOWER, claim, compare, controls, rows_of, select
from pydantic import TypeAdapter

from flows.engine.stages import to_json
from models.config import config
from tasks.base import spool
from tasks.judging.claims import Comparison, Judging, Selection, identity
from tasks.judging.judge import judge
from tasks.judging.register import NOTHING_REGISTERED, entry, is_post_hoc
from tasks.judging.results import Results, collect


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
    noted["claims"]["early"] = entry(early)
    (tmp_path / "registered.json").write_text(json.dumps(noted))
    (tmp_path / "verdicts").mkdir()
    judge(
        results=tmp_path / "results",
        registered=tmp_path / "registered.json",
        config=Judging(families=("evaluation",), claims=(early, late), controls=controls("b")),
        out=tmp_path / "verdicts",
    )
    found = json.loads((tmp_path / "verdicts/verdicts.json").read_text())
    first, second = found["claims"]
    assert (first["verdict"], first["post_hoc"]) == ("SUPPORTED", False)
    assert (second["verdict"], second["post_hoc"]) == ("SUPPORTED", True)
    assert [pair["pair"] for pair in second["parts"][0]["pairs"]] == [0, 1, 2, 3]
    assert found["controls"][0]["passed"]
    check_shape(found)
    assert set(first) == {
        "id", "says", "source", "evidence", "paper_value", "whose", "expected", "method", "seen", "enlarged", "verdict",
        "reason", "as_expected", "post_hoc", "seen_at", "digest", "statistic", "n", "effect", "interval", "level",
        "plain", "p", "needed", "parts",
    }  # fmt: skip
    assert first["parts"][0]["pairs"][0]["left_stage"] == "evaluation"


def check_shape(found: dict[str, Any]) -> None:
    """The keys that the report, the publications and other tools rely on."""
    assert set(found) == {"alpha", "minimum_seeds", "minimum_items", "controls", "claims"}
    assert len({frozenset(claim) for claim in found["claims"]}) == 1
    told = {"id", "kind", "says", "needed", "passed", "reason", "parts"}
    assert all(set(control) == told for control in found["controls"])
    for part in [part for one in [*found["claims"], *found["controls"]] for part in one["parts"]]:
        assert set(part) == {
            "name", "kind", "margin", "margin_of", "size", "size_found", "paired", "cluster", "items", "fixed", "left",
            "right", "verdict", "reason", "statistic", "n", "n_items", "left_mean", "right_mean", "effect", "interval",
            "level", "plain", "p", "error", "pairs", "crossed",
        }  # fmt: skip
        assert set(part["left"]) == {"quantity", "labels"}
        assert all(set(pair) == {"pair", "left", "right", "left_stage", "right_stage"} for pair in part["pairs"])


def test_the_tracking_store_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics: dict[str, float] = {}
    tables: dict[str, Any] = {}
    monkeypatch.setattr(spool, "metric", lambda name, value: metrics.update({name: value}))
    monkeypatch.setattr(spool, "table", lambda name, rows: tables.update({name: rows}))
    (tmp_path / "metrics.json").write_text(json.dumps(rows_of(a=LOWER, b=EIGHT)))
    (tmp_path / "registered.json").write_text(NOTHING_REGISTERED)
    (tmp_path / "out").mkdir()
    claims = (
        claim("less", compare("less")),
        claim("more", compare("greater")),
        claim("no", compare("less", "x")),
        claim("sure", compare("less"), whose="foregone"),
    )
    judge(
        results=tmp_path,
        registered=tmp_path / "registered.json",
        config=Judging(families=("evaluation",), claims=claims, controls=controls("b")),
        out=tmp_path / "out",
    )
    assert metrics == {
        "verdicts/number/supported": 1, "verdicts/number/contradicted": 1, "verdicts/number/inconclusive": 0,
        "verdicts/number/not-tested": 0, "verdicts/number/failed": 1, "verdicts/number/consistent": 0,
        "verdicts/number/inconsistent": 0, "verdicts/as-expected": 0, "controls/passed": 1, "controls/failed": 0,
    }, "claims that no register holds were not predicted, and foregone ones are not counted"  # fmt: skip
    columns = {"claim", "whose", "verdict", "expected", "effect", "low", "high", "n", "post_hoc"}
    assert [set(row) for row in tables["verdicts"]] == [columns] * 4
    text = (tmp_path / "out/verdicts.json").read_text()
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True, allow_nan=False) + "\n"


def test_a_claim_that_was_edited_after_its_data_existed_is_post_hoc(tmp_path: Path) -> None:
    """Its id alone is no proof: a margin or a prediction may have been changed, or the stage that it reads."""
    (tmp_path / "metrics.json").write_text(json.dumps(rows_of(a=LOWER, b=EIGHT)))
    first = claim("less", compare("less", margin=0.6))
    noted = {"claims": {"less": entry(first)}, "measured": []}
    (tmp_path / "registered.json").write_text(json.dumps(noted))
    unmeasured = claim("less", expected="not tested", not_tested="no GPU")
    eased = claim("less", compare("less", margin=0.4))
    turned = claim("less", compare("less", margin=0.6), expected="does not hold at this scale")
    elsewhere = replace(first, comparisons=tuple(moved(one, "other") for one in first.comparisons))
    worded = replace(first, says="A smaller number is better", source="Table 2", evidence="DIG", paper_value="2")
    cases = [(first, False), (eased, True), (turned, True), (unmeasured, False), (elsewhere, True), (worded, False)]
    for number, (one, post_hoc) in enumerate(cases):
        (tmp_path / str(number)).mkdir()
        judging = Judging(families=("evaluation", "other"), claims=(one,), controls=())
        judge(results=tmp_path, registered=tmp_path / "registered.json", config=judging, out=tmp_path / str(number))
        (found,) = json.loads((tmp_path / str(number) / "verdicts.json").read_text())["claims"]
        assert found["post_hoc"] is post_hoc


def moved(comparison: Comparison, family: str) -> Comparison:
    """The same comparison on what another stage measured."""
    left, right = (replace(side, family=family) for side in (comparison.left, comparison.right))
    return replace(comparison, left=left, right=right)


def test_a_renamed_stage_makes_no_claim_post_hoc() -> None:
    """But reading another stage does, while the one that was read before is still there."""
    before = claim("less", compare("less"))
    after = replace(before, comparisons=tuple(moved(one, "test") for one in before.comparisons))
    noted = {"less": entry(before)}
    assert not is_post_hoc(after, noted, ["test"])
    assert is_post_hoc(after, noted, ["test", "evaluation"])


def test_a_new_field_with_a_default_changes_no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vocabulary of claims grows with each paper; what earlier claims say does not."""

    @config
    class Wider(Comparison):
        rule: str = "difference"

    def widened(one: Comparison, **more: str) -> Any:
        return Wider(**{field.name: getattr(one, field.name) for field in fields(one)}, **more)

    plain = compare("less", margin=0.5)
    assert identity(claim("less", widened(plain))) == identity(claim("less", plain))
    assert identity(claim("less", compare("less", margin=0.4))) != identity(claim("less", plain))


def test_the_judge_and_the_register_digest_alike() -> None:
    """Else every claim would read as post hoc, or none: numbers that JSON writes in two ways are the danger."""
    labels = {"whole": 1, "float": 1.0, "yes": True, "word": "1"}
    side = Selection(family="evaluation", axes={"seed": (1, 2)}, quantity="bits", labels=labels)
    comparison = Comparison(kind="at most", left=side, right=0, margin=1, paired="seed")
    claims = (claim("numbers", comparison, compare("less")),)
    made = Judging(families=("evaluation",), claims=claims, controls=controls("b"))
    read = TypeAdapter(Judging).validate_json(json.dumps(to_json(made)))
    assert [identity(one) for one in (*read.claims, *read.controls)] == [
        identity(one) for one in (*made.claims, *made.controls)
    ]
