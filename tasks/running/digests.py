"""Digests of files and folders as DVC computes them, each file hashed once for every time it changes.

What was hashed is remembered by inode, size and times. Who must not trust that, as `tenfold verify`, asks for fresh
digests.
"""

import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from hashlib import md5
from pathlib import Path
from typing import Any, NamedTuple

from tasks.base.files import ROOT, STATE
from tasks.base.remembered import remember, remembered

REMEMBERED = STATE / "digests.json"
RACY_NS = 50_000_000
"""A file that changed less than this ago may change again within a tick of the clock: it is not remembered."""

BLOCK = 1 << 20


class Member(NamedTuple):
    """A file of a folder: its path inside, its MD5 and its size in bytes; a status makes tens of thousands."""

    name: str
    digest: str
    size: int


class Digests:
    """The digests of what lies in the repository; `fresh` ones trust no memory."""

    def __init__(self, *, fresh: bool = False) -> None:
        self._fresh = fresh
        self._new = False
        self._seen: dict[str, dict[str, Any] | None] | None = None

    @cached_property
    def _known(self) -> dict[str, list[Any]]:
        return remembered(REMEMBERED)

    def file(self, path: str, status: os.stat_result) -> str:
        """The MD5 of a file, given its status."""
        stamp = [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        if not self._fresh and (known := self._known.get(path)) and known[0] == stamp:
            return str(known[1])
        digest = md5_of(ROOT / path)
        if not self._fresh and time.time_ns() - status.st_ctime_ns > RACY_NS:
            self._known[path] = [stamp, digest]
            self._new = True
        return digest

    def members(self, folder: str) -> list[Member]:
        """The files of a folder, at any depth, in order of their paths; those that .dvcignore names are left out."""
        # As DVC does, for what lies in the repository.
        found, waiting, ignored = [], [""], None if os.path.isabs(folder) else _ignored()
        while waiting:
            inside = waiting.pop()
            with os.scandir(os.path.join(ROOT, folder, inside)) as entries:
                for entry in entries:
                    name = f"{inside}{entry.name}"
                    path = f"{folder}/{name}"
                    if ignored is not None and ignored.match_file(path + "/" * entry.is_dir()):
                        continue
                    if entry.is_dir():
                        waiting.append(f"{name}/")
                    else:
                        found.append(self._member(name, path, entry))
        return sorted(found, key=lambda member: member.name)

    @contextmanager
    def at_a_glance(self) -> Iterator[None]:
        """While this lasts, look at each path once: what is seen is taken as standing still."""
        self._seen = {}
        try:
            yield
        finally:
            self._seen = None

    def _member(self, name: str, path: str, entry: os.DirEntry[str]) -> Member:
        """A file of a folder; without a digest what is no file, such as a link to nothing."""
        try:
            status = entry.stat()
            digest = self.file(path, status) if stat.S_ISREG(status.st_mode) else ""
        except FileNotFoundError:
            return Member(name, "", 0)
        return Member(name, digest, status.st_size)

    def entry(self, path: str) -> dict[str, Any] | None:
        """What a lock file says of a dependency or an output, but for its path; None where nothing is there."""
        if self._seen is None:
            return self._looked_at(path)
        if path not in self._seen:
            self._seen[path] = self._looked_at(path)
        return self._seen[path]

    def _looked_at(self, path: str) -> dict[str, Any] | None:
        try:
            status = os.stat(os.path.join(ROOT, path))
            if stat.S_ISDIR(status.st_mode):
                return folder_entry(self.members(path))
            found = {"hash": "md5", "md5": self.file(path, status), "size": status.st_size}
        except (FileNotFoundError, NotADirectoryError):
            # It is not there, or somebody replaces it at the moment.
            return None
        return found | ({"isexec": True} if status.st_mode & stat.S_IXUSR else {})

    def digest(self, path: str) -> str:
        """The digest of a file or folder; empty where nothing is there."""
        found = self.entry(path)
        return str(found["md5"]) if found else ""

    def save(self) -> None:
        """Remember what was hashed, for the next process; where that cannot be written, it hashes again."""
        if self._new:
            with suppress(OSError):
                remember(REMEMBERED, self._known)
            self._new = False


def listing(members: list[Member]) -> bytes:
    """The object by which DVC's cache knows a folder."""
    return json.dumps([{"md5": each.digest, "relpath": each.name} for each in members], sort_keys=True).encode()


def folder_entry(members: list[Member]) -> dict[str, Any]:
    """What a lock file says of a folder with these files."""
    digest = md5(listing(members), usedforsecurity=False).hexdigest()
    return {
        "hash": "md5",
        "md5": f"{digest}.dir",
        "size": sum(member.size for member in members),
        "nfiles": len(members),
    }


def md5_of(path: Path) -> str:
    """The MD5 of a file's bytes."""
    whole = md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            whole.update(block)
    return whole.hexdigest()


def _ignored() -> Any:
    """What .dvcignore names, or None where it names nothing."""
    path = ROOT / ".dvcignore"
    lines = path.read_text().splitlines() if path.exists() else []
    patterns = [line for line in lines if line.strip() and not line.startswith("#")]
    if not patterns:
        return None
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(patterns)
