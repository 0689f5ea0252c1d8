"""Raw messages out of a mailbox of any size, one at a time, each with an identity."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from tasks.base.errors import UserError

LARGEST_MAIL = 8 << 20
"""Bytes of a mail that are kept; of a longer one (its attachments) the rest is passed over."""

_LINE = 1 << 16
_FROM = re.compile(rb"^From \S.*\d{1,2}:\d{2}")
_FIELD = re.compile(rb"^[A-Za-z][A-Za-z0-9_-]*[ \t]*:")
_SINGLE = (".eml", ".txt", "")


@dataclass(frozen=True)
class Raw:
    """A message as it lies in a mailbox: the SHA-256 of its bytes, and the first LARGEST_MAIL of them."""

    identity: str
    data: bytes


def stream(path: Path, skipped: Counter[str] | None = None) -> Iterator[Raw]:
    """Yield the messages of an .mbox file, a maildir, or a folder of one message a file (.eml, .txt), in a fixed order.

    A folder is read with all that is below it, mboxes included. `skipped` counts what is passed over, by reason.

    Raises:
        UserError: there is no such path, it is no mailbox, or it holds no message.
    """
    skipped = Counter() if skipped is None else skipped
    if not path.exists():
        raise UserError(f"There is no mailbox at {path}: give an .mbox file, a maildir or a folder of .eml files.")
    found = False
    for raw in _file(path, skipped) if path.is_file() else _folder(path, skipped):
        found = True
        yield raw
    if not found:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
        raise UserError(
            f"{path} holds no e-mail{f' ({reasons})' if reasons else ''}: "
            "give an .mbox file, a maildir or a folder of .eml files."
        )


def _folder(folder: Path, skipped: Counter[str]) -> Iterator[Raw]:
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if any(part.startswith(".") for part in inside[-1:]) or "tmp" in inside[:-1]:
            skipped["hidden or temporary files"] += path.is_file()
        elif path.is_file():
            yield from _file(path, skipped, in_maildir=path.parent.name in ("cur", "new"))


def _file(path: Path, skipped: Counter[str], in_maildir: bool = False) -> Iterator[Raw]:
    """The messages of one file: many of an mbox, one of any other that begins as a mail does."""
    single = in_maildir or path.suffix.lower() in (".eml", ".txt")
    if not single and path.suffix.lower() not in (".mbox", ".mbx", ""):
        skipped["files that are no mails"] += 1
        return
    try:
        with open(path, "rb") as file:
            yield from _message(file, skipped) if single else _mbox(file, skipped)
    except OSError:
        skipped["files that could not be read"] += 1


def _message(file: BinaryIO, skipped: Counter[str]) -> Iterator[Raw]:
    gathered = _Gathered()
    while block := file.read(_LINE):
        gathered.add(block)
    yield from gathered.finish(skipped)


def _mbox(file: BinaryIO, skipped: Counter[str]) -> Iterator[Raw]:
    """Messages between lines "From SENDER DATE" that come first or after an empty line."""
    gathered = _Gathered()
    blank = True
    whole_line = True
    while line := file.readline(_LINE):
        if whole_line and blank and _FROM.match(line) and gathered.size:
            yield from gathered.finish(skipped)
            gathered = _Gathered()
        # An mbox quotes body lines that begin with "From " by ">".
        gathered.add(line[1:] if whole_line and re.match(rb">+From ", line) else line)
        blank = whole_line and not line.strip()
        whole_line = line.endswith(b"\n")
    yield from gathered.finish(skipped)


class _Gathered:
    """A message as it is read: its beginning, and the digest of all of it."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.kept = 0
        self.size = 0
        self.digest = sha256()

    def add(self, block: bytes) -> None:
        self.digest.update(block)
        self.size += len(block)
        if self.kept < LARGEST_MAIL:
            self.blocks.append(block[: LARGEST_MAIL - self.kept])
            self.kept += len(self.blocks[-1])

    def finish(self, skipped: Counter[str]) -> Iterator[Raw]:
        data = b"".join(self.blocks)
        if not data.strip():
            skipped["empty files"] += 1
        elif not _is_mail(data):
            skipped["files that are no mails"] += 1
        else:
            yield Raw(self.digest.hexdigest(), data)


def _is_mail(data: bytes) -> bool:
    """Whether it begins with header fields, perhaps after a line "From SENDER DATE"."""
    lines = data.lstrip(b"\xef\xbb\xbf\r\n").split(b"\n", 2)
    if lines[0].startswith(b"From ") and len(lines) > 1:
        lines = lines[1:]
    return bool(_FIELD.match(lines[0]))
