"""Visible attributes that a text states: skin tone, gender, hair, direction and colour.

They are read from English words alone, for names ("woman running: dark skin tone") as for alt-texts ("HEAVY BLACK
HEART"), so that the same rule says what a picture's name states and what an alt-text gets wrong.
"""

import re
from dataclasses import dataclass

ATTRIBUTES = ("skin", "gender", "hair", "direction", "colour")

TONES = ("light", "medium-light", "medium", "medium-dark", "dark")
HAIRS = ("red", "curly", "white", "bald", "blond", "beard")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "brown", "black", "white", "grey", "pink")
OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}

GENDERED = {
    "man": "woman", "men": "women", "boy": "girl", "boys": "girls", "male": "female", "prince": "princess",
    "merman": "mermaid", "mermen": "mermaids", "he": "she", "king": "queen", "father": "mother",
}  # fmt: skip
"""Words for male people, and their counterparts."""

NEUTRAL = {
    "man": "person", "woman": "person", "men": "people", "women": "people", "boy": "child", "girl": "child",
    "prince": "royal", "princess": "royal", "merman": "merperson", "mermaid": "merperson",
}  # fmt: skip
"""What a name says of the same people where it leaves their gender open."""

_MALE_OF = {female: male for male, female in GENDERED.items()}

# The order matters: "white hair" is not the colour white, "dark skin" is no hair. A word with an apostrophe ("man's
# shoe"), a hyphen ("blue-footed", "upside-down") or an exclamation mark ("UP! button") around it states nothing.
_WORD = r"(?<![\w’'-])({})(?![\w’'!-])"
_PATTERNS = (
    ("skin", re.compile(_WORD.format("medium-light|medium-dark|light|medium|dark") + r" skin(?: tone)?")),
    ("hair", re.compile(r"(?<![\w-])(?:(red|curly|white|blonde?)[ -]hair(?:ed)?|(bald|beard)(?:ed)?)(?!\w)")),
    ("direction", re.compile(_WORD.format(r"(?:up|down)-(?:left|right)|left|right|up|down|(?:left|right|up|down)wards?")
                             + r"|(?<![\w-])(left|right)(?=-(?:facing|pointing)\b)")),
    ("colour", re.compile(_WORD.format("|".join(COLOURS) + "|gray|violet"))),
    ("gender", re.compile(_WORD.format("|".join([*GENDERED, *_MALE_OF])))),
)  # fmt: skip
_SPELLINGS = {"blonde": "blond", "gray": "grey", "violet": "purple"}


@dataclass(frozen=True)
class Mention:
    """A place in a plain text that states an attribute: `text[start:end]` is the word for its value."""

    attribute: str
    value: str
    start: int
    end: int


def plain(text: str) -> str:
    """Lower case, with spaces for underscores and single spaces."""
    return " ".join(text.replace("_", " ").lower().split())


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation; hyphens and apostrophes stay inside words."""
    return re.findall(r"[^\W_]+(?:[-'’][^\W_]+)*", plain(text))


def mentions(text: str) -> list[Mention]:
    """Every mention of an attribute in a plain text, in order; a word states one attribute at most."""
    found: list[Mention] = []
    for attribute, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            start, end = match.span()
            # Left luggage was left; an orange alone is a fruit.
            alone = attribute == "colour" and match[0] == text
            luggage = attribute == "direction" and text[end:].startswith(" luggage")
            if alone or luggage or any(start < m.end and m.start < end for m in found):
                continue
            group = match.lastindex or 0
            found.append(Mention(attribute, _value(attribute, match[group]), *match.span(group)))
            # The rest of the phrase ("hair", "skin tone") belongs to the mention, so nothing else claims it.
    return sorted(found, key=lambda m: m.start)


def stated(text: str) -> dict[str, str]:
    """The value of each attribute that the plain text mentions exactly once."""
    found = mentions(text)
    counts = [m.attribute for m in found]
    return {m.attribute: m.value for m in found if counts.count(m.attribute) == 1}


def replaced(text: str, mention: Mention, value: str) -> str:
    """The plain text with another value in the place of one mention."""
    word = text[mention.start : mention.end]
    if mention.attribute == "gender":
        new = GENDERED.get(word) or _MALE_OF[word]
    elif mention.attribute == "hair":
        return _with_hair(text, mention, value)
    elif mention.attribute == "direction" and word.removesuffix("s").endswith("ward"):
        new = value + word[word.index("ward") :]
    else:
        new = value
    return text[: mention.start] + new + text[mention.end :]


def alternatives(mention: Mention) -> tuple[str, ...]:
    """The other values that the mention could have had; of a direction, the opposite."""
    if mention.attribute == "direction":
        return ("-".join(OPPOSITE[part] for part in mention.value.split("-")),)
    values = {"skin": TONES, "gender": ("male", "female"), "hair": HAIRS, "colour": COLOURS}[mention.attribute]
    return tuple(value for value in values if value != mention.value)


def without_colour_and_direction(text: str) -> str:
    """The plain text without the words that state a colour or a direction."""
    for mention in reversed(mentions(text)):
        if mention.attribute in ("colour", "direction"):
            rest = text[mention.end :]
            text = text[: mention.start] + re.sub(r"^-(?:facing|pointing)\b", "", rest)
    return " ".join(text.split())


def neutral(text: str) -> str:
    """The plain text with words for people that leave their gender open."""
    return re.sub(r"(?<![\w’'-])(\w+)(?![\w’'-])", lambda m: NEUTRAL.get(m[0], m[0]), text)


def _value(attribute: str, word: str) -> str:
    word = _SPELLINGS.get(word, word)
    if attribute == "gender":
        return "male" if word in GENDERED else "female"
    return re.sub(r"wards?$", "", word) if attribute == "direction" else word


def _with_hair(text: str, mention: Mention, value: str) -> str:
    phrase = re.compile(r"(?:(?:red|curly|white|blonde?)[ -]hair(ed)?|(?:bald|beard(ed)?))(?!\w)")
    match = phrase.match(text, mention.start)
    assert match is not None  # a mention of hair begins with one of these
    adjective = bool(match[1] or match[2])
    said = {"bald": "bald", "beard": "bearded" if adjective else "beard"}.get(value)
    return text[: match.start()] + (said or f"{value} {'haired' if adjective else 'hair'}") + text[match.end() :]
