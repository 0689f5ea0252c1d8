"""How far a captioner can be trusted: measured on pictures that it was not trained on, before it touches anybody's.

What is sure enough is decided on validation pictures; what came of that is counted on others: drawings of new things,
drawings in a style that it never saw, and photographs on stamps.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.caption_scores import overlap
from tasks.altogether.captioner.captioning import Seen, Writing, captioned
from tasks.altogether.captioner.stored import Writer
from tasks.altogether.records import TRANSFER, Record, read_records
from tasks.altogether.texts.attributes import ATTRIBUTES, plain, stated, words
from tasks.altogether.texts.corruption import swapped
from tasks.altogether.texts.splits import draw
from tools.caption.mending import Checked, check, is_sure, likelihoods

if TYPE_CHECKING:
    from tools.caption.realigning import Folders

VERSION = "1"
"""Of this way of measuring: another one measures anew."""

FOR_ONE = 10
"""Wrong statements that have to be mended on validation pictures for each right one that is broken, and one more."""

LIKELY = 0.5
"""A probability below which nothing is ever changed."""

ANYWAY = 0.9
"""What is asked of a captioner that is used although nothing of it is sure."""

MOST = 600
"""Pictures of a kind that captions are written of, to measure them."""

GREEDY = Writing(seed=0, top_p=1e-9)
"""The likeliest token each time: a picture's caption does not depend on those that are beside it."""


@dataclass(frozen=True)
class Tally:
    """Of wrong and right statements of one attribute: how many were mended, and how many broken."""

    wrong: int = 0
    mended: int = 0
    right: int = 0
    broken: int = 0


@dataclass(frozen=True)
class Written:
    """F1 against the reference: of captions where they are sure enough, of all captions, and of the alt-texts."""

    pictures: int
    chosen: float
    captions: float
    copies: float


@dataclass(frozen=True)
class Trust:
    """What was found. `least` is how sure a change has to be, for the attributes that may be changed at all, and
    `least_caption` how sure a caption; 2, which is never reached, where none is sure enough. `mending` and `writing`
    are by kind of picture."""

    least: dict[str, float] = field(default_factory=dict)
    mending: dict[str, dict[str, Tally]] = field(default_factory=dict)
    least_caption: float = 2.0
    writing: dict[str, Written] = field(default_factory=dict)

    @property
    def mends(self) -> bool:
        """Whether it has mended ten wrong statements for each right one that it broke."""
        return bool(self.least)

    @property
    def writes(self) -> bool:
        """Whether its captions are better than the alt-texts on pictures of new things, where it is sure."""
        new = self.writing.get("drawings of new things")
        return self.least_caption <= 1 and new is not None and new.chosen > new.copies


def trust_in(folders: "Folders", state: Path, tell: Callable[[int, int], None]) -> Trust:
    """What was measured of a captioner, once for all: it is kept in `state` by the digest of its weights."""
    digest = sha256(VERSION.encode())
    for name in ("captioner", "dual", "encoder"):
        digest.update((getattr(folders, name) / f"{name}.safetensors").read_bytes())
    path = state / f"{digest.hexdigest()[:16]}.json"
    if path.exists():
        return _read(json.loads(path.read_text()))
    found = measure(folders, tell)
    state.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(found), indent=1) + "\n")
    part.replace(path)
    return found


def _read(stored: dict[str, Any]) -> Trust:
    mending = {
        kind: {name: Tally(**tally) for name, tally in tallies.items()} for kind, tallies in stored["mending"].items()
    }
    writing = {kind: Written(**each) for kind, each in stored["writing"].items()}
    return Trust(stored["least"], mending, stored["least_caption"], writing)


def measure(folders: "Folders", tell: Callable[[int, int], None]) -> Trust:
    """Decide on the validation pictures, and count on the others."""
    from tasks.altogether.captioner.stored import load_writer

    seen, writer = Seen.load(folders.features, folders.dual), load_writer(folders.captioner)
    test = read_records(folders.levels / "test.json")
    kinds = {
        "drawings of new things": [record for record in test if record.style != folders.held_out_style],
        "drawings in a new style": [record for record in test if record.style == folders.held_out_style],
        "stamps": _photographs(folders.titled),
    }
    validation = read_records(folders.levels / "validation.json")
    total = len(kinds) + 1
    tell(0, total)
    least = _least(_checked(writer, seen, validation))
    least_caption = _least_caption(_captions(writer, seen, validation))
    mending, writing = {}, {}
    for done, (kind, records) in enumerate(kinds.items(), 1):
        tell(done, total)
        if records:
            mending[kind] = tally(_checked(writer, seen, records), least)
            writing[kind] = _written(_captions(writer, seen, records), least_caption)
    return Trust(least, mending, least_caption, writing)


