"""Tokens, batches and bits per byte: exact where they can be, and unable to look ahead."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_corpus import WORDS, make_corpus
from pyarrow import parquet
from tokenizers import Tokenizer
from torch import nn

from models.config import Mixture, Optimisation, Transformer
from models.moe import mixture_decoder
from models.transformer import Decoder
from tasks.base.errors import UserError
from tasks.learning.bits import bits_per_byte, cut_windows, log_probabilities
from tasks.learning.lm import Pretraining, pretrain, sampler
from tasks.learning.stored import load_model, save_model
from tasks.learning.tokens import Text, Tokenization, tokenize, train_tokenizer
from tasks.learning.train import Plateau, Training

CONFIG = Tokenization(vocabulary=320, validation=0.1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def tokens(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tokens")
    tokenize(corpus=corpus, config=CONFIG, out=out)
    return out


def uniform(vocabulary: int) -> nn.Module:
    class Uniform(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.anchor = nn.Parameter(torch.zeros(()))

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return torch.zeros(*ids.shape, vocabulary)

    return Uniform()


def test_tokenizing_twice_gives_the_same_bytes(corpus: Path, tokens: Path, tmp_path: Path) -> None:
    tokenize(corpus=corpus, config=CONFIG, out=tmp_path)
    for file in tokens.iterdir():
        assert file.read_bytes() == (tmp_path / file.name).read_bytes(), file.name


def test_streams_spell_the_documents(corpus: Path, tokens: Path) -> None:
    text = Text.load(tokens)
    tokenizer = Tokenizer.from_file(str(tokens / "tokenizer.json"))
    rows = parquet.read_table(corpus / "heldout.parquet").to_pylist()
    for domain in WORDS:
        stream, starts = text.streams[f"heldout/{domain}"], text.streams[f"heldout/{domain}.starts"]
        assert (stream[starts] == 0).all()
        documents = [tokenizer.decode(part[1:].tolist()) for part in np.split(stream, starts[1:])]
        assert documents == [row["text"] for row in rows if row["domain"] == domain]


def test_validation_documents_are_not_trained_on(tokens: Path) -> None:
    sizes = {row["split"]: row["documents"] for row in json.loads((tokens / "sizes.json").read_text())}
    for domain in WORDS:
        assert (sizes[f"train/{domain}"], sizes[f"validation/{domain}"]) == (27, 3)


@given(st.lists(st.text(), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_any_text_is_spelled_exactly(texts: list[str]) -> None:
    """Text that spells the end token, or that the tokenizer never saw, keeps all its bytes."""
    tokenizer = train_tokenizer(["plain text", *texts[:1]], 300)
    for text in [*texts, "<|end|> and \x00 and \U0001f600"]:
        ids = tokenizer.encode(text).ids
        assert 0 not in ids
        assert sum(len(tokenizer.id_to_token(index)) for index in ids) == len(text.encode())
        assert tokenizer.decode(ids) == text


def test_mixed_documents_know_their_switch(corpus: Path, tokens: Path) -> None:
    text = Text.load(tokens)
    stream, starts, switches = (text.streams[name] for name in ("mixed", "mixed.starts", "mixed.switches"))
    for row, start, switch in zip(
        parquet.read_table(corpus / "mixed.parquet").to_pylist(), starts, switches, strict=True
    ):
        before = int(text.token_bytes[stream[start:switch]].sum())
        assert before <= row["switch_byte"] < before + int(text.token_bytes[stream[switch]])


@pytest.mark.parametrize("around", [None, "mixed.switches"])
def test_windows_cover_documents_once_and_never_cross_them(tokens: Path, around: str | None) -> None:
    text = Text.load(tokens)
    windows = cut_windows(text, "mixed", 8, 10_000, around=around)
    ends = np.append(text.streams["mixed.starts"][1:], len(text.streams["mixed"]))
    seen = np.zeros(len(text.streams["mixed"]), int)
    for row in range(len(windows.starts)):
        start, document = int(windows.starts[row]), int(windows.document[row])
        inside = windows.bytes[row] > 0
        place = start + 1 + np.arange(8)[inside.numpy()]
        assert (place < ends[document]).all()
        assert (text.streams["mixed"][place] == windows.targets[row][inside].numpy()).all()
        assert windows.inputs[row, 1:].equal(windows.targets[row, :-1])
        seen[place] += 1
    if around is None:
        expected = np.ones_like(seen)
        expected[text.streams["mixed.starts"]] = 0
        assert (seen == expected).all()
        assert windows.bytes.sum() == text.token_bytes[text.streams["mixed"]].sum()
    else:
        assert (windows.starts + 4 == torch.from_numpy(text.streams[around])).all()


def test_a_uniform_model_needs_log2_of_the_vocabulary(tokens: Path) -> None:
    text = Text.load(tokens)
    windows = cut_windows(text, "heldout/prose", 16, 1000)
    logs = log_probabilities(uniform(512), windows)
    count, size = int((windows.bytes > 0).sum()), int(windows.bytes.sum())
    assert bits_per_byte(logs, windows) == pytest.approx(9 * count / size, rel=1e-6)
    late = windows.bytes[:, 5:]
    expected = 9 * int((late > 0).sum()) / int(late.sum())
    assert bits_per_byte(logs, windows, skip=5) == pytest.approx(expected, rel=1e-6)


def test_skipped_and_padded_positions_do_not_count(tokens: Path) -> None:
    windows = cut_windows(Text.load(tokens), "heldout/prose", 16, 1000)
    logs = log_probabilities(uniform(512), windows)
    changed = logs.clone()
    changed[:, :5] = -1e9
    changed[windows.bytes == 0] = -1e9
    assert bits_per_byte(changed, windows, skip=5) == bits_per_byte(logs, windows, skip=5)


def test_batches_are_a_function_of_seed_and_step_alone(tokens: Path) -> None:
    text = Text.load(tokens)
    shares = dict.fromkeys(text.domains, 1.0)
    first, again = (sampler(text, shares, 4, 16, ("seed", 3)) for _ in range(2))
    for step in (5, 0, 5):
        assert first(step).equal(again(step))
    others = [("seed", 4), ("finetune", 3)]
    assert all(not first(5).equal(sampler(text, shares, 4, 16, key)(5)) for key in others)
    assert not first(5).equal(first(6))


def test_batches_keep_the_shares_and_the_domains_apart(tokens: Path) -> None:
    text = Text.load(tokens)
    streams = {d: text.streams[f"train/{d}"].tobytes() for d in text.domains}
    batch = sampler(text, {"code": 3.0, "prose": 1.0, "mathematics": 0.0}, 400, 16, ("x", 0))(0)
    found = {d: sum(row.numpy().astype(np.uint16).tobytes() in streams[d] for row in batch) for d in streams}
    assert sum(found.values()) == 400
    assert found["mathematics"] == 0
    assert abs(found["code"] - 300) < 45


def test_a_context_longer_than_a_domain_is_refused(tokens: Path) -> None:
    with pytest.raises(UserError, match="fewer training tokens"):
        sampler(Text.load(tokens), {"code": 1.0}, 4, 10**6, ("x", 0))


@pytest.mark.parametrize("mixture", [None, Mixture(experts=3)])
def test_models_are_saved_and_loaded(mixture: Mixture | None, tmp_path: Path) -> None:
    config = Transformer(vocabulary=50, width=16, layers=2, heads=2, feed_forward=24, context=12)
    model = Decoder(config) if mixture is None else mixture_decoder(config, mixture)
    save_model(model, None, Training(), tmp_path)
    ids = torch.randint(0, 50, (2, 12))
    assert load_model(tmp_path)(ids).equal(model(ids))


def test_pretraining_learns_and_repeats(tokens: Path, tmp_path: Path) -> None:
    """The same config gives the same bytes; after it, real text costs less than shuffled text."""
    config = Pretraining(
        architecture=Transformer(vocabulary=320, width=32, layers=1, heads=2, feed_forward=64, context=16),
        optimisation=Optimisation(steps=60, batch=8, learning_rate=1e-2, warmup=5),
        plateau=Plateau(gain=0.01, steps=30),
        seed=1,
    )
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        pretrain(tokens=tokens, config=config, out=tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    training = json.loads((tmp_path / "a" / "training.json").read_text())
    assert training["steps"] == 60
    assert training["tokens"] == 60 * 8 * 16
    assert len(training["validations"]) == 2

    windows = cut_windows(Text.load(tokens), "heldout/code", 16, 1000)
    model = load_model(tmp_path / "a").eval()
    real = bits_per_byte(log_probabilities(model, windows), windows)
    flat = bits_per_byte(log_probabilities(uniform(320), windows), windows)
    assert real < 0.6 * flat
    assert math.isfinite(real)


def test_an_architecture_smaller_than_the_tokenizer_is_refused(tokens: Path, tmp_path: Path) -> None:
    config = Pretraining(
        architecture=Transformer(vocabulary=100, width=16, layers=1, heads=2, feed_forward=16, context=16),
        optimisation=Optimisation(steps=1, batch=1, learning_rate=1e-3),
        plateau=Plateau(gain=0.01, steps=30),
        seed=1,
    )
    with pytest.raises(UserError, match="architecture allows fewer"):
        pretrain(tokens=tokens, config=config, out=tmp_path)
