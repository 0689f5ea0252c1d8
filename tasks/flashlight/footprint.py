"""How large the libraries are as installed here: lines, files, operators, and how long their import takes."""

import re
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from statistics import median
from typing import Any

from models.config import Count, config
from tasks.base.files import ROOT, write_json
from tasks.base.measures import measures
from tasks.timing.machine import alone

Row = dict[str, Any]

LIBRARIES = {
    "models/tensor": (),
    "models/tensor with numpy, scipy and numba": ("numpy", "scipy", "numba", "llvmlite"),
    "torch": ("torch",),
    "jax": ("jax", "jaxlib", "ml_dtypes", "opt_einsum"),
}
"""The distributions that each brings along; our own files are counted with the first two."""

DOES = {"add": r"(^|_)add", "convolution": r"(^|_)conv", "sum": r"(^|_)(cum|nan)?sum"}
"""Which operators do what, by their names."""

IMPORTS = {"numpy": "numpy", "models/tensor": "models.tensor", "torch": "torch", "jax": "jax.numpy"}


@config
class Counting:
    """How often each import is timed."""

    repetitions: Count = 5


@measures(
    lines="lines of Python that are neither blank nor only a comment; compiled code is in none of them",
    mib="MiB of all files as installed",
    operators="operators: our primitives, torch's registered ones with their overloads",
    does="operators that do an addition, a convolution or a sum, by name",
    import_seconds="median seconds to import it in a new process, less those of Python alone",
    times_smaller="how many times larger torch is, by what is counted",
)
def count(*, config: Counting, out: Path) -> None:
    """Write metrics.json; what a distribution consists of is read off its own record of files."""
    rows: list[Row] = []
    found: dict[str, Row] = {}
    for library, distributions in LIBRARIES.items():
        paths = [path for name in distributions for path in _files(name)]
        if library.startswith("models/tensor"):
            paths += [path for path in (ROOT / "models/tensor").rglob("*.py") if path.is_file()]
        elif not paths:
            continue  # an optional one that is not installed
        found[library] = {"lines": _lines(paths), "mib": sum(path.stat().st_size for path in paths) / 2**20}
        rows.append({"library": library} | found[library])
    ours, theirs = _operators()
    for library, names in (("models/tensor", ours), ("torch", theirs)):
        rows.append({"library": library, "operators": len(names)})
        for what, pattern in DOES.items():
            rows.append({"library": library, "doing": what, "does": sum(bool(re.search(pattern, n)) for n in names)})
    times = {what: found["torch"][what] / found["models/tensor"][what] for what in ("lines", "mib")}
    rows += [{"counted": what, "times_smaller": value} for what, value in times.items()]
    whole = found["models/tensor with numpy, scipy and numba"]
    rows.append({"counted": "mib with what it needs", "times_smaller": found["torch"]["mib"] / whole["mib"]})
    rows.append({"counted": "operators", "times_smaller": len(theirs) / len(ours)})
    rows += _imports(config)
    write_json(out / "metrics.json", rows)


def _files(distribution: str) -> Iterable[Path]:
    try:
        listed = files(distribution) or []
    except PackageNotFoundError:
        return []
    paths = (Path(str(one.locate())) for one in listed)
    return [path for path in paths if path.suffix != ".pyc" and path.is_file()]


def _lines(paths: Iterable[Path]) -> int:
    count = 0
    for path in paths:
        if path.suffix == ".py":
            stripped = (line.strip() for line in path.read_bytes().split(b"\n"))
            count += sum(bool(line) and not line.startswith(b"#") for line in stripped)
    return count


def _operators() -> tuple[list[str], list[str]]:
    import torch

    from models.tensor.backend import PRIMITIVES

    registered = torch._C._dispatch_get_all_op_names()
    return list(PRIMITIVES), [name.split("::")[-1].split(".")[0] for name in registered]


def _imports(config: Counting) -> list[Row]:
    """Imports in new processes, in turns: medians, less that of Python alone."""
    seconds: dict[str, list[float]] = {name: [] for name in ("", *IMPORTS)}
    with alone() as busy:
        for _ in range(config.repetitions):
            for name, times in seconds.items():
                code = f"import {IMPORTS[name]}" if name else "pass"
                began = time.perf_counter()
                done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)
                if not done.returncode:
                    times.append(time.perf_counter() - began)
    bare = median(seconds.pop(""))
    cost = {name: median(times) - bare for name, times in seconds.items() if times}
    rows: list[Row] = [{"library": name, "import_seconds": value} | busy for name, value in cost.items()]
    above = max(1e-4, cost["models/tensor"] - cost["numpy"])
    rows.append({"library": "models/tensor above numpy", "import_seconds": above} | busy)
    rows.append({"counted": "import", "times_smaller": cost["torch"] / cost["models/tensor"]} | busy)
    return rows
