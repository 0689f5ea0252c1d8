"""What a retriever is tuned and judged on: a user's questions, or pieces of the documents themselves."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tasks.base.errors import UserError
from tasks.encyclopedia.passages import Passage

PIECE = 38
"""Words at either end of a passage: the paper's 50 tokens."""
MOST = 400
"""Pieces that are made of a folder without questions."""
HELD_OUT = 0.25
FEWEST = 8
"""Of fewer lessons nothing can be learned and judged."""


@dataclass(frozen=True)
class Lesson:
    """What is asked, the answer that the language model is to find likely, and the passages that are right.

    A piece's own passage, `own`, is not counted as found; -1 for a question. `follows` says that the answer goes on
    where the question ends, as in a piece of text.
    """

    asked: str
    answer: str
    right: frozenset[int]
    own: int = -1
    follows: bool = False


def read_questions(path: Path, passages: Sequence[Passage]) -> tuple[list[Lesson], list[str]]:
    """The questions of a JSON-lines file with `question` and `answer`, and a sentence for each line that is none.

    Right are the passages in which the answer stands (as in open-domain question answering).

    Raises:
        UserError: there is no such file, or too few of its lines are questions.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}: give JSON lines with question and answer.")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as problem:
        raise UserError(f"{path} is not UTF-8: save it so.") from problem
    texts = [passage.text.lower() for passage in passages]
    found, problems = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            question, answer = _fields(json.loads(line))
        except ValueError as problem:
            problems.append(f"{path.name}, line {number}: {problem}.")
            continue
        right = frozenset(place for place, text in enumerate(texts) if answer.lower() in text)
        found.append(Lesson(question, answer, right))
    if len(found) < FEWEST:
        first = f" ({problems[0]})" if problems else ""
        raise UserError(f"{path} has {len(found)} questions{first}: give {FEWEST} or more, or leave --questions out.")
    return found, problems


def _fields(record: object) -> tuple[str, str]:
    if not isinstance(record, dict):
        raise ValueError("is no JSON object with question and answer")
    missing = [name for name in ("question", "answer") if not str(record.get(name) or "").strip()]
    if missing:
        raise ValueError(f"has no {' and no '.join(missing)}")
    return str(record["question"]).strip(), str(record["answer"]).strip()


def pieces(passages: Sequence[Passage], seed: int = 0) -> list[Lesson]:
    """Beginnings of passages, each with the passage's own end as the answer (the paper's self-supervised share).

    Right are the other passages of the same document.

    Raises:
        UserError: too few passages are long enough.
    """
    by_document: dict[str, set[int]] = {}
    for place, passage in enumerate(passages):
        by_document.setdefault(_document(passage), set()).add(place)
    long = [place for place, passage in enumerate(passages) if len(passage.text.split()) >= 2 * PIECE]
    if len(long) < FEWEST:
        raise UserError(
            f"Only {len(long)} passages are long enough to make questions of; at least {FEWEST} are needed: "
            "index more text, or give --questions."
        )
    made = []
    for place in sorted(Random(seed).sample(long, min(MOST, len(long)))):
        words = passages[place].text.split()
        others = frozenset(by_document[_document(passages[place])] - {place})
        made.append(Lesson(" ".join(words[:PIECE]), " ".join(words[-PIECE:]), others, place, follows=True))
    return made


def split(lessons: Sequence[Lesson], seed: int = 0) -> tuple[list[Lesson], list[Lesson]]:
    """Lessons to learn from and lessons to judge by, drawn at random; the same question is never on both sides."""
    asked = sorted({each.asked for each in lessons})
    Random(seed).shuffle(asked)
    held = set(asked[: max(2, round(HELD_OUT * len(asked)))])
    return [e for e in lessons if e.asked not in held], [e for e in lessons if e.asked in held]


def _document(passage: Passage) -> str:
    return passage.id.rpartition("#")[0]
