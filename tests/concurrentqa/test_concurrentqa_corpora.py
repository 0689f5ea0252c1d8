"""The two corpora: what is kept of mails, chats, articles and the dictionary, and what is counted."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import UserError
from tasks.concurrentqa.corpora.prepare import Corpora, prepare
from tasks.encyclopedia.articles import read_articles
from tasks.encyclopedia.foldoc import links_between, read_foldoc
from tasks.encyclopedia.passages import Passage, read_passages

WEAVING = "The shuttle of the loom in Kenya is carved from one piece of oak and it never breaks at all."
ARTICLES = {
    "Kenya": "Kenya is a country in East Africa. Its capital is Nairobi.",
    "Nairobi": "Nairobi\u00a0is the capital of  Kenya. It has 5.6 million people.",
    "Oak": "An oak is a tree. Write to oak@trees.example for more.",
    "Zinc": "Zinc is a metal.",
}


def write_mail(folder: Path, name: str, body: str, **headers: str) -> None:
    fields = {"From": "Ada Byron <ada@engine.example>", "Date": "Tue, 3 Sep 2002 10:00:00 +0000", "Subject": name}
    fields |= {key.replace("_", "-"): value for key, value in headers.items()}
    head = "".join(f"{key}: {value}\n" for key, value in fields.items())
    (folder / f"{name}.txt").write_bytes(f"{head}\n{body}\n".encode())


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    """Small sources of every kind, the mails made by us."""
    folders = {name: tmp_path / name for name in ("wikipedia", "mails", "chats", "foldoc")}
    for folder in folders.values():
        folder.mkdir()
    records = {title: {"title": title, "extract": text} for title, text in ARTICLES.items()}
    (folders["wikipedia"] / "summaries_en-us.json").write_text(json.dumps(records))
    mails = folders["mails"]
    write_mail(mails, "first", WEAVING, Message_ID="<1@x>", List_Id="Weavers <w.example>")
    reply = f"On Tuesday, Ada Byron wrote:\n> {WEAVING}\n\nNo: {'mine broke on a Monday in spring. ' * 40}"
    write_mail(
        mails, "second", reply, Message_ID="<2@x>", In_Reply_To="<1@x>", Subject="Re: first", From="Bo <b@x.example>"
    )
    write_mail(mails, "same", f"{WEAVING.upper()}\n")
    write_mail(mails, "short", "I agree.")
    for number in range(6):
        body = f"Thread {number} says a thing about subject {number} which nobody else has said, {number} times over."
        contact = f"Call +353 1 402 4682 or mail me{number}@home.example."
        write_mail(mails, f"other{number}", f"{contact}\n{body}", Message_ID=f"<o{number}@x>")
        write_mail(mails, f"more{number}", f"Yes, {body}", Message_ID=f"<m{number}@x>", References=f"<o{number}@x>")
    turns = [
        ("a", "Hello, how do you spin flax in winter when it is so very cold outside?"),
        ("b", "Hm."),
        ("a", WEAVING),
    ]
    messages = [[{"text": text, "sender": who, "timestamp": "2018-05-02T19:38:15Z"}] for who, text in turns]
    (folders["chats"] / "dataset.json").write_text(json.dumps({"c": {"messages": [*messages, []]}}))
    return folders


def made(sources: dict[str, Path], out: Path, **settings: Any) -> tuple[list[Passage], dict[str, int]]:
    """What the stage writes."""
    out.mkdir()
    prepare(**sources, config=Corpora(**settings), out=out)
    return read_passages(out / "passages.parquet"), json.loads((out / "sizes.json").read_text())


def test_mails_are_taken_apart_counted_and_given_ids_that_say_message_and_part(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    """Catches copies and one-liners in the corpus, quotes in the text, and counts that do not add up."""
    passages, sizes = made(sources, tmp_path / "out", part=60)
    private = [passage for passage in passages if passage.scope == "private"]
    assert sizes["mails read"] == 16
    assert (sizes["mails duplicate"], sizes["mails too short"]) == (1, 1)
    assert sizes["mails"] == 14 == len({passage.message for passage in private})
    assert sizes["threads"] == 7 == len({passage.thread for passage in private})
    assert sizes["replies resolved"] == 7
    first = next(passage for passage in private if passage.title == "first" and passage.sender == "Ada Byron")
    parts = [passage for passage in private if passage.sender == "Bo"]
    assert [part.id for part in parts] == [f"e{parts[0].message}_p{number}" for number in range(len(parts))]
    assert len(parts) > 1
    assert all("shuttle" not in part.text and "shuttle" in part.quoted for part in parts)
    assert {(part.title, part.attribution, part.reply_to, part.thread) for part in parts} == {
        ("first", "Ada Byron", first.message, first.thread)
    }
    assert first.rendered == f"From: Ada Byron | List: Weavers | Date: 2002-09-03 | Subject: first\n{WEAVING}"
    assert all(sentence in passage.text for passage in passages for sentence in passage.sentences)


def test_nothing_shown_holds_an_address_or_a_telephone_number(sources: dict[str, Path], tmp_path: Path) -> None:
    """Catches a person's address in any field of any passage."""
    passages, sizes = made(sources, tmp_path / "out")
    for passage in passages:
        shown = " ".join(map(str, vars(passage).values()))
        assert "@" not in shown
        assert "4024682" not in shown.replace(" ", "")
    assert sizes["telephone numbers masked"] == sizes["addresses masked"] == 6


def test_articles_are_normalised(sources: dict[str, Path]) -> None:
    """Catches figures torn from their words by no-break spaces."""
    nairobi = read_articles(sources["wikipedia"])[1]
    assert (nairobi.id, nairobi.title, nairobi.scope) == ("w1", "Nairobi", "public")
    assert nairobi.sentences == ("Nairobi is the capital of Kenya.", "It has 5.6 million people.")
    assert nairobi.text == " ".join(nairobi.sentences)


