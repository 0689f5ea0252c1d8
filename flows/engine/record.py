"""The record of what made what, in DVC's own files: `dvc.lock` beside each pipeline, and the cache of runs.

Both are read and written here, for DVC parses a whole pipeline in pure Python for each stage that it looks at. The
bytes are those that DVC writes; tests hold that, and that each takes the other's files.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from tasks.base.errors import UserError
from tasks.base.files import ROOT, STATE, slug
from tasks.base.remembered import remember, remembered

Entry = dict[str, Any]
"""A stage in a lock file: cmd, deps, params and outs, with digests."""

Version = tuple[int, int, int, int]
"""What tells a file from another that stood in its place: inode, size and times."""

CACHE = ROOT / ".dvc/cache/files/md5"
RUNS = ROOT / ".dvc/cache/runs"
COPIES = STATE / "locks-read"
HEADER = "schema: '2.0'\nstages:\n"
UNHASHED = ("size", "nfiles")
"""What says nothing of content, and is no part of a run's key."""


class Lock:
    """One pipeline's dvc.lock: read when it changes, written in one rename, a stage at a time."""

    def __init__(self, pipeline: str) -> None:
        self.path = ROOT / pipeline / "dvc.lock"
        self._read_at: Version | None = None
        self._entries: dict[str, Entry] = {}
        self._texts: dict[str, str] = {}

    def entry(self, stage: str) -> Entry | None:
        """What is recorded of a stage.

        Raises:
            UserError: the file cannot be read.
        """
        return self.entries().get(stage)

    def entries(self) -> dict[str, Entry]:
        """All that is recorded, read again where another process has written it."""
        try:
            return self._read_again()
        except UserError:
            # A `dvc repro` beside us writes the file bit by bit; while it does, it holds DVC's lock.
            with dvc_lock():
                return self._read_again()

    def _read_again(self) -> dict[str, Entry]:
        now = _version(self.path)
        if now != self._read_at:
            self._entries, self._texts, self._read_at = _read(self.path, now), {}, now
        return self._entries

    def write(self, entries: Mapping[str, Entry]) -> None:
        """Put these entries beside those that are there; who calls this holds DVC's lock."""
        known = {**self._read_again(), **entries}
        for name in entries:
            self._texts.pop(name, None)
        texts = [self._texts.setdefault(name, _text(name, known[name])) for name in sorted(known)]
        fresh = self.path.with_name(".dvc.lock.fresh")
        fresh.write_text(HEADER + "".join(texts), encoding="utf-8")
        fresh.replace(self.path)
        self._entries, self._read_at = known, _version(self.path)

    def remember(self) -> None:
        """Leave a copy that the next process reads in a fraction of the time."""
        if self._read_at and self._texts:
            _remember(self.path, self._read_at, self._entries)


@contextmanager
def dvc_lock() -> Iterator[None]:
    """Hold the lock that DVC's own commands hold while they read and write the record."""
    path = ROOT / ".dvc/tmp/lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def object_path(digest: str) -> Path:
    """Where DVC's cache has the bytes with this digest."""
    return CACHE / digest[:2] / digest[2:]


def is_cached(digest: str) -> bool:
    """Whether DVC's cache has an object of this name, asked thousands of times in a status."""
    return os.path.isfile(f"{CACHE}/{digest[:2]}/{digest[2:]}")


def run_key(entry: Entry) -> str:
    """The name under which the cache of runs knows a command with its code, settings and inputs."""
    return _digest({**entry, "outs": [out["path"] for out in entry["outs"]]})


def run_path(entry: Entry) -> str:
    """Where the cache of runs, here or at a remote, keeps what a command gave."""
    key = run_key(entry)
    return f"{key[:2]}/{key}/{_digest(entry)}"


def is_run(entry: Any, name: str) -> bool:
    """Whether this is what a file of that name in the cache of runs must say."""
    return isinstance(entry, dict) and _digest(entry) == name


def save_run(entry: Entry) -> None:
    """Note in the cache of runs what a command gave."""
    path = RUNS / run_path(entry)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_text(json.dumps(entry))  # which is YAML, too
        fresh.replace(path)


def find_run(entry: Entry) -> Entry | None:
    """What the command of `entry` gave on the same code, settings and inputs when it last ran."""
    key = run_key(entry)
    folder = RUNS / key[:2] / key
    runs = [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
    for path in sorted(runs, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            found = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
        except (yaml.YAMLError, UnicodeDecodeError):
            continue
        if is_run(found, path.name):
            run: Entry = found
            return run
    return None


def _digest(entry: Any) -> str:
    return sha256(json.dumps(_content(entry), sort_keys=True).encode()).hexdigest()


def _content(value: Any) -> Any:
    if isinstance(value, list):
        return [_content(each) for each in value]
    if isinstance(value, dict):
        return {name: _content(each) for name, each in value.items() if name not in UNHASHED}
    return value


def _text(name: str, entry: Entry) -> str:
    """A stage's lines in the lock file."""
    # Without references to what stands twice, which DVC would not write.
    plain = json.loads(json.dumps({name: entry}))
    dumped: str = yaml.dump(plain, Dumper=yaml.CSafeDumper, sort_keys=False, width=1_000_000, allow_unicode=True)
    return "".join(f"  {line}" if line.strip() else line for line in dumped.splitlines(keepends=True))


def _version(path: Path) -> Version | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read(path: Path, version: Version | None) -> dict[str, Entry]:
    if version is None:
        return {}
    known = remembered(_copy(path))
    if known.get("version") == list(version):
        copied: dict[str, Entry] = known["stages"]
        return copied
    try:
        read = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
        entries: dict[str, Entry] = read["stages"]
        for entry in entries.values():
            if not isinstance(entry["cmd"], str) or not all(
                {"path", "md5", "size"} <= out.keys() for out in entry["outs"]
            ):
                raise ValueError("an entry is not whole")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as problem:
        said = " ".join(str(problem).split())[:200]
        where = os.path.relpath(path, ROOT)
        raise UserError(f"{where} cannot be read ({said}): git restore {where}, and run the same again.") from problem
    _remember(path, version, entries)
    return entries


def _remember(path: Path, version: Version, entries: dict[str, Entry]) -> None:
    remember(_copy(path), {"version": version, "stages": entries})


def _copy(path: Path) -> Path:
    return COPIES / f"{slug(os.path.relpath(path, ROOT))}.json"
