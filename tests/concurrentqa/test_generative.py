"""The generative reader: which passages it is shown, of which questions, and how what it says is scored."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from two_hop_world import inputs, write_world

from tasks.concurrentqa.benchmark.questions import read_questions
from tasks.concurrentqa.retrieval.generative import Generative, read_generatively
from tasks.language import smollm2

PROMPTS: list[str] = []


class Copyist:
    """Says which land the passages name, if they name any, as a model would that reads perfectly."""

    def __init__(self, folder: Path) -> None:
        pass

    def answer(self, prompts: Sequence[str], max_new_tokens: int = 16) -> list[str]:
        PROMPTS.extend(prompts)
        lands = [[word.strip(".") for word in prompt.split() if word.startswith("Lan")] for prompt in prompts]
        return [f"{found[0]}.\nNothing else." if found else "I do not know." for found in lands]


@pytest.fixture
def scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The examples of a world in which the policy "none" finds the gold chain, "document" wrong ones, "query" none."""
    monkeypatch.setattr(smollm2, "SmolLM2", Copyist)
    PROMPTS.clear()
    write_world(tmp_path)
    for each in ("retrieved", "smollm2", "out"):
        (tmp_path / each).mkdir()
    rows = []
    questions = read_questions(tmp_path / "benchmark", tmp_path / "candidates")
    for row in questions.rows("test"):
        first, second = questions.questions[row].passages
        for policy, mode, rank, chain in (
            ("none", "overall", 0, (first, second)),
            ("none", "overall", 1, ("e0_p0", "e1_p0")),
            ("document", "overall", 0, ("e0_p0", "e1_p0")),
            ("document", "oracle", 0, (first, second)),
        ):
            ends = dict(zip(("passage1", "passage2"), chain, strict=True))
            rows.append({"question": row, "policy": policy, "mode": mode, "rank": rank, **ends, "score": 1.0})
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "retrieved" / "chains.parquet")
    read_generatively(
        **inputs(tmp_path, "corpora", "benchmark", "candidates", "retrieved", "smollm2"),
        config=Generative(seed=3, questions=20),
        out=tmp_path / "out",
    )
    examples: list[dict[str, Any]] = pyarrow.parquet.read_table(tmp_path / "out" / "examples.parquet").to_pylist()
    return examples


def test_it_reads_the_best_chain_of_its_policy_alone(scored: list[dict[str, Any]]) -> None:
    """A gold passage that slips into another policy's prompt would raise that policy's score."""
    assert {(row["arm"], row["policy"], row["f1"]) for row in scored} == {
        ("smollm2-oracle", "none", 1.0),
        ("smollm2", "none", 1.0),
        ("smollm2", "document", 0.0),
        ("smollm2", "query", 0.0),
    }
    assert any("[1]" not in prompt for prompt in PROMPTS)  # under query privacy nothing was found, so nothing is shown


def test_the_sample_is_the_same_for_all_policies_and_even_over_chains(scored: list[dict[str, Any]]) -> None:
    """Policies that are judged on different questions cannot be compared."""
    by = Counter((row["policy"], row["domain"]) for row in scored if row["arm"] == "smollm2")
    assert set(by.values()) == {5}
    asked = [{row["question"] for row in scored if row["policy"] == policy} for policy in ("none", "document", "query")]
    assert asked[0] == asked[1] == asked[2]


def test_means_are_of_the_examples(scored: list[dict[str, Any]], tmp_path: Path) -> None:
    for row in json.loads((tmp_path / "out" / "metrics.json").read_text()):
        own = [
            each["f1"]
            for each in scored
            if (each["arm"], each["policy"]) == (row["arm"], row["policy"]) and row["domain"] in (each["domain"], "all")
        ]
        assert row["f1"] == pytest.approx(sum(own) / len(own))
