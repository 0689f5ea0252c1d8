"""Annotation levels: an alt-text, and three corrections of it towards the picture, composed from published texts.

Level 0 is what one voice calls the emoji. Level 1 is the name of its concept, level 2 the name with what can be seen
(skin, gender, hair, direction, colour), level 3 adds words on which two other voices agree. All words are people's;
putting them together is ours, so these are levels, not rounds by annotators (section 3.1 of the paper).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.config import Count, Fraction, Index, config
from models.config import field as config_field
from tasks.altogether.arrays import read_pictures
from tasks.altogether.records import Record, write_records
from tasks.altogether.texts.attributes import mentions, words
from tasks.altogether.texts.corruption import chosen, natural_errors, stating, swapped
from tasks.altogether.texts.diffs import write_diffs
from tasks.altogether.texts.edits import edit
from tasks.altogether.texts.emoji import TONE_CODES, Emoji
from tasks.altogether.texts.splits import SPLITS, Split, draw, split_concepts, split_of
from tasks.altogether.texts.voices import read_gathered
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures

NAMER = "cldr name"
"""The voice whose names make levels 1 and 2."""

LISTS = ("cldr keywords", "emojilib", "openmoji tags")
"""The voices that list keywords; the others give names, the first of which is taken."""

_GENDERED = frozenset(
    ("lady", "ladies", "guy", "bro", "dude", "gentleman", "mother", "father", "mom", "mum", "dad", "mr", "mrs", "sir",
     "bride", "groom", "girlfriend", "boyfriend")
)  # fmt: skip
_EMPTY = frozenset(
    ("a", "an", "and", "at", "by", "for", "from", "in", "is", "it", "no", "of", "on", "or", "the", "to", "with", "you")
)


@config
class Levels:
    """How records are made.

    `voices` says whose texts are alt-texts; of a list of keywords the first `keywords` are one. Level 3 has at most
    `agreed` words more than level 2. No text of a record comes from the voice `held_out`, which can therefore judge
    captions that were trained on any level. `swapped` is the share of the alt-texts composed to state one attribute
    that state it falsely. The page with marked differences shows `shown` records.
    """

    seed: Index = 0
    split: Split = config_field(default_factory=Split)
    voices: tuple[str, ...] = ("gemoji", "unicode name", NAMER, "emojilib")
    keywords: Count = 4
    agreed: Count = 6
    held_out: str = ""
    swapped: Fraction = 0.5
    shown: Count = 100


@measures(
    records="records of this condition and kind",
    words="mean number of words of the text",
    concepts="mean number of distinct words that carry meaning",
    distance="mean number of words inserted, deleted or replaced since the level before",
    kept="mean share of the words of the level before that are kept",
    added="mean number of words added since the level before",
    removed="mean number of words removed since the level before",
)
def align(*, gathered: Path, pictures: Path, config: Levels, out: Path) -> None:
    """Write records by split (`train.json` …), `attributes.parquet`, `metrics.json` and `diffs.html`.

    A record is a picture with one alt-text and its levels 1 to 3; the records of `style.json` show training concepts
    in the style that is held out, those of `test.json` test concepts in every style. `attributes` has a row a picture
    with its split and what can be seen in it: a value is left out where another emoji with another value has the same
    pixels. `metrics.json` has a row for each level, condition and kind.
    """
    emoji, said_by_all = read_gathered(gathered)
    spoken = {
        key: {voice: phrases for voice, phrases in said.items() if voice != config.held_out}
        for key, said in said_by_all.items()
    }
    pixels, index = read_pictures(pictures)
    by_key = {e.key: e for e in emoji}
    wrongly_named = {
        e.concept
        for e in emoji
        for voice, said in spoken.get(e.key, {}).items()
        if voice in config.voices and e.kind == "picture" and natural_errors(alt_text(voice, said, config), e, ())
    }
    sides = split_concepts(emoji, wrongly_named, config.split)
    twins = _twins(index, by_key)
    rows = []
    for number, row in enumerate(index):
        e = by_key[row["key"]]
        split = split_of(sides[e.concept], row["style"], config.split)
        if split in SPLITS:
            same = twins[row["style"], row["same_as"] or row["key"]]
            rows.append((_as_seen(e, same), {**row, "number": number, "split": split}))
    records = [
        record for seen, row in rows for record in as_written(seen, row, spoken.get(bare_key(seen.key), {}), config)
    ]
    records += composed(rows, spoken, config)
    for split in SPLITS:
        write_records(out / f"{split}.json", (r for r in records if r.split == split))
    _write_attributes(out / "attributes.parquet", rows)
    statistics = level_statistics(records)
    write_json(out / "metrics.json", statistics)
    spool.table("annotation levels", statistics)
    numbers = {row["img_path"]: row["number"] for _, row in rows}
    write_diffs(_sample(records, config), lambda img_path: pixels[numbers[img_path]], out / "diffs.html")
    spool.artifact(out / "diffs.html")


# ------------------------------------------------------------------ records


def as_written(e: Emoji, row: Mapping[str, Any], spoken: Mapping[str, Sequence[str]], config: Levels) -> list[Record]:
    """A record for each voice's alt-text of one picture; texts with the same words are one."""
    records = []
    known: set[tuple[str, ...]] = set()
    for voice in config.voices:
        if voice not in spoken and voice != NAMER:
            continue
        alt = e.base if voice == NAMER else alt_text(voice, spoken[voice], config)
        key = tuple(sorted(set(words(alt))))
        if key in known:
            continue
        known.add(key)
        wrong = natural_errors(alt, e, row["colours"]) if e.kind == "picture" else {}
        condition = "natural error" if wrong else "as written"
        records.append(_record(e, row, alt, voice, condition, wrong, spoken, config))
    return records


