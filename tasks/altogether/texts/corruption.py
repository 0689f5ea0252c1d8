"""Alt-texts that are wrong: natural errors, found, and injected ones, which change exactly one attribute.

The two are never mixed: a record has either an alt-text as somebody wrote it, in which natural errors are labelled, or
one composed to state a single attribute, truly or, at a rate, falsely.
"""

from collections.abc import Iterable, Sequence

from tasks.altogether.texts.attributes import alternatives, mentions, neutral, plain, replaced, stated, words
from tasks.altogether.texts.attributes import without_colour_and_direction as bare
from tasks.altogether.texts.emoji import Emoji, visible
from tasks.altogether.texts.splits import draw

OPEN = frozenset(("person", "people", "child", "royal", "merperson"))
"""Words of a name that leave the gender of people open, so that an alt-text with a gender says too much."""


def natural_errors(alt: str, emoji: Emoji, colours: Sequence[str]) -> dict[str, str]:
    """What an alt-text states and the picture does not show, by attribute: the value it gives.

    A value is wrong when the name states another one, when it gives a gender to people whose name leaves it open, or
    when it is a colour that is neither in the name nor among the `colours` seen in the picture.
    """
    given: dict[str, set[str]] = {}
    for mention in mentions(plain(alt)):
        given.setdefault(mention.attribute, set()).add(mention.value)
    wrong = {}
    for attribute, (value, *others) in given.items():
        true = emoji.attributes.get(attribute)
        if others:
            continue  # "black and white" is not one claim that could be checked
        if true is not None:
            # "upper right" falls short of "up-right", and is not wrong.
            if value != true and value not in true.split("-"):
                wrong[attribute] = value
        elif attribute == "gender":
            if OPEN & set(words(emoji.name)):
                wrong[attribute] = value
        elif attribute == "colour" and value not in words(emoji.name) and value not in colours:
            wrong[attribute] = value
    return wrong


def stating(emoji: Emoji, attribute: str) -> str:
    """A plain alt-text that states this one attribute of the emoji, truly, and no other.

    "woman running: dark skin tone" gives "woman running" for the gender and "person running: dark skin tone" for the
    skin. Empty where no such text can be made of the name.
    """
    head, _, rest = emoji.name.partition(":")
    modifiers = [part.strip() for part in rest.split(",")]
    # The part of the name after the colon that states it, if it is there.
    said = [part for part in modifiers if attribute in stated(part)]
    if attribute == "gender":
        text = bare(head)
    elif said:
        text = f"{emoji.base}: {said[0]}"
    else:
        text = neutral(head)
        for mention in reversed(mentions(text)):
            if mention.attribute in ("colour", "direction") and mention.attribute != attribute:
                text = " ".join((text[: mention.start] + text[mention.end :]).split())
    return text if visible(text) == {attribute: emoji.attributes[attribute]} else ""


def swapped(text: str, attribute: str, seed: int, *names: str) -> str:
    """The plain text with another value of the attribute, drawn by the seed and the names."""
    (mention,) = (m for m in mentions(text) if m.attribute == attribute)
    values = alternatives(mention)
    return replaced(text, mention, values[int(draw(seed, "value", *names), 16) % len(values)])


def chosen(names: Iterable[tuple[str, ...]], rate: float, seed: int) -> set[tuple[str, ...]]:
    """This share of the names, to the nearest whole number; what a lower rate chooses a higher one does too."""
    order = sorted(names, key=lambda name: draw(seed, "chosen", *name))
    return set(order[: round(rate * len(order))])
