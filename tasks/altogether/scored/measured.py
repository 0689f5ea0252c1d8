"""The rows that the test of captioners writes: attributes, false alt-texts, and a mean for each concept."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.altogether.scored.asked import FALSE, TRUE, Question
from tasks.altogether.scored.scoring import Row, means, reads
from tasks.altogether.texts.corruption import chosen

KEPT = 0.8
"""Share of what is read without an alt-text that is to be read in spite of a false one."""

ANY = "any"
"""In the place of an attribute: whichever a concept's false alt-texts state."""

Captions = dict[tuple[str, str], list[str]]
"""By arm and domain, in the order of the domain's questions."""


def attribute_rows(arm: str, domain: str, asked: Sequence[Question], captions: Sequence[str]) -> list[Row]:
    """A row for each attribute: the share of the captions that state it rightly.

    Of composed alt-texts only the attribute counts that they state.
    """
    told: dict[str, list[bool]] = {}
    for question, caption in zip(asked, captions, strict=True):
        for name, right in reads(question, caption).items():
            if question.attribute in ("", name):
                told.setdefault(name, []).append(right)
    return [
        {"arm": arm, "domain": domain, "attribute": name, "accuracy": sum(right) / len(right)}
        for name, right in sorted(told.items())
    ]


def noise_rows(
    captions: Captions, by_domain: Mapping[str, Sequence[Question]], rates: Sequence[float], seed: int
) -> list[Row]:
    """Accuracy where a share of the alt-texts is false; which they are is drawn, and stays false at a higher rate."""
    rows = []
    asked = by_domain.get(TRUE, [])
    for arm in dict.fromkeys(arm for arm, domain in captions if domain == TRUE):
        pairs = zip(asked, captions[arm, TRUE], by_domain.get(FALSE, []), captions[arm, FALSE], strict=True)
        both: dict[str, dict[tuple[str, ...], tuple[bool, bool]]] = {}
        for q, with_true, other, with_false in pairs:
            right = reads(q, with_true)[q.attribute], reads(other, with_false)[q.attribute]
            both.setdefault(q.attribute, {})[(q.record.img_path, q.attribute)] = right
        for attribute, answers in sorted(both.items()):
            for rate in rates:
                false = chosen(answers, rate, seed)
                right_ones = [answers[name][name in false] for name in answers]
                rows.append(
                    {
                        "arm": arm,
                        "attribute": attribute,
                        "noise": f"{rate:g}",
                        "curve": f"{attribute}, {arm}",
                        "accuracy_at": sum(right_ones) / len(right_ones),
                    }
                )
    return rows


def reading_rows(captions: Captions, by_domain: Mapping[str, Sequence[Question]], alone: str) -> list[Row]:
    """For each arm, concept and attribute, or `ANY` of them: accuracy with false alt-texts, and by how much it is above
    `KEPT` times that of the arm `alone` on the same pictures, which reads no alt-text."""
    asked = by_domain.get(FALSE, [])
    found = []
    by_arm = {arm: _by_concept(asked, captions[arm, FALSE]) for arm, domain in captions if domain == FALSE}
    for arm, groups in by_arm.items():
        for (attribute, concept), accuracy in sorted(groups.items()):
            row = {"arm": arm, "domain": FALSE, "attribute": attribute, "concept": concept, "accuracy": accuracy}
            found.append({**row, "over_image": accuracy - KEPT * by_arm[alone][attribute, concept]})
    return found


def over_image_rows(rows: Sequence[Row]) -> list[Row]:
    """The mean over concepts of what an arm reads above the share of what is read without an alt-text."""
    groups: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        groups.setdefault((row["arm"], row["attribute"]), []).append(row["over_image"])
    return [
        {"arm": arm, "domain": FALSE, "attribute": attribute, "over_image": sum(values) / len(values)}
        for (arm, attribute), values in sorted(groups.items())
    ]


def _by_concept(asked: Sequence[Question], captions: Sequence[str]) -> dict[tuple[str, str], float]:
    told: dict[tuple[str, str], list[bool]] = {}
    for question, caption in zip(asked, captions, strict=True):
        right = reads(question, caption)[question.attribute]
        for attribute in (question.attribute, ANY):
            told.setdefault((attribute, question.record.concept), []).append(right)
    return {key: sum(right) / len(right) for key, right in told.items()}


def concept_rows(arm: str, domain: str, asked: Sequence[Question], scored: Sequence[Row]) -> list[Row]:
    """The means over each concept's questions: concepts are the draws of the test, its pictures are not."""
    groups: dict[str, list[Row]] = {}
    for question, row in zip(asked, scored, strict=True):
        groups.setdefault(question.record.concept, []).append(row)
    return [
        {"arm": arm, "domain": domain, "concept": concept, **means(group)} for concept, group in sorted(groups.items())
    ]


def write_examples(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as Parquet, each with every column."""
    import pyarrow
    import pyarrow.parquet

    columns = dict.fromkeys(name for row in rows for name in row)
    table = pyarrow.Table.from_pylist([{name: row.get(name) for name in columns} for row in rows])
    pyarrow.parquet.write_table(table, path)
