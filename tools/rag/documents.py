"""A folder of documents as passages: text, Markdown, HTML, PDF; what cannot be read is named, and the rest goes on."""

import io
import logging
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path

from tasks.encyclopedia.passages import Passage
from tasks.mail.mailbox import Skipped
from tools.ask.passage_index import Item

TEXT = (".txt", ".md", ".markdown", ".rst", ".text")
HTML = (".html", ".htm", ".xhtml")
PDF = (".pdf",)
LARGEST = 256 << 20
"""Bytes of a file that is read at once."""

WORDS, OVERLAP = 120, 30
"""Words of a passage, and how many of them the next one repeats."""


class Unreadable(Exception):
    """Why a document gives no text, in words for the user."""


def items(folder: Path, skipped: Skipped, names: dict[str, str]) -> Iterator[Item]:
    """Every document below the folder in the order of paths; a file that is new or has changed has a new identity.

    `skipped` takes the names of what is not read, with the reason; `names` every name, by identity.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in Path(name).parts) or not path.is_file():
            continue
        if path.suffix.lower() not in (*TEXT, *HTML, *PDF):
            skipped.add("no text, Markdown, HTML or PDF by its name", name)
            continue
        try:
            if path.stat().st_size > LARGEST:
                raise Unreadable(f"larger than {LARGEST >> 20} MB: split it")
            data = path.read_bytes()
        except (OSError, Unreadable) as problem:
            skipped.add(str(problem) if isinstance(problem, Unreadable) else "cannot be opened", name)
            continue
        identity = sha256(name.encode(errors="surrogateescape") + b"\0" + data).hexdigest()
        names[identity] = name
        yield Item(identity, partial(passages_of, name, data, skipped))


def passages_of(name: str, data: bytes, skipped: Skipped) -> list[Passage]:
    """The passages of one document, none of one that cannot be read."""
    try:
        text = text_of(name, data)
    except Unreadable as problem:
        skipped.add(str(problem), name)
        return []
    if not text.strip():
        skipped.add("has no words", name)
    title = Path(name).stem.replace("_", " ").replace("-", " ")
    return [
        Passage(id=f"{name}#{number}", scope="public", title=title, text=chunk, sentences=())
        for number, chunk in enumerate(chunks(text))
    ]


def chunks(text: str, words: int = WORDS, overlap: int = OVERLAP) -> Iterator[str]:
    """Stretches of `words` words, each beginning with the last `overlap` of the one before."""
    every = text.split()
    for start in range(0, max(len(every) - overlap, 1), words - overlap):
        if chunk := every[start : start + words]:
            yield " ".join(chunk)


def text_of(name: str, data: bytes) -> str:
    """The words of a document. Raises Unreadable with the reason where there is no getting at them."""
    suffix = Path(name).suffix.lower()
    if suffix in PDF:
        return _pdf(data)
    text = _decoded(data)
    return _html(text) if suffix in HTML else text


def _decoded(data: bytes) -> str:
    from charset_normalizer import from_bytes

    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8-sig")):
        if data.startswith(mark):
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError:
                break
            if "\0" in text:
                raise Unreadable("is no text, whatever its name says")
            return text
    best = None if b"\0" in data else from_bytes(data).best()
    if best is None:
        raise Unreadable("is no text, whatever its name says")
    return str(best)


def _html(text: str) -> str:
    from bs4 import BeautifulSoup

    page = BeautifulSoup(text, "html.parser")
    for hidden in page(["script", "style", "noscript", "template"]):
        hidden.decompose()
    return str(page.get_text(" "))


def _pdf(data: bytes) -> str:
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it reports each small flaw of a file
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("is locked with a password: save a copy without")
        text = "\n".join(page.extract_text() or "" for page in reader.pages)
    except Unreadable:
        raise
    except Exception as problem:  # whatever a damaged file provokes: it must not keep the others from being read
        raise Unreadable(f"is a damaged PDF ({type(problem).__name__})") from problem
    if not text.strip():
        raise Unreadable("has no text in it (a scanned PDF needs OCR first)")
    return text
