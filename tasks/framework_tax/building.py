"""Make what a runtime runs, once: the traced module, the ONNX file, inductor's package and its cache.

torch.compile and AOTInductor compile in processes of their own, with an empty cache, so that their seconds are cold.

    python -m tasks.framework_tax.building WANTED FOLDER
"""

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING, Any

from models.config import config
from tasks.base import spool
from tasks.base.errors import UserError
from tasks.base.files import ROOT, write_json
from tasks.base.measures import measures
from tasks.framework_tax.blocks import CACHE, PATIENCE, Died, Process, environment
from tasks.framework_tax.networks import GROUPS, Wanted, names_of, network, wanted
from tasks.framework_tax.runtimes import missing, precision_of, tried

if TYPE_CHECKING:
    from torch.export import ExportedProgram

Row = dict[str, Any]

ARTIFACTS = {
    "torchscript": "model.ts",
    "onnxruntime": "model.onnx",
    "aotinductor": "model.pt2",
    "jax": "weights.safetensors",
}
"""What each runtime reads; openvino reads the ONNX file, and compile a cache."""


@config
class Building:
    """Networks by name, apart by spaces, and for which runtimes something is made: for fewer where it is a group."""

    networks: str
    runtimes: tuple[str, ...]
    group_runtimes: tuple[str, ...] = ("torchscript", "onnxruntime")


@measures(
    build_seconds="seconds of the wall clock to make what the runtime runs, cold, by runtime",
    build_cpu_seconds="the same in seconds of processor time, of all threads and child processes",
)
def build(*, trained: dict[str, Path] | None = None, config: Building, out: Path) -> None:
    """Write a folder a network, with what each runtime reads, or why there is none; and metrics.json.

    Args:
        trained: folders of trained weights, by network.
    """
    rows: list[Row] = []
    runtimes = config.group_runtimes if config.networks in GROUPS else config.runtimes
    for name in names_of(config.networks):
        for runtime, seconds in make(wanted(name, trained), runtimes, out / name).items():
            rows.append({"network": name, "runtime": runtime} | seconds)
    write_json(out / "metrics.json", rows)


def make(asked: Wanted, runtimes: Sequence[str], folder: Path) -> dict[str, dict[str, float]]:
    """Make what these runtimes need for a network; gives the seconds of each.

    What cannot be made is left out, with the reason in a file beside it, and said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, float]] = {}
    for runtime in dict.fromkeys("onnxruntime" if one == "openvino" else one for one in runtimes):
        if runtime not in (*ARTIFACTS, "compile") or not tried(runtime, asked):
            continue
        began, before = time.perf_counter(), _processor()
        reason = missing(runtime) or _attempt(runtime, asked, folder)
        if reason:
            (folder / f"{ARTIFACTS.get(runtime, CACHE)}.failed").write_text(reason)
            spool.note(f"{asked.name} is not there for {runtime}: {reason}")
            continue
        seconds = time.perf_counter() - began
        found[runtime] = {"build_seconds": seconds, "build_cpu_seconds": _processor() - before}
    return found


def _processor() -> float:
    usages = (getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _attempt(runtime: str, wanted: Wanted, folder: Path) -> str:
    """Why it could not be made; empty where it was."""
    try:
        MAKERS[runtime](wanted, folder)
    except (UserError, Died, ValueError) as problem:
        return str(problem)
    except Exception as problem:
        return f"{type(problem).__name__}: {' '.join(str(problem).split())[:300]}"
    return ""


def _trace(wanted: Wanted, folder: Path) -> None:
    import torch

    made = network(wanted)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # tracing warns of shapes that it takes for constants; outputs are compared
        trace: Any = torch.jit.trace
        traced = trace(made.module, made.inputs(2), check_trace=False)
        torch.jit.save(torch.jit.freeze(traced), str(folder / ARTIFACTS["torchscript"]))


def _exported(wanted: Wanted) -> "ExportedProgram":
    """The graph for any batch; exported with 2, since a batch of 1 would be taken for a constant."""
    import torch

    made = network(wanted)
    inputs = made.inputs(2)
    batch = torch.export.Dim("batch", min=1, max=4096)
    return torch.export.export(made.module, inputs, dynamic_shapes=_shapes(made.module, inputs, batch))


def _shapes(module: Any, inputs: Sequence[Any], batch: Any) -> Any:
    """The first dimension of every input is the batch; `forward(*args)` takes its shapes in one more tuple."""
    import inspect

    shapes = tuple({0: batch} for _ in inputs)
    kinds = [one.kind for one in inspect.signature(module.forward).parameters.values()]
    return (shapes,) if inspect.Parameter.VAR_POSITIONAL in kinds else shapes


def _onnx(wanted: Wanted, folder: Path) -> None:
    import onnx
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision, which is not needed, is absent
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # and of every constant that it cannot fold
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(_exported(wanted), verbose=False, dynamo=True, external_data=False)
    assert program is not None
    path = folder / ARTIFACTS["onnxruntime"]
    program.save(path, external_data=False)
    model = onnx.load(path)
    for node in model.graph.node:  # each names the lines of source, with paths of this machine
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.save(model, path)


def _weights(wanted: Wanted, folder: Path) -> None:
    from safetensors.torch import save_file

    module = network(wanted).module
    save_file({name: one.contiguous() for name, one in module.state_dict().items()}, folder / ARTIFACTS["jax"])


def _package(wanted: Wanted, folder: Path) -> None:
    """Compile ahead in a process of its own, with a cache of its own."""
    given = json.dumps([wanted.name, wanted.kind, wanted.where])
    command = [sys.executable, "-m", "tasks.framework_tax.building", given, str(folder)]
    with tempfile.TemporaryDirectory() as scratch:
        variables = os.environ | environment(1, Path(scratch))
        try:
            done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired as problem:
            raise Died(f"it was not compiled within {PATIENCE:.0f} s") from problem
    if done.returncode:
        raise Died((done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"])[-1][:300])


def _compile_ahead(wanted: Wanted, folder: Path) -> None:
    import torch
    from torch._inductor import metrics

    torch.set_num_threads(1)
    program = _exported(wanted)
    torch._inductor.aoti_compile_and_package(program, package_path=str(folder / ARTIFACTS["aotinductor"]))
    compiled = {"kernels": {"generated kernels": metrics.generated_kernel_count}}
    write_json(folder / "compiled.json", compiled | {"precision": precision_of(program.state_dict.values())})


def _cache(wanted: Wanted, folder: Path) -> None:
    """Fill inductor's cache with the graphs for a batch of 1, which torch takes for a constant, and for any other.

    By the process that reads it: what else a process has imported gets into the keys of the cache.
    """
    with tempfile.TemporaryDirectory() as scratch:
        process = Process("compile", 1, True, Path(scratch))
        try:
            process.ask("start")
            for batch in (1, 2):
                shared = Path(scratch) / str(batch)
                shared.mkdir()
                process.ask("prepare", wanted, batch, "", str(shared), 0.0, 0.0)
        finally:
            process.close()
        shutil.copytree(Path(scratch) / CACHE, folder / CACHE)


MAKERS: dict[str, Callable[[Wanted, Path], None]] = {
    "torchscript": _trace,
    "onnxruntime": _onnx,
    "jax": _weights,
    "aotinductor": _package,
    "compile": _cache,
}

if __name__ == "__main__":
    _compile_ahead(Wanted(*json.loads(sys.argv[1])), Path(sys.argv[2]))
