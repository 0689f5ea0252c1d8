"""Raw messages out of a mailbox of any size, one at a time, each with an identity."""

import bz2
import gzip
import io
import lzma
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from tasks.base.errors import UserError
from tasks.mail.message import headers_first

LARGEST_MAIL = 8 << 20
"""Bytes of a mail that are kept; of a longer one (its attachments) the rest is passed over."""

_LINE = 1 << 16
_DATED = re.compile(rb"^From \S.*\d{1,2}:\d{2}")
_KNOWN = re.compile(
    rb"^(?:From|To|Cc|Date|Subject|Received|Return-Path|Delivered-To|Message-ID|Reply-To|Sender|MIME-Version"
    rb"|Content-Type|Status|X-[\w-]+):",
    re.IGNORECASE,
)
_FIELD = re.compile(rb"^[!-9;-~]+[ \t]*:")
_MANY = (".mbox", ".mbx")
_PACKED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
"""How a file begins that is packed by itself, and what opens it."""
_ARCHIVES = (b"PK\x03\x04", b"7z\xbc\xaf", b"Rar!", b"!BDN")
_BEFORE_MBOX = b"\xef\xbb\xbf\r\n\0"
_OUTLOOK = b"\xd0\xcf\x11\xe0"
_COUNTED = re.compile(rb"(\d{1,10})[ \t]*\r?\n")
"""The first line of Apple Mail's .emlx: how many bytes of mail follow it, before a list of flags."""


@dataclass(frozen=True)
class Raw:
    """A message as it lies in a mailbox: the SHA-256 of its bytes, the first LARGEST_MAIL of them, and where it is."""

    identity: str
    data: bytes
    name: str


@dataclass
class Skipped:
    """What is passed over, by reason, each by its name."""

    names: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        """Note one more."""
        self.names.setdefault(reason, []).append(name)

    def counts(self) -> dict[str, int]:
        """How many, by reason."""
        return {reason: len(names) for reason, names in sorted(self.names.items())}


def stream(path: Path, skipped: Skipped | None = None) -> Iterator[Raw]:
    """Yield the messages of an mbox file, a maildir, or a folder of one message a file, in a fixed order.

    A folder is read with all that is below it, mboxes included; a file is what it begins like, whatever its name, and
    may be packed by gzip, bzip2 or xz. `skipped` notes what is passed over.

    Raises:
        UserError: there is no such path, it is no mailbox, or it holds no message.
    """
    skipped = Skipped() if skipped is None else skipped
    if not path.exists():
        raise UserError(f"There is no mailbox at {path}: give an .mbox file, a maildir or a folder of .eml files.")
    found = False
    for raw in _folder(path, skipped) if path.is_dir() else _file(path, path.name, skipped):
        found = True
        yield raw
    if not found:
        reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.counts().items())
        raise UserError(
            f"{path} holds no e-mail{f' ({reasons})' if reasons else ''}: "
            "give an .mbox file, a maildir or a folder of .eml files."
        )


def _folder(folder: Path, skipped: Skipped) -> Iterator[Raw]:
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        inside = path.relative_to(folder)
        # A name may hold bytes that are no text; it is only ever shown.
        name = str(inside).encode(errors="backslashreplace").decode()
        if inside.name.startswith(".") or "tmp" in inside.parts[:-1]:
            skipped.add("hidden or temporary files", name)
        else:
            yield from _file(path, name, skipped)


