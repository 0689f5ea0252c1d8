"""The data stages of Altogether on sources made here: voices, pictures, splits, annotation levels, features."""

import io
import json
import struct
import zlib
from collections import Counter
from pathlib import Path

import made_emoji
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_emoji import STYLES, all_records, build

from tasks.altogether.arrays import read_pictures
from tasks.altogether.drawn.pictures import Drawn, draw_emoji
from tasks.altogether.drawn.rendering import Unreadable, colours_seen, on_background, picture, vector
from tasks.altogether.drawn.titled import Titled, draw_titled
from tasks.altogether.records import read_records
from tasks.altogether.texts.emoji import Emoji, visible
from tasks.altogether.texts.levels import agreed_words
from tasks.altogether.texts.splits import SPLITS, Split, split_concepts, split_of
from tasks.altogether.texts.voices import Voices, compare, gather, read_gathered
from tasks.base.errors import UserError


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return made_emoji.write_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def made(sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The three stages, each in a folder of its name."""
    return build(sources, tmp_path_factory.mktemp("made"))


def test_the_stages_give_the_same_bytes_each_time(
    sources: dict[str, Path], made: dict[str, Path], tmp_path: Path
) -> None:
    again = build(sources, tmp_path)
    for stage, folder in made.items():
        names = sorted(path.name for path in folder.iterdir())
        assert names == sorted(path.name for path in again[stage].iterdir())
        for name in names:
            assert (folder / name).read_bytes() == (again[stage] / name).read_bytes(), name


# ------------------------------------------------------------------ voices


def test_fields_that_copy_each_other_are_one_voice(made: dict[str, Path]) -> None:
    """Catches one list under two roofs that agrees with itself."""
    rows = json.loads((made["gathered"] / "metrics.json").read_text())
    voice = {row["arm"]: row["voice"] for row in rows if "other" not in row}
    for copy, of in {
        "openmoji annotation": "cldr name",
        "cldr shortcode": "cldr name",
        "emoji name": "cldr name",
        "openmoji keywords": "cldr keywords",
        "em-keyboard": "emojilib",
    }.items():
        assert voice[copy] == of
    assert len(set(voice.values())) == 6
    _, spoken = read_gathered(made["gathered"])
    assert {name for said in spoken.values() for name in said} <= set(voice.values())
    pair = next(row for row in rows if (row["arm"], row.get("other")) == ("emojilib", "em-keyboard"))
    assert 0.8 <= pair["equal"] < 1
    assert pair["equal"] < pair["overlap"] < 1


def test_a_chain_of_copies_is_one_voice() -> None:
    said = {name: {"1": tuple(text.split())} for name, text in {"a": "x y z", "b": "x y z w", "c": "x y z w v"}.items()}
    _, voice = compare(said, 0.75)
    assert voice == {"a": "a", "b": "a", "c": "a"}
    assert compare(said, 0.9)[1] == {"a": "a", "b": "b", "c": "c"}


SAID = st.dictionaries(
    st.sampled_from(["gemoji", "unicode name", "emojilib", "openmoji tags", "cldr keywords"]),
    st.lists(st.sampled_from(["dog", "hound", "walking", "red", "lady", "pet", "of", "bark"]), min_size=1).map(tuple),
)  # fmt: skip


@given(SAID, st.sampled_from(["gemoji", "emojilib", "cldr name"]), st.integers(1, 4))
def test_no_word_of_level_3_comes_from_one_voice_or_from_the_alt(
    said: dict[str, tuple[str, ...]], alt_voice: str, most: int
) -> None:
    """Catches agreement of the alt's voice with itself, and attributes that a voice gives to every picture."""
    added = agreed_words("dog walk", said, alt_voice, most)
    assert len(added) == len(set(added)) <= most
    for word in added:
        assert len({frozenset(s) for voice, s in said.items() if voice != alt_voice and word in s}) >= 2
    assert not set(added) & {"dog", "walking", "red", "lady", "of"}


def test_a_missing_or_foreign_source_is_a_sentence(sources: dict[str, Path], tmp_path: Path) -> None:
    texts = {name: sources[name] for name in ("emojibase", "openmoji", "emojilib", "emoji_names", "em_keyboard")}
    with pytest.raises(UserError, match=r"has no data\.json"):
        gather(**{**texts, "emojibase": tmp_path}, config=Voices(), out=tmp_path)
    with pytest.raises(UserError, match=r"no emoji-en-US\.json"):
        gather(**{**texts, "emojilib": tmp_path}, config=Voices(), out=tmp_path)
    (tmp_path / "emojis.json").write_text("[1]")
    with pytest.raises(UserError, match=r"emojis\.json does not have the shape"):
        gather(**{**texts, "em_keyboard": tmp_path}, config=Voices(), out=tmp_path)


def test_a_quick_slice_takes_whole_concepts(sources: dict[str, Path], made: dict[str, Path], tmp_path: Path) -> None:
    texts = {name: sources[name] for name in ("emojibase", "openmoji", "emojilib", "emoji_names", "em_keyboard")}
    gather(**texts, config=Voices(concepts=9), out=tmp_path)
    every, _ = read_gathered(made["gathered"])
    some, spoken = read_gathered(tmp_path)
    concepts = {e.concept for e in some}
    assert len(concepts) == 9
    assert some == [e for e in every if e.concept in concepts]
    assert set(spoken) <= {e.key for e in some}


# ------------------------------------------------------------------ pictures


def test_each_style_draws_the_emoji_it_has(made: dict[str, Path]) -> None:
    pixels, index = read_pictures(made["pictures"])
    assert pixels.shape == (len(index), 24, 24, 3)
    emoji, _ = read_gathered(made["gathered"])
    assert Counter(row["style"] for row in index) == dict.fromkeys(STYLES, len(emoji))
    heart = next(n for n, row in enumerate(index) if row["img_path"] == "twemoji/1f493.png")
    assert index[heart]["colours"] == ["red"]
    rows = json.loads((made["pictures"] / "metrics.json").read_text())
    twins = Counter(row["style"] for row in index if row["same_as"])
    assert {row["arm"]: row["twins"] for row in rows} == {style: twins[style] for style in STYLES}


def square(colour: str, size: int = 4) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(file, "PNG")
    return file.getvalue()


def bomb() -> bytes:
    """A PNG of some hundred bytes that says it has 60,000 × 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


ENTITIES = (
    "<!DOCTYPE svg [" + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 9 if n else "x"}">\n' for n in range(70)) + "]>"
)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.png", bomb(), "decompression bomb"),
        ("b.png", square("red")[:40], "damaged image"),
        ("c.png", b"", "damaged image"),
        ("d.svg", b"<svg", "not well-formed SVG"),
        ("e.svg", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "nothing drawn"),
        ("f.svg", (ENTITIES + "<svg>&a69;</svg>").encode(), "hostile entities"),
        ("g.svg", b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>', "hostile entities"),
        ("h.svg", b" " * 4_000_001, "file too large"),
    ],
)
def test_a_hostile_or_broken_file_gives_a_reason(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    """Catches one bad file that ends the stage, or fills the memory."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Unreadable, match=reason):
        picture(tmp_path / name, 16)


def test_a_picture_is_centred_on_white(tmp_path: Path) -> None:
    blue = '<rect width="99%" height="99%" fill="#00f"/>'
    wide = f'<svg xmlns="http://www.w3.org/2000/svg" width="2in" height="1in">{blue}</svg>'
    rgb = on_background(vector(wide, 16))
    assert rgb.shape == (16, 16, 3)
    assert (rgb[:3] == 255).all()
    assert (rgb[-3:] == 255).all()
    assert (rgb[7, 5] == (0, 0, 255)).all()
    (tmp_path / "s.png").write_bytes(square("red"))
    assert (on_background(picture(tmp_path / "s.png", 16)) == (255, 0, 0)).all()


@pytest.mark.parametrize(
    ("colour", "name"),
    [("#dd2e44", "red"), ("#f4900c", "orange"), ("#fdcb58", "yellow"), ("#78b159", "green"), ("#55acee", "blue"),
     ("#aa8ed6", "purple"), ("#c1694f", "brown"), ("#31373d", "black"), ("#e6e7e8", "white"), ("#ffc0cb", "pink"),
     ("#808080", "grey")],
)  # fmt: skip
def test_colours_have_their_names(colour: str, name: str) -> None:
    rgba = np.full((4, 4, 4), 255, np.uint8)
    rgba[..., :3] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    assert name in colours_seen(rgba, 0.5)
    assert not {"green", "blue", "black", "white"} - {name} <= set(colours_seen(rgba, 0.5))


def test_titled_pictures_are_counted_and_never_fatal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches a series that counts as many titles, and a broken file that ends the run."""
    clip, stamps, missing, out = (tmp_path / name for name in ("clip", "stamps", "missing", "out"))
    for folder in (clip, stamps / "symbols", missing, out):
        folder.mkdir(parents=True)
    drawn = '<rect width="9" height="9"/>'
    for name, title, body in [
        ("a", "Sleeping fox", drawn), ("b", "Star 1", drawn), ("c", "star 2", drawn), ("d", "", drawn),
        ("e", "Broken", ""),
    ]:  # fmt: skip
        about = f"<dc:title>{title}</dc:title><dc:subject><rdf:li>tag</rdf:li><rdf:li>B&amp;W</rdf:li></dc:subject>"
        (clip / f"{name}.svg").write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:dc="d" xmlns:rdf="r" width="10pt" height="10pt">'
            f"<metadata>{about}</metadata>{body}</svg>"
        )
    for name, text in (("zebra", "A zebra.\nfr.utf8=Un zèbre."), ("symbols/a", "The letter A.")):
        (stamps / f"{name}.png").write_bytes(square("green"))
        (stamps / f"{name}.txt").write_text(text)
    (stamps / "mirror.png").write_bytes(square("green"))
    (missing / "unavailable.json").write_text('{"source": "x", "reason": "No apt-get."}')
    sets = {"clip": clip, "stamps": stamps, "missing": missing}
    draw_titled(sets=sets, config=Titled(size=16), out=out)
    pixels, index = read_pictures(out)
    assert [row["img_path"] for row in index] == ["clip/a.svg", "clip/b.svg", "stamps/zebra.png"]
    assert len(pixels) == 3
    said = [(r.img_path, r.voice, r.alt, r.round3) for r in read_records(out / "clip.json")]
    assert said[:2] == [
        ("clip/a.svg", "title", "Sleeping fox", "Sleeping fox"),
        ("clip/a.svg", "keywords", "tag, B&W", "Sleeping fox"),
    ]
    (stamp,) = read_records(out / "stamps.json")
    assert (stamp.alt, stamp.round3) == ("zebra", "A zebra.")
    assert read_records(out / "missing.json") == []
    assert json.loads((out / "metrics.json").read_text()) == [
        {"arm": "clip", "pictures": 2, "records": 4, "broken": 1, "untitled": 1, "repeated": 1},
        {"arm": "missing", "pictures": 0, "records": 0, "broken": 0, "untitled": 0, "repeated": 0},
        {"arm": "stamps", "pictures": 1, "records": 1, "broken": 0, "untitled": 2, "repeated": 0},
    ]
    assert json.loads((out / "broken.json").read_text())[0]["img_path"] == "clip/e.svg"
    assert "missing are not available" in capsys.readouterr().out


def test_a_style_without_a_picture_is_a_sentence(made: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No emoji is drawn in the style empty"):
        draw_emoji(gathered=made["gathered"], styles={"empty": tmp_path}, config=Drawn(size=8), out=tmp_path)


# ------------------------------------------------------------------ splits

NOUNS = st.sampled_from(["heart", "circle", "square", "dog", "cat", "hand", "judge", "arrow", "boat", "tree"])
PEOPLE = st.sampled_from(["man ", "woman ", ""])
COLOURS = st.sampled_from(["red ", "blue ", "green ", "purple ", ""])


@st.composite
def emoji_tables(draw: st.DrawFn) -> list[Emoji]:
    names = draw(st.lists(st.tuples(COLOURS, PEOPLE, NOUNS), min_size=4, max_size=60, unique=True))
    table = []
    for number, parts in enumerate(names):
        name = "".join(parts)
        concept = "".join([parts[0], parts[2]])
        table.append(Emoji(f"{number:x}", concept, name, parts[2], "picture", number, 1.0, visible(name)))
    return table


@settings(max_examples=20)
@given(emoji_tables(), st.integers(0, 3))
def test_a_concept_and_its_base_name_are_on_one_side(table: list[Emoji], seed: int) -> None:
    """Catches a split by picture, and a test "left arrow" beside a training "right arrow"."""
    sides = split_concepts(table, {table[0].concept}, Split(seed=seed))
    assert set(sides) == {e.concept for e in table}
    bases: dict[str, set[str]] = {}
    colours: dict[str, set[str]] = {}
    for e in table:
        bases.setdefault(e.base, set()).add(sides[e.concept])
        colours.setdefault(e.base, set()).update([e.attributes["colour"]] if "colour" in e.attributes else [])
    for base, found in bases.items():
        assert len(found) == 1 or len(colours[base]) >= 3
    assert split_concepts(table[::-1], {table[0].concept}, Split(seed=seed)) == sides


def test_each_colour_and_each_shape_is_trained_and_no_test_pair_is() -> None:
    """Catches a test of colours whose word or shape was never trained."""
    shapes, colours = ("heart", "circle", "square", "book"), ("red", "orange", "yellow", "green", "blue", "purple")
    table = [
        Emoji(f"{s}{c}", f"{s}{c}", f"{c} {s}", s, "picture", 0, 1.0, {"colour": c}) for s in shapes for c in colours
    ]
    sides = split_concepts(table, (), Split())
    test = {(e.base, e.attributes["colour"]) for e in table if sides[e.concept] == "test"}
    train = {(e.base, e.attributes["colour"]) for e in table if sides[e.concept] == "train"}
    assert len(test) == 6
    assert {s for s, _ in train} == set(shapes)
    assert {c for _, c in train} == set(colours) == {c for _, c in test}
    assert not test & train


def test_the_held_out_style_and_concepts_are_in_no_training_record(made: dict[str, Path]) -> None:
    """Catches the two leaks that would make every figure worthless."""
    records = all_records(made["levels"])
    concepts = {split: {r.concept for r in records if r.split == split} for split in SPLITS}
    assert all(concepts.values())
    for one in ("train", "validation", "test"):
        for other in ("train", "validation", "test"):
            assert one == other or not concepts[one] & concepts[other]
    assert concepts["style"] <= concepts["train"]
    styles = {split: {r.style for r in records if r.split == split} for split in SPLITS}
    assert styles == {
        "train": {"openmoji", "twemoji"},
        "validation": {"openmoji", "twemoji"},
        "test": set(STYLES),
        "style": {"noto"},
    }
    assert split_of("validation", "noto", Split()) == "unused"
    assert {r.kind for r in records} == {"picture", "flag", "keycap"}
