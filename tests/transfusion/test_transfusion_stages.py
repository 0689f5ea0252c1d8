"""The stages from end to end on pictures of a few pixels: what is read, what is counted, and what is compared."""

import gzip
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
from conftest import read_json
from said_model import listen, loaded

from flows.engine.discover import papers
from models.config import Optimisation
from models.transfusion.judge import frechet_distance
from models.transfusion.settings import Sampling
from tasks.base.errors import UserError
from tasks.running.run import check_metrics
from tasks.transfusion.arms import ARMS, CODES, FLOW, LATENTS, LINEAR, SHUFFLED, TEXT
from tasks.transfusion.autoencoders import (
    CODEBOOK,
    CONTINUOUS,
    AutoencoderTraining,
    encoded,
    load_autoencoder,
    train_autoencoder,
)
from tasks.transfusion.choosing import Choosing, choose_sampling
from tasks.transfusion.contrasts import PAIRS, Contrasting, contrast
from tasks.transfusion.evaluation import Evaluation, evaluate, evaluate_text, evaluate_twin, read_texts
from tasks.transfusion.gallery import Gallery, contact_sheet, draw_gallery
from tasks.transfusion.generators import Generator, load_generator, train_generator, train_twin
from tasks.transfusion.images import SPLITS, Digits, prepare_digits, read_images, shrunk
from tasks.transfusion.judging import JudgeTraining, Reconstructing, judge_autoencoders, train_judge
from tasks.transfusion.parity import Parity, Point, compare_twins, parity, straw_man
from tasks.transfusion.texts import Texts, prepare_texts, read_tokenizer, read_tokens

STEPS = Optimisation(steps=3, batch=8, learning_rate=0.01, warmup=0, weight_decay=0.0)
SMALL: dict[str, Any] = {
    "width": 16, "layers": 1, "heads": 2, "feed_forward": 24, "inner": 4, "texts": 4, "context": 12,
    "optimisation": STEPS,
}  # fmt: skip
FAST = Sampling(steps=2, guidance=2.0)
CHOOSING = Choosing(steps=2, prescribed=2.0, guidance=(1.0, 2.0), temperature=(0.5, 1.0), top_k=(0,))


