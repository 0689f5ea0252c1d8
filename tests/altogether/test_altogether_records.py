"""The record format, attributes that a text states, swaps of one attribute, and edits word by word."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.altogether.records import Record, read_records, write_records
from tasks.altogether.texts.attributes import (
    alternatives,
    mentions,
    neutral,
    plain,
    replaced,
    stated,
    without_colour_and_direction,
    words,
)
from tasks.altogether.texts.corruption import chosen, natural_errors
from tasks.altogether.texts.edits import edit
from tasks.altogether.texts.emoji import Emoji, base_name, concept_of, key_of, key_of_characters, visible
from tasks.base.errors import UserError

RELEASED = {
    "data": [
        {
            "round3": "A red fox stands in deep snow.",
            "url": "https://example.org/fox.jpg",
            "img_path": "wit/0001.jpg",
            "alt": "Vulpes vulpes, January",
            "source": "wit",
            "face_bbox": None,
        },
        {
            "round3": "Two people at a table.",
            "img_path": "datacomp/0002.jpg",
            "alt": "",
            "source": "datacomp",
            "face_bbox": [[0.1, 0.2, 0.3, 0.4]],
            "not_known_here": 1,
        },
    ]
}

# ------------------------------------------------------------------ records


def test_the_released_shape_is_read(tmp_path: Path) -> None:
    """Catches a reader that only reads what we wrote."""
    path = tmp_path / "train.json"
    path.write_text(json.dumps(RELEASED))
    fox, people = read_records(path)
    assert fox.levels == ("Vulpes vulpes, January", "", "", "A red fox stands in deep snow.")
    assert (fox.source, fox.url, fox.face_bbox) == ("wit", "https://example.org/fox.jpg", None)
    assert people.face_bbox == ([0.1, 0.2, 0.3, 0.4],)
    assert people.alt == ""


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(st.builds(Record, round3=TEXT.filter(str.strip), alt=TEXT, source=TEXT, img_path=TEXT, round1=TEXT,
                          condition=TEXT, wrong=st.dictionaries(TEXT, TEXT, max_size=2)), max_size=4))  # fmt: skip
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, records: list[Record]) -> None:
    path = tmp_path_factory.mktemp("records") / "r.json"
    write_records(path, records)
    assert read_records(path) == records
    assert list(json.loads(path.read_text())) == ["data"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"round3": None}, "record 1: round3 must be a text, not None"),
        ({"round3": " "}, "record 1: round3 is empty"),
        ({"alt": ["a", "b"]}, "record 1: alt must be a text"),
        ({"alt": ...}, "record 1 has no alt: add it"),
        ({"face_bbox": 3}, "record 1: face_bbox must be a list of boxes or null"),
        ({"attributes": {"skin": 1}}, "record 1: attributes must give a text for each attribute"),
    ],
)
def test_a_wrong_record_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    """Catches types that are made to fit: a list for a text, a number for a value."""
    second = {**RELEASED["data"][1], **change}
    read = {"data": [RELEASED["data"][0], {k: v for k, v in second.items() if v is not ...}]}
    path = tmp_path / "data.json"
    path.write_text(json.dumps(read))
    with pytest.raises(UserError, match=says) as raised:
        read_records(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(("text", "says"), [("[1]", "must be an object"), ("{", "is not JSON"), (None, "no file")])
def test_a_file_that_holds_no_records_is_a_sentence(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "data.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=says):
        read_records(path)


# ------------------------------------------------------------------ attributes


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("woman running: medium-dark skin tone, facing right",
         {"gender": "female", "skin": "medium-dark", "direction": "right"}),
        ("HEAVY_BLACK HEART", {"colour": "black"}),
        ("man: white hair", {"gender": "male", "hair": "white"}),
        ("red_haired_woman", {"gender": "female", "hair": "red"}),
        ("person: blond hair", {"hair": "blond"}),
        ("kiss: man, man", {}),
        ("up-right arrow", {"direction": "up-right"}),
        ("rightwards hand", {"direction": "right"}),
        ("left-facing fist", {"direction": "left"}),
        ("left luggage", {}),
        ("up! button", {}),
        ("man’s shoe", {}),
        ("orange", {}),
        ("dark room", {}),
        ("human manager", {}),
    ],
)  # fmt: skip
def test_what_a_text_states(text: str, found: dict[str, str]) -> None:
    """Catches an attribute read out of a word that only looks like it."""
    assert stated(plain(text)) == found


NAMES = st.builds(
    lambda who, tone, more: f"{who} running: {', '.join([f'{tone} skin tone', *more])}",
    st.sampled_from(["man", "woman"]),
    st.sampled_from(["light", "medium-light", "medium", "medium-dark", "dark"]),
    st.lists(st.sampled_from(["facing right", "facing left"]), max_size=1),
) | st.builds(
    lambda colour, shape, way: f"{way}{colour} {shape}",
    st.sampled_from(["red", "white", "black", "purple"]),
    st.sampled_from(["heart", "triangle", "large square"]),
    st.sampled_from(["", "upwards ", "left ", "down-left "]),
) | st.builds(
    lambda who, hair: f"{who}{hair}",
    st.sampled_from(["boy", "woman", "merman"]),
    st.sampled_from([": red hair", ": bald", ": blond hair", ": beard", " with curly haired friend"]),
)  # fmt: skip


@given(NAMES, st.data())
def test_a_swap_changes_exactly_one_attribute(text: str, data: st.DataObject) -> None:
    """Catches a swap that leaves the value, changes a second attribute, or drops words."""
    before = stated(text)
    assert before
    mention = data.draw(st.sampled_from(mentions(text)))
    value = data.draw(st.sampled_from(alternatives(mention)))
    after = replaced(text, mention, value)
    assert stated(after) == {**before, mention.attribute: value}
    assert before[mention.attribute] != value
    rest = edit(words(text), words(after))
    assert rest.distance <= 2


@given(st.sets(st.tuples(st.text(max_size=3)), max_size=60), st.floats(0, 1), st.floats(0, 1), st.integers(0, 3))
def test_the_rate_of_swaps_is_exact_and_grows_only(names: set[tuple[str]], one: float, two: float, seed: int) -> None:
    """Catches a rate that holds on average alone, and swaps that come and go with the rate."""
    low, high = sorted((one, two))
    fewer, more = chosen(names, low, seed), chosen(names, high, seed)
    assert (len(fewer), len(more)) == (round(low * len(names)), round(high * len(names)))
    assert fewer <= more <= names


def emoji(name: str, **attributes: str) -> Emoji:
    return Emoji("1", "1", name, base_name(name), "picture", 0, 1.0, attributes or visible(name))


@pytest.mark.parametrize(
    ("alt", "name", "colours", "wrong"),
    [
        ("HEAVY BLACK HEART", "red heart", ["red"], {"colour": "black"}),
        ("black sun with rays", "sun", ["yellow"], {"colour": "black"}),
        ("yellow sun", "sun", ["yellow"], {}),
        ("man with turban", "person wearing turban", [], {"gender": "male"}),
        ("woman judge", "woman judge: dark skin tone", [], {}),
        ("man judge", "woman judge: dark skin tone", [], {"gender": "male"}),
        ("arrow upper right", "up-right arrow", [], {}),
        ("running", "woman running: dark skin tone", [], {}),
        ("black and white", "sun", ["yellow"], {}),
        ("father christmas", "santa claus", ["red"], {}),
    ],
)
def test_natural_errors_are_what_the_picture_denies(
    alt: str, name: str, colours: list[str], wrong: dict[str, str]
) -> None:
    """Catches an omission that is counted as an error, and a true colour that the name only happens to lack."""
    assert natural_errors(alt, emoji(name), colours) == wrong


# ------------------------------------------------------------------ concepts


@pytest.mark.parametrize(
    ("code", "concept"),
    [
        ("1F3C3-1F3FD-200D-2640-FE0F-200D-27A1-FE0F", "1f3c3"),
        ("1F469-1F3FB-200D-1F9B0", "1f9d1"),
        ("1F9D4-200D-2642-FE0F", "1f9d1"),
        ("1F468-1F3FF-200D-2695-FE0F", "1f9d1-200d-2695"),
        ("1F478-1F3FB", "1fac5"),
        ("1F468-200D-2764-FE0F-200D-1F48B-200D-1F468", "1f48f"),
        ("1F468-200D-1F469-200D-1F466", "1f46a"),
        ("2764-FE0F", "2764"),
        ("0023-FE0F-20E3", "23-20e3"),
    ],
)
def test_skin_gender_hair_and_direction_are_one_concept(code: str, concept: str) -> None:
    """Catches a test picture that is a training picture with another skin or gender."""
    assert concept_of(key_of(code)) == concept
    assert key_of_characters("".join(chr(int(part, 16)) for part in code.split("-"))) == key_of(code)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("man: medium skin tone, red hair", "person"),
        ("woman running: dark skin tone, facing right", "person running"),
        ("red heart", "heart"),
        ("left-facing fist", "fist"),
        ("orange", "orange"),
    ],
)
def test_a_base_name_has_nothing_that_can_be_seen(name: str, base: str) -> None:
    assert base_name(name) == base
    assert neutral(without_colour_and_direction(base)) == base


# ------------------------------------------------------------------ edits

WORDS = st.lists(st.sampled_from("abcd"), max_size=7)


@given(WORDS, WORDS)
def test_an_edit_leads_from_one_text_to_the_other(before: list[str], after: list[str]) -> None:
    """Catches a difference that forgets a word, and a distance that is not the least."""
    found = edit(before, after)
    assert [word for change, word in found.changes if change != "added"] == before
    assert [word for change, word in found.changes if change != "removed"] == after
    kept, added, removed = (len(found.words(kind)) for kind in ("kept", "added", "removed"))
    assert max(added, removed) <= found.distance <= added + removed
    assert abs(len(before) - len(after)) <= found.distance <= max(len(before), len(after))
    assert (found.distance == 0) == (before == after)
    assert found.kept_share == (kept / len(before) if before else 1.0)


def test_a_known_edit() -> None:
    found = edit(["the", "sun", "rose"], ["a", "red", "sun", "rose", "early"])
    assert found.words("kept") == ("sun", "rose")
    assert found.distance == 3
