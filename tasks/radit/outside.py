"""Questions that others wrote: FanOutQA's sub-questions, or files in the formats of NQ-open and KILT."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.base.errors import UserError


@dataclass(frozen=True)
class Outside:
    """A question with all its answers, and the titles of the articles that are known to tell it (none in NQ-open)."""

    question: str
    answers: tuple[str, ...]
    titles: tuple[str, ...]


def read_outside(folder: Path) -> list[Outside]:
    """Every question in the folder's *.jsonl (NQ-open or KILT, one record a line) or *.json (FanOutQA), in order.

    Raises:
        UserError: the folder has no such file, or a line has neither shape; the sentence names the line.
    """
    found: list[Outside] = []
    files = [path for path in sorted(folder.iterdir()) if path.suffix in (".json", ".jsonl") and path.stem != "source"]
    if not files:
        raise UserError(f"{folder} has no .json or .jsonl file of questions: see what data/sources.yaml asks of it.")
    for path in files:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".jsonl":
            found += [
                _line(line, f"{path.name}, line {at}") for at, line in enumerate(text.splitlines(), 1) if line.strip()
            ]
        else:
            found += [each for whole in json.loads(text) for each in _sub_questions(whole["decomposition"])]
    return list({each.question: each for each in found}.values())


def _line(line: str, where: str) -> Outside:
    """NQ-open has `question` and `answer`; KILT has `input` and `output`, where an answer may have its provenance."""
    try:
        record = json.loads(line)
        if "input" in record:
            answers = tuple(each["answer"] for each in record["output"] if each.get("answer"))
            titles = (source["title"] for each in record["output"] for source in each.get("provenance", ()))
            return Outside(record["input"], answers, tuple(dict.fromkeys(titles)))
        return Outside(record["question"], tuple(record["answer"]), ())
    except (ValueError, KeyError, TypeError) as problem:
        raise UserError(
            f"{where} is neither an NQ-open record (question, answer) nor a KILT one (input, output): mend or drop it."
        ) from problem


def _sub_questions(parts: list[Mapping[str, Any]]) -> Iterator[Outside]:
    for part in parts:
        yield from _sub_questions(part["decomposition"])
        if isinstance(part["answer"], str | int | float) and part.get("evidence"):
            yield Outside(part["question"], (str(part["answer"]),), (part["evidence"]["title"],))