class World:
    """Every stage's folder, made once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        random = np.random.default_rng(0)
        kind = np.arange(120) % 10
        pixels = random.integers(0, 60, size=(120, 28, 28))
        for number, each in enumerate(kind):  # a bar whose place tells the kind
            pixels[number, 3 + 2 * each : 6 + 2 * each, 4:24] = 250
        folder = self.folder("source")
        with gzip.open(folder / "mnist_5k.csv.gz", "wt") as file:
            np.savetxt(file, np.column_stack([pixels.reshape(120, -1), kind]), fmt="%d", delimiter=",")
        articles = {
            f"t{n}": {"extract": f"Article {n} says that {n * 7} ducks swim on lake {n % 5}."} for n in range(60)
        }
        (self.folder("wiki") / "summaries_en-us.json").write_text(json.dumps(articles))
        self.images = self.folder("images")
        prepare_digits(digits=folder, config=Digits(), out=self.images)
        self.texts = self.folder("texts")
        config = Texts(vocabulary=300, validation=5, test=10, longest=30)
        prepare_texts(wikipedia=root / "wiki", images=self.images, config=config, out=self.texts)
        self.judge = self.folder("judge")
        learning = JudgeTraining(features=16, moved=0.02, optimisation=replace(STEPS, steps=150, learning_rate=0.005))
        train_judge(images=self.images, config=learning, out=self.judge)
        self.autoencoders = {kind: self.autoencoder(kind) for kind in (CONTINUOUS, CODEBOOK)}
        self.known = {"images": self.images, "texts": self.texts}
        self.chosen = self.folder("chosen")
        choose_sampling(
            **self.known,
            judge=self.judge,
            generators={f"{arm}, seed 0": self.train(arm, seed=0) for arm in (LINEAR, LATENTS, CODES)},
            autoencoders=self.autoencoders,
            config=CHOOSING,
            out=self.chosen,
        )

    def folder(self, name: str) -> Path:
        made = self.root / name
        made.mkdir()
        return made

    def autoencoder(self, kind: str) -> Path:
        out = self.folder(kind)
        config = AutoencoderTraining(
            kind=kind, codes=16, inner=8, revived=2, before=0.1, optimisation=replace(STEPS, steps=20)
        )
        train_autoencoder(images=self.images, config=config, out=out)
        return out

    def train(self, arm: str, **settings: Any) -> Path:
        out = self.folder(f"{arm} {settings}")
        config = Generator(**{**SMALL, "seed": 1, "arm": arm} | settings)
        if arm in (LATENTS, CODES):
            train_twin(**self.known, autoencoders=self.autoencoders, config=config, out=out)
        else:
            train_generator(**self.known, config=config, out=out)
        return out

    def evaluate(self, arm: str, generator: Path, **settings: Any) -> Path:
        out = self.folder(f"{generator.name} evaluated {len(list(self.root.iterdir()))}")
        config = Evaluation(**{"seed": 1, "arm": arm, "denoised": 6} | settings)
        given = {**self.known, "judge": self.judge, "generator": generator, "chosen": self.chosen}
        if arm in (LATENTS, CODES):
            evaluate_twin(**given, autoencoders=self.autoencoders, config=config, out=out)
        elif arm == TEXT:
            evaluate_text(texts=self.texts, generator=generator, config=config, out=out)
        else:
            evaluate(**given, config=config, out=out)
        return out


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    torch.set_num_threads(1)
    return World(tmp_path_factory.mktemp("world"))


def examples(folder: Path) -> list[dict[str, Any]]:
    rows = pyarrow.parquet.read_table(folder / "examples.parquet").to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def test_no_image_is_in_two_splits_and_every_split_has_some(world: World) -> None:
    """A judge or a generator that has seen the test would be praised for it."""
    images = read_images(world.images)
    assert sum(len(images.of(split)) for split in SPLITS) == len(images.pixels) == 120
    assert all(len(images.of(split)) for split in SPLITS)
    assert images.captions[3] == ("three", "a three", "a handwritten three")


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
    out = world.folder("reconstructed")
    judge_autoencoders(
        images=world.images, judge=world.judge, autoencoders=world.autoencoders, config=Reconstructing(), out=out
    )
    continuous, codebook = read_json(out / "metrics.json")
    assert "perplexity" not in continuous
    assert 1 < codebook["perplexity"] <= codebook["codes"] == 16


@pytest.mark.parametrize(
    ("codebook", "share", "aligned", "said"),
    [
        (1.9, 0.9, 0.9, ""),
        (2.1, 0.9, 0.9, "more than 10% of the 10.00 between the twins"),
        (1.0, 0.1, 0.9, "Only 10% of the codebook"),
        (1.0, 0.9, 0.4, "Only 40% of the images of latents"),
    ],
)
def test_a_rival_that_is_none_is_told(codebook: float, share: float, aligned: float, said: str, tmp_path: Path) -> None:
    """A poor codebook, or a side that is sampled into garbage, must not lose a comparison."""
    rows = [{"arm": "continuous, reconstructed", "fd": 1.0}]
    rows.append({"arm": "codebook, reconstructed", "fd": codebook, "perplexity": 16 * share, "codes": 16})
    (tmp_path / "metrics.json").write_text(json.dumps(rows))
    points = [
        Point(LATENTS, 1.0, 1, 0.0, {"fd": math.log(20.0)}, aligned),
        Point(CODES, 1.0, 1, 0.0, {"fd": math.log(30.0)}, 0.9),
    ]
    assert said in (found := straw_man(tmp_path, points, Parity()))
    assert bool(found) == bool(said)


def test_arms_differ_in_what_they_change_and_a_seed_repeats_itself(world: World) -> None:
    """An ablation that quietly trains like the main arm would always agree with it."""
    losses = {}
    for arm in ARMS:
        if arm not in ("latents, U-Net", "linear, patch 1"):
            about = read_json(world.train(arm) / "training.json")
            losses[arm] = [value for _, value in about["losses"]]
    assert len({tuple(each) for each in losses.values()}) == len(losses)
    again = read_json(world.train(LINEAR, budget=1.0, layers=1) / "training.json")
    assert [value for _, value in again["losses"]] == losses[LINEAR]
    other = read_json(world.train(LINEAR, seed=2) / "training.json")
    assert [value for _, value in other["losses"]] != losses[LINEAR]


def test_budgets_multiply_steps_and_operations(world: World) -> None:
    whole = Generator(**SMALL, budget=2.0)
    assert whole.budgeted.steps == 6
    twice, once = (read_json(world.train(CODES, budget=budget) / "training.json") for budget in (2.0, 1.0))
    assert twice["flops"] == 2 * once["flops"] > 0
    with pytest.raises(ValueError, match="is none of"):
        Generator(**SMALL, arm="nonsense")


def test_an_evaluation_says_with_which_guidance_and_of_how_many(world: World) -> None:
    """The paper itself has two distances for one model, at two guidances."""
    out = world.evaluate(LINEAR, world.train(LINEAR, seed=3))
    (distance,) = [row for row in read_json(out / "metrics.json") if "fd" in row]
    assert distance["guidance"] == 2.0
    assert distance["images"] == len(read_images(world.images).of("test"))
    assert distance["log_fd"] == pytest.approx(math.log(distance["fd"]))
    rows = examples(out)
    denoised = [row for row in rows if row.get("region") == "all"]
    assert len(denoised) == 6
    means = {row["region"]: row["log_mse"] for row in read_json(out / "metrics.json") if "log_mse" in row}
    assert means["all"] == pytest.approx(np.mean([row["log_mse"] for row in denoised]))
    assert len([row for row in rows if "caption_right" in row]) == distance["images"]


def test_each_twin_is_sampled_as_was_best_on_validation_images(world: World) -> None:
    """Settings that are bad for codes would make a straw man of them."""
    found = read_json(world.chosen / "sampling.json")
    assert [sum(row["arm"] == arm for row in found["tried"]) for arm in (LINEAR, LATENTS, CODES)] == [2, 4, 4]
    for arm in (LINEAR, LATENTS, CODES):
        best = min((row for row in found["tried"] if row["arm"] == arm), key=lambda row: row["fd"])
        assert found["chosen"][ARMS[arm].reads].items() <= best.items()
    assert {row["guidance"] for row in found["tried"] if row["arm"] == LINEAR} == {CHOOSING.prescribed}


def test_latents_are_bounded_by_what_images_have(world: World) -> None:
    """Without a bound the first step divides by √ᾱ_T, and a decoder makes black and white noise of what comes."""
    images, model = read_images(world.images), load_autoencoder(world.autoencoders[CONTINUOUS])
    latents, _ = encoded(model, images, images.of("train"))
    assert float(latents.std()) == pytest.approx(1.0, abs=1e-3)
    tried = [row for row in read_json(world.chosen / "sampling.json")["tried"] if row["arm"] == LATENTS]
    for row in tried:
        assert row["bound"] == pytest.approx(float(latents.abs().max()), rel=1e-4)


def test_twins_and_text_alone_are_evaluated(world: World) -> None:
    for arm in (LATENTS, CODES):
        rows = read_json(world.evaluate(arm, world.train(arm, seed=4)) / "metrics.json")
        chosen = read_json(world.chosen / "sampling.json")["chosen"][ARMS[arm].reads]
        (distance,) = [row for row in rows if "fd" in row]
        told = {name: value for name, value in distance.items() if name in chosen}
        assert told.items() <= chosen.items()
        assert ("steps" in told) == (arm == LATENTS)
        assert ("temperature" in told) == (arm == CODES)
        assert not any("log_mse" in row for row in rows)
    rows = read_json(world.evaluate(TEXT, world.train(TEXT, seed=4)) / "metrics.json")
    assert {"bits_per_byte"} <= {name for row in rows for name in row}
    assert not any("fd" in row or "caption_right" in row for row in rows)


def test_labels_of_tables_are_words(world: World) -> None:
    """A table by budget, a number, fails in the last stage of the paper."""
    rows = read_json(world.evaluate(CODES, world.train(CODES, seed=10, budget=0.5), budget=0.5) / "metrics.json")
    for table in papers()["transfusion"].paper.tables:
        for name in filter(None, (table.rows, table.columns)):
            assert all(isinstance(row[name], str) for row in rows if name in row), name


def test_each_evaluation_measures_all_that_it_declares(world: World) -> None:
    """The engine fails a stage that lacks a quantity, and a paper with it: so it was for text, twins and flow."""
    for arm, function in (
        (TEXT, evaluate_text),
        (CODES, evaluate_twin),
        (FLOW, evaluate),
        ("linear, patch 8", evaluate),
    ):
        check_metrics(function, world.evaluate(arm, world.train(arm, seed=9)))


def test_bits_a_byte_are_those_of_every_byte_once(world: World) -> None:
    """Windows that overlap must not count a token twice, nor leave one out: a uniform model tells."""
    folder = world.train(LINEAR, seed=5)
    model, _ = load_generator(folder)
    with torch.no_grad():
        model.trunk.embedding.weight.zero_()
    tokens = read_tokens(world.texts)
    rows = read_texts(model, world.texts, Evaluation(arm=LINEAR))
    starts = [*tokens["test.starts"].tolist(), len(tokens["test"])]
    for row, (begin, end) in zip(rows, pairwise(starts), strict=True):
        expected = (end - begin - 1) * math.log2(len(tokens["token_bytes"])) / row["bytes"]
        assert row["bits_per_byte"] == pytest.approx(expected)


def test_a_caption_that_does_not_end_is_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Teacher forcing, or cutting where the caption is right, would count these."""
    from models.transfusion import generation

    tokenizer = read_tokenizer(world.texts)
    images = read_images(world.images)
    kinds = images.kind[images.of("test")].tolist()
    right = [[*tokenizer.encode(images.captions[kind][1]).ids, 0] for kind in kinds]
    generator = world.train(LINEAR, seed=6)
    for said, expected in ((right, 1.0), ([each[:-1] for each in right], 0.0), ([[*e[:-1], 5, 0] for e in right], 0.0)):
        monkeypatch.setattr(generation, "describe", lambda *_, said=said: said)
        rows = examples(world.evaluate(LINEAR, generator))
        assert np.mean([row["caption_right"] for row in rows if "caption_right" in row]) == expected


