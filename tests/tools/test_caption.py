"""`tenfold caption`: a user's own pictures, whatever they are, each with a line that says what became of it."""

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from safetensors.torch import save_file

from models.dual_encoder import DualEncoder, DualSizes
from models.efficientnet import EfficientNetLite0
from tasks.altogether.captioner.captioning import Seen
from tasks.altogether.captioner.dual import load_dual, picture_vectors, save_dual
from tasks.altogether.captioner.encoder import Encoding, encoded, load_encoder
from tasks.altogether.captioner.stored import Sizes, new_writer, save_writer
from tasks.altogether.captioner.subwords import load_subwords, trained
from tasks.base.errors import UserError
from tools.caption import realigning
from tools.caption.realigning import Folders, Realigner, Said, pictures_below, realign

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="9" height="9" fill="{}"/></svg>'
HOSTILE = '<!DOCTYPE s [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>'


class Echo:
    """In the place of a captioner: says the alt-text and how red the picture is; remembers what it was asked."""

    size = 8
    rewrites = True

    def __init__(self) -> None:
        self.asked: list[int] = []

    def said(self, pixels: Any, alts: Sequence[str]) -> list[Said]:
        self.asked.append(len(alts))
        texts = [f"{alt} {seen[..., 0].mean():.0f}".strip() for seen, alt in zip(pixels, alts, strict=True)]
        return [Said(text, 0.5) for text in texts]


