"""ConcurrentQA's own files, read and written: the same reader takes what its authors published and what Tenfold makes.

Their files with the ending .json are one of three things: an object, one JSON record a line, or one Python literal a
line. The field `domain` is not the same thing in all of them, so that only the ids say where a passage lies.
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.base.errors import UserError
from tasks.concurrentqa.questions.candidates import Candidate, Chain
from tasks.encyclopedia.passages import Passage, Scope

MAIL = re.compile(r"(PERSONAL_)?e\d+_p\d+")
"""What a mail's passage is called; everything else is an article."""

SPLITS = ("train", "dev", "test")
CORPORA = ("enron_only_corpus.json", "private_corpus.json", "wiki_only_corpus.json", "public_corpus.json")
COMBINED = "combined_corpus.json"
"""Both corpora in one file, read where a folder has none of their own."""


@dataclass(frozen=True)
class OriginalQuestion:
    """A question as the authors publish it: `passages` are ids of the passages that were read with it."""

    id: str
    split: str
    question: str
    answer: str
    chain: Chain
    type: str
    passages: tuple[str, str]
    support: tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Training:
    """A question for a retriever: texts of its gold passages and of wrong ones, each as (title, text)."""

    id: str
    question: str
    answers: tuple[str, ...]
    type: str
    positive: tuple[tuple[str, str], ...]
    negative: tuple[tuple[str, str], ...]


def scope(name: str) -> Scope:
    """Where the passage of that id or title lies."""
    return "private" if MAIL.fullmatch(name) else "public"


def read_original(folder: Path) -> tuple[list[Passage], list[OriginalQuestion]]:
    """The passages and questions of a folder with CQA_{train,dev,test}_all.json and the corpora.

    Files lie in the folder itself or below it, as their authors' script lays them out; splits and corpora may be
    missing. A gold passage that no corpus has is taken from the question itself. A file that says something else
    raises a `UserError` that names it and the line.
    """
    passages: dict[str, Passage] = {}
    by_title: dict[str, str] = {}
    corpora = [path for name in CORPORA for path in _find(folder, name)] or _find(folder, COMBINED)
    for path in corpora:
        for where, record in records(path):
            passage = _passage(record, where)
            passages.setdefault(passage.id, passage)
            by_title.setdefault(_name(passage), passage.id)
    questions = []
    for split in SPLITS:
        for path in _find(folder, f"CQA_{split}_all.json"):
            questions += [_question(record, split, by_title, passages, where) for where, record in records(path)]
    if not questions:
        raise UserError(
            f"{folder} has no questions: put CQA_train_all.json, CQA_dev_all.json or CQA_test_all.json there."
        )
    return list(passages.values()), questions


def read_training(path: Path) -> list[Training]:
    """The questions of a retriever's file, such as Retriever_CQA_train_all_original.json."""
    return [
        Training(
            id=_field(record, "_id", str, where),
            question=_field(record, "question", str, where),
            answers=tuple(_texts(record, "answers", where)),
            type=_field(record, "type", str, where),
            positive=_paragraphs(record, "pos_paras", where),
            negative=_paragraphs(record, "neg_paras", where),
        )
        for where, record in records(path)
    ]


