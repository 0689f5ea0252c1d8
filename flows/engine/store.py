"""What is done, and its bytes: the only module that touches DVC.

DVC's lock files say which command, code, settings and inputs made which output; its cache holds the
bytes. Commands run outside DVC's lock, which is held only for the moments of a restore or a commit,
so a `dvc repro` beside a `tenfold reproduce` waits for a moment and never fails.
"""

import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

import yaml

from flows.engine.stages import ConcreteStage
from tasks.base.errors import UserError
from tasks.base.files import ROOT
from tasks.base.manifest import changes

os.environ.setdefault("DVC_NO_ANALYTICS", "1")


@dataclass(frozen=True)
class Reason:
    """Why a stage is not up to date: what kind of thing changed, which, and how."""

    kind: str
    what: str
    how: str

    def __str__(self) -> str:
        return f"{self.kind} {self.what} {self.how}".replace("  ", " ").strip()


@dataclass(frozen=True)
class Damage:
    """A file whose bytes are not those that the record names; without it the next run makes it anew."""

    path: str
    stage: ConcreteStage
    problem: str
    remove: str


class EditedWhileRunning(UserError):
    """A dependency changed between a stage's start and its end, so its output belongs to neither."""


class Store:
    """DVC's record and cache of this repository.

    Raises:
        UserError: the folder is no DVC repository, or a lock file cannot be read.
    """

    def __init__(self) -> None:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        try:
            self._repo = Repo(str(ROOT), _wait_for_lock=True)
        except DvcException as problem:
            raise UserError(f"{ROOT} is no DVC repository ({problem}): run tenfold in a clone of it.") from problem
        self._guard = threading.RLock()
        self._stages: dict[str, Any] = {}
        self._read_at: dict[str, int] = {}
        self._unwritten: dict[str, dict[str, Any]] = {}

    # What is up to date

    def reasons(self, stage: ConcreteStage) -> list[Reason]:
        """Why the stage must run; empty when its output is what its command would give."""
        with self._guard:
            recorded = self._recorded(stage)
            if not recorded.md5 and all(not out.hash_info for out in recorded.outs):
                return [Reason("it", "has never run", "here")]
            found = []
            if recorded.cmd_changed:
                found.append(Reason("its command", "", "changed"))
            for dependency in recorded.deps:
                found += _dependency_reasons(dependency, stage, self._repo)
            for out in recorded.outs:
                found += [Reason("its output", path, f"is {how}") for path, how in out.status().items()]
            return found

    def snapshot(self, stage: ConcreteStage) -> list[Any]:
        """The dependencies' digests now, to hand to `commit` after the stage has run."""
        with self._guard:
            return [dependency.get_hash() for dependency in self._recorded(stage).deps if _is_file(dependency)]

    def restore(self, stage: ConcreteStage) -> bool:
        """Put the output in place from the cache if this command has run on these inputs before.

        What comes out of the cache is re-hashed (DVC trusts a damaged object); where it is not what the
        record names, the damaged objects are dropped and the stage has to run.
        """
        from dvc.stage.cache import RunCacheNotFoundError

        with self._guard, self._repo.lock, _quiet():
            recorded = self._recorded(stage)
            try:
                self._repo.stage_cache.restore(recorded)
            except RunCacheNotFoundError:
                # The failed look-up has put today's inputs into DVC's object: read it again.
                self._stages.pop(stage.pipeline, None)
                return False
            self._save(stage, recorded)
            damaged = [path for out in recorded.outs for path in self._damaged_objects(out)]
            for path in damaged:
                os.chmod(path, 0o644)
                os.unlink(path)
            if damaged:
                shutil.rmtree(ROOT / stage.out)
                del self._unwritten[stage.pipeline][stage.name]
                self._stages.pop(stage.pipeline, None)
            return not damaged

    def commit(self, stage: ConcreteStage, before: list[Any]) -> None:
        """Record the output that the stage has just published, and keep its bytes in the cache.

        Raises:
            EditedWhileRunning: a dependency is not what it was at the stage's start.
        """
        with self._guard:
            if self.snapshot(stage) != before:
                raise EditedWhileRunning(
                    f"{stage.name}: its code or an input was edited while it ran, so the result is not kept. "
                    "Run the same command again."
                )
            with self._repo.lock:
                self._save(stage, self._recorded(stage))

    def flush(self) -> None:
        """Write what has been committed into the lock files, sorted by stage, each file in one rename."""
        with self._guard:
            if not self._unwritten:
                return
            with self._repo.lock:
                for pipeline, entries in self._unwritten.items():
                    path = _lock_file(pipeline)
                    known = _read_lock(path)
                    known.update(entries)
                    _write_lock(path, known)
                    self._read_at[pipeline] = path.stat().st_mtime_ns
            self._unwritten.clear()

    # The cache, here and elsewhere

    def push(self, remote: str | None) -> int:
        """Copy the cache, with its record of runs, to a DVC remote; returns the number of files."""
        with self._guard, _dvc_errors("push"):
            count: int = self._repo.push(all_commits=False, remote=remote, run_cache=True)
            return count

    def pull(self, remote: str | None) -> int:
        """Fetch every recorded output from a DVC remote and put it in place; returns the number of files."""
        with self._guard, _dvc_errors("pull"):
            result = self._repo.pull(remote=remote, run_cache=True, allow_missing=True)
            self._stages.clear()
            return int(result["stats"]["fetched"])

    def verify(self, stages: Iterable[ConcreteStage]) -> list[Damage]:
        """Re-hash every recorded output and its cached objects; trusts no remembered digest."""
        found = []
        for stage in stages:
            with self._guard:
                outs = [out for out in self._recorded(stage).outs if out.hash_info]
            for out in outs:
                for path in self._damaged_objects(out):
                    problem = "its bytes are not what its name says"
                    found.append(Damage(_short(path), stage, problem, f"rm -f {_short(path)}"))
                for name, problem in self._damaged_files(out):
                    found.append(Damage(name, stage, problem, f"rm -rf {stage.out}"))
        return found

    def digest(self, stage: ConcreteStage) -> str:
        """The recorded digest of the stage's output; empty if it has never run."""
        with self._guard:
            (out,) = self._recorded(stage).outs
            return str(out.hash_info.value or "")

    # DVC's objects

    def _recorded(self, stage: ConcreteStage) -> Any:
        """DVC's stage with the lock file's entry, read again when another process has written it."""
        from dvc.dvcfile import load_file
        from dvc.exceptions import DvcException

        path = _lock_file(stage.pipeline)
        written = path.stat().st_mtime_ns if path.exists() else 0
        if self._read_at.get(stage.pipeline) != written or stage.pipeline not in self._stages:
            try:
                loaded = load_file(self._repo, str(ROOT / stage.pipeline_file), verify=False).stages
                self._stages[stage.pipeline] = {name: loaded[name] for name in loaded}
            except DvcException as problem:
                raise UserError(
                    f"{stage.pipeline_file} or its lock cannot be read ({problem}): "
                    "run tenfold compile, or git restore the lock."
                ) from problem
            self._read_at[stage.pipeline] = written
        return self._stages[stage.pipeline][stage.name]

    def _save(self, stage: ConcreteStage, recorded: Any) -> None:
        from dvc.stage.serialize import to_single_stage_lockfile

        with _quiet():
            # First the bytes, then the record that points at them.
            recorded.save(run_cache=False)
            recorded.commit()
            self._repo.stage_cache.save(recorded)
        entry = json.loads(json.dumps(to_single_stage_lockfile(recorded)))
        self._unwritten.setdefault(stage.pipeline, {})[stage.name] = entry

    def _members(self, out: Any) -> list[tuple[str, str]]:
        """The files of an output as the record lists them: (path inside it, MD5)."""
        if not out.hash_info:
            return []
        if not out.hash_info.isdir:
            return [("", out.hash_info.value)]
        listing = _object_path(self._repo, out.hash_info.value)
        if not listing.exists():
            return []
        return [(member["relpath"], member["md5"]) for member in json.loads(listing.read_text())]

    def _damaged_objects(self, out: Any) -> list[Path]:
        """The cached objects of an output whose bytes do not hash to their name."""
        listing = _object_path(self._repo, out.hash_info.value)
        if listing.exists() and not _is_intact(listing, out.hash_info.value.removesuffix(".dir")):
            return [listing]
        objects = {digest: _object_path(self._repo, digest) for _, digest in self._members(out)}
        return [path for digest, path in objects.items() if path.exists() and not _is_intact(path, digest)]

    def _damaged_files(self, out: Any) -> Iterator[tuple[str, str]]:
        folder = Path(out.fs_path)
        for name, digest in self._members(out):
            path = folder / name
            if not path.exists():
                yield _short(path), "it is missing"
            elif not _is_intact(path, digest):
                yield _short(path), "its bytes are not those recorded"


