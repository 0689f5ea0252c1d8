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
from tasks.concurrentqa.benchmark.questions import WRITTEN
from tasks.concurrentqa.questions.candidates import read_candidates
from tasks.concurrentqa.retrieval.evaluation import Comparison, Evaluation, compare, evaluate, with_won_back
from tasks.concurrentqa.retrieval.leakage import AskingFirst, ask_first
from tasks.concurrentqa.retrieval.negatives import Mining, mine_negatives
from tasks.concurrentqa.retrieval.retrieve import Search, SparseSearch, TrainedSearch, retrieve_sparse, retrieve_trained
from tasks.concurrentqa.retrieval.retriever_training import RetrieverTraining, train_retriever
from tasks.learning.train import Plateau
from tasks.running.run import check_metrics

SEARCH = Search(beam=12, top=12, fetch=8)
EVALUATION = Evaluation(seed=1)
TRAINING = ("corpora", "benchmark", "candidates", "features", "question_features", "negatives")
SEARCHING = ("corpora", "benchmark", "candidates", "features", "question_features")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made world with what was trained and retrieved on it."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    for each in ("negatives", "retriever", "bm25", "mdr-mixed"):
        (folder / each).mkdir()
    mine_negatives(
        **inputs(folder, "corpora", "benchmark", "candidates"), config=Mining(passages=4), out=folder / "negatives"
    )
    plateau = Plateau(gain=1e-9, steps=150)
    optimisation = Optimisation(steps=50, batch=32, learning_rate=3e-3, warmup=5)
    training = RetrieverTraining(seed=1, data="mixed", optimisation=optimisation, plateau=plateau, hidden=64)
    train_retriever(**inputs(folder, *TRAINING), config=training, out=folder / "retriever")
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
    evaluate(**inputs(world, "benchmark", "candidates"), retrieved=retrieved, config=EVALUATION, out=out)
    check_metrics(evaluate, out)
    rows: dict[tuple[str, str, str], dict[str, Any]] = defaultdict(dict)
    for row in json.loads((out / "metrics.json").read_text()):
        rows[row["arm"], row["policy"], row["domain"]].update(row)
    return rows


@pytest.fixture(scope="module")
def scored(world: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], dict[str, Any]]:
    return scores(world, tmp_path_factory.mktemp("scored") / "out")


