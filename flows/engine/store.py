"""What is done, and its bytes: DVC's record and cache of this repository.

Status, commits and restores are done here, on DVC's files; DVC itself pushes and pulls. Commands run outside DVC's
lock, which is held only for the moments of a commit, so a `dvc repro` beside a `tenfold reproduce` waits for a moment
and never fails.
"""

import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

from flows.engine import record
from flows.engine.objects import copied, damaged_files, damaged_objects, drop, keep, listed
from flows.engine.record import RUNS, Entry, Lock, dvc_lock, is_cached, object_path
from flows.engine.stages import ConcreteStage
from tasks.base.errors import UserError
from tasks.base.files import ROOT
from tasks.base.manifest import changes
from tasks.running.digests import Digests, Member, folder_entry, listing

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
        UserError: the folder is no DVC repository.
    """

    def __init__(self) -> None:
        if not (ROOT / ".dvc").is_dir():
            raise UserError(f"{ROOT} is no DVC repository: run tenfold in a clone of it.")
        self._guard = threading.RLock()
        self._locks: dict[str, Lock] = {}
        self.digests = Digests()

    # What is up to date

    def reasons(self, stage: ConcreteStage) -> list[Reason]:
        """Why the stage must run; empty when its output is what its command would give.

        Raises:
            UserError: the lock file cannot be read.
        """
        with self._guard:
            recorded = self._lock(stage).entry(stage.name)
            if recorded is None:
                return [Reason("it", "has never run", "here")]
            found = [Reason("its command", "", "changed")] if recorded["cmd"] != stage.command else []
            found += self._dependency_reasons(stage, recorded)
            before = recorded.get("params", {}).get(stage.params_file, {}).get(stage.name, {})
            found += [Reason("its setting", where, how) for where, how in _differences(before, stage.settings)]
            return found + self._output_reasons(recorded)

    def snapshot(self, stage: ConcreteStage) -> list[str]:
        """The dependencies' digests now, to hand to `commit` after the stage has run.

        They are read while no DVC beside us takes a folder apart or puts it together, which it does holding its lock.
        """
        with self._guard:
            for path in stage.dependencies:
                self.digests.digest(path)  # what is large is hashed before others have to wait for us
            with dvc_lock():
                return [self.digests.digest(path) for path in stage.dependencies]

    def restore(self, stage: ConcreteStage) -> bool:
        """Put the output in place from the cache if this command has run on these inputs before.

        Where the output is in place and the cache has lost of it, the cache gets it back instead. What comes out of
        either is hashed again (DVC trusts a damaged object); what is not what the record names is dropped, and the
        stage has to run.
        """
        with self._guard:
            now = self._entry(stage, {"path": stage.out})
            known = self._lock(stage).entry(stage.name)
            if known is None or record.run_key(known) != record.run_key(now):
                known = record.find_run(now)
            if known is None:
                return False
            (out,) = known["outs"]
            if not self._kept(stage, out):
                members = listed(out)
                if members is None or not copied(members, stage.out):
                    return False
            self._save(stage, {**now, "outs": [out]})
            return True

    def wanted(self, stage: ConcreteStage) -> Entry:
        """What the record would say of the stage, but for its output, which does not exist yet."""
        with self._guard:
            return self._entry(stage, {"path": stage.out})

    def keep_input(self, path: str, digest: str) -> None:
        """See to it that the cache has what a stage reads, by the digest that it has at this moment."""
        if not digest.endswith(".dir"):
            keep(digest, ROOT / path)
            return
        members = listed({"md5": digest})
        if members is None or not all(is_cached(member.digest) for member in members):
            for member in (there := self.digests.members(path)):
                keep(member.digest, ROOT / path / member.name)
            keep(digest, listing(there))

    def take(self, stage: ConcreteStage, entry: Entry) -> bool | None:
        """Put in place and record what `entry` says that another machine gave, whose bytes are in the cache.

        Returns whether they are those on record, as `commit` does.

        Raises:
            EditedWhileRunning: it was made from something else than what lies here now, or not all of it is here.
        """
        with self._guard:
            now = self._entry(stage, {"path": stage.out})
            (out,) = entry["outs"]
            members = listed(out)
            if record.run_key(entry) != record.run_key(now) or members is None or not copied(members, stage.out):
                raise EditedWhileRunning(
                    f"{stage.title}: its code, its settings or an input was edited while it ran, or its result was "
                    "damaged on its way, so it is not kept. Run the same command again."
                )
            return self._compared(stage, {**now, "outs": [out]})

    def _compared(self, stage: ConcreteStage, entry: Entry) -> bool | None:
        """Record what a command has just given, and say whether its bytes are those on record for the same."""
        recorded = self._lock(stage).entry(stage.name)
        self._save(stage, entry)
        if recorded is None or record.run_key(recorded) != record.run_key(entry):
            return None
        return bool(recorded["outs"][0]["md5"] == entry["outs"][0]["md5"])

    def _kept(self, stage: ConcreteStage, out: Entry) -> bool:
        """Whether the output in place is the recorded one, which the cache then has, too."""
        if not (ROOT / stage.out).is_dir():
            return False
        members = Digests(fresh=True).members(stage.out)
        if folder_entry(members)["md5"] != out["md5"]:
            return False
        self._keep_all(stage, members)
        return True

    def _keep_all(self, stage: ConcreteStage, members: list[Member]) -> None:
        for member in members:
            if not member.digest:
                raise UserError(f"{stage.out}/{member.name} is no file, so it cannot be kept: remove it.")
            keep(member.digest, ROOT / stage.out / member.name)
        keep(folder_entry(members)["md5"], listing(members))

    def commit(self, stage: ConcreteStage, before: list[str], made: str = "") -> bool | None:
        """Record the output that the stage has just published, and keep its bytes in the cache.

        `made` is its digest by the stage's own word. Returns whether its bytes are those on record for the same
        command, code, settings and inputs; None where there is no such record.

        Raises:
            EditedWhileRunning: a dependency is not what it was at the stage's start, or the output not what was made.
        """
        with self._guard:
            members = self.digests.members(stage.out)
            # First the bytes, then the record that points at them.
            self._keep_all(stage, members)
            entry = self._entry(stage, {"path": stage.out, **folder_entry(members)})
            read = {each["path"]: each["md5"] for each in entry.get("deps", [])}
            moved = [read[path] for path in stage.dependencies] != before
            if moved or self.digests.members(stage.out) != members or made not in ("", entry["outs"][0]["md5"]):
                raise EditedWhileRunning(
                    f"{stage.name}: its code, an input or its result was edited while it ran, so it is not kept. "
                    "Run the same command again."
                )
            return self._compared(stage, entry)

    def close(self) -> None:
        """Remember for the next process what was read and hashed."""
        with self._guard:
            self.digests.save()
            for lock in self._locks.values():
                lock.remember()

    def is_recorded(self, path: str, digest: str) -> bool:
        """Whether this is the output on record there, in any pipeline that has been looked at."""
        with self._guard:
            outs = [out for lock in self._locks.values() for entry in lock.entries().values() for out in entry["outs"]]
        return any(out["path"] == path and out["md5"] == digest for out in outs)

    def digest(self, stage: ConcreteStage) -> str:
        """The recorded digest of the stage's output; empty if it has never run."""
        with self._guard:
            recorded = self._lock(stage).entry(stage.name)
            return str(recorded["outs"][0]["md5"]) if recorded else ""

    def read(self, stage: ConcreteStage, name: str) -> bytes:
        """A file of the stage's output, to be shown: hashed again, whatever is remembered of it.

        Raises:
            UserError: its bytes are not those that the record names, so there is no number to show.
        """
        path = f"{stage.out}/{name}"
        with self._guard:
            recorded = self._lock(stage).entry(stage.name)
        members = listed(recorded["outs"][0]) if recorded else None
        wanted = next((member.digest for member in members or [] if member.name == name), None)
        try:
            content = (ROOT / path).read_bytes()
        except OSError:
            content = None
        if content is None or md5(content, usedforsecurity=False).hexdigest() != wanted:
            base, *changes = stage.profile.split("+")
            again = "".join([f"tenfold reproduce {stage.paper} --profile {base}", *(f" -S {each}" for each in changes)])
            raise UserError(
                f"{path} is not what the record says that {stage.title} gave, so nothing of it is shown: "
                f"rm -rf {stage.out} && {again}"
            )
        return content

    # The cache, here and elsewhere

    def push(self, remote: str | None) -> int:
        """Copy the cache, with its record of runs, to a DVC remote; returns the number of files.

        Raises:
            UserError: an object is damaged, the cache has lost one of an output that is here, or DVC does not succeed.
        """
        self._refuse_damaged("nothing was pushed")
        lost = [out["path"] for out in _recorded() if (ROOT / out["path"]).exists() and any(damaged_objects(out))]
        if lost:
            raise UserError(
                f"The cache has lost files of {lost[0]}{' and others' if lost[1:] else ''}, so nothing was pushed: "
                "tenfold reproduce puts them back."
            )
        with _dvc("push") as repo:
            count: int = repo.push(all_commits=False, remote=remote, run_cache=True)
            return count

    def pull(self, remote: str | None) -> tuple[int, list[str]]:
        """Fetch every recorded output from a DVC remote and put it in place.

        Returns the number of files, and the recorded outputs that are not here afterwards: the remote lacks them.

        Raises:
            UserError: DVC does not succeed, or what came is not what the record names; that is not kept.
        """
        with _dvc("pull") as repo:
            fetched = repo.fetch(remote=remote, run_cache=True)
        self._refuse_damaged("they are not kept: pull again, or from another remote")
        with _dvc("checkout") as repo:
            repo.checkout(force=True, allow_missing=True)
        return int(fetched), sorted(out["path"] for out in _recorded() if not (ROOT / out["path"]).exists())

    def verify(self, stages: Iterable[ConcreteStage]) -> list[Damage]:
        """Re-hash every recorded output and its cached objects; trusts no remembered digest."""
        fresh = Digests(fresh=True)
        found = []
        for stage in stages:
            recorded = self._lock(stage).entry(stage.name)
            # What describes code and machine is as they are now, whatever is recorded.
            if recorded is not None and stage.kind != "environment":
                (out,) = recorded["outs"]
                found += [
                    Damage(name, stage, problem, f"rm -rf {stage.out}")
                    for name, problem in damaged_files(stage.out, out, fresh)
                ]
                found += [
                    Damage(_short(path), stage, problem, f"rm -rf {_short(path)}")
                    for path, problem in damaged_objects(out)
                ]
        return found

    def _refuse_damaged(self, what: str) -> None:
        """Drop every damaged object that some record names, and say so.

        Raises:
            UserError: there is one.
        """
        damaged = {found: out["path"] for out in _recorded() for found, _ in damaged_objects(out) if found.exists()}
        for found in damaged:
            drop(found)
        if damaged:
            first = next(iter(damaged.values()))
            raise UserError(
                f"{len(damaged)} cached files of {first}{' and others' if len(set(damaged.values())) > 1 else ''} "
                f"are damaged; {what}."
            )

    # The record

    def _lock(self, stage: ConcreteStage) -> Lock:
        return self._locks.setdefault(stage.pipeline, Lock(stage.pipeline))

    def _entry(self, stage: ConcreteStage, out: Entry) -> Entry:
        """The stage's entry in the lock file, as it would be now with this output."""
        entry: Entry = {"cmd": stage.command}
        if stage.dependencies:
            known = {path: self.digests.entry(path) for path in sorted(stage.dependencies)}
            entry["deps"] = [{"path": path, **(found or {"md5": ""})} for path, found in known.items()]
        return {**entry, "params": {stage.params_file: {stage.name: stage.settings}}, "outs": [out]}

    def _save(self, stage: ConcreteStage, entry: Entry) -> None:
        entry = json.loads(json.dumps(entry))
        with dvc_lock():
            if stage.kind != "environment":
                record.save_run(entry)
            self._lock(stage).write({stage.name: entry})

    def _dependency_reasons(self, stage: ConcreteStage, recorded: Entry) -> list[Reason]:
        before = {dependency["path"]: dependency["md5"] for dependency in recorded.get("deps", [])}
        found = []
        for path in stage.dependencies:
            now = self.digests.digest(path)
            if now == before.get(path):
                continue
            how = "is new" if path not in before else "is modified" if now else "is gone"
            if path == stage.code:
                edited = _code_changes(before.get(path), ROOT / path)
                found += [Reason("the code", what, "changed") for what in edited]
                found += [] if edited else [Reason("the code", stage.module, how)]
            else:
                found.append(Reason("the environment" if path == stage.environment else "the input", path, how))
        found += [Reason("the input", path, "is no longer read") for path in before if path not in stage.dependencies]
        return found

    def _output_reasons(self, recorded: Entry) -> list[Reason]:
        found = []
        for out in recorded["outs"]:
            now = self.digests.digest(out["path"])
            if now != out["md5"]:
                found.append(Reason("its output", out["path"], "is modified" if now else "is gone"))
            elif (members := listed(out)) is None or not all(is_cached(each.digest) for each in members):
                found.append(Reason("its output", out["path"], "is not in the cache"))
        return found