def records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each record of a file with the place that it stands in, for messages. Nothing in the file is ever executed."""
    text = path.read_text(encoding="utf-8")
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, dict) and whole and all(isinstance(record, dict) for record in whole.values()):
        for key, record in whole.items():
            yield f"{path}, record {key}", {"id": key, **record}
        return
    for number, line in enumerate(text.split("\n") if whole is None else [text], start=1):
        if line.strip():
            where = f"{path}, line {number}"
            yield where, _record(line, where)


def write_questions(path: Path, questions: Iterable[tuple[str, Candidate]], passages: Mapping[str, Passage]) -> None:
    """Write questions, each with its id, one JSON record a line in the authors' fields; in `domain` 0 is a mail."""
    lines = [
        {
            "_id": name,
            "question": question.question,
            "answer": question.answer,
            "domain": [0 if passages[passage].scope == "private" else 1 for passage in question.passages],
            "type": question.type,
            "sp": [
                {
                    "id": passage,
                    "title": _name(passages[passage]),
                    "sents": list(passages[passage].sentences),
                    "sp_sent_idx": list(hop),
                }
                for passage, hop in zip(question.passages, question.support, strict=True)
            ],
        }
        for name, question in questions
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def write_corpus(path: Path, passages: Iterable[Passage]) -> None:
    """Write passages as one JSON object by id, in the authors' fields and what else is known of a mail."""
    corpus: dict[str, dict[str, Any]] = {}
    for passage in passages:
        corpus[passage.id] = {
            "id": passage.id,
            "title": _name(passage),
            "text": passage.text,
            "sents": list(passage.sentences),
        }
        if passage.scope == "private":
            mail = {"sender": passage.sender, "date": passage.date, "mailing_list": passage.mailing_list}
            corpus[passage.id] |= {"email_title": passage.title, **mail}
    path.write_text(json.dumps(corpus, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


def _name(passage: Passage) -> str:
    """What a question calls a passage: a mail by its id, an article by its title."""
    return passage.id if passage.scope == "private" else passage.title


def _find(folder: Path, name: str) -> list[Path]:
    found = sorted(folder.rglob(name))
    return found[:1]


def _record(line: str, where: str) -> dict[str, Any]:
    for read in (json.loads, ast.literal_eval):
        try:
            record = read(line)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        if isinstance(record, dict):
            return record
    raise UserError(f"{where}: this is neither a JSON object nor a Python dictionary of plain values: mend the line.")


def _passage(record: Mapping[str, Any], where: str) -> Passage:
    name = _field(record, "id", str, where)
    is_mail = scope(name) == "private"
    title = record.get("email_title", "") if is_mail else _field(record, "title", str, where)
    return Passage(
        id=name,
        scope=scope(name),
        title=str(title),
        text=_field(record, "text", str, where),
        sentences=tuple(_texts(record, "sents", where)),
        sender=str(record.get("sender", "")),
        date=str(record.get("date", "")),
        mailing_list=str(record.get("mailing_list", "")),
    )


def _question(
    record: Mapping[str, Any], split: str, by_title: Mapping[str, str], passages: dict[str, Passage], where: str
) -> OriginalQuestion:
    hops = _field(record, "sp", list, where)
    if len(hops) != 2 or not all(isinstance(hop, dict) for hop in hops):
        raise UserError(f"{where}: a question has two supporting passages in sp, this one has not: mend the line.")
    names, support = [], []
    for hop in hops:
        title = _field(hop, "title", str, where)
        sentences = tuple(_texts(hop, "sents", where))
        # Tenfold's files have the id, for two articles of different corpora may have one title.
        known = str(hop.get("id") or by_title.get(title, title))
        if known not in passages:
            subject = "" if scope(title) == "private" else title
            passages[known] = Passage(known, scope(title), subject, " ".join(sentences), sentences)
        chosen = _field(hop, "sp_sent_idx", list, where)
        if not all(isinstance(place, int) for place in chosen):
            raise UserError(f"{where}: sp_sent_idx of {title} holds something other than numbers: mend the line.")
        names.append(known)
        # HotpotQA, which the authors follow, has a few numbers beyond the last sentence.
        support.append(tuple(place for place in chosen if 0 <= place < len(sentences)))
    letters = "".join("E" if scope(name) == "private" else "W" for name in names)
    chains: dict[str, Chain] = {"EE": "EE", "EW": "EW", "WE": "WE", "WW": "WW"}
    return OriginalQuestion(
        id=_field(record, "_id", str, where),
        split=split,
        question=_field(record, "question", str, where),
        answer=_field(record, "answer", str, where),
        chain=chains[letters],
        type=_field(record, "type", str, where),
        passages=(names[0], names[1]),
        support=(support[0], support[1]),
    )


def _field(record: Mapping[str, Any], name: str, kind: type[Any], where: str) -> Any:
    if not isinstance(record.get(name), kind):
        raise UserError(f"{where}: the field {name} is missing or no {kind.__name__}: mend the line.")
    return record[name]


def _texts(record: Mapping[str, Any], name: str, where: str) -> Sequence[str]:
    found: list[str] = _field(record, name, list, where)
    if not all(isinstance(text, str) for text in found):
        raise UserError(f"{where}: the field {name} holds something other than texts: mend the line.")
    return found


def _paragraphs(record: Mapping[str, Any], name: str, where: str) -> tuple[tuple[str, str], ...]:
    found = _field(record, name, list, where)
    if not all(isinstance(each, dict) for each in found):
        raise UserError(f"{where}: the field {name} holds something other than paragraphs: mend the line.")
    return tuple((_field(each, "title", str, where), _field(each, "text", str, where)) for each in found)
