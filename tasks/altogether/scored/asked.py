"""What captioners are asked in the test: pictures with an alt-text, by condition, some with a true and a false one.

No training or validation concept is among them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.config import Count, Index, config
from tasks.altogether.records import TRANSFER, Record, read_records
from tasks.altogether.texts.attributes import Mention, mentions, replaced
from tasks.altogether.texts.corruption import swapped
from tasks.altogether.texts.splits import draw

SEEN, NEW, FIXED, NATURAL, TRUE, FALSE, OTHER = (
    "new concepts", "new concepts and style", "flags and keycaps", "natural errors", "one attribute, true",
    "one attribute, false", "stamps",
)  # fmt: skip
"""The domains of the test."""


@config
class Asking:
    """How many records of each domain are asked about at most, drawn by the seed; of composed ones, of an attribute."""

    seed: Index = 0
    written: Count = 800
    new_style: Count = 400
    composed: Count = 120


@dataclass(frozen=True)
class Question:
    """One record in one domain; `attribute` is what a composed alt-text states."""

    domain: str
    record: Record
    attribute: str = ""

    @property
    def name(self) -> str:
        """What tells it from the others of its domain."""
        return f"{self.record.img_path}, {self.record.alt}"


def ask(levels: Path, held_out_style: str, config: Asking) -> list[Question]:
    """The questions of the test. A composed alt-text is there twice, in the same order: true, and false."""
    records = read_records(levels / "test.json")
    written = [r for r in records if r.condition == "as written"]
    pictures = [r for r in written if r.kind == "picture"]
    chosen = {
        SEEN: _some([r for r in pictures if r.style != held_out_style], config.written, config.seed),
        NEW: _some([r for r in pictures if r.style == held_out_style], config.new_style, config.seed),
        FIXED: _some([r for r in written if r.kind != "picture"], config.new_style, config.seed),
        NATURAL: _some([r for r in records if r.condition == "natural error"], config.written, config.seed),
    }
    questions = [Question(domain, record) for domain, some in chosen.items() for record in some]
    composed: dict[str, list[Record]] = {}
    for record in records:
        if record.condition in ("stated", "swapped") and record.style != held_out_style:
            composed.setdefault(_claim(record).attribute, []).append(record)
    pairs = [
        (attribute, *true_and_false(record, attribute, config.seed))
        for attribute, some in sorted(composed.items())
        for record in _some(some, config.composed, config.seed)
    ]
    questions += [Question(TRUE, true, attribute) for attribute, true, _ in pairs]
    questions += [Question(FALSE, false, attribute) for attribute, _, false in pairs]
    return questions


def ask_others(titled: Path, config: Asking) -> list[Question]:
    """Questions about other people's pictures, with the words of a file name as alt-text and a sentence as reference.

    There is none where the pictures cannot be had.
    """
    return [Question(OTHER, r) for r in _some(read_records(titled / f"{TRANSFER}.json"), config.written, config.seed)]


def true_and_false(record: Record, attribute: str, seed: int) -> tuple[Record, Record]:
    """The record with its composed alt-text made true, and made false."""
    mention = _claim(record)
    true, false = record.alt, record.alt
    if record.wrong:
        true = replaced(record.alt, mention, record.attributes[attribute])
    else:
        false = swapped(record.alt, attribute, seed, record.split, attribute, record.img_path)
    wrong = next(m for m in mentions(false) if m.attribute == attribute)
    return (
        replace(record, alt=true, condition="stated", wrong={}),
        replace(record, alt=false, condition="swapped", wrong={attribute: wrong.value}),
    )


def _claim(record: Record) -> Mention:
    """The one mention in a composed alt-text of an attribute that the picture shows."""
    return next(m for m in mentions(record.alt) if m.attribute in (record.wrong or record.attributes))


def shuffled(values: Sequence[str], groups: Iterable[str], seed: int) -> list[str]:
    """The values in another order, drawn by the seed: each comes from another group, but for what cannot be."""
    groups = list(groups)
    # By group, each moved on by the largest group's size: then no value stays in its own group.
    by_group = sorted(range(len(values)), key=lambda place: (draw(seed, "group", groups[place]), place))
    largest = max(Counter(groups).values(), default=0)
    moved = by_group[largest:] + by_group[:largest]
    result = list(values)
    for place, source in zip(by_group, moved, strict=True):
        result[place] = values[source]
    return result


def _some(records: Sequence[Record], most: int, seed: int) -> list[Record]:
    """At most so many of them, from as many concepts as can be: one of each, then a second one of each."""
    order = sorted(records, key=lambda r: draw(seed, "asked", r.img_path, r.alt))
    turn: dict[str, int] = {}
    turns = []
    for record in order:
        turn[record.concept] = turn.get(record.concept, 0) + 1
        turns.append((turn[record.concept], draw(seed, "turn", record.img_path, record.alt), record))
    return [record for _, _, record in sorted(turns, key=lambda each: each[:2])[:most]]
