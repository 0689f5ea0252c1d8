"""`tenfold ask`: an index of a user's own mails that grows and goes on, and nothing private in what leaves."""

import json
import mailbox as standard
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hashing_encoder import Hashing
from tiny_models import save_bert
from typer.testing import CliRunner

from models.retrieval.scopes import Floats, Policy
from tasks.base.errors import UserError
from tasks.concurrentqa.retrieval.client import PublicClient, Reply
from tasks.concurrentqa.retrieval.service import application, digests, write_corpus
from tasks.language import minilm
from tasks.language.minilm import MiniLM
from tools.__main__ import command_line
from tools.ask import answering as asking
from tools.ask import cli as command
from tools.ask import passage_index
from tools.ask import reading as ask_reading
from tools.ask.passage_index import PassageIndex
from tools.ask.reading import Read
from tools.rag import language_model

app = command_line()
DIGEST = asking.model_digest
CANARY = "zanzibarquokka"
MAILS = {
    "moving": f"I shall move to Turin in spring, as {CANARY} told me on the telephone.",
    "lunch": "Shall we meet for lunch in Bonn on Thursday, near the old bridge?",
    "code": "The compiler for looms is ready and prints its tables on cards.",
}
ARTICLES = {
    "Turin": "Turin is a town in Italy. It lies on the river Po.",
    "Bonn": "Bonn is a town in Germany. It lies on the river Rhine.",
    "Po": "The Po is the longest river of Italy.",
}
QUESTION = "On which river lies the town to which Anna will move in spring?"


class FirstWords:
    """A reader whose answer is the river of the first passage that names one."""

    name, least = "a reader for tests", 0.5

    def read(self, question: str, chains: Sequence[Sequence[str]]) -> Read:
        for place, chain in enumerate(chains):
            for text in chain:
                if "lies on the river" in text:
                    return Read(text.split("river ")[1].strip("."), 0.9, place)
        return Read("the sea", 0.1, 0)


def mail(name: str, body: str) -> bytes:
    head = f"From: Anna <anna@home.example>\nDate: Tue, 3 Sep 2002 10:00:00 +0000\nSubject: {name}\n"
    return f"{head}Message-ID: <{name}@home.example>\n\n{body}\n".encode()


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """A folder of three mails."""
    folder = tmp_path / "mails"
    folder.mkdir()
    for name, body in MAILS.items():
        (folder / f"{name}.eml").write_bytes(mail(name, body))
    return folder


def index(box: Path, folder: Path, encoder: Hashing, model: str = "hashing") -> asking.Mailbox:
    return asking.index_mailbox(box, folder, encoder, model)


def content(index: PassageIndex) -> dict[str, list[float]]:
    return {name: row.tolist() for names, rows in index.vectors() for name, row in zip(names, rows, strict=True)}


def test_only_new_mails_are_encoded_and_gone_ones_are_forgotten(box: Path, tmp_path: Path) -> None:
    """Catches an index that is built again each time, and mails that stay on disk after they were deleted."""
    encoder = Hashing()
    first = index(box, tmp_path / "index", encoder)
    assert (first.progress.added, len(encoder.seen)) == (3, 3)
    again = index(box, tmp_path / "index", encoder)
    assert (again.progress.known, again.progress.added, len(encoder.seen)) == (3, 0, 3)
    (box / "new.eml").write_bytes(mail("new", "One more thing: the loom has been oiled."))
    (box / "moving.eml").unlink()
    changed = index(box, tmp_path / "index", encoder)
    assert (changed.progress.added, changed.progress.gone) == (1, 1)
    assert [text.splitlines()[1] for text in encoder.seen[3:]] == ["One more thing: the loom has been oiled."]
    assert len(changed.index.ids) == 3
    assert changed.counts()["mails gone since the last time"] == 1
    for file in (tmp_path / "index").iterdir():
        assert CANARY.encode() not in file.read_bytes()


