"""Altogether's captioner as stages: what it is trained on, and what its arms may see."""

import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_features import prepare
from said_model import listen, loaded

from flows.engine.discover import papers
from flows.engine.paper import PROFILES
from models.captioner import BEGIN, END, PAD, Pictures
from models.config import Optimisation
from tasks.altogether.captioner.captioning import (
    Seen,
    Training,
    Writing,
    caption_training,
    captioned,
    pretrain,
    tune,
)
from tasks.altogether.captioner.dual import DualTraining, half_of, train_dual, train_mixed, written_alts
from tasks.altogether.captioner.stored import Sizes, load_writer
from tasks.altogether.captioner.subwords import Subwording, as_caption, left_padded, train_subwords, trained
from tasks.altogether.records import Record, read_records
from tasks.altogether.texts.renaming import renamed
from tasks.base.errors import UserError

STEPS = Optimisation(steps=6, batch=16, learning_rate=3e-3, warmup=2)
SMALL = Training(seed=1, sizes=Sizes(width=32, layers=1, prefix=2, pooled=8), optimisation=STEPS)
DUAL = DualTraining(seed=1, optimisation=STEPS, shared=8)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of the stages before the captioner, and a captioner that was pre-trained for a few steps."""
    root = tmp_path_factory.mktemp("captioning")
    out = prepare(root)
    for name in ("dual", "pretrained"):
        (root / name).mkdir()
    inputs = {name: out[name] for name in ("features", "levels", "subwords")}
    train_dual(**inputs, config=DUAL, out=root / "dual")
    folders = {**inputs, "dual": root / "dual", "titled": out["titled"], "language": out["subwords"]}
    pretrain(**inputs_of(folders, pretrain), config=replace(SMALL, level=0), out=root / "pretrained")
    return {**folders, "pretrained": root / "pretrained"}


def inputs_of(folders: dict[str, Path], function: Callable[..., None]) -> dict[str, Path]:
    """Those of the folders that the function reads."""
    return {name: folders[name] for name in inspect.signature(function).parameters if name in folders}


def tuned(made: dict[str, Path], out: Path, config: Training = SMALL, **inputs: Path) -> Path:
    out.mkdir()
    tune(**inputs_of({**made, **inputs}, tune), config=config, out=out)
    return out


def as_written(made: dict[str, Path]) -> list[Record]:
    return [r for r in read_records(made["levels"] / "test.json") if r.condition == "as written"]


# ------------------------------------------------------------------ texts


@given(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), max_size=30))
def test_any_text_can_be_said(text: str) -> None:
    """A word that training never had must not become an unknown one, or no expert's word could be kept."""
    subwords = trained(["person running", "red heart, love"], 300)
    assert subwords.decode(subwords.encode(text)) == " ".join(text.replace("_", " ").lower().split())


def test_a_word_is_the_same_at_the_start_and_after_a_comma() -> None:
    """The pointer copies tokens: were the first word another token, it could not be found again."""
    subwords = trained(["person running", "red heart, love"], 300)
    assert subwords.encode("heart") == subwords.encode("red, heart")[-len(subwords.encode("heart")) :]


def test_subwords_come_from_what_training_reads_alone(made: dict[str, Path], tmp_path: Path) -> None:
    for name in ("levels", "titled", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "titled/openclipart.json").write_bytes((made["titled"] / "openclipart.json").read_bytes())
    (tmp_path / "levels/train.json").write_bytes((made["levels"] / "train.json").read_bytes())
    train_subwords(
        levels=tmp_path / "levels", titled=tmp_path / "titled", config=Subwording(vocabulary=400), out=tmp_path / "out"
    )
    again = (tmp_path / "out/tokenizer.json").read_bytes()
    assert again == (made["subwords"] / "tokenizer.json").read_bytes()


def test_alt_texts_end_where_the_caption_begins() -> None:
    assert left_padded([[5, 6, 7], [8], []], 2).tolist() == [[5, 6], [PAD, 8], [PAD, PAD]]


def test_a_caption_is_asked_for_to_its_end_and_no_further() -> None:
    read, said = as_caption([[5, 6, 7, 8], [9]], 4)
    assert read.tolist() == [[BEGIN, 5, 6, 7], [BEGIN, 9, END, PAD]]
    # A text that was cut has no end: the captioner must not learn to stop there.
    assert said.tolist() == [[5, 6, 7, 8], [9, END, PAD, PAD]]


# ------------------------------------------------------------------ names


