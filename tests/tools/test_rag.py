"""`tenfold rag` on small documents and models: what can be read is indexed, everything else is named in a sentence."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from tiny_models import save_bert, save_llama

from tasks.base.errors import UserError
from tasks.encyclopedia.passages import Passage
from tasks.language.minilm import MiniLM
from tasks.radit.language_models import Conversion, convert_model
from tools.rag import cli, lessons, store, tuning
from tools.rag.documents import Unreadable, chunks, text_of
from tools.rag.store import library, opened

LETTERS = "the cat sat on a mat where dog who wrote about red blue green capital of france mail list from"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An encoder and a language model of a few kilobytes."""
    torch.set_num_threads(1)
    bert, gguf, lm = (tmp_path_factory.mktemp(name) for name in ("bert", "gguf", "lm"))
    save_bert(bert)
    convert_model(smollm2=save_llama(gguf), config=Conversion(precision="float32"), out=lm)
    return bert, lm


@pytest.fixture
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve long texts on different words, whose index is kept in the test's own folder."""
    monkeypatch.setattr(store, "STORES", tmp_path / "state")
    monkeypatch.setattr("tools.rag.cli.cores", lambda: 1)
    folder = tmp_path / "docs"
    folder.mkdir()
    words = LETTERS.split()
    for number in range(12):
        text = " ".join(words[(number * 3 + at * (number + 1)) % len(words)] for at in range(150))
        (folder / f"text-{number:02}.txt").write_text(text)
    return folder