def chains(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(folder / "chains.parquet").to_pylist()
    return rows


def test_policies_forbid_chains_and_queries(world: Path) -> None:
    """No public passage after a private one where documents are private, and no public one where the question is."""
    for row in chains(world / "mdr-mixed"):
        hops = row["passage1"][0] + row["passage2"][0]
        if row["policy"] == "document" and row["mode"] != "public-first":
            assert hops != "ew"
        if row["policy"] in ("query", "private-only") and row["mode"] == "overall":
            assert hops == "ee"
    seen = {(row["policy"], row["mode"]): row for row in json.loads((world / "mdr-mixed" / "audit.json").read_text())}
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


def test_without_a_policy_a_search_on_this_machine_finds_what_the_service_finds(world: Path, tmp_path: Path) -> None:
    """Retrievers that are searched without a service would else be compared with others by another search."""
    config = TrainedSearch(seed=1, search=SEARCH, policies=("none",))
    retrieve_trained(**inputs(world, *SEARCHING, "retriever"), config=config, out=tmp_path)
    served = [row for row in chains(world / "mdr-mixed") if (row["policy"], row["mode"]) == ("none", "overall")]
    assert chains(tmp_path) == served
    assert json.loads((tmp_path / "audit.json").read_text()) == []


def test_controls_move_as_they_must(scored: dict[Any, dict[str, Any]]) -> None:
    """Gold forced into the results, or labels that leak, would survive these."""
    plain, shuffled, planted = (scored[arm, "none", "all"] for arm in ("mdr-mixed", "shuffled", "planted"))
    assert shuffled["path_recall"] < 0.2 < plain["path_recall"]
    assert planted["path_recall"] == planted["p_em"] == 1.0 > plain["path_recall"] - 1e-9
    assert scored["mdr-mixed-without-gold", "none", "all"]["path_recall"] == 0


def test_what_is_won_back_is_counted_from_what_the_policy_costs(scored: dict[Any, dict[str, Any]]) -> None:
    """A third of the cost that is added and not taken off, or a cost against another policy, would win back more."""
    row = scored["mdr-mixed-public-first", "document", "all"]
    free, private = (scored["mdr-mixed", policy, "all"]["p_em"] for policy in ("none", "document"))
    assert row["won_back"] == pytest.approx(row["p_em"] - private - (free - private) / 3)
    arms = (("mdr-mixed", "none", 1.0), ("mdr-mixed", "document", 0.0), ("mdr-mixed", "query", 0.0))
    for first, won in ((1.0, 2 / 3), (0.0, -1 / 3)):
        rows = [
            {"arm": arm, "policy": policy, "question": "EW-1", "p_em": p_em}
            for arm, policy, p_em in (*arms, ("mdr-mixed-public-first", "document", first))
        ]
        assert [each["won_back"] for each in with_won_back(rows) if "won_back" in each] == [pytest.approx(won)]


def test_means_are_of_the_examples(scored: dict[Any, dict[str, Any]], world: Path, tmp_path: Path) -> None:
    again = scores(world, tmp_path / "out")
    assert again == scored
    examples = pyarrow.parquet.read_table(tmp_path / "out" / "examples.parquet").to_pylist()
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in examples:
        values[row["arm"], row["policy"], row["domain"]].append(row["p_em"])
    assert {key[0] for key in values} == set(EVALUATION.examples) - {"mdr-public"}
    for key, own in values.items():
        assert scored[key]["p_em"] == pytest.approx(np.mean(own))


def test_a_comparison_is_of_its_own_split_and_measures_what_it_declares(world: Path, tmp_path: Path) -> None:
    """On test a search would be compared on the questions that it had filtered."""
    config = SparseSearch(search=replace(SEARCH, split="unfiltered"))
    retrieve_sparse(**inputs(world, *SEARCHING[:3]), config=config, out=tmp_path)
    given = {**inputs(world, "benchmark", "candidates"), "retrieved": {"bm25": tmp_path}}
    (tmp_path / "out").mkdir()
    compare(**given, config=Comparison(seed=1), out=tmp_path / "out")
    check_metrics(compare, tmp_path / "out")
    ids = pyarrow.parquet.read_table(world / "benchmark" / "unfiltered.parquet")["id"].to_pylist()
    examples = pyarrow.parquet.read_table(tmp_path / "out" / "examples.parquet")["question"].to_pylist()
    assert examples == ids
    rows = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert {row["unfiltered"] for row in rows} == {"bm25, unfiltered"}


def test_what_asking_first_sends_is_counted_by_the_service_question_by_question(world: Path, tmp_path: Path) -> None:
    """A count of what was masked and not of what was sent, or one that our own search does not pass either."""
    config = AskingFirst(seed=1, questions=16, beam=4)
    ask_first(**inputs(world, *SEARCHING, "retriever"), config=config, out=tmp_path)
    examples = pyarrow.parquet.read_table(tmp_path / "examples.parquet").to_pylist()
    found = {(row["arm"], row["question"]): row["private_share"] for row in examples}
    assert len(found) == 32
    assert all(share == 0 for (arm, _), share in found.items() if arm == "ours")
    # One query of the question alone, and one for each of four first passages, some of them mails.
    masked = [share for (arm, _), share in found.items() if arm == "masked-afterwards"]
    assert all(round(5 * share, 6) in (0, 1, 2, 3, 4) for share in masked)
    assert np.mean(masked) > 0.2
    rows = {row["arm"]: row for row in json.loads((tmp_path / "metrics.json").read_text())}
    assert rows["both"]["same_chains"] == 1.0
    assert rows["masked-afterwards"]["private_share"] == pytest.approx(np.mean(masked))


def test_without_labels_retrieval_stays(world: Path, tmp_path: Path) -> None:
    """A domain read from the label, or a gold passage that the search can tell, would change something."""
    for each in ("corpora", "candidates", "question_features", "features-0", "features-1", "retriever"):
        (tmp_path / each).symlink_to(world / each)
    (tmp_path / "benchmark").mkdir()
    for split in WRITTEN:
        rows = read_candidates(world / "benchmark" / f"{split}.parquet")
        blank = [
            replace(row, chain="WW", family="", passages=("w0", "w1"), support=((), ()), bridge="") for row in rows
        ]
        write_split(tmp_path / "benchmark", split, blank)
    (tmp_path / "mdr-mixed").mkdir()
    search(tmp_path, tmp_path / "mdr-mixed")
    labelled = [row for row in chains(world / "mdr-mixed") if row["mode"] not in ("oracle", "without-gold")]
    assert [row for row in chains(tmp_path / "mdr-mixed") if row["mode"] not in ("oracle", "without-gold")] == labelled
