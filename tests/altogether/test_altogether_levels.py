"""Annotation levels on sources made here: what they keep, what is labelled wrong, and the control on features."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_emoji
import pytest
from made_emoji import SMALL, all_records, build

from tasks.altogether.arrays import read_pictures
from tasks.altogether.captioner.encoder import (
    Conversion,
    Encoding,
    Features,
    convert,
    encode,
    encoded,
    load_encoder,
    palette,
    read_features,
)
from tasks.altogether.scored.probe import Probing, held_out_predictions, probe
from tasks.altogether.texts.attributes import ATTRIBUTES, stated, words
from tasks.altogether.texts.edits import edit
from tasks.altogether.texts.emoji import visible
from tasks.altogether.texts.levels import align
from tasks.base.errors import UserError


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return made_emoji.write_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def made(sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The three stages, each in a folder of its name."""
    return build(sources, tmp_path_factory.mktemp("made"))


# ------------------------------------------------------------------ levels


def test_levels_keep_what_they_do_not_correct(made: dict[str, Path]) -> None:
    """Catches a level that loses words of the one before, other than words that leave the gender open."""
    for record in all_records(made["levels"]):
        one, two, three = (words(text) for text in record.levels[1:])
        assert set(edit(one, two).words("removed")) <= {"person", "people", "child", "royal"}
        assert not edit(two, three).words("removed")
        assert set(two) <= set(three)
        if record.kind == "picture":
            assert not {"skin", "hair", "colour"} & set(stated(record.round1))
            assert all(stated(record.round2)[name] == value for name, value in record.attributes.items())


def test_natural_and_injected_errors_are_apart_and_labelled(made: dict[str, Path]) -> None:
    """Catches a record that is wrong without saying so, or wrong in both ways."""
    records = all_records(made["levels"])
    assert {r.condition for r in records} == {"as written", "natural error", "stated", "swapped"}
    for r in records:
        assert bool(r.wrong) == (r.condition in ("natural error", "swapped"))
        if r.condition in ("stated", "swapped"):
            assert r.voice == "cldr name"
            (said,) = visible(r.alt).items()
            assert (said in r.attributes.items()) == (r.condition == "stated")
            assert r.wrong == ({} if r.condition == "stated" else dict([said]))
            assert said[0] in r.attributes
    black = [r for r in records if r.condition == "natural error" and r.voice == "gemoji"]
    assert {(r.alt, r.voice, r.round2) for r in black} == {("heavy black heart", "gemoji", "red heart")}


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_the_stated_rate_is_the_share_that_is_swapped(
    sources: dict[str, Path], made: dict[str, Path], tmp_path: Path, rate: float
) -> None:
    (tmp_path / "levels").mkdir()
    align(
        gathered=made["gathered"],
        pictures=made["pictures"],
        config=replace(SMALL, swapped=rate),
        out=tmp_path / "levels",
    )
    counts: Counter[tuple[str, str, str]] = Counter()
    for r in all_records(tmp_path / "levels"):
        if r.condition in ("stated", "swapped"):
            counts[r.split, next(iter(visible(r.alt))), r.condition] += 1
    groups = {name[:2] for name in counts}
    assert {attribute for _, attribute in groups} == set(ATTRIBUTES)
    for group in groups:
        swapped, stated_truly = counts[*group, "swapped"], counts[*group, "stated"]
        assert swapped == round(rate * (swapped + stated_truly))


def test_an_attribute_that_cannot_be_seen_is_left_out(made: dict[str, Path], tmp_path: Path) -> None:
    """Catches a captioner that is asked for the gender of two equal pictures."""
    import pyarrow
    import pyarrow.parquet

    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "pictures.safetensors").write_bytes((made["pictures"] / "pictures.safetensors").read_bytes())
    _, index = read_pictures(made["pictures"])
    man, woman = "1f3c3-200d-2642", "1f3c3-200d-2640"
    for row in index:
        if row["style"] == "openmoji" and row["key"] == woman:
            row["same_as"] = man
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(index), folder / "index.parquet")
    (tmp_path / "levels").mkdir()
    align(gathered=made["gathered"], pictures=folder, config=SMALL, out=tmp_path / "levels")
    table = pyarrow.parquet.read_table(tmp_path / "levels" / "attributes.parquet").to_pylist()
    gender = {(row["style"], row["key"]): row["gender"] for row in table if row["key"] in (man, woman)}
    assert gender["openmoji", man] == gender["openmoji", woman] == ""
    assert gender["twemoji", man] == "male"
    assert gender["twemoji", woman] == "female"


