"""The emoji characters: which concept each belongs to, its name, and what of the name can be seen.

A concept is the base that is left when skin tone, gender, hair and direction are merged ("person running"); splits are
made by concept, so that no test picture is a training picture with another skin.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tasks.altogether.texts.attributes import neutral, plain, stated, without_colour_and_direction, words
from tasks.base.errors import UserError

Kind = Literal["picture", "flag", "keycap"]

TONE_CODES = ("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff")
_MODIFIER = re.compile("-200d-(?:2640|2642|27a1|1f9b[0-3])")
"""What follows a joiner in a sequence: a gender sign, the arrow of direction, a component of hair."""

_MERGED = {
    "1f468": "1f9d1", "1f469": "1f9d1", "1f471": "1f9d1", "1f9d4": "1f9d1",  # man, woman, blond hair, beard → person
    "1f466": "1f9d2", "1f467": "1f9d2",  # boy, girl → child
    "1f474": "1f9d3", "1f475": "1f9d3",  # old man, old woman → older person
    "1f934": "1fac5", "1f478": "1fac5",  # prince, princess → person with crown
    "1f930": "1fac4", "1fac3": "1fac4",  # pregnant woman, pregnant man → pregnant person
    "1f57a": "1f483",  # man dancing, woman dancing
    "1f936": "1f385",  # Mrs. Claus, Santa Claus
}  # fmt: skip
_MERGED_SEQUENCES = {
    "1f46b": "1f9d1-200d-1f91d-200d-1f9d1", "1f46c": "1f9d1-200d-1f91d-200d-1f9d1",
    "1f46d": "1f9d1-200d-1f91d-200d-1f9d1", "1faf1-200d-1faf2": "1f91d", "1f9d1-200d-1f384": "1f385",
    "1f9d1-200d-2764-200d-1f48b-200d-1f9d1": "1f48f", "1f9d1-200d-2764-200d-1f9d1": "1f491",
}  # fmt: skip
"""Pairs of people, a handshake, Mx Claus, a kiss and a couple with heart: written as one character or as several."""

PEOPLE = frozenset(("person", "man", "woman", "people", "men", "women"))

_FAMILY = re.compile("1f46a|1f9d[12](-200d-1f9d[12])*-200d-1f9d2(-200d-1f9d2)?")


@dataclass(frozen=True)
class Emoji:
    """One character or sequence. `key` has its code points in lower-case hexadecimal, without variation selectors.

    `name` is CLDR's derived name, `base` the name of the concept without any visible attribute, both plain. `order`
    is Unicode's; `attributes` has what the name states exactly once.
    """

    key: str
    concept: str
    name: str
    base: str
    kind: Kind
    order: int
    version: float
    attributes: dict[str, str]


def read_emoji(emojibase: Path) -> list[Emoji]:
    """All emoji of emojibase's `data.json` in Unicode's order, but for the pairs that have two skin tones.

    Raises UserError where the file is missing or not of that shape.
    """
    entries = _entries(emojibase / "data.json")
    names: dict[str, str] = {}
    for entry in entries:
        key, name = key_of(entry["hexcode"]), plain(entry["label"])
        # The base itself names the concept; where a table lacks it, the first of the concept's emoji does.
        if key == concept_of(key):
            names[key] = name
        names.setdefault(concept_of(key), name)
    emoji = []
    for entry in entries:
        key, name = key_of(entry["hexcode"]), plain(entry["label"])
        # A pair with two tones has no skin tone that one word states, and there are 800 of them.
        if len(set(key.split("-")) & set(TONE_CODES)) > 1:
            continue
        concept, kind = concept_of(key), kind_of(name)
        emoji.append(
            Emoji(
                key=key,
                concept=concept,
                name=name,
                base=name if kind != "picture" else base_name(names[concept]),
                kind=kind,
                order=entry["order"],
                version=float(entry["version"]),
                attributes=visible(name) if kind == "picture" else {},
            )
        )
    return sorted(emoji, key=lambda e: (e.order, e.key))


def key_of(code_points: str) -> str:
    """The key of code points in hexadecimal joined by hyphens, as file names and tables have them."""
    parts = re.split("[-_ ]", code_points.lower())
    return "-".join(part.lstrip("0") or "0" for part in parts if part not in ("fe0f", "fe0e"))


def key_of_characters(characters: str) -> str:
    """The key of the characters themselves."""
    return key_of("-".join(f"{ord(character):x}" for character in characters))


def concept_of(key: str) -> str:
    """The key of the base: skin tone, gender, hair and direction merged; every family is one concept."""
    parts = [_MERGED.get(part, part) for part in key.split("-") if part not in TONE_CODES]
    base = _MODIFIER.sub("", "-".join(parts))
    if _FAMILY.fullmatch(base):
        return "1f46a"
    return _MERGED_SEQUENCES.get(base, base)


def kind_of(name: str) -> Kind:
    """Flags and keycaps are told apart from pictures: their names are a fixed phrase and a word."""
    if name.startswith("flag:"):
        return "flag"
    return "keycap" if name.startswith("keycap:") else "picture"


def visible(name: str) -> dict[str, str]:
    """The attributes that a plain name states; a colour only of things, since a person's is that of a cane."""
    found = stated(name)
    if PEOPLE & set(words(name)):
        found.pop("colour", None)
    return found


def base_name(name: str) -> str:
    """A plain name without any visible attribute: "man: medium skin tone, red hair" → "person"."""
    head = name.partition(":")[0]
    bare = without_colour_and_direction(neutral(head))
    return bare if words(bare) else head


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        entries = [each for entry in read for each in (entry, *entry.get("skins", ()))]
        # Components (hair, tones) and single regional indicators are parts of emoji, not pictures of anything.
        entries = [each for each in entries if each.get("group", 2) != 2]
        for each in entries:
            each["hexcode"], each["label"], each["order"], each["version"]
        return entries
    except FileNotFoundError:
        raise UserError(f"The folder of emojibase has no {path.name}: see what data/sources.yaml asks for.") from None
    except (ValueError, TypeError, AttributeError, KeyError):
        raise UserError(
            f"{path.name} is not a list of emoji with hexcode, label, order and version: fetch emojibase again."
        ) from None
