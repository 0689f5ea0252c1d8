"""The linker from mails to articles: each trap is a name that means something else."""

import json
from pathlib import Path

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.concurrentqa.corpora.links import Links, find_links, in_longer_name, link, read_links
from tasks.concurrentqa.corpora.mail_words import STARTERS
from tasks.encyclopedia.passages import Passage, write_passages

ARTICLES = {
    "w1": ("Texas", "Texas is the most populous state in the Southern United States."),
    "w2": ("California", "California is a state in the Western United States."),
    "w3": ("England", "England is a country that is part of the United Kingdom."),
    "w4": ("The New York Times", "The New York Times is an American newspaper based in Manhattan."),
    "w5": ("New York (state)", "New York is a state in the Northeastern United States, with its capital in Albany."),
    "w6": ("New York City", "New York City is the most populous city in the United States."),
    "w7": ("Nice", "Nice is a city on the French Riviera, near Monaco, with a promenade and a harbour."),
    "w8": ("Java", "Java is one of the Greater Sunda Islands in Indonesia, bordered by volcanoes and rice terraces."),
    "w9": (
        "Java (programming language)",
        "Java is a programming language whose compiler emits bytecode for virtual machines and whose classes inherit.",
    ),
    "w10": ("Hope", "Hope is an optimistic state of mind that expects favourable outcomes."),
    "w11": ("Paris", "Paris is the capital of France, on the Seine."),
    "w12": ("Mercury (planet)", "Mercury is the closest planet to the Sun, with craters and an eccentric orbit."),
    "w13": ("HTML", "HTML is the standard markup language for documents."),
    "w14": ("Bill Gates", "Bill Gates is an American businessman."),
    "w15": ("Spreadsheet", "A spreadsheet is an application for tabular data, with cells, formulas and worksheets."),
    "w16": ("Windows", "Windows are openings in walls, glazed with transparent panes."),
}


def article(name: str, title: str, text: str) -> Passage:
    return Passage(id=name, scope="public", title=title, text=text, sentences=(text,))


def mail(text: str, sender: str = "Zed Quill") -> Passage:
    return Passage(
        id="e0_p0", scope="private", title="a subject", text=text, sentences=(text,), message=0, part=0, sender=sender
    )


def linked(text: str, **settings: str) -> list[tuple[str, str]]:
    """(title, surface) of every link in a mail that says `text`, among others that use everyday words."""
    articles = [article(name, *said) for name, said in ARTICLES.items()]
    everyday = mail("that was nice of you, i hope so; a hope, a nice thing, and all the windows of the house").text
    others = [
        Passage(
            id="e1_p0",
            scope="private",
            title="",
            text=everyday,
            sentences=(everyday,),
            message=1,
            part=0,
            sender="Hope Mary",
        ),
        article("f1", "nice", "it is a nice hope, said the nice man of windows; in hope of nice windows"),
    ]
    return [(each.title, each.surface) for each in find_links([*articles, *others, mail(text, **settings)], Links())]


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("We drove through Texas last week.", ["Texas"]),
        ("Texas's senators met in England.", ["Texas", "England"]),
        ("It was in the New York Times yesterday.", ["The New York Times"]),
        ("He flew to New York City and met Bill Gates there.", ["New York City", "Bill Gates"]),
        ("It rained all over New York state again.", ["New York (state)"]),
        ("We saw _Texas_ and (England) from above.", ["Texas", "England"]),
    ],
)
def test_links_plain_names(text: str, titles: list[str]) -> None:
    """Lie: a linker that links nothing has perfect precision."""
    assert [title for title, _ in linked(text)] == titles


@pytest.mark.parametrize(
    "text",
    [
        "She works at the University of California now.",
        "The Bank of England raised its rate.",
        "The Texas Instruments calculator broke, and so did the England & Sons one.",
        "I like the New Texas plan and the St. Texas road.",
        "Nice work on the patch, thanks a lot.",
        "I installed Java on the machine and went home.",
        "Hope that helps you with it.",
        "Hope Mary wrote to us.",
        "Our van is a Mercury and it leaks oil.",
        "I was in New York for the weekend.",
        "Look at www.Texas.com or /usr/share/Texas/readme or Texas-style or foo.Texas now.",
        "The score of T_HTML_NUM is high, and that of HTML_FONT is not.",
        "Windows crashed again on that box.",
    ],
)
def test_traps_are_not_linked(text: str) -> None:
    """Lie: a string match is an entity link."""
    assert linked(text) == []


