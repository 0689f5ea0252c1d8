"""Examples of all tasks: what they are, and how they are stored."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from tasks.encyclopedia.passages import Passage

Split = Literal["train", "validation", "test", "outside", "planted", "text", "elsewhere"]
Task = Literal[
    "open question", "slot filling", "fact checking", "unanswerable", "reasoning", "outside", "planted", "text"
]

UNKNOWN = "unknown"
"""The answer to what no passage tells."""


@dataclass(frozen=True)
class Example:
    """A question `asked`, every one of its right `answers` (the first is the one that is learned), and its passages.

    `gold` are the ids of passages in which subject and answer stand, first the one that the question was made from; an
    unanswerable question and a piece of text have none.
    `wording` says whether another entity comes first ("distractor"), a person goes by the last name ("surname") or
    neither ("plain"); `relation` is "" where there is none, and `unseen` says that no training example has it.
    `source` is the passage that a piece of text was cut from. `wrong` is a wrong answer of the same kind, "" for none.
    """

    id: str
    split: Split
    task: Task
    asked: str
    answers: tuple[str, ...]
    gold: tuple[str, ...] = ()
    relation: str = ""
    wording: str = ""
    unseen: bool = False
    source: str = ""
    wrong: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """What its rows are told apart by."""
        return {
            "question": self.id,
            "among": self.split,
            "task": self.task,
            "wording": self.wording or "their own",
            "relation": "unseen relation" if self.unseen else "seen relation",
            "answerable": "unanswerable" if self.task == "unanswerable" else "answerable",
        }


GROUPED = ("task", "wording", "relation", "answerable")


def groups(labels: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The groups of questions that a row counts for: "" for all of them, and its own by each of `GROUPED`.

    With each come the row's labels, "all" in place of those that do not define the group.
    """
    everything = labels | dict.fromkeys(GROUPED, "all")
    yield "", everything
    for name in GROUPED:
        yield labels[name], everything | {name: labels[name]}


def write_examples(path: Path, examples: Iterable[Example]) -> None:
    """Write a Parquet file, in their order."""
    import pyarrow
    import pyarrow.parquet

    rows = [{**asdict(each), "answers": list(each.answers), "gold": list(each.gold)} for each in examples]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def read_examples(folder: Path, *splits: Split) -> list[Example]:
    """The examples of these splits, or of all, out of examples.parquet."""
    import pyarrow.parquet

    names = [field.name for field in fields(Example)]
    rows = pyarrow.parquet.read_table(folder / "examples.parquet", columns=names).to_pylist()
    return [
        Example(**{**row, "answers": tuple(row["answers"]), "gold": tuple(row["gold"])})
        for row in rows
        if not splits or row["split"] in splits
    ]


def write_absent(path: Path, ids: Iterable[str]) -> None:
    """Note the passages that no retriever may find, so that what they tell cannot be answered."""
    path.write_text(json.dumps(sorted(ids)) + "\n", encoding="utf-8")


def searched(folder: Path, passages: Sequence[Passage]) -> list[int]:
    """The places of the passages that retrievers search: all but the absent ones."""
    absent = set(json.loads((folder / "absent.json").read_text(encoding="utf-8")))
    return [place for place, passage in enumerate(passages) if passage.id not in absent]