def pdf(password: str = "", words: str = "") -> bytes:
    from pypdf import PdfWriter
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = PdfWriter()
    page = writer.add_blank_page(200, 200)
    if words:
        font = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Font"),
                NameObject("/Subtype"): NameObject("/Type1"),
                NameObject("/BaseFont"): NameObject("/Helvetica"),
            }
        )
        fonts = DictionaryObject({NameObject("/F1"): writer._add_object(font)})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 10 100 Td ({words}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
    if password:
        writer.encrypt(password)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("a.txt", "Käse".encode(), "Käse"),
        ("a.txt", "Käse".encode("utf-16"), "Käse"),
        ("a.txt", ("Der Käse ist über den Fluß geschwommen, während es schön war. " * 5).encode("latin-1"), "Käse"),
        ("a.md", b"\xef\xbb\xbf# Title", "# Title"),
        ("a.html", b"<p>One</p><script>no()</script><p>two &amp; three</p>", "two & three"),
        ("a.pdf", pdf(words="Hello there"), "Hello there"),
    ],
)
def test_texts_of_every_kind_are_read(name: str, data: bytes, text: str) -> None:
    found = text_of(name, data)
    assert text in found
    assert "no()" not in found
    assert "\ufeff" not in found


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.txt", b"\0\1\2\3" * 20, "is no text"),
        ("a.pdf", pdf(password="secret", words="x"), "password"),  # noqa: S106
        ("a.pdf", b"%PDF-1.4 broken", "damaged PDF"),
        ("a.pdf", b"", "damaged PDF"),
        ("a.pdf", pdf(), "no text in it"),
    ],
)
def test_what_cannot_be_read_says_why(name: str, data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        text_of(name, data)


def test_chunks_overlap_and_lose_no_word() -> None:
    text = " ".join(map(str, range(25)))
    made = [chunk.split() for chunk in chunks(text, words=10, overlap=3)]
    assert all(later[:3] == earlier[-3:] for earlier, later in pairwise(made))
    assert [word for chunk in made for word in chunk if word == "17"]
    assert sorted({int(word) for chunk in made for word in chunk}) == list(range(25))
    assert list(chunks("")) == []
    assert list(chunks("a b")) == ["a b"]


def test_bad_files_are_named_and_the_rest_is_indexed(
    documents: Path, models: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (documents / "locked.pdf").write_bytes(pdf(password="secret", words="x"))  # noqa: S106
    (documents / "broken.pdf").write_bytes(b"%PDF")
    (documents / "picture.png").write_bytes(b"\x89PNG")
    (documents / "empty.txt").write_text("  \n")
    cli.index(documents, models[0])
    said = " ".join(capsys.readouterr().out.split())
    assert "15 documents, 15 of them new or changed" in said
    for name, reason in (
        ("locked", "password"),
        ("broken", "damaged"),
        ("picture", "by its name"),
        ("empty", "no words"),
    ):
        assert name in said
        assert reason in said
    cli.index(documents, models[0])
    again = " ".join(capsys.readouterr().out.split())
    assert "15 documents, 0 of them new" in again
    assert "locked.pdf" in again, "what was not read is told every time"


def test_only_what_changed_is_encoded_again(
    documents: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    class Counting(MiniLM):
        def encode(self, texts, batch_tokens=2048):  # type: ignore[no-untyped-def]
            seen.extend(texts)
            return super().encode(texts, batch_tokens)

    monkeypatch.setattr(store, "MiniLM", Counting)
    cli.index(documents, models[0])
    whole = len(seen)
    seen.clear()
    (documents / "text-03.txt").write_text("red cat")
    (documents / "text-04.txt").unlink()
    cli.index(documents, models[0])
    assert len(seen) == 1 < whole
    names = {passage.id.partition("#")[0] for passage in opened(library(documents), models[0]).passages}
    assert "text-04.txt" not in names


@pytest.mark.parametrize("fill", [lambda folder: None, lambda folder: (folder / "a.txt").write_bytes(b"\0\1")])
def test_a_folder_without_words_is_one_sentence(
    tmp_path: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, fill: Callable[[Path], object]
) -> None:
    monkeypatch.setattr(store, "STORES", tmp_path / "state")
    (tmp_path / "docs").mkdir()
    fill(tmp_path / "docs")
    with pytest.raises(UserError, match="no document with words"):
        cli.index(tmp_path / "docs", models[0])
    with pytest.raises(UserError, match="There is no folder"):
        cli.index(tmp_path / "nowhere", models[0])
    with pytest.raises(UserError, match="Nothing has been indexed"):
        cli.ask("Who?", None, models[0], models[1])


def test_an_index_of_another_encoder_is_not_asked(documents: Path, models: tuple[Path, Path], tmp_path: Path) -> None:
    """Vectors of two encoders compared would give nonsense without a word."""
    other = tmp_path / "other"
    other.mkdir()
    save_bert(other)
    (other / "vocab.txt").write_text((other / "vocab.txt").read_text() + "more\n")
    with pytest.raises(UserError, match="not indexed yet"):
        cli.ask("Who?", documents, models[0], models[1])
    cli.index(documents, models[0])
    with pytest.raises(UserError, match="made by another encoder"):
        cli.ask("Who?", documents, other, models[1])
    with pytest.raises(UserError, match=r"no config\.json"):
        cli.ask("Who?", documents, tmp_path, models[1])


def test_tune_keeps_a_better_retriever_and_ask_uses_it(
    documents: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.index(documents, models[0])
    monkeypatch.setattr(tuning.Quality, "no_worse_than", lambda *_: True)
    cli.tune(documents, None, models[0], models[1], 2, 0, False)
    assert "Learned from" in capsys.readouterr().out
    encoder = library(documents).tuned
    texts = ["who wrote about red"]
    assert abs(MiniLM(encoder).encode(texts) - MiniLM(models[0]).encode(texts)).max() > 0
    cli.ask("who wrote about red", None, models[0], models[1], None, 3, True)
    told = json.loads(capsys.readouterr().out)
    assert sum(used["weight"] for used in told["passages"]) == pytest.approx(1.0)
    assert len(told["passages"]) == 3
    assert told["untuned"]["answer"] is not None


def test_tune_keeps_no_worse_retriever(
    documents: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.index(documents, models[0])
    monkeypatch.setattr(tuning.Quality, "no_worse_than", lambda *_: False)
    with pytest.raises(UserError, match="worse"):
        cli.tune(documents, None, models[0], models[1], 1, 0, True)
    assert not library(documents).tuned.exists()


def test_worse_is_less_likely_answers_or_fewer_right_passages() -> None:
    good = tuning.Quality({1: 0.5, 5: 0.9}, -1.0)
    assert tuning.Quality({1: 0.4, 5: 0.9}, -1.0).no_worse_than(good)
    assert not tuning.Quality({1: 0.6, 5: 0.8}, -0.5).no_worse_than(good)
    assert not tuning.Quality({1: 0.6, 5: 0.9}, -1.1).no_worse_than(good)


def passages(*texts: str) -> list[Passage]:
    return [Passage(f"{n // 2}.txt#{n % 2}", "public", "t", text, ()) for n, text in enumerate(texts)]


def test_questions_with_missing_fields_are_named(tmp_path: Path) -> None:
    good = [json.dumps({"question": f"q{n}", "answer": "Red"}) for n in range(lessons.FEWEST)]
    path = tmp_path / "qa.jsonl"
    path.write_text("\n".join(['{"question": "x"}', "{", '["x"]', "", *good]))
    found, problems = lessons.read_questions(path, passages("a red cat", "a dog"))
    assert [each.right for each in found] == [frozenset({0})] * lessons.FEWEST
    assert [problem.split(":")[0] for problem in problems] == [f"qa.jsonl, line {n}" for n in (1, 2, 3)]
    assert "has no answer" in problems[0]
    path.write_text(good[0])
    with pytest.raises(UserError, match="1 questions"):
        lessons.read_questions(path, [])
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UserError, match="UTF-8"):
        lessons.read_questions(path, [])


def test_pieces_are_judged_on_others_and_never_find_themselves() -> None:
    """A piece's own passage holds the question word for word: it would be found by any retriever."""
    texts = [" ".join(f"w{n}x{at}" for at in range(80)) for n in range(20)]
    made = lessons.pieces(passages(*texts))
    for each in made:
        assert texts[each.own].startswith(each.asked)
        assert texts[each.own].endswith(each.answer)
        assert each.right == {each.own ^ 1}
    learned, judged = lessons.split(made)
    assert len(learned) + len(judged) == len(made)
    assert {each.asked for each in learned}.isdisjoint(each.asked for each in judged)
    with pytest.raises(UserError, match="long enough"):
        lessons.pieces(passages("short"))


def test_the_command_line_has_all_three_and_fails_in_one_sentence() -> None:
    from conftest import ROOT

    def tenfold(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "tools", *words], cwd=ROOT, capture_output=True, text=True)

    shown = tenfold("rag", "--help").stdout
    assert all(name in shown for name in ("index", "tune", "ask"))
    failed = tenfold("rag", "index", "nowhere")
    assert failed.returncode == 1
    assert failed.stderr.strip().count("\n") == 0
    assert "There is no folder nowhere" in failed.stderr
