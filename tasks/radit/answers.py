"""Rows of answers: what each answer is worth, how two ways to answer differ, and their means."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tasks.base.files import write_json
from tasks.radit.examples import GROUPED, Example, groups

Row = dict[str, Any]

RETRIEVERS, MODELS, NO_SEED = "retriever seeds", "model seeds", "no seed"
"""What a row is paired by: what nothing was trained for has no seed, and stands for each seed of either kind."""

QUANTITIES = {
    "em": "answers equal to a right one after normalisation, 0 to 1",
    "f1": "token F1 against the nearest right answer, 0 to 1",
    "trusts_passage": "answers that are the wrong value which the passage states, 0 to 1",
    "em_difference": "difference in em of one question's answers given in two ways",
}


def scored(answer: str, example: Example, contradicted: bool) -> Row:
    """What an answer is worth; after a passage that contradicts, whether it repeats what the passage says."""
    from models.retrieval.scoring import exact_match, token_f1

    worth: Row = {
        "em": max(exact_match(answer, right) for right in example.answers),
        "f1": max(token_f1(answer, right) for right in example.answers),
    }
    if contradicted:
        worth["trusts_passage"] = exact_match(answer, example.wrong)
    return worth


Way = tuple[str, str, int]
"""A retriever, how its passages are read, and the number of worked examples."""


def robustness(rows: Sequence[Row], shots: int) -> Iterator[Row]:
    """What is lost where random passages take the place of those found, and how far they harm beside none."""
    random: Way = ("none", "random", shots)
    yield from differences("lost to random passages", rows, ("minilm", "ensemble", shots), rows, random)
    yield from differences("harm of random passages", rows, ("none", "closed book", shots), rows, random)


def differences(name: str, rows: Iterable[Row], way: Way, others: Iterable[Row], other: Way) -> Iterator[Row]:
    """The difference in em, one way less another, of each question and seed that both have."""
    right = {_place(row): row["em"] for row in others if _way(row) == other and row.get("em") is not None}
    for row in rows:
        if _way(row) == way and _place(row) in right:
            labels = {label: row[label] for label in ("lm", "question", "among", *GROUPED, "paired by")}
            labels |= {"seed": row["seed"]} if "seed" in row else {}
            yield {**labels, "contrast": name, "em_difference": row["em"] - right[_place(row)]}


def relative(name: str, rows: Iterable[Row], way: Way, others: Iterable[Row], other: Way) -> Iterator[Row]:
    """The gain in mean em over test questions as a share of the other way's, as the paper's abstract tells its own.

    It is shown and not judged, so no stage declares it. Nothing where the one or the other was not asked, or the other
    way has no answer right.
    """
    mine = [row for row in rows if _way(row) == way and row["among"] == "test"]
    right = [row["em"] for row in others if _way(row) == other and row["among"] == "test" and row["em"] is not None]
    if mine and sum(right):
        gain = (sum(row["em"] for row in mine) / len(mine)) / (sum(right) / len(right)) - 1
        labels = {label: mine[0][label] for label in ("lm", "seed", "paired by")}
        yield {**labels, "contrast": name, "robustness": name, "relative_gain": gain}


def _way(row: Row) -> Way:
    return row.get("retriever", ""), row.get("way", ""), row.get("shots", -1)


def _place(row: Row) -> tuple[Any, ...]:
    return row["question"], row.get("seed"), row["paired by"]


def write_answers(out: Path, rows: Sequence[Row], metrics: Iterable[Row]) -> None:
    """examples.parquet with every row, and their means over questions in metrics.json."""
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(_same_columns(rows)), out / "examples.parquet")
    means: dict[tuple[tuple[str, Any], ...], dict[str, list[float]]] = {}
    for row in rows:
        for _, kept in groups({name: row[name] for name in _BY if name in row}):
            values = means.setdefault(tuple(kept.items()), {})
            for quantity in (*QUANTITIES, "answer_log_probability"):
                if quantity in row:
                    values.setdefault(quantity, []).append(row[quantity])
    found = [
        {**dict(labels), **_shown(dict(labels)), **{name: sum(each) / len(each) for name, each in values.items()}}
        for labels, values in means.items()
    ]
    write_json(out / "metrics.json", [*found, *metrics])


_BY = ("lm", "retriever", "way", "shots", "among", *GROUPED, "seed", "paired by", "passages", "contrast")


def _shown(labels: Row) -> Row:
    """In which rows of which tables a mean is shown."""
    (part,) = [labels[name] for name in GROUPED if labels[name] != "all"] or [""]
    if "passages" in labels:
        return {} if part else {"curve": labels["way"]}
    if labels["paired by"] != MODELS or labels["among"] == "planted":
        return {}
    if "contrast" in labels:
        return {"robustness": labels["contrast"]} if not part and labels["among"] == "test" else {}
    if part:
        full = labels["way"] == "ensemble" and labels["shots"] and labels["among"] == "test"
        return {"arms by part": f"{labels['lm']} with {labels['retriever']}", "part": part} if full else {}
    name = labels["way"] if labels["retriever"] == "none" else f"{labels['way']}, {labels['retriever']}"
    return {"answered with": f"{name}, {labels['shots']} shots, {labels['among']}"}


def _same_columns(rows: Sequence[Row]) -> list[Row]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name) for name in names} for row in rows]
