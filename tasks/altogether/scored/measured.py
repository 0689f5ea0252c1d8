"""The rows that the test of captioners writes: attributes, false alt-texts, and a mean for each concept."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.altogether.scored.asked import FALSE, TRUE, Question
from tasks.altogether.scored.scoring import Row, means, reads
from tasks.altogether.texts.corruption import chosen

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


def relative_rows(rows: Sequence[Row], alone: str) -> list[Row]:
    """Each arm's accuracy with false alt-texts, as a share of that of the arm `alone`, which reads the image only."""
    false = [row for row in rows if row.get("domain") == FALSE and "accuracy" in row]
    from_image = {row["attribute"]: row["accuracy"] for row in false if row["arm"] == alone}
    return [
        {
            "arm": row["arm"],
            "domain": FALSE,
            "attribute": row["attribute"],
            "relative": row["accuracy"] / from_image[row["attribute"]],
        }
        for row in false
        if from_image.get(row["attribute"])
    ]


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