def _code_changes(before: str | None, path: Path) -> list[str]:
    """What differs between the manifest that the stage ran with, where the cache still has it, and that of now."""
    try:
        return changes(json.loads(object_path(before or "none").read_text()), json.loads(path.read_text()))
    except (OSError, ValueError, KeyError):
        return []


def _differences(before: Any, after: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """What differs between two settings: (dotted name, "old → new")."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            yield from _differences(before.get(name), after.get(name), f"{where}.{name}".lstrip("."))
    elif before != after:
        yield where, f"changed: {before} → {after}"


def _recorded() -> Iterator[Entry]:
    """Every output on record, of all pipelines."""
    for path in [*ROOT.glob("pipelines/**/dvc.lock"), ROOT / "dvc.lock"]:
        for entry in Lock(os.path.relpath(path.parent, ROOT)).entries().values():
            yield from entry["outs"]


def _short(path: str | Path) -> str:
    return os.path.relpath(path, ROOT)


@contextmanager
def _dvc(verb: str) -> Iterator[Any]:
    """DVC itself, silent; what it refuses, and a remote that cannot be reached, is a sentence."""
    import logging

    from dvc.repo import Repo

    logging.disable()  # else it has a line for each file
    try:
        # Its cache is ours, whichever other one this user's settings name.
        yield Repo(str(ROOT), config={"cache": {"dir": str(RUNS.parent)}}, _wait_for_lock=True)
    except Exception as problem:  # DVC, its remotes and their libraries have no one kind of error
        said = next(iter(str(problem).strip().splitlines()), type(problem).__name__)
        raise UserError(f"dvc {verb} did not succeed: {said}") from problem
    finally:
        logging.disable(logging.NOTSET)