def test_a_new_name_is_the_same_in_both_texts() -> None:
    pool = ["galosh", "trombone", "quiver", "saffron"]
    alt, wanted = renamed("person juggling", "woman juggling: dark skin tone", pool, 0, "x")
    name = alt.removeprefix("person ")
    assert name != "juggling"
    assert wanted == f"woman {name}: dark skin tone"
    assert renamed("person juggling", "woman juggling: dark skin tone", pool, 0, "x") == (alt, wanted)


def test_what_one_text_alone_says_keeps_its_words() -> None:
    """A word replaced in the target alone could be learned from nothing."""
    assert renamed("heavy black heart", "red love: sign", ["galosh"], 0, "x") == ("heavy black heart", "red love: sign")


def test_attributes_are_never_renamed() -> None:
    """They are what the picture shows."""
    alt = wanted = "woman: dark skin tone, red hair"
    assert renamed(alt, wanted, ["galosh"], 0, "x") == (alt, wanted)


# ------------------------------------------------------------------ training


def test_the_same_settings_give_the_same_bytes(made: dict[str, Path], tmp_path: Path) -> None:
    one, two = (tuned(made, tmp_path / name) for name in ("one", "two"))
    assert (one / "captioner.safetensors").read_bytes() == (two / "captioner.safetensors").read_bytes()


def test_pretraining_never_reads_a_correction(made: dict[str, Path], tmp_path: Path) -> None:
    """Pre-training on what tuning is for would make every arm a tuned one."""
    for split in ("train", "validation"):
        read = json.loads((made["levels"] / f"{split}.json").read_text())
        for record in read["data"]:
            record |= {"round1": "x", "round2": "x", "round3": "x"}
        (tmp_path / f"{split}.json").write_text(json.dumps(read))
    (tmp_path / "out").mkdir()
    read_from = inputs_of({**made, "levels": tmp_path}, pretrain)
    pretrain(**read_from, config=replace(SMALL, level=0), out=tmp_path / "out")
    before = (made["pretrained"] / "captioner.safetensors").read_bytes()
    assert (tmp_path / "out/captioner.safetensors").read_bytes() == before


@pytest.mark.parametrize(("name", "same"), [("openclipart", False), ("stamps", True)])
def test_pretraining_reads_clip_art_and_never_the_stamps(
    made: dict[str, Path], tmp_path: Path, name: str, same: bool
) -> None:
    """The stamps are a test of what captioners do with other people's pictures."""
    for folder in ("titled", "out"):
        (tmp_path / folder).mkdir()
    for kept in ("openclipart", "stamps"):
        (tmp_path / f"titled/{kept}.json").write_bytes((made["titled"] / f"{kept}.json").read_bytes())
    (tmp_path / f"titled/{name}.json").write_text('{"data": []}')
    read_from = inputs_of({**made, "titled": tmp_path / "titled"}, pretrain)
    pretrain(**read_from, config=replace(SMALL, level=0), out=tmp_path / "out")
    before = (made["pretrained"] / "captioner.safetensors").read_bytes()
    assert ((tmp_path / "out/captioner.safetensors").read_bytes() == before) is same


def test_test_records_are_not_trained_on(made: dict[str, Path], tmp_path: Path) -> None:
    for split in ("train", "validation"):
        (tmp_path / f"{split}.json").write_bytes((made["levels"] / f"{split}.json").read_bytes())
    without = tuned(made, tmp_path / "without", levels=tmp_path)
    assert (without / "captioner.safetensors").read_bytes() == (
        tuned(made, tmp_path / "with") / "captioner.safetensors"
    ).read_bytes()


def test_the_arm_without_pictures_is_trained_without_them(made: dict[str, Path], tmp_path: Path) -> None:
    """A text-only baseline that had seen pictures in training would not be one."""
    from safetensors.torch import load_file, save_file

    blind = replace(SMALL, no_alt=0.0, blank=1.0)
    other = tmp_path / "features"
    other.mkdir()
    (other / "index.parquet").write_bytes((made["features"] / "index.parquet").read_bytes())
    stored = load_file(made["features"] / "features.safetensors")
    save_file({name: 1 - value for name, value in stored.items()}, other / "features.safetensors")
    one, two = tuned(made, tmp_path / "one", blind), tuned(made, tmp_path / "two", blind, features=other)
    before, after = (load_file(folder / "captioner.safetensors") for folder in (one, two))
    assert all(before[name].equal(after[name]) for name in before)


def test_an_arm_without_alt_texts_is_not_trained_on_replaced_names() -> None:
    """No picture can tell them: the baseline would be made weak."""
    image_only = papers()["altogether"].stages["image-only"].config
    for profile in PROFILES:
        assert image_only.at(profile).no_alt == 1.0
        assert image_only.at(profile).renamed == 0.0


