"""The reader: what it is shown, what it learns, whose answers are read, and when no claim may rest on it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from tiny_models import save_llama
from two_hop_world import inputs, passages, question, write_world

from models.config import Optimisation
from tasks.concurrentqa.benchmark.questions import read_questions
from tasks.concurrentqa.retrieval import answering, reader
from tasks.concurrentqa.retrieval.answering import Answering, Sample, Scoring, best_chains, read_found, score_answers
from tasks.concurrentqa.retrieval.reader import (
    Conversion,
    ReaderTraining,
    Reading,
    convert_model,
    prompt,
    read_well,
    train_reader,
    withheld,
)
from tasks.language.lora import Adapter
from tasks.language.smollm2 import Said

SAMPLE = Sample(seed=3, questions=5)
READING = Reading(words=40, answer_tokens=4)
ASKED = ("benchmark", "candidates")


class Copyist:
    """Says which land the passages name, as a model would that reads perfectly, and nothing without passages."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def complete(self, prompts: list[str], longest: int) -> list[Said]:
        lands = [[word.strip(".") for word in text.split() if word.startswith("Lan")] for text in prompts]
        return [Said(found[0], -0.1) if found else Said("no idea", -2.0) for found in lands]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """With seed 1 the policy "none" finds the gold chain, "document" a wrong one and "query" none; with seed 2 "none",
    too, finds a wrong one."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    for each in ("1", "2", "read", "reader", "scored"):
        (folder / each).mkdir()
    questions = read_questions(folder / "benchmark", folder / "candidates")
    rows: dict[str, list[dict[str, Any]]] = {"1": [], "2": []}
    for row in questions.rows("test"):
        gold, wrong = questions.questions[row].passages, ("e0_p0", "e1_p0")
        for seed, policy, mode, rank, chain in (
            ("1", "none", "overall", 0, gold),
            ("1", "none", "overall", 1, wrong),
            ("1", "document", "overall", 0, wrong),
            ("1", "document", "oracle", 0, gold),
            ("1", "query", "oracle", 0, gold),
            ("1", "private-only", "overall", 0, gold),
            ("2", "none", "overall", 0, wrong),
        ):
            ends = dict(zip(("passage1", "passage2"), chain, strict=True))
            rows[seed].append({"question": row, "policy": policy, "mode": mode, "rank": rank, **ends})
    for seed, some in rows.items():
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(some), folder / seed / "chains.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answering, "SmolLM2", Copyist)
        yield folder


def scored(world: Path, reason: str = "") -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What is measured, and the single answers, where the reader is said not to read for `reason`."""
    (world / "reader" / "reader.json").write_text(json.dumps({"withheld": reason}))
    searches = {seed: world / seed for seed in ("1", "2")}
    given = inputs(world, "corpora", *ASKED)
    shards = {}
    for shard in (0, 1):
        (world / "read" / str(shard)).mkdir(exist_ok=True)
        shards[str(shard)] = world / "read" / str(shard)
        config = Answering(shard=shard, shards=2, sample=SAMPLE, reading=READING)
        read_found(**given, model=world, reader=world, searches=searches, config=config, out=shards[str(shard)])
    score_answers(
        **inputs(world, *ASKED, "reader"),
        answers=shards,
        searches=searches,
        config=Scoring(sample=SAMPLE),
        out=world / "scored",
    )
    examples = pyarrow.parquet.read_table(world / "scored" / "examples.parquet").to_pylist()
    return json.loads((world / "scored" / "metrics.json").read_text()), examples


def test_each_search_is_answered_from_its_own_best_chain(world: Path) -> None:
    """A gold passage that slips into another policy's prompt would raise that policy's score."""
    _, examples = scored(world)
    for seed, free in ((1, 1.0), (2, 0.0)):
        assert {(row["arm"], row["policy"], row["f1"]) for row in examples if row["seed"] == seed} == {
            ("oracle", "none", 1.0), ("mdr-mixed", "none", free), ("mdr-mixed", "document", 0.0),
            ("mdr-mixed", "query", 0.0),
        }  # fmt: skip


def test_all_are_judged_on_the_same_questions_as_many_of_each_chain(world: Path) -> None:
    """Policies that are judged on different questions cannot be compared, and shards must not lose any."""
    _, examples = scored(world)
    asked: dict[tuple[str, str, int], list[str]] = {}
    for row in examples:
        asked.setdefault((row["arm"], row["policy"], row["seed"]), []).append(row["question"])
    assert {len(some) for some in asked.values()} == {20}
    assert len({tuple(sorted(some)) for some in asked.values()}) == 1


def test_a_question_for_which_nothing_was_found_is_answered_from_nothing(world: Path) -> None:
    """Or it would fall out of the means, and a policy that finds little would look good."""
    questions = read_questions(world / "benchmark", world / "candidates")
    asked = SAMPLE.rows(questions)
    found = best_chains({"1": world / "1"}, asked)
    assert found["query", "1"] == dict.fromkeys(asked, ())
    _, examples = scored(world)
    said = [row["confidence"] for row in examples if row["policy"] == "query"]
    assert said == [-2.0] * 40


