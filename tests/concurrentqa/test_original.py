"""The reader of ConcurrentQA's files, on twenty records of our own making in the forms that the authors' files have."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.base.errors import UserError
from tasks.concurrentqa.benchmark.original import read_original, read_training, records, scope

MAILS = {
    f"e{number}_p{number % 3}": [f"Pump {number} is loud.", f"It stands in Gudland\u2028{number}."]
    for number in range(8)
}
MAILS["PERSONAL_e7_p1"] = ["My own garden is quiet."]
ARTICLES = {f"Town {number}": [f"Town {number} has {number} wells.", "It\u0085is old."] for number in range(8)}
FLAGS = ([0, 0], [0, 1], [1, 0], [1, 1])


def question(number: int) -> dict[str, Any]:
    """A record whose flag says anything but where its passages lie: the authors' files do not agree what 0 is."""
    titles = [*list(MAILS), *list(ARTICLES)]
    first, second = titles[number % len(titles)], titles[(number * 5 + 3) % len(titles)]
    return {
        "_id": f"PAIRIDX:{number}",
        "question": f"What is it that 'Pump' number \"{number}\" does?",
        "answer": str(number),
        "domain": FLAGS[number % 4],
        "type": "comparison" if number % 7 == 0 else "bridge",
        "sp": [
            {"title": title, "sents": {**MAILS, **ARTICLES}[title], "sp_sent_idx": [place]}
            for place, title in enumerate((first, second))
        ],
    }


QUESTIONS = [question(number) for number in range(20)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The authors' layout: Python literals in data/, whole JSON objects in corpora/."""
    (tmp_path / "data").mkdir()
    (tmp_path / "corpora").mkdir()
    for split, members in {"train": QUESTIONS[:12], "dev": QUESTIONS[12:16], "test": QUESTIONS[16:]}.items():
        lines = "".join(f"{record!r}\n" for record in members)
        (tmp_path / "data" / f"CQA_{split}_all.json").write_text(lines, encoding="utf-8")
    mails = {
        name: {
            "id": name,
            "email_title": "Pumps",
            "title": name,
            "text": " ".join(sents),
            "sents": sents,
            "GLOBAL_ENTITIES": [],
        }
        for name, sents in MAILS.items()
    }
    articles = {
        str(place): {"id": str(place), "title": title, "text": " ".join(sents), "sents": sents}
        for place, (title, sents) in enumerate(ARTICLES.items())
    }
    (tmp_path / "corpora" / "enron_only_corpus.json").write_text(json.dumps(mails), encoding="utf-8")
    (tmp_path / "corpora" / "wiki_only_corpus.json").write_text(json.dumps(articles), encoding="utf-8")
    (tmp_path / "corpora" / "combined_corpus.json").write_text(json.dumps(mails | articles), encoding="utf-8")
    return tmp_path


def test_the_domain_comes_from_the_ids_and_never_from_the_flag(folder: Path) -> None:
    """Half of the flags are wrong: a reader that believes one of them sorts questions into the wrong chains."""
    passages, questions = read_original(folder)
    assert len(questions) == 20
    assert {each.split for each in questions} == {"train", "dev", "test"}
    by_id = {passage.id: passage for passage in passages}
    for record, each in zip(QUESTIONS, questions, strict=True):
        titles = [hop["title"] for hop in record["sp"]]
        assert each.chain == "".join("E" if title in MAILS else "W" for title in titles)
        assert [by_id[name].scope for name in each.passages] == [
            "private" if title in MAILS else "public" for title in titles
        ]
        assert [list(by_id[name].sentences) for name in each.passages] == [hop["sents"] for hop in record["sp"]]
        assert each.support == ((0,), (1,)) or "PERSONAL_e7_p1" in titles
        assert (each.question, each.answer, each.id) == (record["question"], record["answer"], record["_id"])
    without = [{name: value for name, value in record.items() if name != "domain"} for record in QUESTIONS[:12]]
    (folder / "data" / "CQA_train_all.json").write_text(
        "".join(f"{record!r}\n" for record in without), encoding="utf-8"
    )
    assert read_original(folder)[1] == questions


def test_json_lines_say_the_same_as_python_literals(folder: Path) -> None:
    """A reader for one of the two, or one that splits a record at a line separator within a text."""
    before = read_original(folder)
    for split, members in {"train": QUESTIONS[:12], "dev": QUESTIONS[12:16], "test": QUESTIONS[16:]}.items():
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in members)
        (folder / "data" / f"CQA_{split}_all.json").write_text(lines, encoding="utf-8")
    assert read_original(folder) == before
    lone = folder / "lone.json"
    lone.write_text(json.dumps(QUESTIONS[0]), encoding="utf-8")
    assert [record["_id"] for _, record in records(lone)] == ["PAIRIDX:0"]


