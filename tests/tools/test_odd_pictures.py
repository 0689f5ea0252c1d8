"""Pictures and tables of alt-texts as people really have them; each test is one kind of public bug report."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.altogether.drawn.rendering import Unreadable, bitmap, on_background, vector
from tasks.base.errors import UserError
from tools.annotate.alts import read_alts
from tools.annotate.pictures import find
from tools.caption.realigning import Said, open_picture, other_kinds_below, pictures_below, realign

NAMES = [f"{letter}.png" for letter in "abcdef"]
SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9">{}</svg>'
CIRCLE = '<circle cx="4" cy="4" r="3" fill="red"/>'


class Echo:
    """In the place of a captioner: says the alt-text."""

    size = 8
    rewrites = True

    def said(self, pixels: Any, alts: list[str]) -> list[Said]:
        return [Said(alt or "a picture", 0.5) for alt in alts]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in NAMES:
        Image.new("RGB", (4, 4), "red").save(folder / name)
    return folder


@pytest.mark.parametrize("big_endian", [False, True])
def test_sixteen_bits_of_grey_are_not_white(big_endian: bool, tmp_path: Path) -> None:
    """Catches a picture of which all that is not nearly black is white, captioned as if it were right."""
    ramp = np.tile(np.linspace(0, 65535, 64).astype(">u2" if big_endian else "<u2"), (64, 1))
    Image.fromarray(ramp.astype("<u2")).save(tmp_path / "sixteen.png")
    Image.fromarray((ramp.astype(int) >> 8).astype(np.uint8)).save(tmp_path / "eight.png")
    sixteen, eight = (
        on_background(bitmap((tmp_path / f"{name}.png").read_bytes(), 64)) for name in ("sixteen", "eight")
    )
    assert len(np.unique(eight)) > 60
    assert (sixteen == eight).all()


@pytest.mark.parametrize(
    "element",
    [
        '<image href="{path}" width="9" height="9"/>',
        '<image xlink:href="../outside.png" width="9" height="9"/>',
        '<image href="file://{path}" width="9" height="9"/>',
        '<filter id="f"><feImage href="{path}"/></filter><rect width="9" height="9" filter="url(#f)"/>',
        '<image href="data:image/svg+xml;base64,{inner}" width="9" height="9"/>',
        '<image href="&where;" width="9" height="9"/>',
    ],
)
def test_an_svg_opens_no_other_file(element: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a picture from outside the folder in a caption, and a pipe that is waited for, for ever."""
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    Image.new("RGB", (9, 9), "blue").save(tmp_path / "outside.png")
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("outside.png", "pipe.png"):
        path = str(tmp_path / name)
        inner = base64.b64encode(SVG.format(f'<image href="{path}" width="9" height="9"/>').encode()).decode()
        drawn = SVG.format(CIRCLE + element.format(path=path, inner=inner))
        if "&" in element:
            drawn = f'<!DOCTYPE svg [<!ENTITY where "{path}">]>' + drawn
        assert (vector(drawn, 9) == vector(SVG.format(CIRCLE), 9)).all()
        if name == "outside.png" and "&" not in element and "feImage" not in element:
            with pytest.raises(Unreadable, match="nothing drawn"):
                vector(SVG.format(element.format(path=path, inner=inner)), 9)


def test_a_picture_inside_the_svg_is_drawn(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), "blue").save(tmp_path / "blue.png")
    data = base64.b64encode((tmp_path / "blue.png").read_bytes()).decode()
    drawn = vector(SVG.format(f'<image href="data:image/png;base64,{data}" width="9" height="9"/>'), 9)
    assert tuple(drawn[4, 4]) == (0, 0, 255, 255)


def test_odd_names_cost_no_other_picture_its_caption(photos: Path, tmp_path: Path) -> None:
    """Catches a batch that is lost for one name, and an output that the next run cannot read."""
    picture = (photos / "a.png").read_bytes()
    for name in (os.fsdecode(b"caf\xf1.png"), "a\u2028b.png", "9:41\u202fAM.png", "new\nline.png"):
        (photos / name).write_bytes(picture)
    os.mkfifo(photos / "pipe.png")
    out = tmp_path / "out.jsonl"
    model: Any = Echo()
    counts = realign(photos, pictures_below(photos), {"a.png": "one\u2028two"}, model, out, batch=2)
    said = [json.loads(line) for line in out.read_text(encoding="utf-8").split("\n") if line]
    problems = {line["image"]: line["problem"] for line in said if "problem" in line}
    undecodable = "has a name with control or undecodable characters: rename it"
    assert problems == {"caf\\udcf1.png": undecodable, "new\nline.png": undecodable, "pipe.png": "is no file"}
    assert {line["image"] for line in said if "caption" in line} == {*NAMES, "a\u2028b.png", "9:41\u202fAM.png"}
    again = realign(photos, pictures_below(photos), {"a.png": "one\u2028two"}, model, out, batch=50)
    assert (counts.captioned, again.captioned, again.known) == (8, 0, 8)
    assert len(out.read_text(encoding="utf-8").split("\n")) == len(said) + 1
    found = find(photos, {})  # the same folder for `annotate`
    assert {picture.path for picture in found.pictures} == {*NAMES, "a\u2028b.png", "9:41\u202fAM.png"}
    assert found.unreadable["pipe.png"] == "is no file"


