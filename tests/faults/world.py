"""A mini with all that happens to it, and the six invariants that hold whatever that was.

I1  a published output never changes
I2  a reader only sees whole outputs, whose digests are those of the record
I3  after any fault and the same command again, every digest is that of an undisturbed run
I4  no number without an unbroken chain back to the data
I5  every failure exits non-zero, with one plain sentence
I6  MLflow says truthfully what became of a run
"""

import json
import re
import sqlite3
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any

from damage import damage, flip
from minis import CLOCKED, ELSEWHERE, MINI, Ended, Mini, Minis, Running, recorded, until

from tasks.running.digests import Digests

EDITS = {
    "keep": ("flows/mini.py", r"keep=\d+", "keep={}", (10, 11)),
    "length": ("flows/mini.py", r"length=\d+", "length={}", (1000, 1001)),
    "version": ("tasks/mini.py", r"VERSION = \d+", "VERSION = {}", (1, 2)),
    "files": ("data/sources.yaml", r'files: \["[a*]', 'files: ["{}', ("*", "a")),
}
"""What a history edits: the file, the words there, and the values that it takes; the first is the one at the start."""

NUMBERS = re.compile(r"[+-]\d\.\d+ \[[^\]]+\]")
"""An effect with its interval, as `tenfold claims` prints it."""
RESTORE = re.compile(r"git restore (\S+?)[,:.;]?\s")


PATIENCE_OF_COMPANY = 2
"""Seconds that a driver stands still at most while others work."""


@dataclass
class Undisturbed:
    """What a run that nothing disturbed gave: the digest of each output, and the numbers of the claims."""

    digests: dict[str, str]
    numbers: set[str]


class Oracle:
    """What undisturbed runs give, each in a mini in which nothing has run before; asked for once a setting."""

    def __init__(self, minis: Minis) -> None:
        self._minis = minis
        self._known: dict[tuple[Any, ...], Undisturbed] = {}

    def __call__(self, settings: dict[str, Any]) -> Undisturbed:
        key = tuple(settings.values())
        if key not in self._known:
            mini = self._minis.untouched("undisturbed")
            for name, value in settings.items():
                edit(mini, name, value)
            ended = mini.reproduce()
            assert ended.code == 0, ended.output
            self._known[key] = Undisturbed(mini.digests(), numbers(mini.do("claims").output))
        return self._known[key]


def numbers(output: str) -> set[str]:
    return set(NUMBERS.findall(output))


def edit(mini: Mini, name: str, value: Any) -> None:
    path, before, after, _ = EDITS[name]
    file = mini.root / path
    file.write_text(re.sub(before, after.format(value), file.read_text()))


