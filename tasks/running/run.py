"""Run one stage function in this process: `python -m tasks.running.run tasks.learning.lm:pretrain --config … --out …`.

The only way a stage runs, whoever asks for it (DVC, Tenfold, a person). The function writes into a
fresh folder beside its destination, which is renamed into place last: a reader sees the whole
output or none. Two processes that want the same output take turns, and the second takes the
first one's result.
"""

import argparse
import fcntl
import importlib
import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from tasks.base.determinism import seed, set_process_environment
from tasks.base.environment import device_class, processor_model
from tasks.base.errors import RetryableError, UserError
from tasks.base.files import ROOT, STATE, slug
from tasks.base.instructions import PORTABLE
from tasks.base.manifest import PACKAGES, Manifest, changes, import_closure, manifest
from tasks.running import failures, spools
from tasks.running.digests import Digests

INTERRUPTED = 130
DRIVEN = "TENFOLD_DRIVEN"
"""Set where a driver runs the stage, and not a person, who may want it computed once more."""
BY_DVC = "DVC_STAGE"
"""Set by DVC, which removes an output before it has it made: one that is there has been made since, by others."""
RUNNER = ("tasks.running.run", "tasks.running.registration", "tasks.running.fork_server")
"""What a stage's process loads besides the stage."""


@dataclass(frozen=True)
class Command:
    """A stage's command line, taken apart: function, settings, inputs, output, and what describes code and machine.

    `code` is the manifest of the function's module, `environment` the folder that says what the machine is; both are
    empty for the stages that write such descriptions themselves.
    """

    function: str
    params: str
    key: str
    inputs: dict[str, Any]
    out: str
    code: str = ""
    environment: str = ""

    @property
    def module(self) -> str:
        return self.function.split(":")[0]

    @property
    def folders(self) -> dict[str, str]:
        """The inputs by name, those of a family by `family.label`."""
        return {
            f"{name}.{label}" if label else name: folder
            for name, value in self.inputs.items()
            for label, folder in (value.items() if isinstance(value, dict) else [("", value)])
        }

    @property
    def given(self) -> list[str]:
        """What describes its code and machine."""
        return [path for path in (self.code, self.environment) if path]


def parse(arguments: list[str]) -> Command:
    """Read a stage's command line; inputs named `family.label` become a dictionary by label."""
    parser = argparse.ArgumentParser(prog="python -m tasks.running.run", description=__doc__)
    parser.add_argument("function", help="module:function, such as tasks.learning.lm:pretrain")
    parser.add_argument("--config", required=True, help="params.json:key with the stage's settings")
    parser.add_argument("--code", default="", help="the manifest of the function's module")
    parser.add_argument("--environment", default="", help="the folder that describes the machine")
    parser.add_argument("--input", action="append", default=[], help="name=folder or family.label=folder")
    parser.add_argument("--out", required=True, help="the folder to publish")
    read = parser.parse_args(arguments)
    params, _, key = read.config.rpartition(":")
    inputs: dict[str, Any] = {}
    for item in read.input:
        name, _, folder = item.partition("=")
        family, _, label = name.partition(".")
        if label:
            inputs.setdefault(family, {})[label] = folder
        else:
            inputs[family] = folder
    return Command(read.function, params, key, inputs, read.out, read.code, read.environment)