def _file(path: Path, name: str, skipped: Skipped) -> Iterator[Raw]:
    """The messages of one file: many of an mbox, one of any other that begins as a mail does."""
    if not path.is_file():
        # A named pipe would be waited for, for ever.
        skipped.add("things that are no files", name)
        return
    try:
        with open(path, "rb") as opened:
            beginning = opened.read(8)
        if beginning.startswith(_OUTLOOK):
            skipped.add("mails in Outlook's own format, which have to be saved as .eml first", name)
            return
        unpack = next((unpack for begins, unpack in _PACKED.items() if beginning.startswith(begins)), open)
        with unpack(path, "rb") as file:
            beginning = file.read(_LINE)
            if beginning.startswith(_ARCHIVES) or beginning[257:262] == b"ustar":
                skipped.add("archives, which have to be unpacked first", name)
                return
            many = path.suffix.lower() in _MANY or beginning.lstrip(_BEFORE_MBOX).startswith(b"From ")
            counted = _COUNTED.match(beginning)
            file.seek(counted.end() if counted else 0)
            lines = io.BufferedReader(_OldMac(file)) if b"\r" in beginning and b"\n" not in beginning else file
            if many:
                yield from _mbox(lines, name, skipped)
            else:
                yield from _message(lines, name, skipped, int(counted[1]) if counted else sys.maxsize)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        skipped.add("files that could not be read to their end", name)


class _OldMac(io.RawIOBase):
    """A file whose lines end in a carriage return alone, as old Macs wrote them, with line feeds instead."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer)).replace(b"\r", b"\n")
        buffer[: len(data)] = data
        return len(data)


def _message(file: BinaryIO, name: str, skipped: Skipped, size: int) -> Iterator[Raw]:
    gathered = _Gathered()
    while block := file.read(min(_LINE, size - gathered.size)):
        gathered.add(block)
        if gathered.size == len(block) and not _is_mail(block):
            break
    yield from gathered.finish(name, skipped)


def _mbox(file: BinaryIO, name: str, skipped: Skipped) -> Iterator[Raw]:
    """Messages between lines "From SENDER DATE" that a header follows."""
    gathered = _Gathered()
    number = 1
    blank = whole_line = True
    line = file.readline(_LINE)
    while line:
        # A program that died while it wrote leaves a gap of NULs, and the next mail begins after it.
        if line.startswith(b"\0"):
            line, blank, whole_line = line.lstrip(b"\0"), True, True
        following = file.readline(_LINE)
        if whole_line and gathered.size and _separates(line, following, blank):
            yield from gathered.finish(f"{name}, mail {number}", skipped)
            gathered = _Gathered()
            number += 1
        # An mbox quotes body lines that begin with "From " by ">".
        gathered.add(line, quoted=whole_line and bool(re.match(rb">+From ", line)))
        blank = whole_line and not line.strip()
        whole_line = line.endswith(b"\n") or not line
        line = following
    yield from gathered.finish(f"{name}, mail {number}", skipped)


def _separates(line: bytes, following: bytes, after_blank: bool) -> bool:
    """Whether a line "From …" begins the next mail: a header follows it, which no sentence that begins so has.

    Some programs leave out the sender, the date or the empty line before it, never all of them.
    """
    if not line.startswith(b"From "):
        return False
    if _DATED.match(line):
        return bool(_KNOWN.match(following) or (after_blank and _FIELD.match(following)))
    return after_blank and line.strip() in (b"From", b"From -") and bool(_KNOWN.match(following))


class _Gathered:
    """A message as it is read: its beginning, and the digest of all of it."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.kept = 0
        self.size = 0
        self.digest = sha256()

    def add(self, block: bytes, quoted: bool = False) -> None:
        self.digest.update(block)
        self.size += len(block)
        block = block[quoted:]
        if self.kept < LARGEST_MAIL:
            self.blocks.append(block[: LARGEST_MAIL - self.kept])
            self.kept += len(self.blocks[-1])

    def finish(self, name: str, skipped: Skipped) -> Iterator[Raw]:
        data = b"".join(self.blocks)
        if not data.strip():
            skipped.add("empty files", name)
        elif not _is_mail(data):
            skipped.add("files that are no mails", name)
        else:
            yield Raw(self.digest.hexdigest(), data, name)


def _is_mail(data: bytes) -> bool:
    """Whether it begins with header fields of which one is a mail's, whatever programs leave before them."""
    for line in headers_first(data[:_LINE]).split(b"\n"):
        if _KNOWN.match(line):
            return True
        if not _FIELD.match(line) and not line[:1].isspace():
            return False
    return False