@dataclass
class World:
    """A mini, what has been done to it, and what it must be."""

    mini: Mini
    oracle: Oracle
    plain: bool = True
    settings: dict[str, Any] = field(default_factory=lambda: {name: known[3][0] for name, known in EDITS.items()})
    done: list[str] = field(default_factory=list)
    damaged: bool = False
    """Whether something was damaged since all was well the last time."""
    ever_damaged: bool = False
    """Whether something was damaged at all: DVC by itself trusts a damaged object for ever."""
    registered: bool = True
    """Whether the register of claims was never lost: else each claim is post hoc, which the verdicts say."""
    successes: int = 0
    """How many reproductions ended well."""
    clocked: tuple[Any, str] | None = None
    """What the clock gave when all was well the last time, and for which settings."""

    def __post_init__(self) -> None:
        self._seen = [dict(self.settings)]

    # What is done

    def edit(self, name: str, value: Any) -> None:
        self.done.append(f"edit {name} {value}")
        edit(self.mini, name, value)
        self.settings[name] = value
        self._seen.append(dict(self.settings))

    def damage(self, kind: str, how: str, number: int) -> None:
        self.damaged = self.ever_damaged = True
        self.registered &= kind not in ("register", "pipeline/")
        self.done.append(damage(self.mini, kind, how, number))

    def reproduce(self, jobs: int) -> None:
        """The same command again: all is as an undisturbed run would have left it."""
        self.done.append(f"reproduce --jobs {jobs}")
        ended = self._ended(self._run(jobs))
        for _ in range(len(list(self.mini.root.glob("pipelines/**/*.*")))):
            if not (ended.code == 1 and self.damaged and self._did_as_told(ended)):
                break
            ended = self._ended(self._run(jobs))
        self._expect(ended.code == 0, "I3: it ended with", ended)
        self.check_well(ended)

    def reproduce_with(self, fault: dict[str, Any], jobs: int) -> Ended:
        """A reproduction in which something fails, or a process dies, at one of its steps."""
        self.done.append(f"reproduce --jobs {jobs} with {fault}")
        ended = self._ended(self._run(jobs, fault))
        self.check_after(ended, disturbed=False)
        return ended

    def reproduce_beside(self, at: int, jobs: int, company: list[tuple[str, Any]]) -> None:
        """A reproduction that stands still at a step of its own while something else is done."""
        self.done.append(f"reproduce --jobs {jobs} which stops at step {at}, and meanwhile:")
        if ("dvc", None) in company:
            self.mini.do("compile")  # what DVC reads; Tenfold does it by itself
        before = len(self.mini.computed())
        ours = self._run(jobs, {"who": "driver", "what": "stop", "at": at})
        until(lambda: ours.is_stopped() or ours.is_over(), "a step at which to stop")
        others, disturbed = [], False
        for what, given in company:
            if what == "edit":
                self.edit(*given)
                disturbed = True
            elif what == "damage":
                self.damage(*given)
                disturbed = True
            else:
                self.done.append(what)
                others.append(self._run(jobs) if what == "reproduce" else self.mini.begin("repro", program="dvc"))
        for other in others:
            # It may wait for what the first one holds, which then has to go on.
            deadline = time.monotonic() + PATIENCE_OF_COMPANY
            while not other.is_over() and time.monotonic() < deadline:
                time.sleep(0.02)
        if not ours.is_over():
            ours.go_on()
        for ended in [self._ended(one) for one in (*others, ours)]:
            # DVC gives up on its lock after a while, which one that stands still may hold for longer.
            if not disturbed and not self.damaged and "Unable to acquire lock" not in ended.output:
                self._expect(ended.code == 0, "I3: in company it ended with", ended)
            self.check_after(ended, disturbed=disturbed)
        computed = self.mini.computed()[before:]
        if not disturbed and not self.damaged and ("dvc", None) not in company:
            self._expect(len(computed) == len({*computed}), f"I1: computed twice: {computed}", ended)

    def pull(self, damage_remote: int | None) -> None:
        """Push, lose all that git does not keep, as another checkout lacks it, and pull."""
        subprocess.run(["rm", "-rf", str(self.mini.root.parent / "remote")], check=True)
        ended = self.mini.do("data", "push")
        self.done.append(f"push ({ended.code})")
        if ended.code:
            self._expect(self.damaged, "I5: the push ended with", ended)
            self.check_sentence(ended)
            return
        for path in ("data/quick", "data/code", "data/environment", "data/sources", ".dvc/cache", ".tenfold"):
            subprocess.run(["rm", "-rf", str(self.mini.root / path)], check=True)
        there = sorted(path for path in (self.mini.root.parent / "remote/files").rglob("*") if path.is_file())
        if damage_remote is not None and there:
            victim = there[damage_remote % len(there)]
            self.damaged = self.ever_damaged = True
            self.done.append(f"flip {victim.name} in the remote")
            flip(victim)
        ended = self.mini.do("data", "pull")
        self.done.append(f"pull ({ended.code})")
        if ended.code:
            self._expect(self.damaged, "I5: the pull ended with", ended)
            self.check_sentence(ended)
        there = {path: digest for path, digest in self.mini.on_disk().items() if digest and "quick" in path}
        known = self.mini.digests()
        self._expect(all(known[path] == digest for path, digest in there.items()), "I2: not what is recorded", ended)

    def claims(self) -> None:
        """The numbers that are shown are those of an undisturbed run, or none is shown."""
        ended = self.mini.do("claims")
        self.done.append(f"claims ({ended.code})")
        if ended.code:
            self.check_sentence(ended)
        elif shown := numbers(ended.output):
            self._expect(shown == self.oracle(self.settings).numbers, "I4: numbers that are not of a run", ended)

    # What holds

    def check_well(self, ended: Ended) -> None:
        """All that must hold when a reproduction has succeeded and nobody disturbed it."""
        self._settle(ended)
        known, there = self.mini.digests(), self.mini.on_disk()
        wanted = self.oracle(self.settings).digests
        for path, digest in wanted.items():
            self._expect(path in known, f"I3: {path} is not recorded", ended)
            if not path.endswith(CLOCKED if self.registered else (*CLOCKED, "verdicts")):
                self._expect(known[path] == digest, f"I3: {path} is {known[path]} and should be {digest}", ended)
            self._expect(there[path] == known[path], f"I2: {path} is {there[path]}, recorded is {known[path]}", ended)
        self._check_chain(ended)
        clocked = known["data/quick/mini/clocked"]
        given = {name: value for name, value in self.settings.items() if name != "length"}
        if self.clocked and self.clocked[0] == given and not self.damaged:
            self._expect(self.clocked[1] == clocked, "I1: what the clock gave was replaced", ended)
        self.clocked, self.damaged = (given, clocked), False
        self._seen = [dict(self.settings)]

    def check_after(self, ended: Ended, *, disturbed: bool) -> None:
        """What must hold however a reproduction ended."""
        self._settle(ended)
        if ended.code == 0 and not disturbed:
            self.check_well(ended)
            return
        if ended.code == 0 and not self.damaged:
            self._check_chain(ended)
        if ended.code > 0:
            self.check_sentence(ended)
        if not self.damaged:
            self._check_whole(ended)

    def check_sentence(self, ended: Ended) -> None:
        said = [line for line in ended.output.splitlines() if line.startswith(("tenfold: ", "ERROR: "))]
        by_hand = ended.code == 130  # who stopped it before a stage began knows why
        self._expect(bool(said) or by_hand, "I5: a failure without a sentence:", ended)
        self._expect("Traceback" not in ended.output, "I5: a traceback:", ended)

    def _check_whole(self, ended: Ended) -> None:
        """Every output that lies there is the recorded one, or one that has just been made and not yet recorded."""
        known = self.mini.digests()
        made = [self.oracle(settings).digests for settings in self._seen]
        for folder in (self.mini.root / "data/quick/mini").glob("[!.]*"):
            path = folder.relative_to(self.mini.root).as_posix()
            digest = Digests(fresh=True).digest(str(folder))
            allowed = {known.get(path, ""), *(each[path] for each in made)}
            if path.endswith(CLOCKED):
                json.loads((folder / ("tables.json" if "results" in path else "metrics.json")).read_text())
            elif self.registered or not path.endswith("verdicts"):
                self._expect(digest in allowed, f"I2: {path} is {digest}, which nothing made whole", ended)

    def _check_chain(self, ended: Ended) -> None:
        """What each stage read, by its record, is what the record says was made."""
        entries = recorded(self.mini.root)
        for path, entry in entries.items():
            for read in entry.get("deps", []):
                if read["path"] in entries and path in self.oracle(self.settings).digests:
                    made = entries[read["path"]]["outs"][0]["md5"]
                    self._expect(read["md5"] == made, f"I4: {path} read another {read['path']} than is there", ended)

    def _settle(self, ended: Ended) -> None:
        until(lambda: not self.mini.processes(), f"the end of what was started\n{self._story(ended)}")
        self._check_elsewhere(ended)
        if not self.plain:
            self._check_tracked(ended)

    def _check_elsewhere(self, ended: Ended) -> None:
        there = {path.name: path.read_text() for path in (self.mini.root.parent / ELSEWHERE).iterdir()}
        ours = {path.name: path.read_text() for path in (MINI / "texts").iterdir()}
        self._expect(there == ours, f"I1: what lies behind a link was changed: {sorted(there)}", ended)

    def _check_tracked(self, ended: Ended) -> None:
        """MLflow says of no reproduction that it still runs, and of no more than succeeded that they are finished."""
        with sqlite3.connect(self.mini.root / "mlflow/mlflow.db") as store:
            rows = store.execute(
                "select distinct value, status from runs join tags using (run_uuid) where key = 'reproduction'"
            )
            said = [status for _, status in rows]
        self._expect("RUNNING" not in said, f"I6: what is over is said to run: {said}", ended)
        self._expect(said.count("FINISHED") <= self.successes, f"I6: more is said to be finished: {said}", ended)

    # How

    def _run(self, jobs: int, fault: dict[str, Any] | None = None) -> Running:
        words = ["reproduce", *(["--plain"] if self.plain else []), "--jobs", str(jobs)]
        return self.mini.begin(*words, fault=fault)

    def _ended(self, running: Running) -> Ended:
        ended = running.wait()
        self.successes += ended.code == 0
        return ended

    def _did_as_told(self, ended: Ended) -> bool:
        """Do what the sentence says is to be done; whether it says so."""
        told = RESTORE.search(ended.output.replace("\n", " ") + " ")
        if told is None:
            return False
        path = told.group(1)
        self.done.append(f"git restore {path}")
        restored = subprocess.run(["git", "restore", path], cwd=self.mini.root, capture_output=True)
        if restored.returncode:  # it was never committed
            (self.mini.root / path).unlink()
        return True

    def _expect(self, holds: bool, what: str, ended: Ended) -> None:
        assert holds, f"{what}\n{self._story(ended)}"

    def _story(self, ended: Ended) -> str:
        return f"after {'; '.join(self.done)}\nexit code {ended.code}, and it said:\n{ended.output[-3000:]}"