def _dependency_reasons(dependency: Any, stage: ConcreteStage, repo: Any) -> list[Reason]:
    from dvc.dependency import ParamsDependency

    status = dependency.status()
    if not status:
        return []
    if isinstance(dependency, ParamsDependency):
        before = (dependency.hash_info.value or {}).get(stage.name, {})
        changed = list(_differences(before, stage.settings))
        return [Reason("its setting", where, how) for where, how in changed] or [Reason("its settings", "", "changed")]
    path = _short(dependency.fs_path)
    how = f"is {status[str(dependency)]}"
    if path == stage.code:
        edited = _code_changes(dependency, repo)
        return [Reason("the code", what, "changed") for what in edited] or [Reason("the code", stage.module, how)]
    kind = "the environment" if path == stage.environment else "the input"
    return [Reason(kind, path, how)]


def _code_changes(dependency: Any, repo: Any) -> list[str]:
    """What differs between the manifest that the stage ran with, where the cache still has it, and that of now."""
    known = dependency.hash_info.value and _object_path(repo, dependency.hash_info.value)
    try:
        return changes(json.loads(known.read_text()), json.loads(Path(dependency.fs_path).read_text()))
    except (AttributeError, OSError, ValueError):
        return []


def _differences(before: Any, after: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """What differs between two settings: (dotted name, "old → new")."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            yield from _differences(before.get(name), after.get(name), f"{where}.{name}".lstrip("."))
    elif before != after:
        yield where, f"changed: {before} → {after}"


def _is_file(dependency: Any) -> bool:
    from dvc.dependency import ParamsDependency

    return not isinstance(dependency, ParamsDependency)


def _object_path(repo: Any, digest: str) -> Path:
    return Path(repo.cache.local.oid_to_path(digest))


def _is_intact(path: Path, digest: str) -> bool:
    with open(path, "rb") as file:
        whole = md5(usedforsecurity=False)
        while block := file.read(1 << 20):
            whole.update(block)
    return whole.hexdigest() == digest


def _short(path: str | Path) -> str:
    return os.path.relpath(path, ROOT)


def _lock_file(pipeline: str) -> Path:
    return ROOT / pipeline / "dvc.lock"


def _read_lock(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    stages: dict[str, Any] = yaml.load(path.read_text(), Loader=yaml.CSafeLoader).get("stages", {})
    return stages


def _write_lock(path: Path, stages: dict[str, Any]) -> None:
    data = {"schema": "2.0", "stages": dict(sorted(stages.items()))}
    fresh = path.with_name(".dvc.lock.fresh")
    fresh.write_text(yaml.dump(data, Dumper=yaml.CSafeDumper, sort_keys=False, width=1_000_000, allow_unicode=True))
    fresh.replace(path)


@contextmanager
def _dvc_errors(verb: str) -> Iterator[None]:
    from dvc.exceptions import DvcException

    try:
        with _quiet():
            yield
    except DvcException as problem:
        raise UserError(f"dvc {verb} did not succeed: {problem}") from problem


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep DVC's progress and hints off the user's terminal; its warnings stay."""
    import logging

    logger = logging.getLogger("dvc")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