def test_a_slice_has_whole_threads_keeps_ids_and_takes_the_articles_that_mails_name(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    """Catches threads cut in half, and a quick profile in which no mail meets an article."""
    everything, _ = made(sources, tmp_path / "all")
    part, sizes = made(sources, tmp_path / "part", mails=9, articles=2)
    again, _ = made(sources, tmp_path / "again", mails=9, articles=2)
    assert part == again
    assert 0 < sizes["mails"] <= 9
    assert set(part) < set(everything)
    threads = {passage.thread for passage in part if passage.scope == "private"}
    assert {p for p in everything if p.thread in threads and p.thread >= 0} == {p for p in part if p.thread >= 0}
    named = [passage.title for passage in made(sources, tmp_path / "named", articles=2)[0] if passage.scope == "public"]
    assert named == ["Kenya", "Nairobi"]  # one in a mail, the other in that article


def test_the_same_inputs_give_the_same_bytes(sources: dict[str, Path], tmp_path: Path) -> None:
    """Catches an order that depends on the file system."""
    made(sources, tmp_path / "one")
    made(sources, tmp_path / "two")
    for name in ("passages.parquet", "sizes.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_chats_stand_in_where_there_are_no_mails(
    sources: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a private corpus that is swapped in silence."""
    for mail in sources["mails"].iterdir():
        mail.unlink()
    (sources["mails"] / "unavailable.json").write_text('{"reason": "npm is missing"}')
    passages, sizes = made(sources, tmp_path / "out")
    assert "npm is missing" in capsys.readouterr().out
    private = [passage for passage in passages if passage.scope == "private"]
    assert [(p.sender, p.thread, p.reply_to, p.date) for p in private] == [
        ("Person 1", 0, -1, "2018-05-02"),
        ("Person 1", 0, 0, "2018-05-02"),
    ]
    assert (sizes["turns of chats read"], sizes["turns of chats too short"]) == (3, 1)


def number(value: int) -> str:
    """A number as dictd writes it."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return (number(value // 64) if value >= 64 else "") + digits[value % 64]


def write_foldoc(folder: Path) -> None:
    """A dictionary of two entries and a preamble."""
    loom = "A {machine} that\n   weaves, see {the page\n   (http://x.example/a)}.\n\n   (2002-01-01)\n"
    pieces = {
        "00-database-short\n     The dictionary\n": ["00-database-short"],
        f"loom\nweaving machine\n\n   <tool> {loom}": ["loom", "weaving machine"],
        "machine\n\n   What a {Weaving Machine} __is__.  Mail {nobody} at m@x.example.\n": ["machine"],
        "empty\n\n   (2002-01-01)\n": ["empty"],
    }
    content, index = b"x" * 5000, []
    for text, words in pieces.items():
        index += [f"{word}\t{number(len(content))}\t{number(len(text.encode()))}" for word in words]
        content += text.encode()
    (folder / "foldoc.dict.dz").write_bytes(gzip.compress(content))
    (folder / "foldoc.index").write_text("\n".join(index) + "\n")


def test_the_dictionary_is_read_with_its_links(sources: dict[str, Path], tmp_path: Path) -> None:
    """Catches offsets read as decimal numbers or as base64 text, lost links, and marks left in."""
    import pyarrow.parquet

    assert number(0) == "A"
    assert base64.b64decode("BJ==") != b"\x49"  # dictd's numbers are not base64 of bytes: "BJ" is 73
    assert number(73) == "BJ"
    write_foldoc(sources["foldoc"])
    loom, machine = read_foldoc(sources["foldoc"])
    assert loom.text == "A machine that weaves, see the page."
    assert (loom.headwords, loom.links) == (("loom", "weaving machine"), ("machine",))
    assert sorted(links_between([loom, machine])) == [("loom", "machine"), ("machine", "loom")]
    passages, sizes = made(sources, tmp_path / "out", foldoc=True)
    entries = [passage for passage in passages if passage.id.startswith("f")]
    assert [(entry.id, entry.scope, entry.title) for entry in entries] == [
        ("f0", "public", "loom"),
        ("f1", "public", "machine"),
    ]
    assert entries[1].text == "What a Weaving Machine is. Mail nobody at [address]."
    assert sizes["dictionary entries"] == sizes["dictionary links"] == 2
    table = pyarrow.parquet.read_table(tmp_path / "out" / "foldoc_links.parquet")
    assert table.to_pylist() == [{"title": "loom", "linked": "machine"}, {"title": "machine", "linked": "loom"}]
    without, _ = made(sources, tmp_path / "without")
    assert not any(passage.id.startswith("f") for passage in without)


def test_a_missing_or_broken_dictionary_is_said(
    sources: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a traceback where a file is damaged, and silence where apt is missing."""
    (sources["foldoc"] / "foldoc.index").write_text("loom\tA\t!\n")
    (sources["foldoc"] / "foldoc.dict.dz").write_bytes(b"not gzip")
    with pytest.raises(UserError, match="cannot be read"):
        made(sources, tmp_path / "broken", foldoc=True)
    (sources["foldoc"] / "unavailable.json").write_text('{"reason": "apt is missing"}')
    made(sources, tmp_path / "out", foldoc=True)
    assert "apt is missing" in capsys.readouterr().out


def test_sources_that_lack_their_file_are_the_users_mistake(sources: dict[str, Path], tmp_path: Path) -> None:
    """Catches a traceback where a user points a source elsewhere."""
    (sources["wikipedia"] / "summaries_en-us.json").unlink()
    with pytest.raises(UserError, match=r"no summaries_en-us\.json"):
        made(sources, tmp_path / "out")
