"""Retrieval under policies and its evaluation, end to end on a made world."""

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from two_hop_world import inputs, write_split, write_world

from models.config import Optimisation
from tasks.concurrentqa.benchmark.splits import SPLITS
from tasks.concurrentqa.questions.candidates import read_candidates
from tasks.concurrentqa.retrieval.evaluation import Evaluation, evaluate
from tasks.concurrentqa.retrieval.negatives import Mining, mine_negatives
from tasks.concurrentqa.retrieval.reader_training import ReaderTraining, train_reader
from tasks.concurrentqa.retrieval.retrieve import Search, SparseSearch, TrainedSearch, retrieve_sparse, retrieve_trained
from tasks.concurrentqa.retrieval.retriever_training import RetrieverTraining, train_retriever
from tasks.learning.train import Plateau

SEARCH = Search(beam=12, top=12, fetch=8)
READ = (*(("mdr-mixed", policy) for policy in ("none", "document", "query")), ("bm25", "none"), ("oracle", "none"))
EVALUATION = Evaluation(seed=1, read=3, answered=READ)
TRAINING = ("corpora", "benchmark", "candidates", "features", "question_features", "negatives")
SEARCHING = ("corpora", "benchmark", "candidates", "features", "question_features")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made world with what was trained and retrieved on it."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    for each in ("negatives", "retriever", "reader", "bm25", "mdr-mixed"):
        (folder / each).mkdir()
    mine_negatives(
        **inputs(folder, "corpora", "benchmark", "candidates"), config=Mining(passages=4), out=folder / "negatives"
    )
    plateau = Plateau(gain=1e-9, steps=150)
    optimisation = Optimisation(steps=50, batch=32, learning_rate=3e-3, warmup=5)
    training = RetrieverTraining(seed=1, data="mixed", optimisation=optimisation, plateau=plateau, hidden=64)
    train_retriever(**inputs(folder, *TRAINING), config=training, out=folder / "retriever")
    optimisation = Optimisation(steps=120, batch=16, learning_rate=5e-3, warmup=10)
    reading = ReaderTraining(seed=1, optimisation=optimisation, plateau=plateau, width=32)
    train_reader(**inputs(folder, *TRAINING), config=reading, out=folder / "reader")
    search(folder, folder / "mdr-mixed")
    retrieve_sparse(**inputs(folder, *SEARCHING[:3]), config=SparseSearch(search=SEARCH), out=folder / "bm25")
    return folder


def search(folder: Path, out: Path) -> None:
    config = TrainedSearch(seed=1, search=SEARCH, mitigations=True)
    retrieve_trained(**inputs(folder, *SEARCHING, "retriever"), config=config, out=out)


