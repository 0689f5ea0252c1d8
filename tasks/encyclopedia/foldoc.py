"""The Free On-line Dictionary of Computing, out of a dictd dictionary, with the links that its authors made."""

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.base.errors import UserError

_DIGITS = {digit: value for value, digit in enumerate(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)}  # fmt: skip
_LINK = re.compile(r"\{([^{}]*)\}")
_ADDRESS = re.compile(r"\s*\((?:https?|ftp|news|mailto|rfc)?:?[^()\s]*[./:][^()]*\)")
_DATED = re.compile(r"\s*\(\d{4}-\d\d-\d\d\)\s*$")


@dataclass(frozen=True)
class Entry:
    """An entry: its headwords, of which the first is its title, its text without marks, and what it links to."""

    title: str
    headwords: tuple[str, ...]
    text: str
    links: tuple[str, ...]


def read_foldoc(folder: Path) -> list[Entry]:
    """The entries in the order of their titles, without those that say nothing themselves.

    Raises:
        UserError: the dictionary or its index is missing or broken.
    """
    index, dictionary = folder / "foldoc.index", folder / "foldoc.dict.dz"
    if not index.is_file() or not dictionary.is_file():
        raise UserError(f"The source in {folder} lacks foldoc.index or foldoc.dict.dz: fetch it again.")
    try:
        # The .dz format is gzip with an index of its own, which reading it whole does not need.
        content = gzip.decompress(dictionary.read_bytes())
        places = {
            (_number(start), _number(length))
            for line in index.read_text(encoding="utf-8").splitlines()
            for word, start, length in [line.split("\t")[:3]]
            if not word.startswith("00-database")
        }
    except (OSError, EOFError, ValueError, KeyError) as problem:
        raise UserError(f"The dictionary in {folder} cannot be read ({problem}): fetch it again.") from problem
    pieces = (content[start : start + length].decode("utf-8", "replace") for start, length in sorted(places))
    entries = [entry for piece in pieces if (entry := _entry(piece))]
    return sorted(entries, key=lambda entry: (entry.title, entry.text))


def links_between(entries: list[Entry]) -> Iterator[tuple[str, str]]:
    """Pairs of titles: an entry, and one that it links to by any of its headwords."""
    titles = {word.lower(): entry.title for entry in reversed(entries) for word in entry.headwords}
    for entry in entries:
        for link in entry.links:
            target = titles.get(link.lower())
            if target and target != entry.title:
                yield entry.title, target


def _number(digits: str) -> int:
    """A dictd number: base 64, the most significant digit first."""
    value = 0
    for digit in digits:
        value = value * 64 + _DIGITS[digit]
    return value


def _entry(piece: str) -> Entry | None:
    lines = piece.strip("\n").split("\n")
    heads = 0
    while heads < len(lines) and lines[heads] and not lines[heads][0].isspace():
        heads += 1
    text = " ".join(" ".join(lines[heads:]).split())
    links = [
        " ".join(_ADDRESS.sub("", link).split()) for link in _LINK.findall(text) if not _ADDRESS.search(f" {link}")
    ]
    text = _LINK.sub(lambda link: _ADDRESS.sub("", f" {link[1]}").strip(), text)
    text = re.sub(r"^(?:<[^<>]*>\s*)+", "", re.sub(r"__(\S+?)__", r"\1", _DATED.sub("", text)))
    text = re.sub(r"\s*[,;.\s]*([,;.])(?=\s|$)", r"\1", text).strip()
    if not heads or not text:
        return None
    words = tuple(" ".join(word.split()) for line in lines[:heads] for word in line.split("%%%"))
    return Entry(words[0], words, text, tuple(dict.fromkeys(link for link in links if link)))