def test_a_city_elsewhere_is_not_its_namesake() -> None:
    """Lie: "Paris, Texas" mentions the capital of France."""
    assert ("Paris", "Paris") not in linked("They moved to Paris, Texas last year.")
    assert ("Paris", "Paris") in linked("They moved to Paris, France last year.")


def test_context_decides_between_namesakes() -> None:
    """Lie: the first article with a name is the one that is meant."""
    assert linked("My compiler turns Java into bytecode.") == [("Java (programming language)", "Java")]
    assert linked("On Java, volcanoes rise over rice terraces.") == [("Java", "Java")]


def test_longest_name_wins() -> None:
    """Lie: "New York City" is a mention of the state of New York, too."""
    assert linked("New York City is in the state of New York City.") == [("New York City", "New York City")] * 2


def test_concepts_need_their_context() -> None:
    """Lie: a lower-case word always means the article of that title."""
    assert linked("Put the formulas of the worksheets into a spreadsheet.") == [("Spreadsheet", "spreadsheet")]
    assert linked("He called the whole party a spreadsheet.") == []


TITLES = {"President", "Senator", "Professor", "Author", "Architect"}
WORD = st.from_regex(r"[A-Z][a-z]{3,8}", fullmatch=True).filter(lambda word: word not in STARTERS | TITLES)


@given(before=st.none() | WORD, after=st.none() | WORD, joined=st.sampled_from(["", "of ", "of the ", "for "]))
def test_no_link_inside_a_longer_name(before: str | None, after: str | None, joined: str) -> None:
    """Lie: part of a longer capitalised name is the name of the part."""
    said = f"yesterday we saw {before + ' ' + joined if before else ''}Texas{' ' + after if after else ''} from afar"
    start = said.index("Texas ")
    assert in_longer_name(said, start, start + 5) == bool(before or after)
    if before or after:
        assert ("Texas", "Texas") not in linked(said)


def test_the_stage_repeats_itself(tmp_path: Path) -> None:
    """Lie: the same corpora give the same bytes, when a set's order has slipped in; or places are off by one."""
    corpora, outs = tmp_path / "corpora", [tmp_path / "one", tmp_path / "two"]
    text = "First we rest.\nThen we see Texas and England."
    passages = [article(name, *said) for name, said in ARTICLES.items()]
    passages.append(
        Passage(
            id="e0_p0", scope="private", title="trip", text=text, sentences=tuple(text.split("\n")), message=0,
            part=0, sender="Zed",
        )
    )  # fmt: skip
    for folder in [corpora, *outs]:
        folder.mkdir()
    write_passages(corpora / "passages.parquet", passages)
    for out in outs:
        link(corpora=corpora, config=Links(), out=out)
    assert len({(out / "links.parquet").read_bytes() for out in outs}) == 1
    found = read_links(outs[0] / "links.parquet")
    assert [(text[each.start : each.end], each.sentence, each.kind) for each in found] == [
        ("Texas", 1, "state"), ("England", 1, "country"),
    ]  # fmt: skip
    statistics = json.loads((outs[0] / "statistics.json").read_text())
    assert (statistics["pairs"], statistics["mails"], statistics["titles"]) == (2, 1, 2)


def test_no_mails_no_links(tmp_path: Path) -> None:
    """Lie: the stage works on every slice, when an empty one has no columns."""
    write_passages(tmp_path / "passages.parquet", [article(name, *said) for name, said in ARTICLES.items()])
    link(corpora=tmp_path, config=Links(), out=tmp_path)
    assert read_links(tmp_path / "links.parquet") == []
    assert pyarrow.parquet.read_table(tmp_path / "links.parquet").num_columns == 8


def test_labels_in_git_say_who_made_them() -> None:
    """Lie: precision was measured; or a model's labels pass for a person's, or carry mail text."""
    path = Path(__file__).parents[2] / "data" / "concurrentqa" / "link_labels.jsonl"
    labels = [json.loads(line) for line in path.read_text().splitlines()]
    counts = {sample: sum(label["sample"] == sample for label in labels) for sample in ("pairs", "titles", "frequent")}
    assert counts == {"pairs": 60, "titles": 40, "frequent": 120}
    assert {label["annotator"] for label in labels} == {"model"}
    assert all(len(label["surface"]) < 60 and set(label) == set(labels[0]) for label in labels)
    for sample in ("pairs", "titles"):
        right = [label["correct"] for label in labels if label["sample"] == sample]
        assert sum(right) >= 0.9 * len(right)
