"""Objects to and from a DVC remote: once, whole, and by their own digest."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest

from flows.engine.cluster import remote as ours
from flows.engine.cluster.remote import Remote, RemoteAway
from tasks.base.errors import UserError

CONTENT = b"what a stage reads"
DIGEST = md5(CONTENT, usedforsecurity=False).hexdigest()


class Counting:
    """A folder as DVC sees a remote, which counts what is fetched and is slow enough for others to ask meanwhile."""

    protocol = "local"

    def __init__(self) -> None:
        self.fetched: list[str] = []

    def __getattr__(self, name: str) -> Any:
        from dvc_objects.fs.local import LocalFileSystem

        return getattr(LocalFileSystem(), name)

    def get_file(self, path: str, to: str) -> None:
        self.fetched.append(path)
        time.sleep(0.1)
        Path(to).write_bytes(Path(path).read_bytes())


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    """A remote with one object, of which this checkout has nothing."""

    def place(digest: str) -> Path:
        return tmp_path / "cache" / digest[:2] / digest[2:]

    def opened(self: Remote) -> None:
        self.name, self._fs, self._root, self._objects = "store", Counting(), str(tmp_path), f"{tmp_path}/remote"

    monkeypatch.setattr(ours, "object_path", place)
    monkeypatch.setattr(ours, "is_cached", lambda digest: place(digest).exists())
    monkeypatch.setattr(ours, "STATE", tmp_path / "state")
    monkeypatch.setattr(Remote, "_open", opened)
    there = tmp_path / "remote" / DIGEST[:2] / DIGEST[2:]
    there.parent.mkdir(parents=True)
    there.write_bytes(CONTENT)
    return Remote()


def test_an_object_comes_to_a_host_once(remote: Remote) -> None:
    """However many stages there read it, and ask at the same moment."""
    together = threading.Barrier(8)

    def ask(_: int) -> int:
        together.wait()
        return remote.fetch([DIGEST])

    with ThreadPoolExecutor(8) as pool:
        came = list(pool.map(ask, range(8)))
    assert len(remote._fs.fetched) == 1
    assert sorted(came) == [0] * 7 + [len(CONTENT)], "and its bytes are counted once"
    assert ours.object_path(DIGEST).read_bytes() == CONTENT


def test_a_damaged_object_is_not_believed(remote: Remote) -> None:
    """Nor left there for the next one to fetch."""
    there = Path(remote._path(DIGEST))
    there.write_bytes(b"something else")
    with pytest.raises(RemoteAway, match="was damaged"):
        remote.fetch([DIGEST])
    assert not ours.object_path(DIGEST).exists()
    assert not there.exists()


def test_an_object_that_the_remote_has_not_got(remote: Remote) -> None:
    """Nobody waits for what will not come."""
    with pytest.raises(UserError, match="has not got the object"):
        remote.fetch(["0" * 32])


def test_half_a_file_is_never_an_object(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that breaks in the middle of a file leaves nothing that another host could take for the whole."""
    Path(remote._path(DIGEST)).unlink()
    ours.object_path(DIGEST).parent.mkdir(parents=True)
    ours.object_path(DIGEST).write_bytes(CONTENT)

    def broken(source: str, path: str) -> None:
        Path(path).write_bytes(CONTENT[:5])
        raise ConnectionResetError

    monkeypatch.setattr(ours, "PATIENCE_SECONDS", 0)
    monkeypatch.setattr(remote._fs, "put_file", broken, raising=False)
    with pytest.raises(RemoteAway, match="cannot be used"):
        remote.push([DIGEST])
    assert not [path for path in Path(remote._objects).rglob("*") if path.is_file()]