def bomb() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    red = Image.new("RGB", (30, 20), "red")
    red.save(folder / "a.png")
    red.save(folder / "sub/b.jpg", quality=95)
    red.save(folder / "c.webp")
    (folder / "d.svg").write_text(SVG.format("red"))
    (folder / "e-broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    (folder / "f-cut.jpg").write_bytes((folder / "sub/b.jpg").read_bytes()[:300])
    (folder / "g-bomb.png").write_bytes(bomb())
    (folder / "h-hostile.svg").write_text(HOSTILE)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


def run(images: Path, out: Path, batch: int = 3, alts: dict[str, str] | None = None) -> tuple[Any, Echo]:
    model: Any = Echo()
    return realign(images, pictures_below(images), alts or {}, model, out, batch), model


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def test_every_file_has_a_line_and_none_stops_the_others(images: Path, tmp_path: Path) -> None:
    counts, _ = run(images, tmp_path / "out.jsonl", alts={"a.png": "café"})
    found = lines(tmp_path / "out.jsonl")
    assert [line["image"] for line in found] == pictures_below(images)
    assert {line["image"] for line in found if "problem" in line} == {
        "e-broken.png", "f-cut.jpg", "g-bomb.png", "h-hostile.svg"
    }  # fmt: skip
    problems = {line["image"]: line["problem"] for line in found if "problem" in line}
    assert problems["g-bomb.png"] == "decompression bomb"
    assert problems["h-hostile.svg"] == "hostile entities"
    assert (counts.pictures, counts.captioned, counts.unreadable, counts.without_alt) == (8, 4, 4, 7)
    assert found[0]["caption"].startswith("café ")
    assert ["kept", "café"] in found[0]["edit"]


@pytest.mark.parametrize("batch", [1, 2, 50])
def test_the_lines_do_not_depend_on_the_batch(images: Path, tmp_path: Path, batch: int) -> None:
    run(images, tmp_path / "one.jsonl", batch=3)
    run(images, tmp_path / "other.jsonl", batch=batch)
    assert (tmp_path / "other.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.55, 0.8])
def test_a_run_that_was_broken_off_ends_as_one_that_was_not(images: Path, tmp_path: Path, kept: float) -> None:
    """Whatever byte the crash came at: no line is lost, none is there twice, and none is half."""
    run(images, tmp_path / "whole.jsonl")
    whole = (tmp_path / "whole.jsonl").read_bytes()
    (tmp_path / "cut.jsonl").write_bytes(whole[: int(kept * len(whole))])
    run(images, tmp_path / "cut.jsonl")
    assert (tmp_path / "cut.jsonl").read_bytes() == whole


def test_what_is_done_is_not_done_again_unless_it_changed(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    run(images, out)
    counts, model = run(images, out)
    assert (counts.captioned, counts.known, model.asked) == (0, 4, [])
    assert len(lines(out)) == 8
    (images / "d.svg").write_text(SVG.format("blue"))
    counts, _ = run(images, out, alts={"a.png": "another"})
    assert (counts.captioned, counts.known) == (2, 2)
    assert [line["image"] for line in lines(out)[8:]] == ["a.png", "d.svg"]


def test_another_file_is_not_written_to(images: Path, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text('{"mine": 1}\n')
    with pytest.raises(UserError, match="is not what tenfold caption writes"):
        run(images, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == '{"mine": 1}\n'


class Deadly(str):
    """A name that ends the process which it is sent to, as a picture may whose decoder runs out of memory."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


def test_a_picture_that_ends_the_process_costs_no_other_its_caption(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a run that hangs, one that ends, and one that blames the pictures for what the machine lacks."""
    monkeypatch.setattr(realigning, "CORES", 1)
    out, model = tmp_path / "out.jsonl", Echo()
    names: list[str] = ["a.png", "d.svg", "c.webp", "sub/b.jpg"]
    some: Any = model
    counts = realign(images, [names[0], Deadly(names[1]), *names[2:]], {}, some, out, 3)
    assert (counts.captioned, counts.unreadable) == (3, 1)
    assert [line.get("problem", "") for line in lines(out)] == ["", "ends the process that opens it", "", ""]
    before = out.read_bytes()
    with pytest.raises(UserError, match=r"3 pictures in a row ended .*, the last one c\.webp"):
        realign(images, [Deadly(name) for name in names], {}, some, out, 4)
    assert out.read_bytes() == before


def test_a_folder_without_pictures_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no picture"):
        pictures_below(tmp_path)
    with pytest.raises(UserError, match="There is no folder"):
        pictures_below(tmp_path / "none")


def test_a_caption_does_not_depend_on_the_pictures_beside_it(tmp_path: Path) -> None:
    """Else a run that was broken off, or another batch size, would write other captions."""
    encoding = Encoding(maps=(2,), grid=3, parts=1)
    for name in ("encoder", "dual", "subwords", "captioner"):
        (tmp_path / name).mkdir()
    torch.manual_seed(0)
    weights = {name: 0.1 * torch.randn(empty.shape) for name, empty in EfficientNetLite0().state_dict().items()}
    save_file(weights, tmp_path / "encoder/encoder.safetensors")
    network = load_encoder(tmp_path / "encoder")
    tokenizer = trained(["a red square", "a blue circle: dark, round"], 300).tokenizer
    tokenizer.save(str(tmp_path / "subwords/tokenizer.json"))
    words = load_subwords(tmp_path / "subwords")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    features = encoded(pixels, network, encoding)
    channels, bins = features.tokens.shape[2], features.palette.shape[1]
    dual = DualSizes(vocabulary=words.size, channels=channels, palette=bins, shared=8)
    save_dual(DualEncoder(dual), tmp_path / "dual")
    seen = Seen(features, picture_vectors(load_dual(tmp_path / "dual"), features), {})
    sizes = Sizes(width=32, layers=1, prefix=2, pooled=8, caption=6)
    save_writer(new_writer(tmp_path / "subwords", *seen.sizes, sizes), tmp_path / "captioner")
    places = {name: tmp_path / name for name in ("encoder", "dual", "captioner")}
    kept = dict.fromkeys(("features", "levels", "titled"), tmp_path)
    folders = Folders(**places, size=32, encoding=encoding, held_out_style="noto", **kept)
    alts = ["", "a red square", "dark", "", "a blue circle: round, dark, round"]
    for rewrites in (True, False):
        model = Realigner(folders, dict.fromkeys(("colour",), 0.0), rewrites=rewrites)
        together = model.said(pixels, alts)
        alone = [model.said(pixels[n : n + 1], alts[n : n + 1])[0] for n in range(5)]
        assert [each.caption for each in together] == [each.caption for each in alone]
        assert [each.confidence or 0 for each in together] == pytest.approx(
            [each.confidence or 0 for each in alone], rel=1e-3
        )
        assert len({each.caption for each in together}) > 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "There is no folder nowhere"),
        (["docs", "--profile", "gpu"], "holds no picture"),
        (["images", "--profile", "gpu"], "There is no alt-text to mend"),
        (["images", "--rewrite", "--profile", "gpu"], "run tenfold reproduce altogether --profile gpu first"),
        (["images", "--alt", "none.csv"], "none.csv"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], said: str, images: Path) -> None:
    (images.parent / "docs").mkdir()
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tools.__main__ import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", program, "caption", *arguments], cwd=images.parent, capture_output=True, text=True
    )
    assert ended.returncode != 0
    assert said in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr
