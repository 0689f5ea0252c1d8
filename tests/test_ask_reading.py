"""Who reads for `tenfold ask`: the trained reader on passages it has never seen, and the small language model."""

from pathlib import Path

import pytest
import torch
from tiny_models import save_bert, save_llama

from models.retrieval.reader import Reader
from tasks.ask_reading import LanguageModel, TrainedReader, news
from tasks.concurrentqa.chains import save_reader
from tasks.concurrentqa.features import Projection, fit_projection
from tasks.concurrentqa.passages import Passage, write_passages
from tasks.minilm import MiniLM

TEXTS = ["paris. the capital of france", "from: red dog | list: blue\nwho sat on a mat", "green. a cat sat"]


def folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.fixture
def trained(tmp_path: Path) -> TrainedReader:
    """A reader with random weights, in the files that a reproduction writes."""
    corpora = folder(tmp_path / "corpora")
    texts = [*TEXTS, "blue. who wrote about a dog", "red. the list of mail"]
    passages = [Passage(f"w{at}", "public", "cat", text, (text,)) for at, text in enumerate(texts)]
    write_passages(corpora / "passages.parquet", passages)
    bert = save_bert(folder(tmp_path / "bert"))
    config = Projection(dimensions=8, passages=5)
    fit_projection(corpora=corpora, minilm=bert, config=config, out=folder(tmp_path / "projection"))
    torch.manual_seed(0)
    save_reader(Reader(8, width=16, layers=1, heads=2), folder(tmp_path / "reader"))
    return TrainedReader(tmp_path / "reader", tmp_path / "projection", MiniLM(bert))


def test_the_trained_reader_answers_with_words_of_the_chain_it_names(trained: TrainedReader) -> None:
    """Catches spans of another passage, and a confidence that is no probability."""
    chains = [[TEXTS[0], TEXTS[1]], [TEXTS[2], TEXTS[0]], [TEXTS[1]]]
    read = trained.read("where is the cat ?", chains)
    assert read.answer in ("yes", "no") or any(read.answer in text for text in chains[read.chain])
    assert 0 <= read.confidence <= 1
    assert trained.read("where is the cat ?", chains) == read


def test_the_language_model_is_believed_only_where_a_passage_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches answers that a model made up, and those that repeat the question."""
    model = LanguageModel(save_llama(folder(tmp_path / "llama")))
    assert model.read("Who?", [TEXTS[:1]]).confidence <= 1  # the real model's own words, whatever they are
    said = ["The capital of France is Lyon.", "Red dog sat on the mat", "France"]
    monkeypatch.setattr(model._model, "answer", lambda prompts, max_new_tokens: said[: len(prompts)])
    read = model.read("What is the capital of France?", [[TEXTS[0]], [TEXTS[1], TEXTS[2]]])
    assert (read.answer, read.confidence) == ("", 0.0)
    said[0] = "The capital of France is Paris."
    read = model.read("What is the capital of France?", [[TEXTS[0]], [TEXTS[1]]])
    assert (read.answer, read.chain) == ("Paris", 0)
    assert 0 < read.confidence <= 1


def test_what_a_sentence_adds_to_the_question_is_the_answer() -> None:
    """Catches "The capital of Kenya is Nairobi" where "Nairobi" was asked for, and an echo of the question."""
    assert news("The capital of Kenya is Nairobi.", "What is the capital of Kenya?") == "Nairobi"
    assert news("Anna Smith", "Who moved?") == "Anna Smith"
    assert news("Kenya", "What is the capital of Kenya?") == ""
