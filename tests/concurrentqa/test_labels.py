"""Labels: whose they are, what counts as accepted, and that a stale one does not count."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_questions import world
from scipy.stats import binomtest

from tasks.base.errors import UserError
from tasks.concurrentqa.benchmark.labels import Audit, audit, wilson
from tasks.concurrentqa.benchmark.splits import Question
from tasks.concurrentqa.questions.candidates import write_candidates
from tasks.encyclopedia.passages import write_passages

PASSAGES, CANDIDATES = world(20)
QUESTIONS = [Question.of(each, "test" if n % 8 < 4 else "train") for n, each in enumerate(CANDIDATES)]
GOOD = {"annotator": "model", "answerable": True, "unambiguous": True, "natural": True, "two_hops": True}


def audited(folder: Path, lines: list[str], links: list[str] | None = None) -> tuple[list[dict[str, object]], Path]:
    for name in ("corpora", "benchmark", "labels", "out"):
        (folder / name).mkdir()
    write_passages(folder / "corpora" / "passages.parquet", PASSAGES)
    write_candidates(folder / "benchmark" / "questions.parquet", QUESTIONS, Question)
    (folder / "labels" / "question_labels.jsonl").write_text("\n".join(lines))
    if links is not None:
        (folder / "labels" / "link_labels.jsonl").write_text("\n".join(links))
    inputs = {name: folder / name for name in ("corpora", "benchmark", "labels", "out")}
    audit(**inputs, config=Audit(sample=3))
    return json.loads((folder / "out" / "metrics.json").read_text()), folder / "out"


def test_accepted_is_all_of_it_and_a_models_labels_stay_a_models(tmp_path: Path) -> None:
    """A model's labels counted among people's; a question accepted for being natural."""
    ids = [each.id for each in QUESTIONS if each.chain == "EE"]
    lines = [json.dumps({**GOOD, "question": ids[0]}), json.dumps({**GOOD, "question": ids[1], "two_hops": False})]
    lines += [
        json.dumps({**GOOD, "question": ids[2], "annotator": "person"}),
        json.dumps({**GOOD, "question": "EE-gone"}),
    ]
    rows, _ = audited(tmp_path, lines, [json.dumps({"sample": "pairs", "annotator": "model", "correct": False})])
    shares = {(row["arm"], row["domain"], row["annotator"]): (row["share"], row["read"]) for row in rows}
    assert shares["accepted", "EE", "model"] == (0.5, 2)
    assert shares["natural", "EE", "model"] == (1.0, 2)
    assert shares["two_hops", "EE", "model"] == (0.5, 2)
    assert shares["accepted", "EE", "person"] == (1.0, 1)
    assert shares["link", "pairs", "model"] == (0.0, 1)


def test_the_sample_is_of_test_questions_and_shows_what_a_reader_needs(tmp_path: Path) -> None:
    _, out = audited(tmp_path, [])
    sample = [json.loads(line) for line in (out / "sample.jsonl").read_text(encoding="utf-8").split("\n") if line]
    by_id = {each.id: each for each in QUESTIONS}
    assert len(sample) == 4 * 3
    for row in sample:
        assert by_id[row["question"]].split == "test"
        assert [hop["passage"] for hop in row["hops"]] == list(by_id[row["question"]].passages)
        assert row["answer"] in row["hops"][1]["text"]


@pytest.mark.parametrize("line", ["{", "[]", '{"question": "x"}', json.dumps({**GOOD, "annotator": "expert"})])
def test_a_label_without_its_annotators_kind_is_a_sentence(tmp_path: Path, line: str) -> None:
    with pytest.raises(UserError, match="line 1"):
        audited(tmp_path, [line])


def test_a_verdict_that_is_neither_yes_nor_no_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="natural"):
        audited(tmp_path, [json.dumps({**GOOD, "question": QUESTIONS[0].id, "natural": "quite"})])


@given(count=st.integers(1, 200), data=st.data())
def test_the_interval_is_wilsons(count: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, count))
    expected = binomtest(right, count).proportion_ci(method="wilson")
    assert wilson(right, count) == pytest.approx((expected.low, expected.high), abs=1e-5)
