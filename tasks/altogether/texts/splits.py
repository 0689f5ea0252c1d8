"""Which concepts are for training, validation and test; one drawing style and some colours are held out by design.

A concept lies on one side with all its skin tones, and so do the concepts of one base name ("left arrow" and "right
arrow"). Colours are the exception: of hearts, circles, squares and books each colour and each shape is seen in
training, and a test picture joins a colour and a shape that were not seen together.
"""

import hashlib
from collections.abc import Container, Iterable

from models.config import Count, Fraction, Index, config
from tasks.altogether.texts.emoji import Emoji

SPLITS = ("train", "validation", "test", "style")


@config
class Split:
    """Shares of the concepts, and what is held out.

    `held_out_style` is in no training or validation record. A base name with `coloured` colours or more is split by
    its colours: one in `every` is for test, shifted by one from shape to shape.
    """

    seed: Index = 0
    validation: Fraction = 0.1
    test: Fraction = 0.2
    held_out_style: str = "noto"
    coloured: Count = 3
    every: Count = 4

    def __post_init__(self) -> None:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test take all concepts, so nothing is left for training")


def split_concepts(emoji: Iterable[Emoji], apart: Container[str], config: Split) -> dict[str, str]:
    """The split of each concept, by its key.

    Flags, keycaps, people, the concepts `apart` and all others are each divided in the same shares, so that the test
    has some of each.
    """
    bases: dict[str, list[Emoji]] = {}
    for e in emoji:
        bases.setdefault(f"{e.kind}: {e.base}", []).append(e)
    sides: dict[str, str] = {}
    groups: dict[str, list[str]] = {}
    shapes: list[str] = []
    for base, members in sorted(bases.items()):
        colours = {e.attributes["colour"] for e in members if "colour" in e.attributes}
        if len(colours) >= config.coloured:
            shapes.append(base)
        else:
            people = any(name in e.attributes for e in members for name in ("skin", "gender"))
            special = "apart" if any(e.concept in apart for e in members) else members[0].kind
            groups.setdefault("people" if people else special, []).append(base)
    for group in groups.values():
        group.sort(key=lambda base: draw(config.seed, "split", base))
        for place, base in enumerate(group):
            sides |= dict.fromkeys((e.concept for e in bases[base]), _side(place / len(group), config))
    colour_of = {e.concept: e.attributes["colour"] for s in shapes for e in bases[s] if "colour" in e.attributes}
    order = sorted(set(colour_of.values()))
    for number, shape in enumerate(shapes):
        for concept in {e.concept for e in bases[shape]}:
            held = concept in colour_of and (order.index(colour_of[concept]) + number + config.seed) % config.every == 0
            sides[concept] = "test" if held else "train"
    return sides


def split_of(side: str, style: str, config: Split) -> str:
    """The split of a picture: its concept's, but for the style that is held out.

    There the training concepts are the split `style`, and the validation concepts are `unused`: no choice may rest on
    that style.
    """
    if style != config.held_out_style or side == "test":
        return side
    return "style" if side == "train" else "unused"


def draw(seed: int, *names: str) -> str:
    """A place in an order that depends on the seed and the names alone, not on what else there is."""
    return hashlib.sha256("\0".join([str(seed), *names]).encode()).hexdigest()


def _side(share: float, config: Split) -> str:
    if share < config.test:
        return "test"
    return "validation" if share < config.test + config.validation else "train"
