"""Training of the retriever on a made world: what they learn from, and what they must not see."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from said_model import listen, loaded
from two_hop_world import inputs, write_split, write_world

from models.config import Optimisation
from tasks.concurrentqa.benchmark.questions import WRITTEN, read_questions
from tasks.concurrentqa.questions.candidates import read_candidates
from tasks.concurrentqa.retrieval.negatives import Mining, mine_negatives
from tasks.concurrentqa.retrieval.retriever import load_retriever
from tasks.concurrentqa.retrieval.retriever_training import RetrieverTraining, train_retriever
from tasks.encyclopedia.passages import read_passages
from tasks.language.encoded import Encoded
from tasks.learning.train import Plateau

RETRIEVER = RetrieverTraining(
    seed=1,
    data="mixed",
    optimisation=Optimisation(steps=60, batch=32, learning_rate=3e-3, warmup=5),
    plateau=Plateau(gain=1e-9, steps=60),
    hidden=64,
)
SHORT: dict[str, Any] = {
    "optimisation": replace(RETRIEVER.optimisation, steps=12),
    "plateau": Plateau(gain=1e-9, steps=6),
}
"""Long enough for bytes to be compared: every step reads the same kinds of things, and two validations decide."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    (folder / "negatives").mkdir()
    mine_negatives(
        **inputs(folder, "corpora", "benchmark", "candidates"), config=Mining(passages=4), out=folder / "negatives"
    )
    return folder


TRAINING = ("corpora", "benchmark", "candidates", "features", "question_features", "negatives")


def retriever(world: Path, out: Path, **changes: Any) -> bytes:
    out.mkdir()
    train_retriever(**inputs(world, *TRAINING), config=replace(RETRIEVER, **changes), out=out)
    return (out / "retriever.safetensors").read_bytes()


def test_shards_join_in_the_order_of_the_passages(world: Path) -> None:
    whole = Encoded.load_shards({"0": world / "features-0", "1": world / "features-1"})
    passages = read_passages(world / "corpora" / "passages.parquet")
    halves = [Encoded.load(world / f"features-{half}") for half in (0, 1)]
    assert len(whole) == len(passages)
    for place, passage in enumerate(passages):
        np.testing.assert_array_equal(whole.vectors[place], halves[place % 2].vectors[place // 2])
        spans = whole.spans[whole.starts[place] : whole.starts[place + 1]]
        assert "".join(passage.rendered[a:b] for a, b in spans.tolist()) == "".join(passage.rendered.split())


def test_sentences_of_a_passage_have_slots_after_its_header(world: Path) -> None:
    whole = Encoded.load_shards({"0": world / "features-0", "1": world / "features-1"})
    for place, passage in enumerate(read_passages(world / "corpora" / "passages.parquet")):
        own = slice(*whole.starts[place : place + 2])
        slots, spans = whole.sentence[own], whole.spans[own]
        for number, sentence in enumerate(passage.sentences):
            begin = passage.rendered.index(sentence)
            inside = (spans[:, 0] >= begin) & (spans[:, 1] <= begin + len(sentence))
            assert set(slots[inside].tolist()) == {number + 1}
        assert slots[0] == 0


def test_extra_questions_share_nothing_with_dev_and_test(world: Path) -> None:
    questions = read_questions(world / "benchmark", world / "candidates")
    extra = [questions.questions[row] for row in questions.rows("extra")]
    heldout = [questions.questions[row] for row in questions.rows("dev", "test")]
    assert extra
    assert {each.chain for each in extra} == {"WW"}
    for field in ("question", "bridge", "wording"):
        assert not {getattr(each, field) for each in extra} & {getattr(each, field) for each in heldout}
    assert not {p for each in extra for p in each.passages} & {p for each in heldout for p in each.passages}


def test_negatives_are_wrong_and_stay_in_their_corpus(world: Path) -> None:
    negatives = load_file(world / "negatives" / "negatives.safetensors")
    questions = read_questions(world / "benchmark", world / "candidates")
    passages = read_passages(world / "corpora" / "passages.parquet")
    gold = questions.gold({passage.id: row for row, passage in enumerate(passages)})
    assert (negatives["all"][questions.rows("dev", "test")] == -1).all()
    for row in questions.rows("train", "extra"):
        assert not set(negatives["all"][row].tolist()) & set(gold[row].tolist())
        assert all(passages[place].scope == "public" for place in negatives["public"][row] if place >= 0)
    assert any(passages[place].scope == "private" for place in negatives["all"][questions.rows("train")].flatten())


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The spool of a stage."""
    monkeypatch.setenv("TENFOLD_SPOOL", str(tmp_path / "spool.jsonl"))
    return tmp_path / "spool.jsonl"


def test_training_raises_recall_on_dev_in_every_chain(world: Path, tmp_path: Path, said: Path) -> None:
    """Recall is that of a search through the whole corpus, which a falling loss does not imply."""
    retriever(world, tmp_path / "one", plateau=Plateau(gain=1e-9, steps=20))
    curves: dict[str, list[float]] = {}
    for line in said.read_text().splitlines():
        event = json.loads(line)
        if event["kind"] == "metric" and event["name"].startswith("dev_path_recall_"):
            curves.setdefault(event["name"][-2:], []).append(event["value"])
    assert sorted(curves) == ["EE", "EW", "WE", "WW"]
    assert all(max(curve) > 0.7 for curve in curves.values())


def test_the_same_seed_gives_the_same_bytes(world: Path, tmp_path: Path) -> None:
    first = retriever(world, tmp_path / "one", **SHORT)
    assert retriever(world, tmp_path / "two", **SHORT) == first
    assert retriever(world, tmp_path / "other", **SHORT, seed=2) != first


def test_public_training_sees_nothing_private(world: Path, tmp_path: Path) -> None:
    """Other mails, other private questions: a retriever of the public world stays the same to the last bit."""
    assert (before := retriever(world, tmp_path / "before", **SHORT, data="public"))
    changed = tmp_path / "changed"
    changed.mkdir()
    for each in ("corpora", "candidates", "question_features", "negatives"):
        (changed / each).symlink_to(world / each)
    (changed / "benchmark").mkdir()
    for split in WRITTEN:
        rows = read_candidates(world / "benchmark" / f"{split}.parquet")
        other = [row if row.chain == "WW" else replace(row, passages=("e0_p0", "e1_p0")) for row in rows]
        write_split(changed / "benchmark", split, other)
    private = np.array([p.scope == "private" for p in read_passages(world / "corpora" / "passages.parquet")])
    for half in (0, 1):
        encoded = Encoded.load(world / f"features-{half}")
        vectors = np.where(private[half::2, None], encoded.vectors[::-1], encoded.vectors)
        (changed / f"features-{half}").mkdir()
        replace(encoded, vectors=vectors).save(changed / f"features-{half}")
    assert retriever(changed, tmp_path / "after", **SHORT, data="public") == before
    mixed = retriever(world, tmp_path / "mixed", **SHORT)
    assert retriever(changed, tmp_path / "mixed-after", **SHORT) != mixed


def test_the_retriever_that_is_logged_is_the_one_on_the_disk(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = listen(monkeypatch, tmp_path)
    retriever(world, tmp_path / "out", **SHORT)
    example, made = loaded(spool, tmp_path / "out")
    assert torch.equal(made, load_retriever(tmp_path / "out").passages(example["vectors"], example["bags"]))
    assert torch.allclose(made.norm(dim=-1), torch.ones(1), atol=0.5)
