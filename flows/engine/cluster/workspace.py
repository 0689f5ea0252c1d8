"""A workspace: the part of a checkout that one stage needs, made of objects by digest, and gone when it has ended.

Its code is that of the driver, so the checkout that a worker stands in may be at another commit; and two stages with
different versions of one input never meet.
"""

import json
import os
import py_compile
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from flows.engine.cluster.turns import turn
from flows.engine.objects import copied_object, keep, listed
from tasks.base.errors import UserError
from tasks.base.files import ROOT, STATE, slug
from tasks.base.manifest import import_closure
from tasks.running.digests import Digests, Member, folder_entry, listing
from tasks.running.run import RUNNER
from tasks.running.spools import is_alive, process

CODE = STATE / "code"
WORKSPACES = STATE / "workspaces"
SHARED = ("checkpoints",)
"""What of a workspace's state is the host's: a stage that runs again here goes on from its checkpoint."""


class Incomplete(UserError):
    """The cache lacks, or has lost, something that a workspace is made of."""


# The driver's side


def bundle(digests: Digests, files: list[str]) -> str:
    """Put files of this checkout into the cache as one folder; returns its digest."""
    members = [Member(path, digests.digest(path), 0) for path in sorted(set(files))]
    for member in members:
        keep(member.digest, ROOT / member.name)
    return keep_listing(members)


def keep_listing(members: list[Member]) -> str:
    """Put a folder's list into the cache; returns the folder's digest."""
    digest = str(folder_entry(members)["md5"])
    keep(digest, listing(members))
    return digest


def runner_files() -> list[str]:
    """What a stage's process loads besides the stage, and the folder it is started in."""
    found = [file for module in RUNNER for file in import_closure(module)]
    return [*found, *([".dvcignore"] if (ROOT / ".dvcignore").exists() else [])]


def stage_files(code: str) -> list[str]:
    """The code of a stage and the files that it names, by its manifest."""
    manifest = json.loads((ROOT / code).read_text())
    return [*manifest["code"], *manifest["files"]]


# The worker's side


def unpacked(digest: str) -> Path:
    """A bundle of code as a folder that is shared by all that run it, and that nobody writes to."""
    place = CODE / digest.removesuffix(".dir")
    if place.is_dir():
        return place
    with turn(STATE / "turns" / f"code-{digest[:8]}"):
        if place.is_dir():
            return place
        fresh = CODE / f".{place.name}.{uuid4().hex}"
        try:
            _fill(fresh, digest)
            for path in fresh.rglob("*.py"):
                with suppress(py_compile.PyCompileError):
                    py_compile.compile(str(path), doraise=True)
            fresh.replace(place)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return place


@contextmanager
def workspace(
    out: str, code: list[str], inputs: Mapping[str, str], params: Mapping[str, Mapping[str, Any]]
) -> Iterator[Path]:
    """A folder with the code of these bundles, these inputs by digest, and these files of settings.

    Raises:
        Incomplete: the cache has not got all of it.
    """
    place = WORKSPACES / f"{process(os.getpid())}-{uuid4().hex[:8]}-{slug(out)}"
    try:
        for digest in code:
            _link(unpacked(digest), place)
        for path, digest in inputs.items():
            if digest.endswith(".dir"):
                _fill(place / path, digest)
            else:
                _copy(Member("", digest, 0), place / path)
        for path, settings in params.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text(json.dumps(settings))
        for name in SHARED:
            (STATE / name).mkdir(parents=True, exist_ok=True)
            (place / ".tenfold").mkdir(exist_ok=True)
            (place / ".tenfold" / name).symlink_to(STATE / name)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def clear() -> None:
    """Remove the workspaces of workers that were killed."""
    for place in WORKSPACES.glob("*"):
        if not is_alive("-".join(place.name.split("-")[:2])):
            shutil.rmtree(place, ignore_errors=True)


def _fill(folder: Path, digest: str) -> None:
    members = listed({"md5": digest})
    if members is None:
        raise Incomplete(f"The cache has lost what {digest} lists.")
    folder.mkdir(parents=True, exist_ok=True)
    for member in members:
        _copy(member, folder / member.name)


def _copy(member: Member, to: Path) -> None:
    if not copied_object(member, to):
        raise Incomplete(f"The cache has lost the object {member.digest}, or it was damaged.")


def _link(source: Path, to: Path) -> None:
    """The same files in another folder, compiled ones too."""
    for folder, _, names in os.walk(source):
        place = to / Path(folder).relative_to(source)
        place.mkdir(parents=True, exist_ok=True)
        for name in names:
            with suppress(FileExistsError):
                os.link(os.path.join(folder, name), place / name)