def main(arguments: list[str]) -> int:
    """Run the stage; 0 when its output is in place, 75 when a retry may help, else 1."""
    os.chdir(ROOT)
    command = parse(arguments)
    set_process_environment(instructions_of(command.environment))
    try:
        with exclusive(command.out) as waited, inputs_held(command) as replaced:
            about = describe(command)
            # A driver asks for what the record lacks: who made it may have been killed before that, or not be so far.
            # What describes the code and the machine has nothing by which to tell whether it still does.
            taken = waited or {DRIVEN, BY_DVC} & os.environ.keys()
            if command.code and taken and is_published(command.out, about["identity"]):
                print(f"{command.out} is there already, made by another process from the same.", flush=True)
                return 0
            with spools.opened(command.out, about):
                compute(command, about["identity"], replaced)
    except RetryableError as problem:
        print(f"tenfold: {problem}", file=sys.stderr)
        return os.EX_TEMPFAIL
    except UserError as problem:
        print(f"tenfold: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tenfold: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except SystemExit as ended:  # whatever its code, there is no result
        said = f"{command.key} ended itself by sys.exit({ended.code!r}), before its result was whole."
        print(f"tenfold: {said}", file=sys.stderr)
        return 1
    except Exception as problem:
        with suppress(OSError):  # the log may lie on the disk that is full
            if lacks := failures.sentence(problem):
                print(f"tenfold: {lacks}", file=sys.stderr)
            else:
                traceback.print_exc()
        return os.EX_IOERR if failures.is_full_disk(problem) else 1
    return 0


def instructions_of(environment: str) -> str:
    """The level of instructions that a stage's libraries are held to, by the folder that describes its machine."""
    if not environment:
        return PORTABLE
    try:
        described: dict[str, str] = json.loads((ROOT / environment / "environment.json").read_text())
        return described["instructions"]
    except (OSError, ValueError, KeyError):
        raise UserError(f"{environment} does not say what this machine is: run `tenfold reproduce`.") from None


def describe(command: Command) -> dict[str, Any]:
    """What the output's bytes are a function of (its `identity`), and what a reader of the run should know.

    Code, settings, inputs and the machine make the identity, as they do for DVC; where they lie, when and by whom
    they are computed is no part of it.
    """
    settings, digests = _settings(command).get(command.key), Digests()
    inputs = {name: {"folder": folder, "digest": digests.digest(folder)} for name, folder in command.folders.items()}
    given = {path: digests.digest(path) for path in command.given}
    return {
        "function": command.function,
        "pipeline": str(Path(command.params).parent),
        "stage": command.key,
        "settings": settings,
        "inputs": inputs,
        "identity": identity(command, settings, {each["folder"]: each["digest"] for each in inputs.values()} | given),
    }


def _settings(command: Command) -> dict[str, Any]:
    """The settings of all stages of its pipeline.

    Raises:
        UserError: their file is not there or not whole.
    """
    try:
        known = json.loads((ROOT / command.params).read_text())
    except (OSError, ValueError) as problem:
        raise UserError(f"{command.params} cannot be read ({problem}): run tenfold compile.") from problem
    return known if isinstance(known, dict) else {}


def identity(command: Command, settings: Any, digests: Mapping[str, str]) -> str:
    """What tells one output from another: the function, its settings, and the digests of all that it is given."""
    whole = {
        "function": command.function,
        "settings": settings,
        "inputs": {name: digests[folder] for name, folder in command.folders.items()},
        "given": [digests[path] for path in command.given],
    }
    return sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:32]


