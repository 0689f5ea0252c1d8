"""What is learned from and looked at: the digits, the text, the judge, and both autoencoders."""

import gzip
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import read_json
from made_world import World, made

from models.transfusion.judge import frechet_distance
from tasks.base.errors import UserError
from tasks.transfusion.autoencoders import CONTINUOUS, decoded, encoded, load_autoencoder
from tasks.transfusion.images import SPLITS, Digits, prepare_digits, read_images, shrunk, with_fresh
from tasks.transfusion.texts import Texts, prepare_texts, read_tokenizer, read_tokens


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made(tmp_path_factory)


def test_no_image_is_in_two_splits_and_every_split_has_some(world: World) -> None:
    """A judge or a generator that has seen the test would be praised for it."""
    images = read_images(world.images)
    assert sum(len(images.of(split)) for split in SPLITS) == len(images.pixels) == 120
    assert all(len(images.of(split)) for split in SPLITS)
    assert images.captions[3] == ("three", "a three", "a handwritten three")


def test_what_was_tested_on_once_is_never_a_test_image_again(world: World, tmp_path: Path) -> None:
    """A second run on images whose results were seen would judge what they had suggested."""
    first = read_images(world.images)
    prepare_digits(digits=world.root / "source", config=Digits(seed=1, looked_at=(0,)), out=tmp_path)
    second = read_images(tmp_path)
    before, after = ({each.pixels[n].tobytes() for n in each.of("test")} for each in (first, second))
    assert len(before) == len(after) == 24
    assert not before & after
    assert sorted(each.tobytes() for each in second.pixels) == sorted(each.tobytes() for each in first.pixels)
    assert [second.split.count(split) for split in SPLITS] == [first.split.count(split) for split in SPLITS]


def test_fresh_ones_change_places_with_later_ones() -> None:
    assert with_fresh(np.arange(8), 2, 2, [2, 5]).tolist() == [0, 1, 3, 4, 2, 5, 6, 7]
    with pytest.raises(UserError, match="Only 1 were never looked at"):
        with_fresh(np.arange(4), 2, 2, [3])


def test_pixels_are_averages_of_their_blocks() -> None:
    picture = np.arange(28 * 28, dtype=np.uint8).reshape(1, 28, 28)
    small = shrunk(picture, 24, 8)
    assert small.shape == (1, 8, 8)
    assert small[0, 0, 0] == round(float(picture[0, 2:5, 2:5].mean()))
    with pytest.raises(ValueError, match="cannot be averaged"):
        shrunk(picture, 20, 8)


def test_a_file_of_digits_that_is_none_is_told_in_a_sentence(tmp_path: Path) -> None:
    for content in (b"nothing", gzip.compress(b"1,2,3\n4,5,6\n"), gzip.compress(b"a,b\n")):
        (tmp_path / "mnist_5k.csv.gz").write_bytes(content)
        with pytest.raises(UserError, match="784 grey values"):
            prepare_digits(digits=tmp_path, config=Digits(), out=tmp_path)


def test_held_out_texts_are_in_no_training_text_and_tokens_spell_them(world: World) -> None:
    tokens, tokenizer = read_tokens(world.texts), read_tokenizer(world.texts)
    train = tokenizer.decode(tokens["train"].tolist())
    starts = [*tokens["test.starts"].tolist(), len(tokens["test"])]
    assert len(starts) == 11
    for begin, end in pairwise(starts):
        ids = tokens["test"][begin:end].tolist()
        text = tokenizer.decode(ids[1:])
        assert text not in train
        assert int(tokens["token_bytes"][ids].sum()) == len(text.encode()) <= 30


def test_too_few_documents_are_told_in_a_sentence(world: World, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="hold out fewer"):
        prepare_texts(wikipedia=world.root / "wiki", images=world.images, config=Texts(test=100), out=tmp_path)


def test_the_judge_knows_what_it_has_not_seen_and_nothing_of_noise(world: World) -> None:
    rows = {row["arm"]: row for row in read_json(world.judge / "metrics.json")}
    assert rows["real test images"]["alignment"] > 0.8
    assert rows["noise"]["alignment"] < 0.5
    assert rows["noise"]["fd"] > rows["real train images"]["fd"] > 0


def test_the_frechet_distance_is_that_of_gaussians() -> None:
    """Of one dimension it is (μ₁ − μ₂)² + (σ₁ − σ₂)²; turning both clouds changes nothing."""
    one, other = (np.array([1.0]), np.array([[4.0]])), (np.array([3.0]), np.array([[9.0]]))
    assert frechet_distance(one, other) == pytest.approx(4.0 + 1.0)
    assert frechet_distance(one, one) == pytest.approx(0.0, abs=1e-9)
    random = np.random.default_rng(0)
    a, b = (random.standard_normal((4, 4)) for _ in range(2))
    first, second = (random.standard_normal(4), a @ a.T), (random.standard_normal(4), b @ b.T)
    turn = np.linalg.qr(random.standard_normal((4, 4)))[0]
    turned = [(turn @ mean, turn @ covariance @ turn.T) for mean, covariance in (first, second)]
    assert frechet_distance(*turned) == pytest.approx(frechet_distance(first, second))
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first))


def test_both_autoencoders_are_measured_and_the_codebook_is_used(world: World) -> None:
    continuous, codebook = read_json(world.reconstructed / "metrics.json")
    assert "perplexity" not in continuous
    assert 1 < codebook["perplexity"] <= codebook["codes"] == 16


def test_every_channel_of_latents_is_centred_and_equally_spread(world: World) -> None:
    """One spread for all of them, means included, would leave channels that noise drowns and others that it spares."""
    images, model = read_images(world.images), load_autoencoder(world.autoencoders[CONTINUOUS])
    latents, _ = encoded(model, images, images.of("train"))
    assert torch.allclose(latents.mean((0, 2, 3)), torch.zeros(4), atol=1e-3)
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(4), atol=1e-2)
    assert float(model.reach) == pytest.approx(float(latents.abs().max()), rel=1e-4)
    with torch.no_grad():
        plain = model.decode(model.encode(images.scaled(images.of("train"))).latents).clamp(-1, 1)
    assert torch.allclose(decoded(model, latents), plain, atol=1e-4)