def alt_text(voice: str, said: Sequence[str], config: Levels) -> str:
    """What a voice says as one alt-text: its first name, or some of its keywords.

    Keywords that state an attribute come first, so that what is wrong in a list is seen.
    """
    if voice not in LISTS:
        return said[0]
    return ", ".join(sorted(said, key=lambda phrase: not states(phrase))[: config.keywords])


def composed(
    rows: Iterable[tuple[Emoji, Mapping[str, Any]]], spoken: Mapping[str, Mapping[str, Sequence[str]]], config: Levels
) -> list[Record]:
    """A record for each attribute of each picture: its alt-text states that attribute and no other.

    In each split and for each attribute the share `swapped` of them states it falsely.
    """
    texts = {
        (row["split"], attribute, row["img_path"]): (e, row, text)
        for e, row in rows
        for attribute in e.attributes
        if (text := stating(e, attribute))
    }
    groups: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for name in texts:
        groups.setdefault(name[:2], []).append(name)
    false = {name for group in groups.values() for name in chosen(group, config.swapped, config.seed)}
    records = []
    for name, (e, row, text) in texts.items():
        attribute = name[1]
        alt = swapped(text, attribute, config.seed, *name) if name in false else text
        wrong = {m.attribute: m.value for m in mentions(alt) if m.attribute == attribute} if name in false else {}
        condition = "swapped" if name in false else "stated"
        voices = spoken.get(bare_key(e.key), {})
        records.append(_record(e, row, alt, NAMER, condition, wrong, voices, config))
    return records


def agreed_words(name: str, spoken: Mapping[str, Sequence[str]], alt_voice: str, most: int) -> list[str]:
    """Words that two voices or more say, neither of them the alt's, and that the name does not have.

    Those that more voices say come first. Attributes are left out, since voices speak of the emoji and not of this
    picture of it, and so is another form of a word that the name has ("walk" beside "walking"). Voices that say the
    same words of this emoji are counted once.
    """
    sets = {frozenset(words(" ".join(said))) for voice, said in spoken.items() if voice not in (alt_voice, NAMER)}
    named = words(name)
    counts: dict[str, int] = {}
    for said in sets:
        for word in said:
            counts[word] = counts.get(word, 0) + 1
    agreed = [
        word
        for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        if count >= 2
        and len(word) > 2
        and word not in _EMPTY | _GENDERED
        and not states(word)
        and not any(word.startswith(n[:4]) and n.startswith(word[:4]) for n in named)
    ]
    return agreed[:most]


