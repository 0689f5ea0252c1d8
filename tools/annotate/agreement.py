"""How far rounds agree: what share of texts changed, and which words were kept, added and removed."""

import re
from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from tools.annotate.rounds import Annotations
from tools.annotate.store import contested

MARKS = r"!-\/:-@\[-`{-~\u00a1-\u00bf\u2010-\u205e\u3001-\u301f\uff01-\uff0f"
"""Punctuation and symbols, as ranges that Python and JavaScript read alike."""
TOKENS = (
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
    rf"|(?:(?![\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])[^\s{MARKS}])+"
    rf"(?:['\u2019-](?:(?![\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])[^\s{MARKS}])+)*"
    rf"|[{MARKS}]"
)
"""A word (a Chinese or Japanese character is one) or a mark. The page compares texts by the same expression."""


@dataclass(frozen=True)
class Change:
    """Words of two texts by their longest common subsequence; marks are no words, case counts."""

    kept: int
    added: int
    removed: int

    @property
    def similarity(self) -> float:
        """1 − insertions and deletions of words over the words of both texts: 1 for the same words, 0 for none."""
        both = 2 * self.kept + self.added + self.removed
        return 2 * self.kept / both if both else 1.0


def words(text: str) -> list[str]:
    """The words of a text, without its marks."""
    return [token for token in re.findall(TOKENS, text) if not re.fullmatch(f"[{MARKS}]", token)]


def compare(before: str, after: str) -> Change:
    """The words that the second text keeps of the first, adds and leaves out."""
    old, new = words(before), words(after)
    kept = _common(old, new)
    return Change(kept, len(new) - kept, len(old) - kept)


def _common(old: list[str], new: list[str]) -> int:
    """The length of the longest common subsequence, a word of `new` at a time on bit vectors (Hyyrö 2004)."""
    places: dict[str, int] = defaultdict(int)
    for place, word in enumerate(old):
        places[word] |= 1 << place
    every = (1 << len(old)) - 1
    row = every
    for word in new:
        matches = row & places.get(word, 0)
        row = ((row + matches) | (row - matches)) & every
    return len(old) - row.bit_count()


def report(annotations: Annotations) -> dict[str, Any]:
    """Each round against the text it started from, and each person's work in it, as plain data.

    `words_…`, `kept`, `added`, `removed` and `similarity` are means over the accepted pictures of the round, None where
    there are none; `changed_share` is the share of them whose words or marks changed; `same_person` counts those whose
    earlier text the same person had accepted. `seconds` are those of work at the page.
    """
    numbers = annotations.numbers()
    return {
        "pictures": len(annotations.pictures),
        "rounds": [_round(annotations, number) for number in numbers],
        "annotators": [row for number in numbers for row in _annotators(annotations, number)],
    }


def _round(annotations: Annotations, number: int) -> dict[str, Any]:
    changes, changed, same = [], 0, 0
    for picture in annotations.pictures:
        accepted = annotations.accepted(picture, number)
        if accepted:
            before = annotations.previous(picture, number)
            changes.append(compare(before.text, accepted.text))
            changed += re.findall(TOKENS, before.text) != re.findall(TOKENS, accepted.text)
            same += before.by == accepted.by
    measured: dict[str, list[float]] = {
        "words_before": [change.kept + change.removed for change in changes],
        "words_after": [change.kept + change.added for change in changes],
        "kept": [change.kept for change in changes],
        "added": [change.added for change in changes],
        "removed": [change.removed for change in changes],
        "similarity": [change.similarity for change in changes],
    }
    return {
        "round": number,
        **annotations.counts(number),
        "contested": sum(contested(annotations.events(picture, number)) for picture in annotations.pictures),
        "changed_share": changed / len(changes) if changes else None,
        **{name: fmean(values) if values else None for name, values in measured.items()},
        "same_person": same,
    }


def _annotators(annotations: Annotations, number: int) -> list[dict[str, Any]]:
    seconds: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    edits: dict[str, int] = defaultdict(int)
    decided: dict[str, dict[str, int]] = defaultdict(lambda: {"accepted": 0, "skipped": 0})
    for picture in annotations.pictures:
        events = annotations.events(picture, number)
        for event in events:
            seconds[event.by][event.image] += event.seconds
            edits[event.by] += 1
        standing = annotations.state(picture, number)
        if standing in ("accepted", "skipped"):
            last = next(event for event in reversed(events) if event.state == standing)
            decided[last.by][standing] += 1
    return [
        {
            "round": number,
            "by": by,
            **decided[by],
            "saved_edits": edits[by],
            "seconds": sum(seconds[by].values()),
            "median_seconds": median(seconds[by].values()),
        }
        for by in sorted(edits)
    ]
