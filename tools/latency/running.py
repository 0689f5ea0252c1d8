"""A model of one's own, built, timed on every runtime and judged; and two answers side by side."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from flows.engine.console import console
from tasks.base.errors import UserError
from tasks.framework_tax.arms import RUNTIMES
from tasks.framework_tax.blocks import Plan, Point, measure
from tasks.framework_tax.building import make
from tasks.framework_tax.measuring import NEEDED
from tasks.framework_tax.networks import Wanted
from tasks.framework_tax.runtimes import missing
from tasks.timing.machine import alone, kernels
from tools.latency import answer as answers
from tools.latency.comparison import LEAST, compare
from tools.latency.page import write_page

WITHOUT_TORCH = ("onnxruntime", "openvino")
"""The runtimes that read an ONNX file."""


def time_model(model: str, batch: str, runtimes: str, threads: int, blocks: int, out: Path, page: Path) -> None:
    """Time the model that is named, write the answer as JSON and as a page, and show it.

    Raises:
        UserError: the model, the batches or the runtimes cannot be taken, or nothing could be timed.
    """
    if not model:
        raise UserError("Name your model: my_module:build, a Hugging Face folder or an ONNX file.")
    for path in (out, page):
        if path.is_dir() or not path.resolve().parent.is_dir():
            raise UserError(f"{path} cannot be written: name a file in a folder that is there.")
    batches, wanted = _batches(batch), _wanted(model)
    chosen = _runtimes(runtimes, wanted)
    found = _measured(wanted, chosen, batches, threads, blocks)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    write_page(found, model, page)
    _show(found)
    console.print(f"Wrote {out} and {page}.", markup=False)
    if not found["latency_ms"]:
        raise UserError("Nothing could be timed.")


def _batches(text: str) -> list[int]:
    try:
        found = sorted({int(one) for one in text.split(",")})
    except ValueError:
        found = [0]
    if found[0] < 1:
        raise UserError(f"{text} are no batches, such as 1,8,64.")
    return found


def _wanted(model: str) -> Wanted:
    """What the user named."""
    path = Path(model)
    if path.is_dir():
        return Wanted(path.resolve().name, "folder", str(path.resolve()))
    if path.suffix == ".onnx":
        if not path.is_file():
            raise UserError(f"There is no file {model}.")
        return Wanted(path.stem, "onnx", str(path.resolve()))
    if ":" not in model:
        raise UserError(f"{model} is no folder, no ONNX file, and not of the form my_module:build.")
    from tools.plan_memory.building import builder

    builder(model, wanted="a function is to return (module, inputs)")
    return Wanted(model, "function", str(Path.cwd()))


def _runtimes(text: str, wanted: Wanted) -> list[str]:
    """The chosen runtimes, eager among them wherever it can be, for it is what the others are held against."""
    every = WITHOUT_TORCH if wanted.kind == "onnx" else tuple(one for one in RUNTIMES if one != "jax")
    asked = [one.strip() for one in text.split(",") if one.strip()]
    if unknown := [one for one in asked if one not in every]:
        what = "An ONNX file runs on" if wanted.kind == "onnx" else "There are"
        raise UserError(f"{unknown[0]} cannot be asked for. {what} {', '.join(every)}.")
    leader = every[0]
    chosen = [one for one in every if one in asked or not asked or one == leader]
    if reason := missing(leader):
        raise UserError(f"Outputs are held against those of {leader}, and {reason}.")
    return chosen


def _measured(
    wanted: Wanted, runtimes: Sequence[str], batches: Sequence[int], threads: int, blocks: int
) -> dict[str, Any]:
    """Build, time and judge."""
    with tempfile.TemporaryDirectory() as folder:
        artifacts = Path(folder) / "built"
        mflops = None
        if wanted.kind != "onnx":
            console.print("Building what the runtimes read …", markup=False)
            mflops = _mflops(wanted)
            make(wanted, runtimes, artifacts)
        console.print(f"Timing {len(batches)} batches on {len(runtimes)} runtimes in {blocks} blocks …", markup=False)
        points = [Point(wanted.name, runtime, one) for runtime in runtimes for one in batches]
        with alone(needed=max(NEEDED, threads)) as busy:
            record = measure(
                points, {wanted.name: wanted}, {wanted.name: artifacts}, Plan(threads, blocks, 0.2, 0.01, 0)
            )
        record |= {"machine": kernels(), "busy": busy}
    return answers.answer(record, mflops) | {"model": wanted.name, "record": record}


def _mflops(wanted: Wanted) -> float | None:
    """Operations of a batch of 1.

    Raises:
        UserError: the model cannot be built or run at all.
    """
    from models.framework_tax.flops import count
    from tasks.framework_tax.networks import network
    from tools.plan_memory.building import described

    try:
        made = network(wanted)
        return count(made.module, made.inputs(1)) / 1e6
    except UserError:
        raise
    except Exception as problem:
        raise UserError(f"The model cannot be built or run: {described(problem)}.") from problem


def _show(found: Mapping[str, Any]) -> None:
    clock = "processor time" if found["clock"] == "cpu" else "wall clock"
    batches = list(found["ranking"])
    table = Table(f"milliseconds, {clock}", *(f"batch {one}" for one in batches), "fixed at " + (batches or ["–"])[0])
    for runtime, own in found["latency_ms"].items():
        cells = [f"{own[b][0]:.3g} [{own[b][1]:.3g}, {own[b][2]:.3g}]" if b in own else "–" for b in batches]
        regime = found["regimes"].get(runtime, {}).get(batches[0])
        table.add_row(runtime, *cells, f"{regime['fixed'][0]:.0%}" if regime else "–")
    console.print(table)
    if found["withheld"]:
        console.print(f"[yellow]No ranking is to be read off this:[/] {found['withheld']}.")
    for one in found["advice"]:
        console.print(one, markup=False)
    for kind in ("failed", "void"):
        reasons = {(one["runtime"], one["reason"]): [] for one in found[kind]}  # type: ignore[var-annotated]
        for one in found[kind]:
            reasons[one["runtime"], one["reason"]].append(str(one["batch"]))
        for (runtime, reason), own in reasons.items():
            console.print(f"{runtime} at batch {', '.join(own)}: {reason}", markup=False)


def show_changes(paths: tuple[Path, Path]) -> bool:
    """Show what changed between two answers; whether anything became slower."""
    changes = compare(*paths)
    table = Table("runtime", "batch", "times as long", "95 % interval", "")
    for one in changes:
        table.add_row(one.runtime, str(one.batch), f"{one.ratio:.3f}", f"[{one.low:.3f}, {one.high:.3f}]", one.verdict)
    console.print(table)
    console.print(
        "Intervals hold for all points at once, and are of either run's blocks: a machine in another state, or other "
        f"processes, are in none of them. Less than {LEAST:.0%} is called no change.",
        markup=False,
    )
    return any(one.verdict == "slower" for one in changes)