def states(phrase: str) -> bool:
    """Whether a word or phrase states an attribute, or would with the noun that goes with it."""
    return any(mentions(f"{phrase} {noun}") for noun in ("thing", "hair", "skin"))


def bare_key(key: str) -> str:
    """The key without skin tones: what is said of an emoji is said of all its tones."""
    return "-".join(part for part in key.split("-") if part not in TONE_CODES)


def _record(
    e: Emoji,
    row: Mapping[str, Any],
    alt: str,
    voice: str,
    condition: str,
    wrong: dict[str, str],
    spoken: Mapping[str, Sequence[str]],
    config: Levels,
) -> Record:
    agreed = agreed_words(e.name, spoken, voice, config.agreed)
    return Record(
        round3=", ".join([e.name, *agreed]),
        round2=e.name,
        round1=e.base,
        alt=alt,
        source="emoji",
        img_path=row["img_path"],
        concept=e.concept,
        style=row["style"],
        split=row["split"],
        kind=e.kind,
        condition=condition,
        voice=voice,
        attributes=e.attributes,
        wrong=wrong,
    )


def _twins(index: Iterable[Mapping[str, Any]], by_key: Mapping[str, Emoji]) -> dict[tuple[str, str], list[Emoji]]:
    """The emoji that share their pixels, by style and the first of their keys."""
    twins: dict[tuple[str, str], list[Emoji]] = {}
    for row in index:
        twins.setdefault((row["style"], row["same_as"] or row["key"]), []).append(by_key[row["key"]])
    return twins


def _as_seen(e: Emoji, twins: Iterable[Emoji]) -> Emoji:
    """The emoji without the attributes in which a picture of the same pixels differs: they cannot be seen."""
    twins = list(twins)
    shown = {n: v for n, v in e.attributes.items() if all(twin.attributes.get(n) == v for twin in twins)}
    return replace(e, attributes=shown)


# ------------------------------------------------------------------ statistics


def level_statistics(records: Sequence[Record]) -> list[dict[str, Any]]:
    """A row for each level (`arm`), condition and kind: means over the records."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.condition, record.kind), []).append(record)
    rows = []
    for (condition, kind), group in sorted(groups.items()):
        for level in range(4):
            texts = [words(record.levels[level]) for record in group]
            row = {
                "arm": f"level {level}",
                "condition": condition,
                "kind": kind,
                "records": len(group),
                "words": _mean(map(len, texts)),
                "concepts": _mean(len(set(text) - _EMPTY) for text in texts),
            }
            if level:
                before = [words(record.levels[level - 1]) for record in group]
                edits = [edit(a, b) for a, b in zip(before, texts, strict=True)]
                row["distance"] = _mean(e.distance for e in edits)
                row["kept"] = _mean(e.kept_share for e in edits)
                row["added"] = _mean(len(e.words("added")) for e in edits)
                row["removed"] = _mean(len(e.words("removed")) for e in edits)
            rows.append(row)
    return rows


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def _sample(records: Sequence[Record], config: Levels) -> list[Record]:
    """Records of all conditions and splits, in turn, drawn by the seed."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda r: draw(config.seed, "shown", r.img_path, r.alt, r.condition)):
        groups.setdefault((record.condition, record.split), []).append(record)
    turns = [(place, key, r) for key, group in sorted(groups.items()) for place, r in enumerate(group)]
    return [record for _, _, record in sorted(turns, key=lambda turn: turn[:2])[: config.shown]]


def _write_attributes(path: Path, rows: Iterable[tuple[Emoji, Mapping[str, Any]]]) -> None:
    import pyarrow
    import pyarrow.parquet

    from tasks.altogether.texts.attributes import ATTRIBUTES

    columns = ("img_path", "key", "style", "split")
    table = [
        {**{name: row[name] for name in columns}, "concept": e.concept, "kind": e.kind}
        | {name: e.attributes.get(name, "") for name in ATTRIBUTES}
        for e, row in rows
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), path)
