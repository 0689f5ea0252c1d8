"""What different people call the same emoji, and which of the fields that say it are copies of each other.

Fields are not people: one list of names or keywords is republished under many roofs. Two fields whose word sets are
nearly the same are one voice, and two words count as agreement only when two voices say them.
"""

import json
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

from models.config import Fraction, Index, config
from tasks.altogether.texts.attributes import plain, words
from tasks.altogether.texts.emoji import Emoji, key_of, key_of_characters, read_emoji
from tasks.altogether.texts.splits import draw
from tasks.base import spool
from tasks.base.errors import UserError
from tasks.base.files import write_json
from tasks.base.measures import measures

Said = dict[str, tuple[str, ...]]
"""What one field says of each emoji: by key, the phrases in their order."""

UNICODE_VERSION = 14.0
"""Names of later characters are left out: the oldest Python that Tenfold runs on knows them up to here."""


@config
class Voices:
    """When two fields are one voice, and how many concepts to take (0: all), drawn by the seed.

    `copied` is the mean Jaccard overlap of the two fields' word sets over the emoji that both name.
    """

    copied: Fraction = 0.8
    concepts: Index = 0
    seed: Index = 0


@measures(
    named="number of emoji without skin tone that a field or both fields name",
    words="mean number of distinct words that a field has for one of them",
    equal="share of the emoji that both fields name for which their word sets are the same",
    overlap="mean Jaccard overlap of the two word sets",
)
def gather(
    *, emojibase: Path, openmoji: Path, emojilib: Path, emoji_names: Path, em_keyboard: Path, config: Voices, out: Path
) -> None:
    """Write `emoji.parquet`, `voices.parquet` and `metrics.json`.

    `emoji` has a row an emoji: key, concept, name, base, kind, order and a column an attribute, empty where the name
    states none. `voices` has the columns key, voice, field, phrases; copies of a field are left out. `metrics.json`
    has a row a field (with its `voice`) and a row a pair of fields. Raises UserError when a source lacks its file.
    """
    emoji = read_emoji(emojibase)
    fields = {
        "cldr name": _from(emojibase / "data.json", _labels),
        "openmoji annotation": _from(openmoji / "data" / "openmoji.json", lambda read: _column(read, "annotation")),
        "cldr shortcode": _from(emojibase / "shortcodes" / "cldr.json", _shortcodes),
        "emoji name": _from(emoji_names / "emoji.json", _english_names),
        "cldr keywords": _from(emojibase / "data.json", _tags),
        "openmoji keywords": _from(openmoji / "data" / "openmoji.json", lambda read: _column(read, "tags")),
        "emojilib": _from(emojilib / "emoji-en-US.json", _keywords),
        "em-keyboard": _from(em_keyboard / "emojis.json", _keywords),
        "openmoji tags": _from(openmoji / "data" / "openmoji.json", lambda read: _column(read, "openmoji_tags")),
        "gemoji": _from(emojibase / "shortcodes" / "github.json", _shortcodes),
        "unicode name": _unicode_names(emoji),
    }
    bases = [e.key for e in emoji if "skin" not in e.attributes]
    said = {name: {key: field[key] for key in bases if key in field} for name, field in fields.items()}
    rows, voice = compare(said, config.copied)
    if config.concepts:
        order = sorted({e.concept for e in emoji}, key=lambda concept: draw(config.seed, "concept", concept))
        kept = set(order[: config.concepts])
        emoji = [e for e in emoji if e.concept in kept]
    keys = {e.key for e in emoji}
    spoken = [
        {"key": key, "voice": name, "field": name, "phrases": list(phrases)}
        for name in said
        if voice[name] == name
        for key, phrases in said[name].items()
        if key in keys
    ]
    _write_rows(out / "emoji.parquet", [_row(e) for e in emoji])
    _write_rows(out / "voices.parquet", spoken)
    write_json(out / "metrics.json", rows)
    spool.table("fields", [row for row in rows if "other" not in row])
    spool.table("copies", [row for row in rows if "other" in row])


