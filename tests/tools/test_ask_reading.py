"""Who reads for `tenfold ask`: the small language model."""

from pathlib import Path

import pytest
from tiny_models import save_llama

from tasks.radit.language_models import Conversion, convert_model
from tools.ask.reading import LanguageModel, news

TEXTS = ["paris. the capital of france", "from: red dog | list: blue\nwho sat on a mat", "green. a cat sat"]


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_the_language_model_is_believed_only_where_a_passage_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches answers that a model made up, and those that repeat the question."""
    packed, unpacked = folder(tmp_path / "packed"), folder(tmp_path / "unpacked")
    convert_model(smollm2=save_llama(packed), config=Conversion(), out=unpacked)
    model = LanguageModel(unpacked)
    assert model.read("Who?", [TEXTS[:1]]).confidence <= 1  # the real model's own words, whatever they are
    said = ["The capital of France is Lyon.", "Red dog sat on the mat", "France"]
    monkeypatch.setattr(model, "says", lambda _, passages: [(each, -1.0) for each in said[: len(passages)]])
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