def test_shuffled_captions_belong_to_other_images(world: World) -> None:
    assert ARMS[SHUFFLED].shuffled
    assert [name for name, arm in ARMS.items() if arm.shuffled] == [SHUFFLED]


def test_contrasts_are_differences_of_the_arms_named(world: World) -> None:
    arms = sorted({arm for pair in PAIRS.values() for arm in pair})
    evaluated = {}
    for number, arm in enumerate(arms):
        folder = world.folder(f"made-{number}")
        (folder / "metrics.json").write_text(json.dumps([{"arm": arm, "fd": float(number)}]))
        table = {"arm": [arm] * 2, "region": ["all"] * 2, "image": [4, 7], "log_mse": [10.0 * number, 20.0 * number]}
        pyarrow.parquet.write_table(pyarrow.table(table), folder / "examples.parquet")
        evaluated[arm] = folder
    out = world.folder("contrasts")
    contrast(evaluated=evaluated, config=Contrasting(seed=3), out=out)
    value = {arm: number for number, arm in enumerate(arms)}
    for row in read_json(out / "metrics.json"):
        causal, both, large, small = PAIRS[row["contrast"]]
        assert row["fd_gap"] == value[causal] - value[both]
        assert row["patch_cost"] == value[large] - value[small]
    linear = {row["image"]: row["log_mse_gap"] for row in examples(out) if row["contrast"] == "linear"}
    gap = value[PAIRS["linear"][0]] - value[PAIRS["linear"][1]]
    assert linear == {4: 10.0 * gap, 7: 20.0 * gap}