def test_answers_are_scored_by_seed_and_by_chain(world: Path) -> None:
    metrics, examples = scored(world)
    for row in metrics:
        if "f1" in row:
            same = ("arm", "policy", "seed")
            mine = [each for each in examples if [each[name] for name in same] == [row[name] for name in same]]
            own = [each["f1"] for each in mine if row["domain"] in (each["domain"], "all")]
            assert row["f1"] == pytest.approx(sum(own) / len(own))
    lacking = [row for row in metrics if "retrieval_share" in row and row["policy"] == "document"]
    assert {row["retrieval_share"] for row in lacking} == {1.0}
    area = next(row for row in metrics if "aurc" in row and row["policy"] == "query")
    assert area["aurc_random"] == pytest.approx(1.0)
    assert 0 <= area["coverage_1"] <= area["coverage_2"] <= area["coverage_5"] <= 1


def test_a_reader_that_cannot_read_withholds_what_rests_on_it(world: Path) -> None:
    """Differences of F1 at the floor would be judged as if they said something about retrieval."""
    metrics, examples = scored(world, reason="F1 of 0.30 on mails")
    assert {row["unavailable"] for row in [*metrics, *examples]} == {"F1 of 0.30 on mails"}
    assert not any("unavailable" in row for row in [*scored(world)[0], *scored(world)[1]])


def test_the_reader_is_measured_where_the_answers_are() -> None:
    """The mean over all would hide a reader of articles alone."""
    asked = [question(0, "EE"), question(1, "WE"), question(0, "EW"), question(1, "WW")]
    said = [Said(text, 0.0) for text in (asked[0].answer, "no", asked[2].answer, asked[3].answer)]
    rows = read_well(asked, [asked[0].answer, "", "", ""], said, [Said("no", 0.0)] * 4)
    found = {row["domain"]: row["gold_f1"] for row in rows}
    assert (found["mails"], found["articles"], found["all"]) == (0.5, 1.0, 0.75)
    assert {row["domain"]: row["shown"] for row in rows}["EE"] == 1.0
    assert withheld(rows) == ""
    assert "0.49 on mails" in withheld([{"domain": "mails", "gold_f1": 0.49}, {"domain": "articles", "gold_f1": 0.9}])
    assert "0.00 on mails" in withheld([])


def test_it_is_shown_as_many_words_as_are_said_and_both_passages() -> None:
    """The audit's reader was shown 60 words of each passage, before many of the answers."""
    known = {each.id: each for each in passages()}
    asked = question(3, "WE")
    text = prompt(asked, asked.passages, known, Reading(words=5))
    first, second = (" ".join(known[each].rendered.split()[:5]) for each in asked.passages)
    assert text == f"Passage 1: {first}\n\nPassage 2: {second}\n\nQuestion: {asked.question}\nAnswer:"
    assert prompt(asked, (), known, Reading()) == f"Question: {asked.question}\nAnswer:"


def test_the_reader_learns_from_train_and_is_measured_on_dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lessons out of test, a reader that is measured without its adapter, or on what it learned."""
    taught: list[tuple[str, str]] = []
    teach = reader.teach

    def listening(lm: Any, examples: list[tuple[str, str]], *rest: Any) -> None:
        taught.extend(examples)
        teach(lm, examples, *rest)

    monkeypatch.setattr(reader, "teach", listening)
    write_world(tmp_path)
    for each in ("gguf", "model", "out"):
        (tmp_path / each).mkdir()
    save_llama(tmp_path / "gguf")
    convert_model(smollm2=tmp_path / "gguf", config=Conversion(), out=tmp_path / "model")
    config = ReaderTraining(
        seed=1, each=2, reading=READING, precision="float32", adapter=Adapter(first_layer=0),
        optimisation=Optimisation(steps=2, batch=4, learning_rate=1e-2, warmup=0),
    )  # fmt: skip
    train_reader(**inputs(tmp_path, "corpora", *ASKED, "model"), config=config, out=tmp_path / "out")
    questions = read_questions(tmp_path / "benchmark", tmp_path / "candidates")
    train = {questions.questions[row].question for row in questions.rows("train")}
    assert len(taught) == 8
    assert all(text.rpartition("Question: ")[2].removesuffix("\nAnswer:") in train for text, _ in taught)
    rows = {row["domain"]: row for row in json.loads((tmp_path / "out" / "metrics.json").read_text())}
    assert set(rows) == {"EE", "EW", "WE", "WW", "mails", "articles", "all"}
    assert "on mails" in json.loads((tmp_path / "out" / "reader.json").read_text())["withheld"]
    assert (tmp_path / "out" / "adapter_model.safetensors").exists()
