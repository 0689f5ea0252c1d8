"""Training of the whole encoder: it learns, it is stored as it was read, and a search uses what was learned."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from numpy.typing import NDArray
from tiny_models import save_bert
from two_hop_world import inputs, write_world

from models.config import Optimisation
from tasks.concurrentqa.benchmark.questions import read_questions
from tasks.concurrentqa.retrieval.encoder_training import EncoderTraining, Texts, train_encoder
from tasks.concurrentqa.retrieval.negatives import Mining, mine_negatives
from tasks.concurrentqa.retrieval.retrieve import Search, TrainedSearch, retrieve_encoder
from tasks.encyclopedia.passages import read_passages
from tasks.language.minilm import MiniLM
from tasks.learning.train import Plateau

CONFIG = EncoderTraining(
    seed=1,
    data="mixed",
    optimisation=Optimisation(steps=40, batch=32, learning_rate=3e-3, warmup=5),
    plateau=Plateau(gain=1e-9, steps=100),
    longest=64,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made world, a tiny BERT, and what became of it in training."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    for each in ("minilm", "negatives", "encoder"):
        (folder / each).mkdir()
    save_bert(folder / "minilm")
    mine_negatives(
        **inputs(folder, "corpora", "benchmark", "candidates"), config=Mining(passages=4), out=folder / "negatives"
    )
    trained(folder, folder / "encoder")
    return folder


def trained(folder: Path, out: Path, steps: int = 40) -> bytes:
    given = inputs(folder, "corpora", "benchmark", "candidates", "negatives", "minilm")
    optimisation = replace(CONFIG.optimisation, steps=steps)
    train_encoder(**given, config=replace(CONFIG, optimisation=optimisation), out=out)
    return (out / "model.safetensors").read_bytes()


def ranks(world: Path, encoder: str) -> NDArray[np.int64]:
    """Where the second gold passage of each training question stands, asked for with the first one."""
    model = MiniLM(world / encoder)
    passages = read_passages(world / "corpora" / "passages.parquet")
    questions = read_questions(world / "benchmark", world / "candidates")
    gold = questions.gold({passage.id: place for place, passage in enumerate(passages)})
    rows = questions.rows("train")[:64]
    texts = [f"{questions.questions[row].question} {passages[gold[row, 0]].rendered}" for row in rows]
    scores = model.encode(texts) @ model.encode([passage.rendered for passage in passages]).T
    own = scores[np.arange(len(rows)), gold[rows, 1]]
    found: NDArray[np.int64] = (scores > own[:, None]).sum(1)
    return found


def test_training_brings_second_passages_nearer(world: Path) -> None:
    before, after = ranks(world, "minilm"), ranks(world, "encoder")
    assert np.median(after) < np.median(before) / 2


def test_the_same_seed_gives_the_same_bytes(world: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    one, two = (trained(world, folder, steps=6) for folder in folders)
    assert one == two


def test_what_is_stored_gives_the_vectors_of_what_was_trained(world: Path) -> None:
    """Stored weights that are those before training, or another pooling, would give others."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    from models.retrieval.mdr import WholeEncoder

    folder = world / "encoder"
    model = WholeEncoder(AutoModel.from_pretrained(folder, local_files_only=True)).eval()
    texts = ["the cat sat on a mat", "who wrote about red", "mail"]
    reads = Texts(AutoTokenizer.from_pretrained(folder, local_files_only=True), texts, texts, longest=64)
    rows = np.array([0, 1, 2])
    with torch.no_grad():
        together, pairs = reads.first_query(model, rows), reads.second_query(model, rows, rows[::-1].copy())
        alone = torch.cat([reads.first_query(model, rows[at : at + 1]) for at in range(3)])
        grid = reads.passages(model, np.array([[0, 1], [2, 0]]))
    np.testing.assert_allclose(together, MiniLM(folder).encode(texts), atol=1e-5)
    np.testing.assert_allclose(together, alone, atol=1e-5)  # padding changes nothing
    np.testing.assert_allclose(
        pairs, MiniLM(folder).encode([f"{texts[a]} {texts[2 - a]}" for a in range(3)]), atol=1e-5
    )
    np.testing.assert_allclose(grid, together[torch.tensor([[0, 1], [2, 0]])], atol=1e-5)


def test_a_search_with_it_obeys_the_policies(world: Path, tmp_path: Path) -> None:
    config = TrainedSearch(seed=1, search=Search(beam=6, top=6))
    retrieve_encoder(**inputs(world, "corpora", "benchmark", "candidates", "encoder"), config=config, out=tmp_path)
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(tmp_path / "chains.parquet").to_pylist()
    hops = {policy: {row["passage1"][0] + row["passage2"][0] for row in rows if row["policy"] == policy} for policy in
            ("none", "document", "query")}  # fmt: skip
    assert "ew" in hops["none"]
    assert "ew" not in hops["document"]
    assert hops["query"] == {"ee"}
    seen = {row["policy"]: row["seen_private"] for row in json.loads((tmp_path / "audit.json").read_text())}
    assert seen["none"] > 0
    assert seen["document"] == seen["query"] == 0