def test_kinds_of_pictures_that_are_not_read_are_said(photos: Path) -> None:
    """Catches a folder from a telephone whose pictures nobody misses, and a decoder that runs what a stranger wrote."""
    for name in ("IMG_1.HEIC", "scan.tif", "scan 2.tiff"):
        (photos / name).write_bytes(b"II*\0")
    assert other_kinds_below(photos) == ["3 files left out, of kinds not read (.heic, .tif, .tiff)."]
    heic, eps = b"\0\0\0\x18ftypheic\0\0\0\0", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    for data, reason in (
        (heic, "is HEIC or AVIF"),
        (eps, "is no PNG, JPEG"),
        (b"", "is empty"),
        (b"II*\0", "is no PNG"),
    ):
        (photos / "a.png").write_bytes(data)
        assert open_picture(photos, "a.png", 8)[1].startswith(reason)
        assert find(photos, {}).unreadable["a.png"].startswith(reason)
    for name in NAMES:
        (photos / name).unlink()
    with pytest.raises(UserError, match=r"holds no picture: put PNG.* 3 files left out"):
        pictures_below(photos)


def test_pictures_as_cameras_printers_and_the_web_have_them(tmp_path: Path) -> None:
    """Catches a picture in other colours, lying on its side, or of which another frame or nothing is seen."""
    red, blue = Image.new("RGB", (9, 9), "red"), Image.new("RGB", (9, 9), "blue")
    red.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    red.save(tmp_path / "moving.webp", save_all=True, append_images=[blue], lossless=True)
    red.save(tmp_path / "moving.png", save_all=True, append_images=[blue])
    red.quantize(2).save(tmp_path / "few.gif")
    red.save(tmp_path / "named.png", format="JPEG", quality=95)
    red.save(tmp_path / "broken exif.jpg", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\xff no such place")
    lying = Image.new("RGB", (9, 9), "red")
    lying.paste("blue", (0, 0, 9, 4))
    turned = Image.Exif()
    turned[0x0112] = 3
    lying.save(tmp_path / "turned.jpg", quality=95, exif=turned)
    for path in sorted(tmp_path.iterdir()):
        seen = open_picture(tmp_path, path.name, 9)[1]
        assert not isinstance(seen, str), (path.name, seen)
        assert seen[0, 4, 0] > 150 > seen[0, 4, 2], path.name
        assert path.name in {picture.path for picture in find(tmp_path, {}).pictures}


@pytest.mark.parametrize("charset", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "latin-1"])
def test_an_svg_may_be_written_in_another_charset(charset: str, tmp_path: Path) -> None:
    head = f'<?xml version="1.0" encoding="{charset.removesuffix("-sig")}"?>'
    marked = "\ufeff" * (charset == "utf-16-be") + head + SVG.format("<title>caf\xe9</title>" + CIRCLE)
    (tmp_path / "a.svg").write_bytes(marked.encode(charset))
    seen = open_picture(tmp_path, "a.svg", 9)[1]
    assert not isinstance(seen, str), seen
    assert (seen == on_background(vector(SVG.format(CIRCLE), 9))).all()


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    assert open_picture(tmp_path, "a.png", 8) == ("", "is no file")