def scores(world: Path, out: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The rows of metrics.json by arm, policy and domain."""
    out.mkdir()
    retrieved = {arm: world / arm for arm in ("bm25", "mdr-mixed")}
    evaluate(**inputs(world, *SEARCHING, "reader"), retrieved=retrieved, config=EVALUATION, out=out)
    rows: dict[tuple[str, str, str], dict[str, Any]] = defaultdict(dict)
    for row in json.loads((out / "metrics.json").read_text()):
        if "coverage" not in row:
            rows[row["arm"], row["policy"], row["domain"]].update(row)
    return rows


@pytest.fixture(scope="module")
def scored(world: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], dict[str, Any]]:
    return scores(world, tmp_path_factory.mktemp("scored") / "out")


def chains(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(folder / "chains.parquet").to_pylist()
    return rows


@pytest.mark.parametrize("arm", ["bm25", "mdr-mixed"])
def test_policies_forbid_chains_and_queries(world: Path, arm: str) -> None:
    """No public passage after a private one where documents are private, and no public one where the question is."""
    for row in chains(world / arm):
        hops = row["passage1"][0] + row["passage2"][0]
        if row["policy"] == "document" and row["mode"] != "public-first":
            assert hops != "ew"
        if row["policy"] in ("query", "private-only") and row["mode"] == "overall":
            assert hops == "ee"
    seen = {(row["policy"], row["mode"]): row for row in json.loads((world / arm / "audit.json").read_text())}
    assert seen["none", "overall"]["seen_private"] > 0
    for (policy, _), row in seen.items():
        assert policy == "none" or row["seen_private"] == 0
        assert policy not in ("query", "private-only") or row["seen_queries"] == 0
        # What the client says it sent is what the service says it saw.
        assert row["queries"] == row["seen_queries"]


def test_ranks_are_those_of_the_scores(world: Path) -> None:
    lists: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for row in chains(world / "mdr-mixed"):
        by = lists[row["question"], row["policy"], row["mode"]]
        assert row["rank"] == len(by)
        by.append(row["score"])
    assert all(by == sorted(by, reverse=True) for by in lists.values())


def test_the_cost_of_privacy_is_on_the_forbidden_chains(scored: dict[Any, dict[str, Any]]) -> None:
    def path(policy: str, domain: str) -> float:
        return float(scored["mdr-mixed", policy, domain]["path_recall"])

    assert all(path("none", domain) > 0.4 for domain in ("EE", "EW", "WE", "WW"))
    assert path("document", "EW") == 0
    assert all(path("document", domain) >= path("none", domain) for domain in ("EE", "WE", "WW"))
    assert all(path("query", domain) == 0 for domain in ("EW", "WE", "WW"))
    assert path("query", "EE") >= path("none", "EE")
    assert path("query", "all") == path("private-only", "all")


def test_two_indexes_give_what_one_gives(scored: dict[Any, dict[str, Any]]) -> None:
    assert scored["mdr-mixed-single", "none", "all"]["same_as_single"] == 1.0


def test_controls_move_as_they_must(scored: dict[Any, dict[str, Any]]) -> None:
    """Gold forced into the results, or labels that leak, would survive these."""
    plain, shuffled, planted, oracle = (
        scored[arm, "none", "all"] for arm in ("mdr-mixed", "shuffled", "planted", "oracle")
    )
    assert shuffled["path_recall"] < 0.2 < plain["path_recall"]
    assert shuffled["f1"] < 0.2 < plain["f1"]
    assert planted["path_recall"] == planted["p_em"] == 1.0 > plain["path_recall"] - 1e-9
    assert oracle["f1"] > 0.9
    assert scored["mdr-mixed-without-gold", "none", "all"]["path_recall"] == 0
    assert "f1" not in scored["mdr-mixed-without-gold", "none", "all"]


def test_means_are_of_the_examples(scored: dict[Any, dict[str, Any]], world: Path, tmp_path: Path) -> None:
    again = scores(world, tmp_path / "out")
    assert again == scored
    examples = pyarrow.parquet.read_table(tmp_path / "out" / "examples.parquet").to_pylist()
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in examples:
        if row["f1"] is not None:
            values[row["arm"], row["policy"], row["domain"]].append(row["f1"])
    for key, own in values.items():
        assert scored[key]["f1"] == pytest.approx(np.mean(own))


def test_selective_prediction_is_scored_for_restricted_policies(scored: dict[Any, dict[str, Any]]) -> None:
    row = scored["mdr-mixed", "query", "all"]
    assert row["aurc_random"] == pytest.approx(1 - row["f1"])
    assert row["aurc"] < row["aurc_random"]
    assert 0 <= row["coverage_1"] <= row["coverage_2"] <= row["coverage_5"] <= 1


def test_without_labels_retrieval_and_answers_stay(world: Path, tmp_path: Path, scored: dict[Any, Any]) -> None:
    """A domain read from the label, or a gold passage that the reader can tell, would change something."""
    for each in (
        "corpora",
        "candidates",
        "question_features",
        "features-0",
        "features-1",
        "retriever",
        "reader",
        "bm25",
    ):
        (tmp_path / each).symlink_to(world / each)
    (tmp_path / "benchmark").mkdir()
    for split in SPLITS:
        rows = read_candidates(world / "benchmark" / f"{split}.parquet")
        blank = [
            replace(row, chain="WW", family="", passages=("w0", "w1"), support=((), ()), bridge="") for row in rows
        ]
        write_split(tmp_path / "benchmark", split, blank)
    (tmp_path / "mdr-mixed").mkdir()
    search(tmp_path, tmp_path / "mdr-mixed")
    labelled = [row for row in chains(world / "mdr-mixed") if row["mode"] not in ("oracle", "without-gold")]
    assert [row for row in chains(tmp_path / "mdr-mixed") if row["mode"] not in ("oracle", "without-gold")] == labelled
    unlabelled = scores(tmp_path, tmp_path / "out")
    for policy in ("none", "document", "query"):
        for quantity in ("f1", "em"):
            before, after = (each["mdr-mixed", policy, "all"][quantity] for each in (scored, unlabelled))
            assert before == pytest.approx(after)