def test_an_interrupted_indexing_goes_on_where_it_stopped(
    box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches an interruption that costs everything, and one that leaves half a shard or drops mails not yet seen."""
    monkeypatch.setattr(passage_index, "SHARD", 1)
    index(box, tmp_path / "index", Hashing())
    (box / "late.eml").write_bytes(mail("late", "A fourth mail about the price of oak."))
    (box / "later.eml").write_bytes(mail("later", "A fifth mail about the price of ash."))
    with pytest.raises(KeyboardInterrupt):
        index(box, tmp_path / "index", Hashing(stop_after=1))
    (tmp_path / "index" / "shard-000009.part").write_bytes(b"half a shard")
    rest = Hashing()
    resumed = index(box, tmp_path / "index", rest)
    assert len(rest.seen) == 1
    assert (resumed.progress.known, resumed.progress.gone) == (4, 0)
    assert not list((tmp_path / "index").glob("*.part"))
    assert content(resumed.index) == content(index(box, tmp_path / "fresh", Hashing()).index)


def test_every_kind_of_mailbox_is_indexed_alike(box: Path, tmp_path: Path) -> None:
    """Catches a kind of mailbox whose mails come out otherwise."""
    mbox, maildir = standard.mbox(tmp_path / "a.mbox"), standard.Maildir(tmp_path / "maildir")
    for name, body in MAILS.items():
        mbox.add(mail(name, body))
        maildir.add(mail(name, body))
    mbox.close()
    texts = []
    for number, path in enumerate((box, tmp_path / "a.mbox", tmp_path / "maildir")):
        found = index(path, tmp_path / f"index{number}", Hashing()).index
        texts.append(sorted(found.texts(range(len(found.ids)))))
    assert texts[0] == texts[1] == texts[2]
    assert f"From: Anna | Date: 2002-09-03 | Subject: moving\n{MAILS['moving']}" in texts[0]


def test_another_model_begins_anew(box: Path, tmp_path: Path) -> None:
    """Catches vectors of two models in one index."""
    index(box, tmp_path / "index", Hashing())
    encoder = Hashing()
    assert index(box, tmp_path / "index", encoder, "another").progress.added == 3
    assert len(encoder.seen) == 3


def test_what_is_odd_is_counted_and_said(box: Path, tmp_path: Path) -> None:
    """Catches mails that vanish in silence: broken, without words, in an odd charset, twice, with a huge attachment."""
    (box / "twice.eml").write_bytes(mail("code", MAILS["code"]))
    (box / "quote.eml").write_bytes(mail("quote", "> all of this is quoted"))
    odd = mail("odd", "").replace(b"Subject:", b'Content-Type: text/plain; charset="x-martian"\nSubject:')
    (box / "odd.eml").write_bytes(odd + "Über die Brücke".encode("cp1252"))
    parts = 'Content-Type: multipart/mixed; boundary="b"\nSubject:'
    big = b"--b\nContent-Type: text/plain\n\nSee the picture of the bridge.\n--b\nContent-Type: image/png\n\n"
    big += b"A" * (9 << 20)
    (box / "big.eml").write_bytes(mail("big", "").replace(b"Subject:", parts.encode()) + big)
    (box / "photo.jpg").write_bytes(b"\xff\xd8")
    (box / "empty.eml").write_bytes(b"")
    found = index(box, tmp_path / "index", Hashing())
    counts = found.counts()
    assert (counts["mails"], counts["new mails"], counts["copies of the same mail"], counts["passages"]) == (6, 6, 1, 5)
    assert found.unread.names["mails without words of their own"] == ["quote.eml"]
    assert counts["new mails with an unknown charset"] == counts["new mails with attachments"] == 1
    assert counts["not read: empty files"] == counts["not read: files that are no mails"] == 1
    assert any("picture of the bridge" in text for text in found.index.texts(range(5)))
    again = index(box, tmp_path / "index", Hashing(stop_after=0))
    assert again.progress.added == 0  # the one without words as well
    assert again.unread.names == found.unread.names


@pytest.fixture
def wikipedia(tmp_path: Path) -> Path:
    """An encyclopedia of three articles."""
    folder = tmp_path / "sources" / "wikipedia-summaries"
    folder.mkdir(parents=True)
    records = {title: {"title": title, "extract": text} for title, text in ARTICLES.items()}
    (folder / "summaries_en-us.json").write_text(json.dumps(records))
    return folder


class Wire:
    """A transport into a service in this process that keeps every byte which goes out."""

    def __init__(self, service: TestClient) -> None:
        self.service, self.bodies = service, b""

    def get(self, url: str) -> Reply:
        self.bodies += url.encode()
        return self.service.get(url)

    def post(self, url: str, *, content: bytes) -> Reply:
        self.bodies += url.encode() + content
        return self.service.post(url, content=content)


@pytest.fixture
def wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Wire]:
    """The public index in this process; the list has a wire for each time that it was started."""
    wires: list[Wire] = []
    folder = tmp_path / "service"
    folder.mkdir()

    @contextmanager
    def serve(audit: Path, ids: Sequence[str], vectors: Floats, texts: Sequence[str]) -> Iterator[str]:
        write_corpus(folder, ids, vectors, texts)
        with TestClient(application(folder, audit)) as service:
            wires.append(Wire(service))
            yield "here"

    def connect(_: str, policy: Policy, audit: Path) -> PublicClient:
        return PublicClient(wires[-1], policy, audit)

    monkeypatch.setattr(asking, "serve", serve)
    monkeypatch.setattr(asking, "connect", connect)
    return wires


def answered(policy: str, box: Path, wikipedia: Path, folder: Path) -> tuple[asking.Answer, Hashing]:
    encoder = Hashing()
    private = index(box, folder / "private", encoder).index
    public = asking.index_encyclopedia(wikipedia, folder / "public", encoder, "hashing")
    return asking.ask(QUESTION, policy, private, lambda: public, encoder, FirstWords), encoder


def vectors_of_mails() -> set[str]:
    """The digests of the queries that are made of the question and a mail."""
    texts = [f"From: Anna | Date: 2002-09-03 | Subject: {name}\n{body}" for name, body in MAILS.items()]
    return set(digests(Hashing().encode([f"{QUESTION} {text}" for text in texts])))


def sent_vectors(wire: Wire) -> set[str]:
    """The digests of the vectors in what went out."""
    import base64
    import re

    blocks = re.findall(rb'"vectors": "([^"]+)"', wire.bodies)
    rows = [np.frombuffer(base64.b64decode(block), "<f4").reshape(-1, Hashing.width) for block in blocks]
    return {digest for block in rows for digest in digests(block)}


def test_document_privacy_sends_nothing_made_of_a_mail(
    box: Path, wikipedia: Path, tmp_path: Path, wire: list[Wire]
) -> None:
    """Catches the leak of the paper's code, in words or in vectors; without a policy the same test sees it."""
    answer, _ = answered("document", box, wikipedia, tmp_path)
    assert any(shown.scope == "private" for shown in answer.passages)
    assert not sent_vectors(wire[-1]) & vectors_of_mails()
    assert digests(Hashing().encode([QUESTION]))[0] in sent_vectors(wire[-1])
    assert CANARY.encode() not in wire[-1].bodies
    assert {request.derived_from for request in answer.left} == {
        "nothing",
        "the question",
        "the question and public passages",
    }
    assert answer.service["requests"] == len(answer.left)
    assert answer.service["bytes"] == sum(request.sent for request in answer.left)

    answer, _ = answered("none", box, wikipedia, tmp_path)
    assert sent_vectors(wire[-1]) & vectors_of_mails()
    assert any("PRIVATE" in request.derived_from for request in answer.left)


@pytest.mark.parametrize("policy", ["query", "private-only"])
def test_query_privacy_does_not_even_start_the_public_index(
    policy: str, box: Path, wikipedia: Path, tmp_path: Path, wire: list[Wire]
) -> None:
    """Catches a question that leaves although it is private."""
    answer, _ = answered(policy, box, wikipedia, tmp_path)
    assert wire == []
    assert answer.left == ()
    assert answer.service["requests"] == 0
    assert {shown.scope for shown in answer.passages} == {"private"}


def test_the_public_index_sees_the_same_whatever_the_mails_say(
    box: Path, wikipedia: Path, tmp_path: Path, wire: list[Wire]
) -> None:
    """Catches what the number or the order of requests tells of the mails."""
    answered("document", box, wikipedia, tmp_path / "one")
    for path in box.iterdir():
        path.unlink()
    (box / "other.eml").write_bytes(mail("other", QUESTION))
    answered("document", box, wikipedia, tmp_path / "two")
    assert wire[0].bodies == wire[1].bodies


def test_the_answer_comes_with_its_passages_or_an_honest_no(
    box: Path, wikipedia: Path, tmp_path: Path, wire: list[Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a guess that is shown as an answer."""
    answer, _ = answered("none", box, wikipedia, tmp_path)
    assert answer.answer in ("Po", "Rhine")
    assert answer.answer in " ".join(shown.text for shown in answer.passages[:2])
    assert answer.reader == FirstWords.name
    monkeypatch.setattr(FirstWords, "least", 0.95)
    unsure, _ = answered("none", box, wikipedia, tmp_path)
    assert unsure.answer == ""
    assert "not sure enough (confidence 0.90 of 1; its best guess" in unsure.reason
    private = PassageIndex(tmp_path / "private", "hashing")
    nothing = asking.ask("xyzzy plugh?", "query", private, lambda: private, Hashing(), FirstWords)
    assert (nothing.answer, nothing.reader) == ("", "")
    assert nothing.reason.startswith("no passage is about this")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["ask", *arguments])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wikipedia: Path) -> list[str]:
    """The command with a small encoder and reader, and its index elsewhere; the arguments that name the sources."""
    monkeypatch.setattr(minilm, "MiniLM", lambda folder, threads: Hashing())
    monkeypatch.setattr(asking, "model_digest", lambda folder: "hashing")
    monkeypatch.setattr(ask_reading, "LanguageModel", lambda folder: FirstWords())
    monkeypatch.setattr(language_model, "unpacked", lambda packed: packed)
    monkeypatch.setattr(command, "INDEXES", tmp_path / "ask")
    for name in ("minilm", "smollm2"):
        (wikipedia.parent / name).mkdir()
    return ["--sources", str(wikipedia.parent)]


def test_the_command_over_http_shows_what_left(box: Path, small: list[str]) -> None:
    """Catches a command that works only in its parts: the real service, the real client, the real terminal."""
    shown = run(QUESTION, "--private", str(box), "--policy", "document", *small)
    assert shown.exit_code == 0, shown.output
    for words in ("3 mails, 3 new mails", "confidence 0.90", "a reader for tests", "private", "What left this machine"):
        assert words in shown.output
    assert "PRIVATE" not in shown.output
    assert "not read" not in shown.output
    (box / "quote.eml").write_bytes(mail("quote", "> all of this is quoted"))
    shown = run(QUESTION, "--private", str(box), "--policy", "query", "--skipped", *small)
    assert "not read: quote.eml: mails without words of their own" in shown.output
    (box / "quote.eml").unlink()
    said = run(QUESTION, "--private", str(box), "--policy", "query", "--json", *small)
    answer = json.loads(said.output)
    assert answer["left"] == []
    assert answer["mailbox"]["mails"] == 3
    assert answer["mailbox"]["new mails"] == 0
    assert "anna@home.example" not in said.output


def test_the_first_call_answers_from_the_mails_before_it_encodes_the_encyclopedia(
    box: Path, small: list[str], wire: list[Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches minutes before anybody sees whether their own mails were read."""
    monkeypatch.setattr(command, "FEW", 0)
    shown = run(QUESTION, "--private", str(box), *small)
    assert shown.exit_code == 0, shown.output
    early, late = shown.output.split("From your mails alone", 1)[1].split("What left this machine")
    assert early.count("Passages") == 2
    assert "public" not in early.split("Passages")[1]
    assert "public index's own log" in late
    again = run(QUESTION, "--private", str(box), *small)
    assert "From your mails alone" not in again.output
    assert len(wire) == 2  # the mails alone are asked without the public index


@pytest.mark.parametrize("kind", ["missing", "empty", "not a mailbox"])
def test_a_mailbox_without_mails_is_one_sentence(kind: str, tmp_path: Path, small: list[str]) -> None:
    """Catches a traceback, or an index of nothing."""
    path = tmp_path / "box"
    if kind != "missing":
        path.mkdir()
    if kind == "not a mailbox":
        (path / "letter.doc").write_text("Dear Ada")
    ended = run("Who?", "--private", str(path), *small)
    assert isinstance(ended.exception, UserError)
    assert "give an .mbox file, a maildir or a folder of .eml files." in str(ended.exception)


def test_a_missing_source_names_what_to_do(box: Path, small: list[str], wikipedia: Path) -> None:
    """Catches a traceback where a folder of sources lacks one."""
    (wikipedia.parent / "minilm").rmdir()
    ended = run("Who?", "--private", str(box), *small)
    assert isinstance(ended.exception, UserError)
    assert "has no folder minilm: leave --sources out" in str(ended.exception)


def test_the_encoder_is_read_from_its_source(
    box: Path, small: list[str], wikipedia: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches an index that a real encoder does not fit, and one that outlives the encoder's weights."""
    save_bert(wikipedia.parent / "minilm")
    monkeypatch.setattr(minilm, "MiniLM", MiniLM)
    monkeypatch.setattr(asking, "model_digest", DIGEST)
    arguments = ("lunch on the bridge", "--private", str(box), "--policy", "query", "--json", *small)
    assert json.loads(run(*arguments).output)["mailbox"]["new mails"] == 3
    assert json.loads(run(*arguments).output)["mailbox"]["new mails"] == 0
