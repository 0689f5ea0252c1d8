"""The stages from end to end on pictures of a few pixels: what is trained, what is counted, and what is shown."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import read_json
from made_world import FAST, SMALL, World, examples, made
from said_model import listen, loaded

from flows.engine.discover import papers
from tasks.base.errors import UserError
from tasks.running.run import check_metrics
from tasks.transfusion.arms import ARMS, CODES, FLOW, LATENTS, LINEAR, SHUFFLED, TEXT
from tasks.transfusion.autoencoders import CONTINUOUS, encoded, load_autoencoder
from tasks.transfusion.evaluation import Evaluation, evaluate, evaluate_text, evaluate_twin, read_texts
from tasks.transfusion.gallery import Gallery, contact_sheet, draw_gallery
from tasks.transfusion.generators import Generator, load_generator
from tasks.transfusion.images import read_images
from tasks.transfusion.passed import CAPTIONS, IMAGES, Passed, write_passed
from tasks.transfusion.texts import read_tokenizer, read_tokens
from tasks.transfusion.trainings import Counting, count_failed, judged


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made(tmp_path_factory)


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


def test_what_the_gate_says_is_done(world: World, tmp_path: Path) -> None:
    """Its rate is taken, what it withholds is withheld and nothing else, and where it says stop nothing is trained."""
    passed = Passed({LINEAR: 0.005}, {LINEAR: {IMAGES: "too early"}}, {})
    write_passed(passed, tmp_path)
    usual = world.gate
    world.gate = tmp_path
    try:
        generator = world.train(LINEAR, seed=11)
        assert read_json(generator / "training.json")["rate"] == 0.005
        write_passed(Passed({LINEAR: 0.005}, {}, {}, stop="nothing is drawn"), tmp_path)
        with pytest.raises(UserError, match="nothing is drawn"):
            world.train(LINEAR, seed=12)
    finally:
        world.gate = usual
    for about, quantities in ((IMAGES, {"fd", "log_fd"}), (CAPTIONS, {"caption_right"})):
        gate = tmp_path / about
        gate.mkdir()
        for arm, expected in ((LINEAR, quantities), (SHUFFLED, set())):
            write_passed(Passed({LINEAR: 0.01}, {LINEAR: {about: "too early"}}, {}), gate)
            out = world.evaluate(arm, generator, gate)
            for rows in (read_json(out / "metrics.json"), examples(out)):
                held = {name for row in rows if "unavailable" in row for name in row}
                measured = {"fd", "log_fd", "alignment", "caption_right", "bits_per_byte", "log_mse", "mse"}
                assert held & measured == {name for name in expected if any(name in row for row in rows)}


def test_an_evaluation_says_with_which_guidance_and_of_how_many(world: World) -> None:
    """The paper itself has two distances for one model, at two guidances."""
    out = world.evaluate(LINEAR, world.train(LINEAR, seed=3))
    (distance,) = [row for row in read_json(out / "metrics.json") if "fd" in row]
    assert distance["guidance"] == read_json(world.chosen / "sampling.json")["chosen"]["pixels"]["guidance"]
    assert distance["images"] == len(read_images(world.images).of("test"))
    assert distance["log_fd"] == pytest.approx(math.log(distance["fd"]))
    rows = examples(out)
    denoised = [row for row in rows if row.get("region") == "all"]
    assert len(denoised) == 6
    means = {row["region"]: row["log_mse"] for row in read_json(out / "metrics.json") if "log_mse" in row}
    assert means["all"] == pytest.approx(np.mean([row["log_mse"] for row in denoised]))
    assert len([row for row in rows if "caption_right" in row]) == distance["images"]


def test_latents_are_bounded_by_what_images_have(world: World) -> None:
    """Without a bound the first step divides by √ᾱ_T, and a decoder makes black and white noise of what comes."""
    images, model = read_images(world.images), load_autoencoder(world.autoencoders[CONTINUOUS])
    latents, _ = encoded(model, images, images.of("train"))
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


def training(arm: str, *ends: float) -> list[dict[str, object]]:
    return [
        {"arm": arm, "seed": seed, "budget": 1.0, "rate": 0.001, "losses": [[1, 6.0], [2, end]]}
        for seed, end in enumerate(ends)
    ]


def test_a_training_that_failed_is_counted_and_none_is_left_out() -> None:
    """One that ends high, or above its beginning, may not vanish from a mean; nor is an arm compared with others."""
    rows = judged(
        [*training(TEXT, 3.6, 3.7, 4.2, 3.65), *training(LINEAR, 6.1), *training(CODES, 9.0, 5.0)], Counting()
    )
    assert len(rows) == 7
    assert [(row["arm"], row["seed"]) for row in rows if row["failed"]] == [(TEXT, 2), (LINEAR, 0), (CODES, 0)]


def test_every_training_is_counted(world: World) -> None:
    out = world.folder("counted")
    main, text = {"a": world.train(LINEAR, seed=13)}, {"b": world.train(TEXT, seed=13)}
    twins = {"c": world.train(CODES, seed=13, budget=0.5)}
    count_failed(main=main, more={}, text=text, twins=twins, config=Counting(), out=out)
    rows = read_json(out / "metrics.json")
    assert [row["shown"] for row in rows] == [LINEAR, TEXT, f"{CODES}, 0.5 × the steps"]
    check_metrics(count_failed, out)


def test_the_gallery_shows_every_arm_that_draws_and_marks_failures(world: World) -> None:
    out = world.folder("gallery")
    generators = {arm: world.train(arm, seed=7) for arm in (LINEAR, "U-Net", TEXT)}
    config = Gallery(each=2, shown=3, guidance=(1.0, 3.0), sampling=FAST)
    draw_gallery(**world.known, judge=world.judge, generators=generators, config=config, out=out)
    page = (out / "gallery.html").read_text()
    assert page.count("<figure>") == 2 * 2 * 3
    rows = read_json(out / "metrics.json")
    assert [(row["arm"], row["at"]) for row in rows][:2] == [(LINEAR, "guidance 1"), (LINEAR, "guidance 3")]
    assert sum(6 * (1 - row["shown_right"]) for row in rows) == pytest.approx(page.count('class="wrong"'))
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