def lines(ratio: float, budgets: Sequence[float] = (0.125, 0.25, 0.5, 1.0), slope: float = -0.5) -> list[Point]:
    """Points on log y = 3 − 0.5 log flops of codes, and of latents that need `ratio` of the operations for the same."""
    points = []
    for arm, factor, falls in ((CODES, 1.0, -0.5), (LATENTS, ratio, slope)):
        for budget in budgets:
            for seed in (1, 2):
                flops = 10.0 + math.log(budget)
                value = 3 + falls * (flops - math.log(factor)) + 0.01 * (seed - 1.5)
                points.append(Point(arm, budget, seed, flops, {"fd": value}))
    return points


@pytest.mark.parametrize(("ratio", "found"), [(0.3, 0.3), (0.8, 0.8), (0.01, 0.125), (3.0, 1.0)])
def test_a_parity_ratio_is_found_where_it_was_put_and_else_its_bound(ratio: float, found: float) -> None:
    """What no budget reached is told as the bound that was seen: never extrapolated, never left out."""
    rows = parity(lines(ratio), "fd", Parity())
    by_seed = {row["seed"]: row["log_ratio"] for row in rows}
    assert by_seed == {seed: pytest.approx(math.log(found), abs=1e-6) for seed in (1, 2)}


def test_cheaper_steps_alone_are_no_ratio_below_one() -> None:
    """Where Transfusion is worse with all its steps, and these cost a little less, it does not need less."""
    points = [replace(point, log_flops=point.log_flops - 0.1 * (point.arm == LATENTS)) for point in lines(3.0)]
    assert {row["log_ratio"] for row in parity(points, "fd", Parity())} == {0.0}


