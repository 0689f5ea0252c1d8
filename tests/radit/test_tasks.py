"""The tasks: nothing of test is in training, and questions are what their labels say."""

import json
from pathlib import Path

import pytest

from tasks.base.errors import UserError
from tasks.encyclopedia.articles import article
from tasks.encyclopedia.passages import Passage, read_passages, write_passages
from tasks.radit.answering import contradicting
from tasks.radit.building import HELD_OUT, Tasks, Told, _Seen, _split, build_tasks, century
from tasks.radit.examples import UNKNOWN, Example, read_examples, searched
from tasks.radit.outside import read_outside
from tasks.radit.passages import TABLE
from tasks.radit.prompts import head

NATIONS = ("French", "German", "Italian", "Spanish", "Polish", "Dutch", "Danish", "Greek")
CITIES = ("Paris", "Berlin", "Rome", "Madrid", "Warsaw", "Oslo", "Lisbon", "Vienna")
SYLLABLES = ("ka", "ro", "mi", "ta", "lu", "ne", "so", "vi", "da", "po")


def name(number: int) -> str:
    """A made-up name of three syllables, another one for each number."""
    return "".join(SYLLABLES[number // 10**at % 10] for at in range(3)).capitalize()


def articles() -> list[Passage]:
    people = [
        article(f"w{n}", f"Ada {name(n)}", f"Ada {name(n)} was a {NATIONS[n % 8]} painter. She died in {1700 + n}.")
        for n in range(120)
    ]
    firms = [
        article(
            f"w{200 + n}", f"{name(300 + n)} Company", f"{name(300 + n)} Company is a company founded in {1800 + n}."
        )
        for n in range(80)
    ]
    books = [
        article(f"w{400 + n}", f"The {name(500 + n)}", f"The {name(500 + n)} is a {1850 + n} novel by Ada {name(n)}.")
        for n in range(40)
    ]
    planted = [article(f"p{n}", each["title"], each["text"]) for n, each in enumerate(TABLE["planted"])]
    return [*people, *firms, *books, *planted]


FANOUT = [
    {
        "decomposition": [
            {
                "question": f"When was {name(300)} Company founded?",
                "answer": "1800",
                "decomposition": [],
                "evidence": {"title": f"{name(300)} Company"},
            },
            {"question": "List them.", "answer": ["a", "b"], "decomposition": [], "evidence": {"title": "x"}},
        ]
    }
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("built"), Tasks(train=60, validation=20, test=60, texts=2, piece=3))


def build(folder: Path, config: Tasks) -> Path:
    corpus, outside, out = folder / "corpus", folder / "outside", folder / "out"
    for each in (corpus, outside, out):
        each.mkdir()
    write_passages(corpus / "passages.parquet", articles())
    (outside / "fanout.json").write_text(json.dumps(FANOUT))
    build_tasks(corpus=corpus, outside=outside, config=config, out=out)
    return out


def of(built: Path, *splits: str) -> list[Example]:
    return read_examples(built, *splits)  # type: ignore[arg-type]


def test_no_entity_wording_relation_or_slot_of_test_is_in_training(built: Path) -> None:
    """What was seen in training would be remembered, and not read."""
    passages = {passage.id: passage.title for passage in read_passages(built.parent / "corpus/passages.parquet")}
    train, test = of(built, "train", "validation"), of(built, "test")
    entities = [{passages[gold] for each in some for gold in each.gold} for some in (train, test)]
    assert not entities[0] & entities[1]
    asked = [" ".join(each.asked for each in some) for some in (train, test)]
    assert not any(title in asked[0] for title in entities[1])
    assert {each.relation for each in train}.isdisjoint(HELD_OUT)
    assert {each.relation for each in test} & HELD_OUT
    assert all(each.unseen == (each.relation in HELD_OUT) for each in test)
    assert "slot filling" in {each.task for each in test} - {each.task for each in train}
    train_wordings = {w for each in TABLE["relations"].values() for w in each.get("train", ())}
    assert train_wordings.isdisjoint(w for each in TABLE["relations"].values() for w in each["test"])
    assert set(TABLE["distractors"]["train"]).isdisjoint(TABLE["distractors"]["test"])


def test_answers_stand_in_their_passages_and_distractors_come_first(built: Path) -> None:
    """An answer by construction in every passage would make retrieval look perfect."""
    passages = read_passages(built.parent / "corpus/passages.parquet")
    text = {passage.id: passage.rendered for passage in passages}
    titles = [passage.title for passage in passages]
    openings = 0
    for each in of(built, "train", "validation", "test"):
        if each.task in ("open question", "slot filling"):
            assert all(answer in text[each.gold[0]] for answer in each.answers)
            assert each.wrong not in each.answers
        if each.wording == "distractor" and each.task == "open question":
            openings += 1
            first = min((each.asked.find(t), t) for t in titles if t in each.asked)
            assert first[1] != titles[[p.id for p in passages].index(each.gold[0])]
    share = openings / len([e for e in of(built, "train", "validation", "test") if e.task == "open question"])
    assert 0.4 < share < 0.8


def test_what_is_unanswerable_cannot_be_found(built: Path) -> None:
    passages = read_passages(built.parent / "corpus/passages.parquet")
    there = {passages[place].title for place in searched(built, passages)}
    unanswerable = [each for each in of(built) if each.task == "unanswerable"]
    assert {each.answers for each in unanswerable} == {(UNKNOWN,)}
    absent = {passage.title for passage in passages} - there
    assert all(any(title in each.asked or title.split()[-1] in each.asked for title in absent) for each in unanswerable)
    assert all(gold in {passages[p].id for p in searched(built, passages)} for e in of(built) for gold in e.gold)


def test_statements_are_true_and_false_and_reasons_hold(built: Path) -> None:
    checked = [each for each in of(built, "train", "test") if each.task == "fact checking"]
    for split in ("train", "test"):
        said = [each.answers[0] for each in checked if each.split == split]
        assert said == [("true", "false")[n % 2] for n in range(len(said))]
    for each in (each for each in of(built) if each.task == "reasoning"):
        year, said = each.answers[0].split(", ")
        assert said == century(year)
    assert [century(year) for year in ("1900", "1901", "2021", "1100", "88")] == [
        "19th century",
        "20th century",
        "21st century",
        "11th century",
        "1st century",
    ]


def test_the_worked_examples_are_nobodys(built: Path) -> None:
    """An example that is also a question would be copied."""
    shots = {each["question"] for each in json.loads((built / "head.json").read_text())}
    assert len(shots) == 6
    assert shots.isdisjoint(each.asked for each in of(built))


def test_closed_book_shots_do_not_teach_to_say_unknown(built: Path) -> None:
    """Without a passage "unknown" would be the answer to everything."""
    opened, closed = head(built, 5), head(built, 5, background=False)
    assert [text.count("\nA: ") for text in (opened, closed)] == [5, 5]
    assert UNKNOWN in opened
    assert UNKNOWN not in closed
    assert "Background" not in closed


def test_a_surname_is_a_family_name_of_one_person() -> None:
    titles = ["Ada Byron", "Louis XV", "Joan of Arc", "Taishō Emperor", "Johannes van der Waals", "Max Weber"]
    people = [article(f"w{n}", title, f"{title} was a person.") for n, title in enumerate([*titles, "Ada Weber"])]
    seen = _Seen(people, {"w6"}, 60)
    assert [seen.surname(title) for title in titles] == ["Byron", "", "", "", "", ""]


def test_what_another_passage_tells_is_not_unanswerable_and_counts_as_right() -> None:
    """Subject and value as words of their own: "Rome" is not told by "Jerome", nor 190 by 1900."""
    own = article("w0", "Rome", "Rome is the capital of Italy.")
    others = [
        article("w1", "Tiber", "The Tiber passes Rome in Italy."),
        article("w2", "Jerome", "Jerome lived in Italy."),
        article("w3", "Forum", "The Forum is in Rome."),
    ]
    told_of = Told(own, "country", ("Italy",))
    assert _Seen([own, *others], set(), 60).telling(told_of) == ("w0", "w1")
    assert _Seen([own, *others], {"w0"}, 60).telling(told_of) == ("w1",)
    assert _Seen([own, *others], {"w0", "w1"}, 60).telling(told_of) == ()


def test_pieces_of_text_are_of_training_articles(built: Path) -> None:
    tested = {gold for each in of(built, "test", "validation") for gold in each.gold}
    assert tested.isdisjoint(each.source for each in of(built, "text"))
    passages = {each.id: each for each in read_passages(built.parent / "corpus/passages.parquet")}
    assert {_split(passages[each.source], Tasks()) for each in of(built, "text")} == {"train"}


def test_a_contradicting_passage_has_the_wrong_answer_alone() -> None:
    example = Example("", "test", "open question", "", ("Paris", "paris"), wrong="Rome")
    assert contradicting("Paris. In Paris.", example) == "Rome. In Rome."


def test_too_few_articles_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("test_tasks.articles", lambda: ARTICLES[:2])
    with pytest.raises(UserError, match="take more articles"):
        build(tmp_path, Tasks())


ARTICLES = articles()


@pytest.mark.parametrize(
    ("line", "question", "answers", "titles"),
    [
        ('{"question": "who?", "answer": ["Ada", "A."]}', "who?", ("Ada", "A."), ()),
        (
            '{"id": "1", "input": "who?", "output": [{"answer": "Ada", "provenance": [{"title": "T"}]}, {"meta": 1}]}',
            "who?",
            ("Ada",),
            ("T",),
        ),
    ],
)
def test_files_of_nq_open_and_kilt_are_read(
    tmp_path: Path, line: str, question: str, answers: tuple[str, ...], titles: tuple[str, ...]
) -> None:
    (tmp_path / "dev.jsonl").write_text(line + "\n\n")
    (found,) = read_outside(tmp_path)
    assert (found.question, found.answers, found.titles) == (question, answers, titles)


@pytest.mark.parametrize("line", ["{", '{"question": "who?"}', '["who?"]', '{"input": "who?"}'])
def test_a_line_of_another_shape_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "dev.jsonl").write_text('{"question": "a", "answer": ["b"]}\n' + line)
    with pytest.raises(UserError, match=r"dev\.jsonl, line 2"):
        read_outside(tmp_path)
    (tmp_path / "dev.jsonl").unlink()
    with pytest.raises(UserError, match=r"no \.json or \.jsonl"):
        read_outside(tmp_path)