@pytest.mark.parametrize(
    ("table", "expected", "note"),
    [
        ("\ufeffsep=;\r\nimage;alt\r\na.png;A red ball\r\n", {"a.png": "A red ball"}, ""),
        ('"sep=\t"\nimage\talt\na.png\tA red ball\n', {"a.png": "A red ball"}, ""),
        ("image,alt\ra.png,A red ball\rb.png,A blue box\r", {"a.png": "A red ball", "b.png": "A blue box"}, ""),
        (
            'image,alt\na.png,"Big red ball, 12 cm wide\nb.png,A blue box\nc.png,A 12" pizza\nd.png,"A dog, a cat"\n',
            {
                "a.png": "Big red ball, 12 cm wide",
                "b.png": "A blue box",
                "c.png": 'A 12" pizza',
                "d.png": "A dog, a cat",
            },
            "quote that is never closed",
        ),
        ('image,alt\na.png,"A 12\\" pizza"\nb.png,A box\n', {"a.png": 'A 12" pizza', "b.png": "A box"}, ""),
        ('image,alt\na.png,"He said ""no"""\n', {"a.png": 'He said "no"'}, ""),
        ('"image","alt"\n"a.png","line one\nline two; x"\n', {"a.png": "line one line two; x"}, ""),
        ("image,alt\na.png,A red ball, a blue box; both\n", {"a.png": "A red ball, a blue box; both"}, ""),
        ("id;image,alt\n1;a.png,A red ball\n", {"a.png": "A red ball"}, None),
        ("image,alt\na.png,nan\nb.png,NULL\nc.png,\nd.png,A nan\n", {"d.png": "A nan"}, "wrote for none"),
        (
            ",image,alt\n0,a.png,One\n1,photos/b.png,Two\n2,./c.png,Three\n3,C:\\Users\\ada\\photos\\d.png,Four\n4,E.PNG,Five\n",
            {"a.png": "One", "b.png": "Two", "c.png": "Three", "d.png": "Four", "e.png": "Five"},
            "",
        ),
    ],
)
def test_tables_as_spreadsheets_and_people_write_them(
    table: str, expected: dict[str, str], note: str | None, photos: Path, tmp_path: Path
) -> None:
    """Catches an alt-text that swallows its neighbours' lines, "nan" as an alt-text, and columns that nobody finds."""
    file = tmp_path / "alts.csv"
    for charset in ("utf-8", "utf-16", "utf-16-le", "utf-16-be"):
        file.write_bytes(table.encode(charset))
        if note is None:
            with pytest.raises(UserError, match=r"has no columns image and alt .*id;image"):
                read_alts(file, photos, NAMES)
            continue
        found, notes = read_alts(file, photos, NAMES)
        assert {path: alt.text for path, alt in found.items() if alt.text} == expected
        if note or charset.startswith("utf-8"):
            assert note in " ".join(notes)
            assert bool(notes) == bool(note) or charset != "utf-8"


RECORD = {"image": "a.png", "alt": "A red ball"}


@pytest.mark.parametrize(
    ("name", "text", "note"),
    [
        ("alts.tsv", "image\talt\na.png\tA red ball\n", ""),
        ("alts.txt", "file_name;text\na.png;A red ball\n", ""),
        ("alts.jsonl", json.dumps(RECORD) + "\n", ""),
        ("alts.ndjson", "\ufeff" + json.dumps(RECORD) + "\r\n" + json.dumps({**RECORD, "image": "b.png"}), ""),
        ("metadata.jsonl", json.dumps({"file_name": "a.png", "text": "A red ball"}), ""),
        ("alts.json", json.dumps([RECORD, {"image": "b.png", "alt": None}]), ""),
        ("alts.json", json.dumps(RECORD) + "\n{cut off", "1 line without"),
        ("alts.csv", json.dumps([RECORD]), ""),
        ("alts.jsonl", json.dumps(RECORD) + "\0\0\0\n", "NUL characters"),
        ("alts.csv", 'image,alt\na.png,A red ball\nb.png,"' + "x, " * 100_000 + "\nc.png,A box\n", "never closed"),
    ],
)
def test_tables_and_records_of_every_kind(name: str, text: str, note: str, photos: Path, tmp_path: Path) -> None:
    """Catches records that the page promises to read, kinds known by their endings alone, and a field of 300 kB."""
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    found, notes = read_alts(tmp_path / name, photos, NAMES)
    assert found["a.png"].text == "A red ball"
    assert note in " ".join(notes)
    assert bool(note) == bool(notes)
    assert note != "never closed" or found["c.png"].text == "A box"


@pytest.mark.parametrize(
    ("text", "charset", "said"),
    [
        ("在公园里有一只红色的球，旁边坐着一个小男孩和他的狗，天气很好。", "gb18030", "was read as"),
        ("公園に赤いボールがあり、その横に男の子と犬が座っています。", "cp932", "was read as"),
        ("В парке лежит красный мяч, рядом сидит мальчик с собакой", "cp1251", "was read as cp1251"),
        ("Zoë’s café", "cp1252", "was read as Windows-1252"),
    ],
)
def test_tables_in_the_charset_of_somebody_elses_computer(
    text: str, charset: str, said: str, photos: Path, tmp_path: Path
) -> None:
    """Catches mojibake in the alt-texts of whoever does not write in Latin letters."""
    (tmp_path / "alts.csv").write_bytes(f"image,alt\na.png,{text}\n".encode(charset))
    found, notes = read_alts(tmp_path / "alts.csv", photos, NAMES)
    assert found["a.png"].text == text
    assert said in " ".join(notes)
    bad = f"image,alt\na.png,{text}".encode() + b" b\xe9\n"
    (tmp_path / "alts.csv").write_bytes(bad)
    found, notes = read_alts(tmp_path / "alts.csv", photos, NAMES)
    assert found["a.png"].text == f"{text} b\ufffd"
    assert "what is not UTF-8 (1 letter) became" in " ".join(notes)


def test_a_spreadsheets_own_file_is_said_to_be_one(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "alts.xlsx").write_bytes(b"PK\x03\x04 and more")
    with pytest.raises(UserError, match="spreadsheet program's own file: save it as CSV"):
        read_alts(tmp_path / "alts.xlsx", photos, NAMES)