def test_statistics_are_those_of_the_records(made: dict[str, Path]) -> None:
    records = [r for r in all_records(made["levels"]) if (r.condition, r.kind) == ("swapped", "picture")]
    rows = json.loads((made["levels"] / "metrics.json").read_text())
    found = {row["arm"]: row for row in rows if (row["condition"], row["kind"]) == ("swapped", "picture")}
    assert [row["records"] for row in found.values()] == [len(records)] * 4
    for level in range(4):
        mean = sum(len(words(r.levels[level])) for r in records) / len(records)
        assert found[f"level {level}"]["words"] == pytest.approx(mean)
    kept = [edit(words(r.alt), words(r.round1)).kept_share for r in records]
    assert found["level 1"]["kept"] == pytest.approx(sum(kept) / len(kept))
    assert "distance" not in found["level 0"]


def test_the_page_shows_every_condition_and_escapes(made: dict[str, Path]) -> None:
    page = (made["levels"] / "diffs.html").read_text()
    assert page.count("<article>") == 16
    for condition in ("as written", "natural error", "stated", "swapped"):
        assert condition in page
    assert "annotation levels" in page.lower()
    assert "human round" not in page.lower()
    assert 'src="http' not in page
    assert "<ins>" in page
    assert "<del>" in page


# ------------------------------------------------------------------ features


