"""The benchmark's questions in one order, the same for whoever computes, trains or measures something about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tasks.concurrentqa.questions.candidates import Candidate, read_candidates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Split = Literal["train", "dev", "test", "unfiltered", "extra"]
WRITTEN: tuple[Split, ...] = ("train", "dev", "test", "unfiltered")
"""Those that the benchmark has files of."""


@dataclass(frozen=True)
class Questions:
    """Questions, each with its split: one of the benchmark, its unfiltered sample (which may share some with test), or
    "extra" for more to train on, which has no id."""

    questions: list[Candidate]
    ids: list[str]
    splits: list[Split]

    def rows(self, *splits: Split, chains: Sequence[str] = ("EE", "EW", "WE", "WW")) -> list[int]:
        """The places of the questions in these splits and of these chain types."""
        pairs = enumerate(zip(self.questions, self.splits, strict=True))
        return [row for row, (question, split) in pairs if split in splits and question.chain in chains]

    def gold(self, row_of: "Mapping[str, int]") -> "NDArray[np.int64]":
        """The places of the gold passages, [questions, 2], given those of all passages by id."""
        import numpy as np

        return np.array([[row_of[each] for each in question.passages] for question in self.questions], np.int64)


def read_questions(benchmark: Path, candidates: Path) -> Questions:
    """The questions of all splits and of the unfiltered sample, followed by the extra ones.

    Extra are those candidates that the benchmark does not use, but for every one that shares a passage, a bridge, a
    sender or a wording with a question that is not of train: they have to be unknown to whoever is trained.
    """
    from pyarrow import parquet

    found: list[Candidate] = []
    ids: list[str] = []
    splits: list[Split] = []
    for split in WRITTEN:
        path = benchmark / f"{split}.parquet"
        read = read_candidates(path)
        found += read
        ids += parquet.read_table(path, columns=["id"])["id"].to_pylist()
        splits += [split] * len(read)
    heldout = [question for question, split in zip(found, splits, strict=True) if split != "train"]
    passages = {passage for question in heldout for passage in question.passages}
    words = {word for question in heldout for word in _words(question)}
    known = {question.question for question in found}
    for candidate in read_candidates(candidates / "candidates.parquet"):
        fresh = candidate.question not in known and not passages.intersection(candidate.passages)
        if fresh and not words.intersection(_words(candidate)):
            known.add(candidate.question)
            found.append(candidate)
            ids.append("")
            splits.append("extra")
    return Questions(found, ids, splits)


def _words(question: Candidate) -> set[str]:
    """What a held-out question may have in common with no other."""
    return {question.bridge, question.wording, *question.senders} - {""}
