"""The stages that papers compile to, remembered for as long as nothing changes that they are planned from.

Reading ten papers and compiling them takes longer than all else where there is nothing to do. They are planned from the
code, tables and compiled files of this repository, each known by inode, size and times as `tasks.running.digests` knows
it, from the versions of the libraries, and from where the sources' own folders lie.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from flows.engine.paper import PROFILES, Needs
from flows.engine.stages import REPORT, SOURCES, ConcreteStage, source_inputs
from flows.engine.variant import Variant
from tasks.base import manifest
from tasks.base.files import ROOT, STATE, slug
from tasks.base.remembered import remember, remembered
from tasks.running.digests import RACY_NS

STARTED = time.time_ns()
"""What has changed since may have been read before it changed, as an import of a tool."""
PLANS = STATE / "plans"
WRITTEN = ("dvc.yaml", "params.json", "prefect.yaml", "mlflow/experiments.json", "pipelines", manifest.FOLDER)
"""What is compiled, and the manifests of code."""
OUTPUTS = (*PROFILES, SOURCES, REPORT, Path(manifest.FOLDER).name)
"""What lies in data/ beside tables, or begins the name of a variant there."""
UNREAD = ("__pycache__", "dvc.lock")

Stamps = dict[str, list[int]]
"""Inode, size and times of each file, by its path; nothing of a folder, but that it is there."""


@dataclass(frozen=True)
class Look:
    """What papers are planned from, as it was before they were read; `settled` if it can be known by its times."""

    files: Stamps
    settled: bool


def look() -> Look:
    """Look at everything that papers are planned from; at what this process imports, once."""
    code, written = _code(), _stamps(WRITTEN)
    settled = _newest(code) < STARTED - RACY_NS and _newest(written) < time.time_ns() - RACY_NS
    return Look(code | written, settled)


def note(seen: Look, names: Sequence[str], chosen: Variant, stages: Sequence[ConcreteStage]) -> None:
    """Remember the stages of these papers for the next process, by what was there before they were planned."""
    if not seen.settled:
        return
    # The papers are read again where it cannot be written, where JSON does not hold or give back what it is given, and
    # where somebody replaces the manifests at the moment.
    with suppress(OSError, TypeError, ValueError):
        plain = [asdict(stage) for stage in stages]
        if _stages(json.loads(json.dumps(plain))) == list(stages):
            noted = {"of": _of(names, chosen), "files": seen.files, "libraries": _versions(_libraries())}
            remember(_path(names, chosen), {**noted, "stages": plain})


def recalled(names: Sequence[str], chosen: Variant) -> list[ConcreteStage] | None:
    """The stages of these papers, if they would be the same when planned anew; None where that is not certain."""
    known = remembered(_path(names, chosen))
    if known.get("of") != _of(names, chosen) or known.get("files") != look().files:
        return None
    stages, inputs = _stages(known["stages"]), source_inputs()
    fetched = [stage for stage in stages if stage.paper == SOURCES and stage.kind == "fetch"]
    same = known["libraries"] == _versions(known["libraries"]) and all(
        stage.inputs == inputs[stage.name] for stage in fetched
    )
    return stages if same else None


def _of(names: Sequence[str], chosen: Variant) -> list[Any]:
    return [str(ROOT), sys.version, chosen.name, *names]


def _path(names: Sequence[str], chosen: Variant) -> Path:
    return PLANS / f"{slug(' '.join([chosen.name, *names]))}.json"


def _stages(plain: Iterable[dict[str, Any]]) -> list[ConcreteStage]:
    return [ConcreteStage(**{**each, "needs": Needs(**each["needs"])}) for each in plain]


def _libraries() -> list[str]:
    """Those that the code of any stage imports."""
    manifests = [json.loads(path.read_text()) for path in (ROOT / manifest.FOLDER).glob("*.json")]
    return sorted({name for each in manifests for name in each["libraries"]})


def _versions(libraries: Iterable[str]) -> dict[str, str]:
    return {name: manifest.library_version(name) for name in libraries}


@cache
def _code() -> Stamps:
    """The code, with the templates and tables beside it, and the tables in data/."""
    data = [path.name for path in (ROOT / "data").glob("*") if path.name.partition("+")[0] not in OUTPUTS]
    return _stamps([*manifest.PACKAGES, *(f"data/{name}" for name in data)])


def _stamps(paths: Iterable[str]) -> Stamps:
    return dict(sorted(stamp for path in paths for stamp in _walk(path)))


def _walk(path: str) -> Iterator[tuple[str, list[int]]]:
    try:
        status = os.stat(f"{ROOT}/{path}")
        if not os.path.isdir(f"{ROOT}/{path}"):
            yield path, [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
            return
        names = os.listdir(f"{ROOT}/{path}")
    except OSError:  # nothing is there, or a link to nothing
        return
    yield path, []
    for name in names:
        if name not in UNREAD and not name.startswith("."):
            yield from _walk(f"{path}/{name}")


def _newest(stamps: Stamps) -> int:
    return max((stamp[-1] for stamp in stamps.values() if stamp), default=0)