def test_the_encoder_keeps_places_and_colours() -> None:
    """Catches tokens that are laid out wrongly, and a folding that changes what the network computes."""
    import torch
    from torch.nn import functional

    from models.efficientnet import BLOCKS, CHANNELS, EPSILON, STRIDES, EfficientNetLite0, folded

    torch.manual_seed(0)
    released = released_weights(torch, BLOCKS, CHANNELS)
    model = EfficientNetLite0()
    model.load_state_dict(folded(released))
    pixels = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    with torch.no_grad():
        maps = model(pixels.permute(0, 3, 1, 2))
        assert [m.shape[1:] for m in maps] == [(c, 32 // s, 32 // s) for c, s in zip(CHANNELS, STRIDES, strict=True)]
        # The stem by hand: TensorFlow pads a stride of two at the right and the bottom.
        x = functional.pad((pixels.permute(0, 3, 1, 2).float() - 127) / 128, (0, 1, 0, 1))
        x = functional.conv2d(x, released["_conv_stem.weight"], stride=2)
        norm = [released[f"_bn0.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        x = functional.relu6(functional.batch_norm(x, *norm, eps=EPSILON))
        ours = functional.relu6(model.stem((pixels.permute(0, 3, 1, 2).float() - 127) / 128))
        assert torch.allclose(x, ours, atol=1e-5)
    features = encoded(pixels.numpy(), model, Encoding(grid=4, parts=1, batch=1))
    assert features.tokens.shape == (2, 16, 3 + 40 + 80 + 112)
    corner = pixels[1, :8, 8:16].float().mean((0, 1)) / 255
    assert torch.allclose(features.tokens[1, 1, :3].float(), corner, atol=1e-3)
    red = torch.tensor([255, 0, 0], dtype=torch.uint8)[None, :, None, None].expand(1, 3, 8, 8)
    bins = palette(red, 1)
    assert bins.shape == (1, 125)
    assert bins.argmax() == 4 * 25
    assert float(bins.square().sum()) == pytest.approx(1)


def released_weights(torch: Any, blocks: Any, channels: Any) -> dict[str, Any]:
    """Random weights under the released names."""
    found: dict[str, Any] = {}

    def norm(name: str, width: int) -> None:
        for part in ("weight", "running_var"):
            found[f"{name}.{part}"] = torch.rand(width) + 0.5
        for part in ("bias", "running_mean"):
            found[f"{name}.{part}"] = torch.randn(width) / 9

    found["_conv_stem.weight"] = torch.randn(32, 3, 3, 3) / 5
    norm("_bn0", 32)
    number, inputs = 0, 32
    for repeats, kernel, _, expansion, outputs in blocks:
        for _ in range(repeats):
            inner, here = inputs * expansion, f"_blocks.{number}"
            if expansion > 1:
                found[f"{here}._expand_conv.weight"] = torch.randn(inner, inputs, 1, 1) / inputs**0.5
                norm(f"{here}._bn0", inner)
            found[f"{here}._depthwise_conv.weight"] = torch.randn(inner, 1, kernel, kernel) / kernel
            norm(f"{here}._bn1", inner)
            found[f"{here}._project_conv.weight"] = torch.randn(outputs, inner, 1, 1) / inner**0.5
            norm(f"{here}._bn2", outputs)
            number, inputs = number + 1, outputs
    found["_conv_head.weight"] = torch.randn(channels[-1], inputs, 1, 1) / inputs**0.5
    norm("_bn1", channels[-1])
    return found


def test_from_the_released_weights_to_the_control(made: dict[str, Path], tmp_path: Path) -> None:
    """Catches features in another order than their index, and a control that looks at test concepts."""
    import torch

    from models.efficientnet import BLOCKS, CHANNELS

    folders = {name: tmp_path / name for name in ("weights", "encoder", "features", "probe")}
    for folder in folders.values():
        folder.mkdir()
    torch.manual_seed(0)
    torch.save(released_weights(torch, BLOCKS, CHANNELS), folders["weights"] / "released.pth")
    convert(weights=folders["weights"], config=Conversion(), out=folders["encoder"])
    config = Encoding(maps=(2,), grid=3, parts=1)
    both = {"emoji": made["pictures"], "titled": made["titled"]}
    encode(pictures=both, encoder=folders["encoder"], config=config, out=folders["features"])
    features, index = read_features(folders["features"])
    read = {name: read_pictures(folder) for name, folder in both.items()}
    assert [row["img_path"] for row in index] == [row["img_path"] for _, rows in read.values() for row in rows]
    pixels, _ = read["titled"]
    last = encoded(pixels[-1:], load_encoder(folders["encoder"]), config)
    assert torch.allclose(features.tokens[-1].float(), last.tokens[0].float(), atol=1e-2)
    probing = Probing(attributes=("skin",), folds=2, channels=4, steps=60, batch=32, learning_rate=1e-2)
    probe(features=folders["features"], levels=made["levels"], config=probing, out=folders["probe"])
    rows = json.loads((folders["probe"] / "metrics.json").read_text())
    table = [r for r in all_records(made["levels"]) if r.split != "test" and "skin" in r.attributes]
    for row in rows:
        own = {(r.img_path, r.concept) for r in table if r.style == row["style"]}
        assert (row["pictures"], row["concepts"]) == (len(own), len({concept for _, concept in own}))
        assert row["accuracy"] > 0.9 or row["arm"] == "tokens"
    with pytest.raises(UserError, match="Too few concepts have the attribute hair"):
        probe(features=folders["features"], levels=made["levels"], config=Probing(attributes=("hair",)), out=tmp_path)
    (folders["weights"] / "released.pth").write_bytes(b"not a model")
    with pytest.raises(UserError, match=r"released\.pth does not hold the weights of EfficientNet-lite0"):
        convert(weights=folders["weights"], config=Conversion(), out=folders["encoder"])


@pytest.mark.parametrize("planted", [True, False])
def test_the_probe_reads_a_planted_sign_and_not_the_concept(planted: bool) -> None:
    """Catches a probe that is trained on the concepts it is asked about, or that cannot find a small thing."""
    import torch

    torch.manual_seed(0)
    about = [
        {"concept": f"c{n // 8}", "split": "train" if n % 3 else "style", "skin": "dark" if n // 8 % 2 else "light"}
        for n in range(240)
    ]
    tokens = torch.randn(240, 5, 12)
    if planted:
        for n, row in enumerate(about):
            tokens[n, int(torch.randint(5, ())), int(row["skin"] == "dark")] = 12
    else:
        # Each concept has a look of its own, which gives its skin away to whoever has seen the concept.
        tokens += torch.randn(30, 1, 12).repeat_interleave(8, dim=0)
    config = Probing(folds=3, channels=8, steps=250, batch=32, learning_rate=1e-2)
    read = held_out_predictions(Features(tokens, torch.zeros(240, 0)), about, "skin", config)
    right = sum(value == row["skin"] for value, row in zip(read, about, strict=True)) / 240
    assert right > 0.9 if planted else 0.25 < right < 0.75