def compare(said: dict[str, Said], copied: float) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The rows of fields and of pairs of fields, and the voice of each field: the first field that it copies.

    Fields are one voice when a chain of pairs with an overlap of `copied` or more joins them.
    """
    sets = {name: {key: set(words(" ".join(p))) for key, p in field.items()} for name, field in said.items()}
    voice = {name: name for name in said}
    pairs = []
    for one, other in combinations(said, 2):
        both = [key for key in sets[one] if key in sets[other]]
        shared = [(sets[one][key], sets[other][key]) for key in both]
        equal = sum(a == b for a, b in shared) / max(1, len(shared))
        overlap = sum(len(a & b) / max(1, len(a | b)) for a, b in shared) / max(1, len(shared))
        pairs.append({"arm": one, "other": other, "named": len(both), "equal": equal, "overlap": overlap})
        if both and overlap >= copied:
            old, new = voice[other], voice[one]
            voice = {name: new if now == old else now for name, now in voice.items()}
    fields = [
        {
            "arm": name,
            "voice": voice[name],
            "named": len(sets[name]),
            "words": sum(map(len, sets[name].values())) / max(1, len(sets[name])),
        }
        for name in said
    ]
    return [*fields, *pairs], voice


def read_gathered(folder: Path) -> tuple[list[Emoji], dict[str, dict[str, tuple[str, ...]]]]:
    """The emoji, and by key what each voice says of it, as `gather` wrote them."""
    import pyarrow.parquet

    emoji = []
    for row in pyarrow.parquet.read_table(folder / "emoji.parquet").to_pylist():
        attributes = {name: value for name in ATTRIBUTE_COLUMNS if (value := row.pop(name))}
        emoji.append(Emoji(**row, attributes=attributes))
    spoken: dict[str, dict[str, tuple[str, ...]]] = {}
    for row in pyarrow.parquet.read_table(folder / "voices.parquet").to_pylist():
        spoken.setdefault(row["key"], {})[row["voice"]] = tuple(row["phrases"])
    return emoji, spoken


# ------------------------------------------------------------------ the fields


def _from(path: Path, read: Callable[[Any], Iterator[tuple[str, Any]]]) -> Said:
    """The phrases of one field of a JSON file, plain, without empty ones; later spellings of a key do not count."""
    said: Said = {}
    try:
        for key, phrases in read(json.loads(path.read_text(encoding="utf-8"))):
            listed = [phrases] if isinstance(phrases, str) else phrases
            kept = tuple(dict.fromkeys(plain(phrase) for phrase in listed if words(phrase)))
            if kept:
                said.setdefault(key, kept)
    except FileNotFoundError:
        raise UserError(f"There is no {path.name}, which names emoji: see what data/sources.yaml asks for.") from None
    except (ValueError, TypeError, AttributeError, KeyError):
        raise UserError(f"{path.name} does not have the shape of its release: fetch its source again.") from None
    return said


def _labels(read: Any) -> Iterator[tuple[str, Any]]:
    return ((key_of(entry["hexcode"]), entry["label"]) for entry in read)


def _tags(read: Any) -> Iterator[tuple[str, Any]]:
    return ((key_of(entry["hexcode"]), entry.get("tags", [])) for entry in read)


def _column(read: Any, column: str) -> Iterator[tuple[str, Any]]:
    return ((key_of(entry["hexcode"]), entry[column].split(",")) for entry in read)


def _shortcodes(read: Any) -> Iterator[tuple[str, Any]]:
    return ((key_of(code), names) for code, names in read.items())


def _english_names(read: Any) -> Iterator[tuple[str, Any]]:
    return ((key_of_characters(characters), entry["en"].strip(":")) for characters, entry in read.items())


def _keywords(read: Any) -> Iterator[tuple[str, Any]]:
    # The first entry of each list is CLDR's name, put there by a program.
    return ((key_of_characters(characters), keywords[1:]) for characters, keywords in read.items())


def _unicode_names(emoji: list[Emoji]) -> Said:
    single = [e.key for e in emoji if "-" not in e.key and e.version <= UNICODE_VERSION]
    names = {key: unicodedata.name(chr(int(key, 16)), "") for key in single}
    return {key: (plain(name),) for key, name in names.items() if name}


# ------------------------------------------------------------------ rows

ATTRIBUTE_COLUMNS = ("skin", "gender", "hair", "direction", "colour")


def _row(emoji: Emoji) -> dict[str, Any]:
    row = asdict(emoji)
    attributes = row.pop("attributes")
    return {**row, **{name: attributes.get(name, "") for name in ATTRIBUTE_COLUMNS}}


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