@pytest.mark.parametrize(
    ("points", "said"), [(lines(0.5, (0.5, 1.0)), "fewer than 4"), (lines(1.0, slope=0.5), "must fall")]
)
def test_no_line_goes_through_two_points_or_rises(points: list[Point], said: str) -> None:
    if "fall" in said:  # its values are about those of the twin, so that the line is asked
        shift = 3 - 0.5 * 10.0 - np.mean([p.logs["fd"] for p in points if p.arm == LATENTS])
        points = [replace(p, logs={"fd": p.logs["fd"] + shift}) if p.arm == LATENTS else p for p in points]
    withheld = parity(points, "fd", Parity())
    assert all(math.isfinite(row["log_ratio"]) for row in withheld)
    assert [row["seed"] for row in withheld] == [1, 2]
    assert all(said in row["unavailable"] for row in withheld)


def test_twins_are_compared_by_seed_at_the_full_budget_and_a_straw_man_is_not(world: World) -> None:
    """What is read of an evaluation, image by image; and every row and example says why where there is no rival."""
    evaluated: dict[str, Path] = {}
    for arm, worse in ((LATENTS, 0.0), (CODES, 0.5)):
        for budget in (1.0, 2.0):
            folder = world.folder(f"{arm} {budget} made")
            labels = {"arm": arm, "budget": budget, "seed": 1}
            rows = [
                {**labels, "flops": 1000 * budget},
                {**labels, "fd": 9.0, "log_fd": 2.0 + worse - budget, "alignment": 0.9},
                {**labels, "bits_per_byte": 3.0 + worse},
                {**labels, "caption_right": 0.75 - worse, "of": 3},
            ]
            (folder / "metrics.json").write_text(json.dumps(rows))
            table = [
                {"document": 0, "bytes": 10, "bits_per_byte": 2.0 + worse, "image": None, "caption_right": None},
                {"document": 1, "bytes": 30, "bits_per_byte": 3.0, "image": None, "caption_right": None},
                {"document": None, "bytes": None, "bits_per_byte": None, "image": 8, "caption_right": 1.0 - 2 * worse},
            ]
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), folder / "examples.parquet")
            evaluated[f"{arm}-{budget}"] = folder
    reconstructed, out = world.folder("alike"), world.folder("compared")
    for used, withheld in ((16, False), (1, True)):
        known = [{"arm": "continuous, reconstructed", "fd": 0.0}]
        known.append({"arm": "codebook, reconstructed", "fd": 0.0, "perplexity": used, "codes": 16})
        (reconstructed / "metrics.json").write_text(json.dumps(known))
        compare_twins(reconstructed=reconstructed, evaluated=evaluated, config=Parity(), out=out)
        rows = read_json(out / "metrics.json")
        (gaps,) = [row for row in rows if "log_fd_gap" in row]
        assert gaps["log_fd_gap"] == pytest.approx(-0.5)
        assert gaps["bits_gap"] == pytest.approx(-0.5 * 10 / 40)
        assert gaps["caption_gap"] == pytest.approx(1.0)
        assert [bool(row.get("unavailable")) for row in rows if "log_fd_gap" in row] == [withheld]
        single = examples(out)
        assert [row["bits_gap"] for row in single if "bits_gap" in row] == [-0.5, 0.0]
        assert [row["caption_gap"] for row in single if "caption_gap" in row] == [1.0]
        assert all(("unavailable" in row) == withheld for row in single)


def test_the_gallery_shows_every_arm_that_draws_and_marks_failures(world: World) -> None:
    out = world.folder("gallery")
    generators = {arm: world.train(arm, seed=7) for arm in (LINEAR, "U-Net", TEXT)}
    config = Gallery(each=2, shown=3, guidance=(1.0, 3.0), sampling=FAST)
    draw_gallery(**world.known, judge=world.judge, generators=generators, config=config, out=out)
    page = (out / "gallery.html").read_text()
    assert page.count("<figure>") == 2 * 2 * 3
    assert page.count("data:image/png") == 2 * 2 * 3 * 2 + 1
    assert 'class="wrong"' in page
    assert (out / "strip.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="nothing to show"):
        draw_gallery(**world.known, judge=world.judge, generators={}, config=config, out=out)


def test_a_contact_sheet_has_each_image_in_its_place() -> None:
    sheet = contact_sheet(torch.tensor([-1.0, 0.0, 1.0])[:, None, None, None].expand(3, 1, 2, 2), 2)
    assert sheet.shape == (5, 5, 1)
    assert sheet[0, 0, 0] == 0
    assert sheet[0, 3, 0] == 128
    assert sheet[4, 1, 0] == 255


def test_the_logged_model_is_the_trained_one(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spool = listen(monkeypatch, tmp_path)
    folder = world.train(LINEAR, seed=8)
    given, made = loaded(spool, folder)
    assert made.shape == (*given["tokens"].shape, made.shape[-1])
