"""The framework's share of a call in eager PyTorch, by two methods that share no code, and a third that decides.

The affine fit needs clocks alone: what does not grow with the batch is the framework's. The profile needs one batch
alone: what is not in operators that compute is the framework's. Where they disagree both are shown; the kernels' replay
says which of them is nearer.
"""

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from models.config import Count, Positive, config
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.framework_tax.blocks import Died, Process
from tasks.framework_tax.networks import Wanted, names_of, wanted
from tasks.timing.machine import alone

Row = dict[str, Any]

ARM = "eager"
SMALL = 16
"""The largest batch of the affine fit."""

PROFILED = 0.2
"""Seconds of a profile at most, unless three calls take longer."""


@config
class Taxing:
    """Networks by name, apart by spaces; batches at which the kernels are timed, those up to 16 for the affine fit.

    `blocks` are how often everything is repeated; in each, `calls` are profiled and every kernel is run in
    `rounds` of `kernel` seconds.
    """

    networks: str
    batches: tuple[Count, ...] = (1, 2, 4, 8, 16)
    fitted: bool = True
    blocks: Count = 8
    calls: Count = 20
    rounds: Count = 3
    kernel: Positive = 0.002
    settle: Positive = 0.2
    least: Positive = 0.01


@measures(
    tax="share of a call's processor time that is not in kernels, block by block, by method",
    tax_apart="tax by the affine fit less that by the profile, at batch 1",
    from_replay="by how much a method's tax differs from the replay's, at batch 1",
    profile_cost="what profiling adds to a call, as a share of the call",
    unlisted="share of the profile's self time in operators of neither list",
    fixed_ms="milliseconds of a call that do not grow with the batch, by the affine fit",
    each_ms="milliseconds that one more example takes, by the affine fit",
)
def tax(*, trained: dict[str, Path] | None = None, config: Taxing, out: Path) -> None:
    """Write metrics.json: a row a block, network, batch and method.

    Args:
        trained: folders of trained weights, by network.
    """
    rows: list[Row] = []
    if not config.networks:
        write_json(out / "metrics.json", rows)
        return
    with tempfile.TemporaryDirectory() as folder, alone() as busy:
        process = Process(ARM, 1, True, Path(folder))
        try:
            process.ask("start")
            for name in names_of(config.networks):
                try:
                    rows += _of_network(process, wanted(name, trained), config, Path(folder))
                except ValueError as problem:
                    spool.note(f"{name}: {problem}")
        except Died as problem:
            spool.note(f"eager: {problem}")
        finally:
            process.close()
    write_json(out / "metrics.json", [row | busy for row in rows])


def _of_network(process: Process, asked: Wanted, config: Taxing, scratch: Path) -> list[Row]:
    from models.framework_tax.fits import affine

    rows: list[Row] = []
    name = asked.name
    labels = {"network": name}
    for batch in config.batches:
        shared = scratch / f"{name}-{batch}"
        shared.mkdir(exist_ok=True)
        process.ask("prepare", asked, batch, "", str(shared), config.settle, config.least)
    for block in range(config.blocks):
        plain: dict[int, float] = {}
        for batch in config.batches:
            calls = max(1, min(200, round(config.least / _call(process, name, batch))))
            plain[batch] = process.ask("time", name, batch, calls)[1]
        found: dict[int, dict[str, float]] = {batch: {} for batch in config.batches}
        for batch, total in plain.items():
            calls = max(3, min(config.calls, round(PROFILED / total)))
            profiled = process.ask("profile", name, batch, calls, total)
            replayed = process.ask("replay", name, batch, config.rounds, config.kernel)
            found[batch] |= {"profile": _share(profiled["kernel"], total), "replay": _share(replayed["kernel"], total)}
            seen = {"profile_cost": profiled["event_cost"] * profiled["events"] / total}
            rows.append(labels | {"batch": str(batch), "block": block, "unlisted": profiled["unlisted"]} | seen)
        if config.fitted:
            small = [batch for batch in config.batches if batch <= SMALL]
            fit = affine(small, [plain[batch] for batch in small])
            rows.append(labels | {"block": block, "fixed_ms": 1e3 * fit.fixed, "each_ms": 1e3 * fit.each})
            for batch in small:
                found[batch]["affine"] = fit.tax(batch)
        for batch, methods in found.items():
            for method, share in methods.items():
                series = {"taxed": f"{name}, {method}"}
                if not config.fitted:  # a template among others of its kind
                    kind, width, _ = name.split("-")
                    series = {"shaped": f"{kind}, {method}", "width": width}
                rows.append(labels | series | {"batch": str(batch), "method": method, "block": block, "tax": share})
        rows += _apart(labels | {"block": block}, found[min(config.batches)])
    return rows


def _call(process: Process, name: str, batch: int) -> float:
    seconds: float = process.ask("time", name, batch, 1)[0]
    return seconds


def _share(kernel: float, total: float) -> float:
    """What is left to the framework; kernels that seem longer than the call leave it nothing."""
    return max(0.0, 1 - kernel / total)


def _apart(labels: Row, methods: dict[str, float]) -> list[Row]:
    if "affine" not in methods:
        return []
    rows = [labels | {"tax_apart": methods["affine"] - methods["profile"]}]
    return rows + [labels | {"method": m, "from_replay": methods[m] - methods["replay"]} for m in ("affine", "profile")]


def of_method(rows: list[Row], network: str, batch: int, method: str) -> float:
    """The median over blocks of a tax; NaN where there is none."""
    found = [
        row["tax"]
        for row in rows
        if "tax" in row and (row["network"], row["batch"], row["method"]) == (network, str(batch), method)
    ]
    return median(found) if found else float("nan")