# ------------------------------------------------------------------ statements of attributes


def _photographs(titled: Path) -> list[Record]:
    """Stamps whose sentence states what their file name states; each again with another value in the file name."""
    found = []
    for record in read_records(titled / f"{TRANSFER}.json"):
        shown = stated(plain(record.round3))
        said = {name: value for name, value in stated(plain(record.alt)).items() if shown.get(name) == value}
        found.append(record)
        for name in said:
            false = swapped(plain(record.alt), name, 0, "photograph", record.img_path)
            pair = {**asdict(record), "attributes": said, "kind": "stated"}
            found += [Record(**pair), Record(**{**pair, "alt": false, "wrong": {name: stated(false)[name]}})]
    return found


def _checked(writer: Writer, seen: Seen, records: Sequence[Record]) -> list[tuple[Record, Checked]]:
    found = check(writer, seen, seen.rows([r.img_path for r in records]), [r.alt for r in records])
    return [(record, each) for record, some in zip(records, found, strict=True) for each in some]


def tally(checked: Sequence[tuple[Record, Checked]], least: Mapping[str, float]) -> dict[str, Tally]:
    """What was mended and broken of each attribute. To change a statement of which nothing is known breaks it."""
    counts = {name: dict.fromkeys(("wrong", "mended", "right", "broken"), 0) for name in ATTRIBUTES}
    for record, each in checked:
        wrong = each.attribute in record.wrong
        changed = is_sure(each, least)
        count = counts[each.attribute]
        count["wrong" if wrong else "right"] += 1
        count["mended"] += changed and wrong and each.seen == record.attributes.get(each.attribute)
        count["broken"] += changed and not wrong
    return {name: Tally(**count) for name, count in counts.items() if count["wrong"] + count["right"]}


def _least(checked: Sequence[tuple[Record, Checked]]) -> dict[str, float]:
    """For each attribute the lowest confidence from which on enough is mended for what is broken, if there is one."""
    found = {}
    for name in ATTRIBUTES:
        some = [(record, each) for record, each in checked if each.attribute == name and each.seen != each.stated]
        for least in sorted({each.confidence for _, each in some if each.confidence >= LIKELY}):
            count = tally(some, {name: least})[name]
            if count.mended >= FOR_ONE * (count.broken + 1):
                found[name] = least
                break
    return found


# ------------------------------------------------------------------ whole captions


@dataclass(frozen=True)
class _Caption:
    """How sure a caption is, and how good it and the alt-text are."""

    confidence: float
    caption: float
    copy: float


def _captions(writer: Writer, seen: Seen, records: Sequence[Record]) -> list[_Caption]:
    written = [record for record in records if record.condition == "as written" and record.kind != "stated"]
    chosen = sorted(written, key=lambda record: draw(0, "measured", record.img_path, record.alt))[:MOST]
    if not chosen:
        return []
    rows, alts = seen.rows([record.img_path for record in chosen]), [record.alt for record in chosen]
    said = captioned(writer, seen, rows, alts, GREEDY)
    confidences = likelihoods(writer, seen, rows, alts, said, each_token=True).exp().tolist()
    found = []
    for record, caption, confidence in zip(chosen, said, confidences, strict=True):
        wanted = words(record.round3)
        found.append(_Caption(confidence, overlap(words(caption), wanted).f1, overlap(words(record.alt), wanted).f1))
    return found


def _least_caption(captions: Sequence[_Caption]) -> float:
    """The confidence from which on captions gain most over the alt-texts, 2 where they gain nothing."""
    best, least, gain = 0.0, 2.0, 0.0
    for each in sorted(captions, key=lambda each: -each.confidence):
        gain += each.caption - each.copy
        if gain > best:
            best, least = gain, each.confidence
    return least


def _written(captions: Sequence[_Caption], least: float) -> Written:
    count = max(len(captions), 1)
    chosen = sum(each.caption if each.confidence >= least else each.copy for each in captions)
    return Written(
        len(captions),
        chosen / count,
        sum(each.caption for each in captions) / count,
        sum(each.copy for each in captions) / count,
    )