def test_without_corpora_the_passages_come_from_the_questions(folder: Path) -> None:
    for file in (folder / "corpora").iterdir():
        file.unlink()
    passages, questions = read_original(folder)
    assert {passage.id for passage in passages} == {name for each in questions for name in each.passages}


@pytest.mark.parametrize("name", ["e12_p0", "PERSONAL_e3_p11", "e1_p0 (film)", "e12", "Ee1_p0", "xe1_p0", "e_p", "w3"])
def test_only_whole_ids_are_mails(name: str) -> None:
    """An article whose title begins like a mail's id would be hidden from the public, or a mail be published."""
    assert scope(name) == ("private" if name in ("e12_p0", "PERSONAL_e3_p11") else "public")


HOSTILE = {
    "a call": "__import__('pathlib').Path('{here}').write_text('x')",
    "a call inside": "{{'_id': open('{here}', 'w')}}",
    "too deep": "(" * 5000 + ")" * 5000,
    "deep minus": "-" * 100_000 + "1",
    "a list": "[1, 2]",
    "half a record": "{{'_id': 'PAIRIDX:1', ",
    "a null byte": "{{'a': 1}}\x00",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_line_is_refused_and_nothing_of_it_runs(folder: Path, kind: str) -> None:
    """eval() instead of literal_eval(): the first line would write a file."""
    path, here = folder / "data" / "CQA_dev_all.json", folder / "written"
    path.write_text(f"{QUESTIONS[12]!r}\n{HOSTILE[kind].format(here=here)}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"CQA_dev_all\.json, line 2"):
        read_original(folder)
    assert not here.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("question", None), ("answer", 7), ("sp", []), ("sp", [1, 2]), ("sp", [{"title": "Town 1"}] * 2), ("_id", 3)],
)
def test_a_record_without_a_field_is_a_sentence(folder: Path, name: str, value: object) -> None:
    path = folder / "data" / "CQA_test_all.json"
    path.write_text(f"{ {**QUESTIONS[0], name: value}!r}\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 1"):
        read_original(folder)


def test_a_folder_without_questions_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no questions"):
        read_original(tmp_path)


def test_the_retrievers_files_are_read(tmp_path: Path) -> None:
    record = {
        "_id": "PAIRIDX:3",
        "question": "How long?",
        "answers": ["30-minute"],
        "pos_paras": [{"title": "e8_p1", "text": "Half an hour."}, {"title": "Town 1", "text": "A town."}],
        "neg_paras": [{"title": "Town 2", "text": "Another."}],
        "type": "bridge",
        "bridge": "Town 1",
    }
    path = tmp_path / "Retriever_CQA_train_all_original.json"
    path.write_text(f"{record!r}\n{record!r}\n", encoding="utf-8")
    first, second = read_training(path)
    assert first == second
    assert first.answers == ("30-minute",)
    assert [scope(title) for title, _ in first.positive] == ["private", "public"]
    assert first.negative == (("Town 2", "Another."),)
    path.write_text(f"{ {**record, 'neg_paras': ['Town 2']}!r}\n", encoding="utf-8")
    with pytest.raises(UserError, match="neg_paras"):
        read_training(path)


@given(text=st.text(min_size=1))
@settings(max_examples=60, deadline=None)
def test_any_text_survives_both_forms(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    record = {**QUESTIONS[0], "question": text}
    path = tmp_path_factory.mktemp("any") / "some.json"
    for line in (repr(record), json.dumps(record, ensure_ascii=True)):
        path.write_text(line + "\n" + line + "\n", encoding="utf-8", newline="\n")
        assert [found["question"] for _, found in records(path)] == [text, text]
