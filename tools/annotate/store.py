"""The log of one round of annotation: append-only, on disk before it is confirmed, whole again after a crash.

A line of the log is one event in JSON. Several servers may write to one log, each line under an exclusive lock.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

Decision = Literal["draft", "accepted", "skipped"]
State = Literal["to do", "draft", "accepted", "skipped"]


class Event(BaseModel):
    """One saved edit: who, when (UTC), which picture, and the text as it then was.

    `after` is the id of the event that the annotator had last seen of this picture and round ("" for none): where it is
    not the one before, two people or pages have edited at once. `seconds` are those of work since the event before.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    after: str
    time: str
    by: str
    image: str
    sha256: str
    round: int
    state: Decision
    text: str
    seconds: float


class Log:
    """The events of one file, in their order. `notes` are sentences about what could not be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[Event] = []
        self.notes: list[str] = []
        self._ids: set[str] = set()
        self._read = 0
        self._threads = threading.Lock()

    def refresh(self) -> None:
        """Read the whole lines that were written since the last look, by whichever process."""
        with self._threads:
            try:
                descriptor = os.open(self.path, os.O_RDONLY)
            except FileNotFoundError:
                self._forget()
                return
            try:
                self._read_lines(descriptor)
            finally:
                os.close(descriptor)

    def repair(self) -> None:
        """Read the log and cut off a last line that a crash has torn, keeping its bytes beside the log.

        Such a line was never confirmed: a page still has its text and sends it again.
        """
        if self.path.exists():
            with self._threads, self._exclusive() as descriptor:
                self._mend(descriptor)

    def append(self, event: Event) -> bool:
        """Write an event and return when it is on disk; False if an event of this id was there already.

        Raises:
            OSError: it could not be written; the log is as it was.
        """
        with self._threads, self._exclusive() as descriptor:
            self._mend(descriptor)
            if event.id in self._ids:
                return False
            _write(descriptor, event.model_dump_json().encode() + b"\n")
            self._read_lines(descriptor)
            return True

    @contextmanager
    def _exclusive(self) -> Iterator[int]:
        fresh = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if fresh:
                _sync_folder(self.path.parent)
            yield descriptor
        finally:
            os.close(descriptor)

    def _read_lines(self, descriptor: int) -> bytes:
        """Take in the whole lines after what is known, and return what follows the last of them."""
        size = os.fstat(descriptor).st_size
        if size < self._read:
            self._forget()  # somebody has replaced the file
        lines, end, rest = _bytes(descriptor, self._read, size).rpartition(b"\n")
        if end:
            for line in lines.split(b"\n"):
                self._hear(line)
            self._read += len(lines) + 1
        return rest

    def _hear(self, line: bytes) -> None:
        try:
            event = Event.model_validate_json(line)
        except ValidationError:
            self.notes.append(f"A line of {self.path.name} cannot be read and is passed over: {line[:60]!r}.")
            return
        if event.id not in self._ids:
            self._ids.add(event.id)
            self.events.append(event)

    def _mend(self, descriptor: int) -> None:
        rest = self._read_lines(descriptor)
        if not rest:
            return
        with suppress(ValidationError):
            Event.model_validate_json(rest)
            os.write(descriptor, b"\n")  # only the end of the line was missing
            os.fsync(descriptor)
            self._read_lines(descriptor)
            return
        torn = self.path.with_suffix(".torn")
        with open(torn, "ab") as kept:
            kept.write(rest + b"\n")
            kept.flush()
            os.fsync(kept.fileno())
        os.ftruncate(descriptor, self._read)
        os.fsync(descriptor)
        self.notes.append(
            f"The last line of {self.path.name} was cut off in a crash, before it was confirmed as saved: "
            f"what is left of it is in {torn.name}."
        )

    def _forget(self) -> None:
        self.events = []  # a new list tells whoever has indexed the old one
        self._ids = set()
        self._read = 0


def _write(descriptor: int, line: bytes) -> None:
    """Append the line and wait until it is on disk, or leave the file as it was."""
    before = os.fstat(descriptor).st_size
    try:
        written = os.write(descriptor, line)
        if written < len(line):
            raise OSError(f"only {written} of {len(line)} bytes could be written")
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, before)
        raise


def _bytes(descriptor: int, start: int, end: int) -> bytes:
    parts = []
    while start < end and (part := os.pread(descriptor, end - start, start)):
        parts.append(part)
        start += len(part)
    return b"".join(parts)


def _sync_folder(folder: Path) -> None:
    """A new file's name is on disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ------------------------------------------------------------------ what the events of one picture and round mean


def state(events: list[Event], sha256: str) -> State:
    """Where a picture stands: the last acceptance or skip holds, whatever is drafted after an acceptance.

    What was accepted for other bytes under the same name is a draft for these.
    """
    found: State = "to do"
    for event in events:
        if event.state != "draft" or found != "accepted":
            found = event.state
    if found == "accepted" and _last_accepted(events).sha256 != sha256:
        return "draft"
    return found


def settled(events: list[Event], sha256: str) -> Event | None:
    """The event whose text the next round starts from: the last accepted one, else the draft, else none."""
    standing = state(events, sha256)
    if standing == "accepted":
        return _last_accepted(events)
    return events[-1] if standing == "draft" else None


def clashes(before: Event, event: Event) -> bool:
    """Whether an event says another thing than the one before it, which its writer had not seen."""
    return event.after != before.id and (event.text, event.state) != (before.text, before.state)


def contested(events: list[Event]) -> bool:
    """Whether texts were written at once, one not knowing of the other, and nobody has decided since.

    Both are kept. A later acceptance or skip by somebody who had seen the last event settles it.
    """
    open_question = False
    for before, event in pairwise(events):
        if clashes(before, event):
            open_question = True
        elif event.after == before.id and event.state != "draft":
            open_question = False
    return open_question


def versions(events: list[Event]) -> list[Event]:
    """The distinct texts, newest first, without the drafts that their writer has gone on from."""
    kept: dict[str, Event] = {}
    for event, following in zip_longest(events, events[1:]):
        if following is None or event.state != "draft" or following.by != event.by or following.after != event.id:
            kept.pop(event.text, None)
            kept[event.text] = event
    return list(reversed(kept.values()))


def _last_accepted(events: list[Event]) -> Event:
    return next(event for event in reversed(events) if event.state == "accepted")
