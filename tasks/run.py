"""Run one stage function in this process: `python -m tasks.run tasks.lm:pretrain --config … --out …`.

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
import random
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

from tasks import registration, spool
from tasks.closure import ROOT, import_closure, imports_library
from tasks.environment import device_class, processor_model
from tasks.errors import RetryableError, UserError

STATE = ROOT / ".tenfold"
INTERRUPTED = 130


@dataclass(frozen=True)
class Command:
    """A stage's command line, taken apart: the function, its inputs, its settings and its output."""

    function: str
    params: str
    key: str
    inputs: dict[str, Any]
    out: str

    @property
    def module(self) -> str:
        return self.function.split(":")[0]


def parse(arguments: list[str]) -> Command:
    """Read a stage's command line; inputs named `family.label` become a dictionary by label."""
    parser = argparse.ArgumentParser(prog="python -m tasks.run", description=__doc__)
    parser.add_argument("function", help="module:function, such as tasks.lm:pretrain")
    parser.add_argument("--config", required=True, help="params.json:key with the stage's settings")
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
    return Command(read.function, params, key, inputs, read.out)


def main(arguments: list[str]) -> int:
    """Run the stage; 0 when its output is in place, 75 when a retry may help, else 1."""
    os.chdir(ROOT)
    command = parse(arguments)
    set_process_environment()
    try:
        with exclusive(command.out) as waited:
            identity = stage_identity(command)
            if waited and is_published(command.out, identity):
                print(f"{command.out} was computed by another process in the meantime.", flush=True)
                return 0
            with spool.opened(command.out, describe(command, identity)):
                compute(command, identity)
    except RetryableError as problem:
        print(f"tenfold: {problem}", file=sys.stderr)
        return os.EX_TEMPFAIL
    except UserError as problem:
        print(f"tenfold: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tenfold: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def describe(command: Command, identity: str) -> dict[str, Any]:
    """What a reader of the run should know of it: its settings, and its inputs with DVC's digests."""
    flat = {
        f"{name}.{label}" if label else name: folder
        for name, value in command.inputs.items()
        for label, folder in (value.items() if isinstance(value, dict) else [("", value)])
    }
    return {
        "function": command.function,
        "pipeline": str(Path(command.params).parent),
        "stage": command.key,
        "settings": json.loads(Path(command.params).read_text()).get(command.key),
        "inputs": {name: {"folder": folder, "digest": folder_digest(folder)} for name, folder in flat.items()},
        "identity": identity,
    }


def set_process_environment() -> None:
    """One thread, a fixed hash seed for children, no network look-ups and no telemetry."""
    threads = os.environ.get("TENFOLD_THREADS", "1")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = threads
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE", "DO_NOT_TRACK"):
        os.environ[name] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    os.environ["HF_HOME"] = str(STATE / "huggingface")


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


def compute(command: Command, identity: str) -> None:
    """Call the stage function on a fresh folder, check what it did, and publish the folder."""
    function, settings = load(command)
    code = import_closure(command.module)
    seed(settings, code)
    checkpoints = STATE / "checkpoints" / identity
    os.environ["TENFOLD_CHECKPOINTS"] = str(checkpoints)
    out = Path(command.out)
    fresh = out.with_name(f".{out.name}.partial")
    for leftover in (fresh, out.with_name(f".{out.name}.old")):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir(parents=True)
    function(**folders(command.inputs), config=settings, out=fresh)
    check_imports(command)
    check_metrics(function, fresh)
    if hasattr(function, "measures"):
        registration.register(Path(command.params), command.key)
    publish(fresh, out)
    record(command.out, identity)
    shutil.rmtree(checkpoints, ignore_errors=True)


def load(command: Command) -> tuple[Callable[..., None], Any]:
    """The stage function and its settings, built from the parameter file and checked.

    Raises:
        UserError: the function, the file, the key or a value in it is wrong.
    """
    from pydantic import TypeAdapter, ValidationError

    module, _, name = command.function.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
        values = json.loads(Path(command.params).read_text())[command.key]
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


def seed(settings: Any, code: list[str]) -> None:
    """Seed every generator that the stage's code can reach; torch only where the code imports it."""
    value = getattr(settings, "seed", 0)
    random.seed(value)
    if imports_library(code, "numpy"):
        import numpy

        numpy.random.seed(value)
    if imports_library(code, "torch"):
        import torch

        torch.manual_seed(value)
        torch.use_deterministic_algorithms(True)
        # The results are the same without filling fresh memory first, and a training step is 3–7 % faster.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


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


def check_imports(command: Command) -> None:
    """Refuse a result that used code which the compiled pipeline does not list.

    Raises:
        UserError: a repository module was imported that is not a declared dependency.
    """
    import yaml

    pipeline = Path(command.params).with_name("dvc.yaml")
    stages = yaml.load(pipeline.read_text(), Loader=yaml.CSafeLoader)["stages"]
    declared = {str(dependency) for dependency in stages[command.key]["deps"]}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_relative_to(ROOT) and not Path(file).is_relative_to(sys.prefix):
            path = Path(file).relative_to(ROOT).as_posix()
            if path.split("/")[0] in ("flows", "tasks", "models") and path not in declared:
                raise UserError(
                    f"{command.key} imported {path}, which {pipeline} does not list as a dependency: "
                    "run tenfold compile."
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
    if out.exists():
        old = out.with_name(f".{out.name}.old")
        out.rename(old)
        fresh.rename(out)
        shutil.rmtree(old)
    else:
        fresh.rename(out)


def stage_identity(command: Command) -> str:
    """What the output's bytes are a function of: code, settings, inputs and environment.

    Where they lie, when and by whom they are computed is no part of it.
    """
    settings = json.loads(Path(command.params).read_text()).get(command.key)
    code = {path: file_digest(Path(path)) for path in import_closure(command.module)}
    inputs = {
        name: {label: folder_digest(folder) for label, folder in value.items()}
        if isinstance(value, dict)
        else folder_digest(value)
        for name, value in command.inputs.items()
    }
    whole = {
        "function": command.function,
        "settings": settings,
        "code": code,
        "inputs": inputs,
        "environment": folder_digest("data/environment"),
    }
    return sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:32]


def file_digest(path: Path) -> str:
    return md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def folder_digest(folder: str) -> str:
    """The digest of a folder or file as DVC computes it, so that one name for the bytes holds everywhere."""
    if Path(folder).is_file():
        return file_digest(Path(folder))
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    listing = [{"md5": file_digest(path), "relpath": path.relative_to(folder).as_posix()} for path in files]
    listing.sort(key=lambda entry: entry["relpath"])
    return md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def record(out: str, identity: str) -> None:
    """Note what made the published folder: for a process that waited for it, and for who asks where it is from."""
    path = STATE / "published" / slug(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    made = {"commit": spool.commit(), "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    machine = {"processor": processor_model(), "device": device_class()}
    path.write_text(json.dumps({"identity": identity, "digest": folder_digest(out), **made, **machine}))


def is_published(out: str, identity: str) -> bool:
    """Whether the folder in place is whole and was made by the same identity."""
    try:
        known = json.loads((STATE / "published" / slug(out)).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return bool(known["identity"] == identity and known["digest"] == folder_digest(out))


def slug(path: str) -> str:
    """A path as a single file name."""
    return path.strip("/").replace("/", "--")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
