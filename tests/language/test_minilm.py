"""The two language models that test the questions: what they say of a text must not depend on its company."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import VOCABULARY, save_bert, save_llama
from transformers import AutoModel, AutoTokenizer

from tasks.base.errors import UserError
from tasks.language.minilm import MiniLM, batches
from tasks.language.smollm2 import SmolLM2, convert

TEXTS = ["the cat sat on the mat .", "who wrote about the capital of france ?", "dog", "", "a red, blue and green mat"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> SmolLM2:
    return SmolLM2(save_llama(tmp_path_factory.mktemp("llama")))


def by_hand(folder: Path, text: str) -> np.ndarray:
    """sentence-transformers' recipe for one text without any padding: mean over the tokens, then length 1."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
    mean = states.mean(0)
    return (mean / mean.norm()).numpy()


def test_a_vector_is_the_mean_of_the_tokens_and_of_length_one(bert: Path) -> None:
    """Padding that counts, [CLS] instead of the mean, or a missing normalisation."""
    vectors = MiniLM(bert).encode(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), MiniLM(bert).width)
    for text, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_allclose(vector, by_hand(bert, text), atol=1e-5)
    assert not np.allclose(vectors[0], vectors[1], atol=0.05)


def test_the_order_and_the_batches_of_texts_change_nothing(bert: Path) -> None:
    """Vectors handed back in the order of length, or texts that see their neighbours."""
    encoder = MiniLM(bert)
    vectors = encoder.encode(TEXTS)
    assert vectors.tobytes() == encoder.encode(TEXTS).tobytes()
    np.testing.assert_allclose(encoder.encode(TEXTS[::-1], batch_tokens=1)[::-1], vectors, atol=1e-6)
    assert encoder.encode([]).shape == (0, 16)


def test_a_long_text_is_cut_and_not_refused(bert: Path) -> None:
    encoder = MiniLM(bert)
    long = " ".join([VOCABULARY] * 20)
    np.testing.assert_allclose(encoder.encode([long]), encoder.encode([long + " dog"]), atol=1e-6)


def test_token_features_stand_for_their_characters(bert: Path) -> None:
    """Spans off by the [CLS] token, or features of another text of the batch."""
    encoder = MiniLM(bert)
    features = encoder.token_features(TEXTS)
    text = TEXTS[0]
    assert [text[begin:end] for begin, end in features[0].spans] == text.split()
    assert features[3].vectors.shape == (0, 16)
    tokenizer, model = AutoTokenizer.from_pretrained(bert), AutoModel.from_pretrained(bert).eval()
    with torch.no_grad():
        alone = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, 1:-1].numpy()
    np.testing.assert_allclose(features[0].vectors, alone, atol=1e-5)
    rows = {row: (vector, found) for row, vector, found in encoder.encode_with_tokens(TEXTS)}
    assert sorted(rows) == list(range(len(TEXTS)))
    np.testing.assert_allclose(np.stack([rows[row][0] for row in range(5)]), encoder.encode(TEXTS), atol=1e-6)


@given(lengths=st.lists(st.integers(1, 50), max_size=60), most=st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_batches_hold_every_row_once_and_bound_the_padding(lengths: list[int], most: int) -> None:
    made = batches(lengths, most)
    assert sorted(row for batch in made for row in batch) == list(range(len(lengths)))
    for batch in made:
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= most


@pytest.mark.parametrize("lacking", ["model.safetensors", "config.json", "vocab.txt"])
def test_a_folder_without_model_or_tokenizer_is_a_sentence(bert: Path, tmp_path: Path, lacking: str) -> None:
    for file in bert.iterdir():
        if file.name != lacking:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UserError, match=lacking.partition(".")[0] if lacking != "vocab.txt" else "tokenizer"):
        MiniLM(tmp_path)


def test_an_answer_is_the_same_alone_and_in_a_batch(llama: SmolLM2) -> None:
    """Padding on the right, padding that is attended to, or positions that count it."""
    prompts = ["Where is the cat?", "Who?", "Which of the red, the green and the blue mat did the dog sit on?"]
    together = llama.answer(prompts, 12)
    assert together == [llama.answer([prompt], 12)[0] for prompt in prompts]
    assert len(set(together)) == 3
    assert llama.answer([]) == []
    assert llama.answer(prompts, 12, instruction="Be brief.") != together


def test_what_is_completed_is_the_same_alone_and_in_a_batch_and_its_confidence_is_its_likelihood(
    llama: SmolLM2,
) -> None:
    """A mean over padding, or over another prompt's tokens, would tell good answers from bad ones by their company."""
    prompts = ["Where is the cat?", "Who?", "Which of the red, the green and the blue mat did the dog sit on?"]
    together = llama.complete(prompts, 6)
    for prompt, said in zip(prompts, together, strict=True):
        (alone,) = llama.complete([prompt], 6)
        assert alone.text == said.text
        assert alone.confidence == pytest.approx(said.confidence, abs=1e-4)
        assert said.confidence < 0
    before = llama.tokenizer(prompts[1], add_special_tokens=False)["input_ids"]
    logs = []
    for _ in range(6):
        with torch.no_grad():
            scores = llama.model(input_ids=torch.tensor([before])).logits[0, -1].log_softmax(-1)
        logs.append(float(scores.max()))
        before = [*before, int(scores.argmax())]
    if not set(before[-6:]) & {10, llama.tokenizer.eos_token_id}:
        assert together[1].confidence == pytest.approx(sum(logs) / 6, abs=1e-4)


def test_a_converted_model_says_what_it_said_before(tmp_path: Path) -> None:
    """Weights of another layer, or a tokenizer that lost its chat template on the way."""
    (tmp_path / "gguf").mkdir()
    (tmp_path / "out").mkdir()
    save_llama(tmp_path / "gguf")
    convert(tmp_path / "gguf", tmp_path / "out")
    before, after = SmolLM2(tmp_path / "gguf"), SmolLM2(tmp_path / "out")
    for name, weight in before.model.state_dict().items():
        assert torch.allclose(weight, after.model.state_dict()[name], atol=0.02), name
    assert after.tokenizer.chat_template == before.tokenizer.chat_template


def test_the_log_likelihood_is_that_of_the_next_tokens(llama: SmolLM2) -> None:
    """Scores shifted by one token: then the probabilities of the first token would not sum to one."""
    bytes_ = [chr(code) for code in range(32, 127)]
    total = sum(np.exp(llama.log_likelihood("Who?", byte)) for byte in bytes_)
    assert 0.05 < total < 1
    greedy = llama.answer(["Who?"], 1)[0]
    if greedy in bytes_:
        assert max(bytes_, key=lambda byte: llama.log_likelihood("Who?", byte)) == greedy
    pair = llama.log_likelihood("Who?", "xy")
    assert pair < llama.log_likelihood("Who?", "x") < 0


def test_a_folder_without_one_gguf_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"0 \.gguf files"):
        SmolLM2(tmp_path)