@contextmanager
def exclusive(out: str) -> Iterator[bool]:
    """Hold the output's lock; the kernel frees it when the holder dies. Yields whether we waited."""
    path = STATE / "locks" / slug(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        waited = False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = True
            print(f"Waiting: another process is computing {out}.", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield waited


@contextmanager
def inputs_held(command: Command) -> Iterator[Callable[[], list[str]]]:
    """Keep the inputs open; yields what says which of them have been removed since, or replaced by others.

    A folder that is open keeps its number in the file system to itself, so one that was made anew has another. Both
    DVC and Tenfold replace folders as wholes: a stage may have read half of one without a word.
    """
    with ExitStack() as opened:
        held: dict[str, int] = {}
        for folder in command.folders.values():
            with suppress(OSError):  # the stage says what is not there
                held[folder] = os.open(ROOT / folder, os.O_RDONLY)
                opened.callback(os.close, held[folder])

        def replaced() -> list[str]:
            return [folder for folder, descriptor in held.items() if not _is_open_as(folder, descriptor)]

        yield replaced


def _is_open_as(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(ROOT / path), os.fstat(descriptor))
    except OSError:
        return False


def compute(command: Command, identity: str, replaced: Callable[[], list[str]]) -> None:
    """Call the stage function on a fresh folder, check what it did and what it was given, and publish the folder."""
    code = read_manifest(command)
    reads = Reads(command)
    sys.addaudithook(reads.hear)
    function, settings = load(command)
    seed(settings, code["libraries"], instructions_of(command.environment))
    checkpoints = STATE / "checkpoints" / identity
    os.environ["TENFOLD_CHECKPOINTS"] = str(checkpoints)
    out = Path(command.out)
    fresh = out.with_name(f".{out.name}.partial")
    for leftover in (fresh, out.with_name(f".{out.name}.old")):
        remove(leftover)
    fresh.mkdir(parents=True)
    function(**folders(command.inputs), config=settings, out=fresh)
    if gone := replaced():
        shutil.rmtree(checkpoints, ignore_errors=True)  # they may rest on what was half there
        raise UserError(
            f"{command.key}: the input {gone[0]} was made anew while it ran, so the result is not kept. "
            "Run the same command again."
        )
    if command.code:
        check_code(command, code, reads.files)
    check_metrics(function, fresh)
    if hasattr(function, "measures"):
        from tasks.running import registration

        registration.register(Path(command.params), command.key)
    publish(fresh, out)
    record(command.out, identity)
    shutil.rmtree(checkpoints, ignore_errors=True)


def read_manifest(command: Command) -> Manifest:
    """The manifest of the code that the stage is about to run.

    Raises:
        UserError: it is not there, or the code is not what it says.
    """
    if not command.code:
        return manifest(command.module)
    again = "run dvc repro pipelines/sources/dvc.yaml:code, or tenfold reproduce, which begin with that."
    try:
        code: Manifest = json.loads(Path(command.code).read_text())
    except (OSError, ValueError):
        raise UserError(f"{command.code}, which says what the code is, is not there: {again}") from None
    if differing := changes(code, manifest(command.module)):
        raise UserError(f"{command.code} is not what the code is now ({differing[0]}): {again}")
    return code


def load(command: Command) -> tuple[Callable[..., None], Any]:
    """The stage function and its settings, built from the parameter file and checked.

    Raises:
        UserError: the function, the file, the key or a value in it is wrong.
    """
    from pydantic import TypeAdapter, ValidationError

    module, _, name = command.function.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
        values = _settings(command)[command.key]
        settings = TypeAdapter(function.__annotations__["config"]).validate_json(json.dumps(values))
    except (AttributeError, ModuleNotFoundError, FileNotFoundError, KeyError) as problem:
        raise UserError(
            f"{command.function} with {command.params}:{command.key} cannot be started ({problem}): "
            "run tenfold compile."
        ) from problem
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"{command.key}: the setting {where} is wrong ({first['msg']}): run tenfold compile."
        ) from problem
    return function, settings


def folders(inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs as paths.

    Raises:
        UserError: an input folder is not there.
    """
    made: dict[str, Any] = {}
    for name, value in inputs.items():
        made[name] = folders(value) if isinstance(value, dict) else Path(value)
        if isinstance(value, str) and not Path(value).exists():
            raise UserError(f"The input {value} is not there: run the stage that makes it first.")
    return made


@dataclass
class Reads:
    """The files of this repository that the stage opens by Python, but for code and what it was given."""

    command: Command
    files: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        out = Path(self.command.out)
        own = str(out.with_name(f".{out.name}."))
        given = [*self.command.folders.values(), self.command.code, self.command.environment, own]
        self._given = tuple(str(ROOT / folder) for folder in given)
        self._watched = tuple(f"{ROOT / room}{os.sep}" for room in (*PACKAGES, "data"))

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """What Python tells its auditors."""
        if event == "open" and isinstance(arguments[0], str):
            path = os.path.abspath(arguments[0])
            if path.startswith(self._watched) and not path.startswith(self._given) and ".py" not in path:
                self.files.add(os.path.relpath(path, ROOT))


def check_code(command: Command, code: Manifest, read: set[str]) -> None:
    """Refuse a result that used code or files which the manifest does not hold, or code that was edited meanwhile.

    Raises:
        UserError: which, and what to do.
    """
    runner = (file for module in RUNNER for file in import_closure(module))
    known = {*code["code"], *code["files"], *runner}
    used = {
        Path(file).relative_to(ROOT).as_posix()
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None))
        if Path(file).is_relative_to(ROOT) and not Path(file).is_relative_to(sys.prefix)
    }
    hidden = sorted(file for file in {*used, *read} - known if file.split("/")[0] in (*PACKAGES, "data"))
    if hidden:
        raise UserError(
            f"{command.key} used {hidden[0]}, which {command.code} does not list: import it by a statement, "
            "name it in a string, or make it an input."
        )
    if differing := changes(code, manifest(command.module)):
        raise UserError(
            f"{command.key}: its code was edited while it ran ({differing[0]}), so the result is not kept. "
            "Run the same command again."
        )


def check_metrics(function: Callable[..., None], folder: Path) -> None:
    """Check that `metrics.json` holds the quantities that the function declares.

    Raises:
        UserError: a declared quantity is in no row, or is not a finite number.
    """
    declared = getattr(function, "measures", None)
    if not declared:
        return
    rows = json.loads((folder / "metrics.json").read_text())
    for quantity in declared:
        values = [row[quantity] for row in rows if quantity in row]
        if not values or not all(isinstance(value, int | float) and abs(value) < float("inf") for value in values):
            raise UserError(f"{function.__name__} declares {quantity} but did not measure it as a finite number.")


def publish(fresh: Path, out: Path) -> None:
    """Put the finished folder in its place, replacing an earlier one."""
    if os.path.lexists(out):
        old = out.with_name(f".{out.name}.old")
        out.rename(old)
        fresh.rename(out)
        remove(old)
    else:
        fresh.rename(out)


def remove(path: Path) -> None:
    """Remove a folder, or what stands in the place of one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def record(out: str, identity: str) -> None:
    """Note what made the published folder: for a process that waited for it, and for who asks where it is from."""
    path = STATE / "published" / slug(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    made = {"commit": spools.commit(), "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    machine = {"processor": processor_model(), "device": device_class()}
    fresh = path.with_name(f".{path.name}.fresh")
    fresh.write_text(json.dumps({"identity": identity, "digest": Digests(fresh=True).digest(out), **made, **machine}))
    fresh.replace(path)


def published(out: str) -> dict[str, str]:
    """What was noted of the published folder; empty where nothing was, or the note is not whole."""
    try:
        known: dict[str, str] = json.loads((STATE / "published" / slug(out)).read_bytes())
        return known if {"identity", "digest"} <= known.keys() else {}
    except (OSError, ValueError, AttributeError):
        return {}


def is_published(out: str, identity: str) -> bool:
    """Whether the folder in place is whole and was made by the same identity."""
    known = published(out)
    return bool(known and known["identity"] == identity and known["digest"] == Digests(fresh=True).digest(out))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
