"""Objects of the cache to and from a DVC remote, by digest; with store.py all that touches DVC.

Whatever DVC can use as a remote will do: a folder, SSH, S3. An object lies there whole or not at all, and what comes
from there is hashed before it is believed.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from flows.engine import record
from flows.engine.cluster.turns import turn
from flows.engine.objects import listed
from flows.engine.record import Entry, is_cached, object_path
from tasks.base.errors import UserError
from tasks.base.files import ROOT, STATE
from tasks.running import failures
from tasks.running.digests import md5_of

T = TypeVar("T")

JOBS = 4
"""Files on their way at once: an SSH server takes ten sessions from all its users together, unless told otherwise."""
PATIENCE_SECONDS = float(os.environ.get("TENFOLD_REMOTE_PATIENCE", "120"))
"""How long a remote may be away before what needs it fails."""
PAUSE_SECONDS = 1.0
RENAMES = ("local", "ssh")
"""Where a file is seen while it is written, so that it is written under another name; elsewhere it comes into being
whole."""


class RemoteAway(UserError):
    """The remote does not answer, or has not got what it should."""


class Remote:
    """A DVC remote by its name in this checkout's configuration; the default one where no name is given.

    Raises:
        UserError: there is no such remote.
    """

    def __init__(self, name: str | None = None) -> None:
        self._given = name
        self._guard = threading.Lock()
        self._there: set[str] = set()
        self._open()
        self.fetched = self.pushed = 0
        """Bytes that have come and gone."""

    def _open(self) -> None:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        try:
            repo = Repo(str(ROOT), _wait_for_lock=True)
            remote = repo.cloud.get_remote(self._given)
            self.name = str(remote.name)
            self._fs, self._root = remote.fs, str(remote.path)
            self._objects = str(remote.odb.path)
        except (DvcException, ImportError) as problem:
            raise UserError(
                f"There is no DVC remote {self._given or 'that is the default one'} here ({problem}): "
                "dvc remote add -d store FOLDER-OR-URL."
            ) from problem

    @property
    def place(self) -> str:
        """Where it is, in words without any secret."""
        return f"{self.name} ({self._fs.protocol}, {self._root})"

    def prepare(self) -> None:
        """Make its folder where there is none yet; to all others a missing folder is a remote that is away."""
        self._patiently(lambda: self._fs.makedirs(self._objects, exist_ok=True))

    def forget(self) -> None:
        """Look again at what is there: something of it may have been lost."""
        self._there.clear()

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those of the objects that are not at the remote."""
        asked = [digest for digest in dict.fromkeys(digests) if digest not in self._there]
        if not asked:
            return []
        found = self._patiently(lambda: self._fs.exists([self._path(digest) for digest in asked], batch_size=JOBS))
        self._there |= {digest for digest, there in zip(asked, found, strict=True) if there}
        return [digest for digest in asked if digest not in self._there]

    def push(self, digests: Iterable[str]) -> int:
        """Copy objects of the cache there, with all that a folder's lists, and last the list; returns the bytes."""
        given = list(dict.fromkeys(digests))
        members = [
            member.digest for digest in given if digest.endswith(".dir") for member in listed({"md5": digest}) or []
        ]
        sent = self._all(self._put, self.missing([*members, *(each for each in given if not each.endswith(".dir"))]))
        sent += self._all(self._put, self.missing(each for each in given if each.endswith(".dir")))
        self.pushed += sent
        return sent

    def fetch(self, digests: Iterable[str]) -> int:
        """Bring objects into the cache, with all that a folder's lists; returns the bytes that came.

        Raises:
            RemoteAway: it has not got them.
        """
        given = list(dict.fromkeys(digests))
        came = self._all(self._get, given)
        members = [
            member.digest for digest in given if digest.endswith(".dir") for member in listed({"md5": digest}) or []
        ]
        came += self._all(self._get, dict.fromkeys(members))
        self.fetched += came
        return came

    def note_run(self, entry: Entry) -> None:
        """Note what a command gave, as `dvc push --run-cache` does: who asks for the same finds it there."""
        path = self._fs.join(self._root, "runs", *record.run_path(entry).split("/"))
        text = json.dumps(entry).encode()
        fresh = STATE / "scratch" / f"run-{uuid4().hex}"
        fresh.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(text)
        try:
            self._patiently(lambda: self._upload(fresh, path))
        finally:
            fresh.unlink()

    def find_run(self, wanted: Entry) -> Entry | None:
        """What a command gave on the same code, settings and inputs, if the remote has the note and the bytes of it."""
        key = record.run_key(wanted)
        folder = self._fs.join(self._root, "runs", key[:2], key)

        def look() -> list[str]:
            # Who lists a folder that is not there is told so in many ways.
            return [str(path) for path in self._fs.find(folder)] if self._fs.exists(folder) else []

        for path in self._patiently(look):
            with suppress(ValueError, OSError):
                found = json.loads(self._fs.cat_file(path))
                if record.is_run(found, path.rpartition("/")[2]) and not self.missing(
                    out["md5"] for out in found["outs"]
                ):
                    run: Entry = found
                    return run
        return None

    def _path(self, digest: str) -> str:
        return str(self._fs.join(self._objects, digest[:2], digest[2:]))

    def _all(self, call: Callable[[str], int], digests: Iterable[str]) -> int:
        """Some at a time, and all whatever becomes of one: what else is damaged is removed and sent again, too."""
        asked = list(digests)
        if len(asked) < 2:
            return sum(map(call, asked))
        with ThreadPoolExecutor(JOBS) as pool:
            calls = [pool.submit(call, digest) for digest in asked]
        return sum(each.result() for each in calls)

    def _put(self, digest: str) -> int:
        source = object_path(digest)
        self._patiently(lambda: self._upload(source, self._path(digest)))
        self._there.add(digest)
        return source.stat().st_size

    def _upload(self, source: Path, path: str) -> None:
        if not self._fs.exists(self._root):
            raise FileNotFoundError(f"{self._root} is not there")
        self._fs.makedirs(self._fs.parent(path), exist_ok=True)
        if self._fs.protocol not in RENAMES:
            self._fs.put_file(str(source), path)
            return
        fresh = f"{path}.{uuid4().hex}.part"
        try:
            self._fs.put_file(str(source), fresh)
            self._fs.mv(fresh, path)
        except BaseException:
            with suppress(Exception):
                self._fs.remove(fresh)
            raise

    def _get(self, digest: str) -> int:
        if is_cached(digest):
            return 0
        place = object_path(digest)
        # One at a time on a host, so that nothing comes twice.
        with turn(STATE / "turns" / f"object-{digest[:2]}"):
            if place.exists():
                return 0
            place.parent.mkdir(parents=True, exist_ok=True)
            fresh = place.with_name(f".{place.name}.{uuid4().hex}")
            try:
                self._patiently(lambda: self._download(digest, fresh))
                if f"{md5_of(fresh)}{place.suffix}" != digest:
                    # Whoever has it whole sends it again, for it is no longer there.
                    self._there.discard(digest)
                    with suppress(Exception):
                        self._fs.remove(self._path(digest))
                    raise RemoteAway(f"The object {digest} at the DVC remote {self.place} was damaged, and is removed.")
                size = fresh.stat().st_size
                os.chmod(fresh, 0o444)
                fresh.replace(place)
                return size
            finally:
                fresh.unlink(missing_ok=True)

    def _download(self, digest: str, to: Path) -> None:
        path = self._path(digest)
        try:
            self._fs.get_file(path, str(to))
        except FileNotFoundError:
            if not self._fs.exists(self._root):
                raise
            self._there.discard(digest)
            raise RemoteAway(f"The DVC remote {self.place} has not got the object {digest}.") from None

    def _patiently(self, call: Callable[[], T]) -> T:
        """Try until the remote is there again.

        Raises:
            RemoteAway: it stays away.
        """
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return call()
            except UserError:
                raise
            except Exception as problem:
                if failures.is_full_disk(problem) or failures.is_no_memory(problem):
                    raise
                if time.monotonic() > until:
                    said = next(iter(str(problem).strip().splitlines()), type(problem).__name__)
                    raise RemoteAway(
                        f"The DVC remote {self.place} cannot be used ({said}), and it has been so for "
                        f"{PATIENCE_SECONDS:.0f} s: run the same command again when it is back."
                    ) from problem
            time.sleep(PAUSE_SECONDS)
            self._reopen()

    def _reopen(self) -> None:
        """Forget a connection that broke."""
        with self._guard, suppress(Exception):
            self._fs.fs.clear_instance_cache()
            self._open()
