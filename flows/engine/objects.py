"""Objects of DVC's cache: files under the digest of their bytes, and listings of folders; what is copied is hashed."""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path

from flows.engine.record import Entry, object_path
from tasks.base.files import ROOT
from tasks.running.digests import BLOCK, Digests, Member, md5_of
from tasks.running.run import remove

PENDING = ".restoring"


def listed(out: Entry) -> list[Member] | None:
    """The files of a recorded output; None where the cache no longer says which they are."""
    try:
        text = object_path(out["md5"]).read_bytes()
        if f"{md5(text, usedforsecurity=False).hexdigest()}.dir" != out["md5"]:
            return None
        return [Member(each["relpath"], each["md5"], 0) for each in json.loads(text)]
    except (OSError, ValueError):
        return None


def copied(members: list[Member], out: str) -> bool:
    """Put a folder in place from the cache; False, with nothing changed, where an object is missing or damaged."""
    place = ROOT / out
    fresh = place.with_name(f".{place.name}{PENDING}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        return all(copied_object(member, fresh / member.name) for member in members) and _replaced(fresh, place)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def copied_object(member: Member, to: Path) -> bool:
    """Copy an object, hashing what is copied; a damaged one is dropped from the cache."""
    source = object_path(member.digest)
    to.parent.mkdir(parents=True, exist_ok=True)
    whole = md5(usedforsecurity=False)
    try:
        with open(source, "rb") as read, open(to, "wb") as written:
            while block := read.read(BLOCK):
                whole.update(block)
                written.write(block)
    except (FileNotFoundError, IsADirectoryError):
        return False
    if whole.hexdigest() != member.digest:
        drop(source)
        return False
    return True


def _replaced(fresh: Path, place: Path) -> bool:
    remove(place)
    fresh.rename(place)
    return True


def keep(digest: str, content: Path | bytes) -> None:
    """Put an object into the cache, unless it is there and whole."""
    path = object_path(digest)
    if path.is_file() and f"{md5_of(path)}{Path(digest).suffix}" == digest:
        return
    if path.is_dir():
        drop(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        if isinstance(content, bytes):
            fresh.write_bytes(content)
        else:
            shutil.copyfile(content, fresh)
        os.chmod(fresh, 0o444)
        fresh.replace(path)
    except OSError:
        # On a full disk, half a file only takes room.
        fresh.unlink(missing_ok=True)
        raise


def drop(path: Path) -> None:
    """Take out of the cache what is no object, or not the one that its name says."""
    if path.is_file() and not path.is_symlink():
        os.chmod(path, 0o644)  # as some file systems want before they remove it
    remove(path)


def damaged_files(folder: str, out: Entry, fresh: Digests) -> Iterator[tuple[str, str]]:
    """What of an output is not what the record names: altered, missing and added files."""
    if not (ROOT / folder).is_dir():
        yield folder, "it is gone"
        return
    there = {member.name: member.digest for member in fresh.members(folder)}
    known = listed(out)
    if known is None:
        if fresh.digest(folder) != out["md5"]:
            yield folder, "its bytes are not those recorded"
        return
    wanted = {member.name: member.digest for member in known}
    for name in sorted({*there, *wanted}):
        if there.get(name) != wanted.get(name):
            problem = "its bytes are not those recorded" if name in there and name in wanted else "it is missing"
            yield f"{folder}/{name}", problem if name in wanted else "the record does not have it"


def damaged_objects(out: Entry) -> Iterator[tuple[Path, str]]:
    """The cached objects of an output that are missing, or whose bytes do not hash to their name."""
    whole = object_path(out["md5"])
    if not whole.exists():
        yield whole, "the cache has lost it"
        return
    members = listed(out)
    if members is None:
        yield whole, "its bytes are not what its name says"
        return
    for digest in sorted({member.digest for member in members}):
        path = object_path(digest)
        if not path.exists():
            yield path, "the cache has lost it"
        elif not path.is_file() or md5_of(path) != digest:
            yield path, "its bytes are not what its name says"