def test_the_levels_differ(made: dict[str, Path], tmp_path: Path) -> None:
    one, two = (tuned(made, tmp_path / str(n), replace(SMALL, level=n)) for n in (1, 3))
    assert (one / "captioner.safetensors").read_bytes() != (two / "captioner.safetensors").read_bytes()


def test_captions_repeat_themselves_and_blank_ones_ignore_the_picture(made: dict[str, Path], tmp_path: Path) -> None:
    writer = load_writer(tuned(made, tmp_path / "model"))
    seen = Seen.load(made["features"], made["dual"])
    records = as_written(made)[:8]
    rows, alts = seen.rows([r.img_path for r in records]), [r.alt for r in records]
    writing = Writing(seed=3)
    assert captioned(writer, seen, rows, alts, writing) == captioned(writer, seen, rows, alts, writing)
    blank = captioned(writer, seen, rows, alts, writing, blank=True)
    assert blank == captioned(writer, seen, rows[::-1], alts, writing, blank=True)
    assert blank != captioned(writer, seen, rows, alts, writing)


def test_a_folder_without_a_captioner_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"captioner\.safetensors"):
        load_writer(tmp_path)


# ------------------------------------------------------------------ captions for a dual encoder


def test_captions_for_a_dual_encoder_come_from_the_other_half(made: dict[str, Path], tmp_path: Path) -> None:
    """A captioner that was tuned towards the same pictures' references would hand those on to the dual encoder."""
    records = read_records(made["levels"] / "train.json")
    for split in ("train", "validation"):
        kept = json.loads((made["levels"] / f"{split}.json").read_text())
        if split == "train":
            kept["data"] = [r for r in kept["data"] if half_of(r["concept"]) == 0 or r["condition"] != "as written"]
            for record in kept["data"]:
                if half_of(record["concept"]) == 1:
                    record |= {"round1": "x", "round2": "x", "round3": "x"}
        (tmp_path / f"{split}.json").write_text(json.dumps(kept))
    zero = replace(SMALL, half=0)
    without = tuned(made, tmp_path / "without", zero, levels=tmp_path)
    half = tuned(made, tmp_path / "half", zero)
    assert (without / "captioner.safetensors").read_bytes() == (half / "captioner.safetensors").read_bytes()
    (tmp_path / "captions").mkdir()
    written_from = inputs_of({**made, "captioner": half}, caption_training)
    caption_training(**written_from, config=Writing(seed=1, half=1), out=tmp_path / "captions")
    captions = json.loads((tmp_path / "captions/captions.json").read_text())
    assert set(captions) == set(written_alts(records, 1))
    assert not {r.concept for r in records if r.img_path in captions and half_of(r.concept) == 0}


def test_without_a_share_of_captions_none_is_read(made: dict[str, Path], tmp_path: Path) -> None:
    """The arm p = 0 must be the one without captions: same pictures, same alt-texts, as many steps."""
    inputs = {name: made[name] for name in ("features", "levels", "subwords")}
    half = replace(DUAL, half=1)
    paths = written_alts(read_records(made["levels"] / "train.json"), 1)
    made_bytes = {}
    for name, text, p in (("a", "red", 0.0), ("b", "blue dog", 0.0), ("c", "red", 1.0), ("d", "blue dog", 1.0)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "captions.json").write_text(json.dumps(dict.fromkeys(paths, text)))
        train_mixed(**inputs, captions=folder, config=replace(half, synthetic=p), out=folder)
        made_bytes[name] = (folder / "dual.safetensors").read_bytes()
    assert made_bytes["a"] == made_bytes["b"]
    assert made_bytes["c"] != made_bytes["d"]


def test_a_picture_without_a_caption_is_told(made: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "captions.json").write_text("{}")
    inputs = {name: made[name] for name in ("features", "levels", "subwords")}
    with pytest.raises(UserError, match="have no caption"):
        train_mixed(**inputs, captions=tmp_path, config=replace(DUAL, synthetic=0.5), out=tmp_path)


def test_the_captioner_that_is_logged_is_the_one_on_the_disk(
    made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = listen(monkeypatch, tmp_path)
    out = tuned(made, tmp_path / "tuned")
    example, following = loaded(spool, out)
    model = load_writer(out).model
    sees = [example[name] for name in ("tokens", "palette", "vector")]
    for blank in (False, True):
        likely = model(Pictures(*sees, torch.tensor([blank])), example["alt"], example["caption"])
        assert torch.allclose(following, likely) != blank, "the picture counts"
