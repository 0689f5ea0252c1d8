"""The share of a call in eager PyTorch that is not its kernels', by two methods that share no estimator, and a third.

The affine fit needs clocks alone: it finds what does not grow with the batch, in a process that does nothing else. The
profile needs one batch alone: it finds what is not in operators that compute, in a process of its own. What is fixed
need not be the framework's (weights are read, small kernels are slow), and both are shown; the kernels' replay says
which of them is nearer.
"""

import random
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from models.config import Count, Index, Positive, config
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.framework_tax.blocks import Died, Process
from tasks.framework_tax.measuring import NEEDED, untimed
from tasks.framework_tax.networks import Wanted, names_of, wanted
from tasks.timing.machine import alone

Row = dict[str, Any]

FITTED, PROFILED, HOOKED, DELAYED = "eager", "eager, again", "eager, hooked", "eager, delayed"
"""A process each: for the clock alone, for profile and replay, and for both of those with a delay that was planted."""

SMALL = 16
"""The largest batch of the affine fit."""
MISFIT = 0.1
"""Above this root mean square of relative errors latency is not affine, and the fit says nothing."""
UNLISTED = 0.02
"""Above this share of self time in operators of neither list the profile says nothing."""

LONGEST = 0.2
"""Seconds of a profile at most, unless three calls take longer."""


@config
class Taxing:
    """Networks by name, apart by spaces; batches at which the kernels are timed, those up to 16 for the affine fit.

    `blocks` are how often everything is repeated; in each, `calls` are profiled and every kernel is run in
    `rounds` of `kernel` seconds. `planted` is the network that is also profiled with a delay before every layer.
    """

    networks: str
    batches: tuple[Count, ...] = (1, 2, 4, 8, 16)
    fitted: bool = True
    planted: str = "encoder-64-4"
    blocks: Count = 8
    calls: Count = 20
    rounds: Count = 3
    kernel: Positive = 0.002
    settle: Positive = 0.2
    least: Positive = 0.01
    seed: Index = 0


@measures(
    tax="share of a call's processor time outside kernels, or that does not grow with the batch, block by block, by "
    "method",
    tax_apart="the share that does not grow with the batch less that outside kernels, at batch 1",
    from_replay="by how much a method's share differs from the replay's, at batch 1",
    profile_cost="what profiling adds to a call, as a share of the call",
    unlisted="share of the profile's self time in operators of neither list",
    misfit="root mean square of the affine fit's relative errors",
    fixed_ms="milliseconds of a call that do not grow with the batch, by the affine fit",
    each_ms="milliseconds that one more example takes, by the affine fit",
    in_kernels="share of a planted delay that is taken for kernels, at batch 1, block by block, by method",
)
def tax(*, trained: dict[str, Path] | None = None, config: Taxing, out: Path) -> None:
    """Write metrics.json: a row a block, network, batch and method.

    Args:
        trained: folders of trained weights, by network.
    """
    rows: list[Row] = []
    names = names_of(config.networks)
    planted = config.fitted and config.planted in names
    arms = (FITTED, PROFILED, *((HOOKED, DELAYED) if planted else ()))
    draw = random.Random(config.seed)
    with tempfile.TemporaryDirectory() as folder, alone(needed=NEEDED) as busy:
        processes = {arm: Process(arm, 1, arm == FITTED, Path(folder)) for arm in arms}
        try:
            for process in processes.values():
                process.ask("start")
                process.ask("pin")
            for name in names:
                taxed = _Network(processes, wanted(name, trained), config, Path(folder))
                try:
                    rows += taxed.rows(draw)
                    if planted and name == config.planted:
                        rows += taxed.planted()
                except ValueError as problem:
                    rows.append({"network": name, "failed": str(problem)})
                    spool.note(f"{name}: {problem}")
        except Died as problem:
            rows.append({"failed": str(problem)})
            spool.note(f"eager: {problem}")
        finally:
            for process in processes.values():
                process.close()
    rows = [row | busy for row in rows]
    write_json(out / "metrics.json", rows + untimed(tax, rows))


class _Network:
    def __init__(self, processes: Mapping[str, Process], asked: Wanted, config: Taxing, scratch: Path) -> None:
        self.processes, self.asked, self.config, self.scratch = processes, asked, config, scratch
        self.name = asked.name

    def rows(self, draw: random.Random) -> list[Row]:
        calls = {batch: self._prepare(batch, (FITTED, PROFILED)) for batch in self.config.batches}
        found = [row for block in range(self.config.blocks) for row in self._block(block, calls, draw)]
        misfits = [row["misfit"] for row in found if "misfit" in row]
        without = set()
        if misfits and median(misfits) > MISFIT:
            without.add("affine")
            spool.note(f"{self.name}: latency is not affine in the batch, by {median(misfits):.0%}")
        unlisted = [row["unlisted"] for row in found if "unlisted" in row]
        if median(unlisted) > UNLISTED:
            without |= {"profile", "profile, its cost left in"}
            spool.note(f"{self.name}: {median(unlisted):.0%} of the profile are operators of neither list")
        labels = {"network": self.name}
        return [row for row in found if row.get("method") not in without and not (without and "tax_apart" in row)] + [
            labels | {"method": method, "failed": "it says nothing of this network"} for method in sorted(without)
        ]

    def _prepare(self, batch: int, arms: tuple[str, ...]) -> int:
        """How many calls a block has."""
        shared = self.scratch / f"{self.name}-{batch}"
        shared.mkdir(exist_ok=True)
        seen = [
            self.processes[arm].ask(
                "prepare", self.asked, batch, "", str(shared), self.config.settle, self.config.least
            )
            for arm in arms
        ]
        return max(int(one["calls"]) for one in seen)

    def _block(self, block: int, calls: Mapping[int, int], draw: random.Random) -> list[Row]:
        from models.framework_tax.fits import affine

        plain: dict[int, float] = {}
        found: dict[int, dict[str, float]] = {batch: {} for batch in self.config.batches}
        labels = {"network": self.name, "block": block}
        rows: list[Row] = []
        work = [(batch, arm) for batch in self.config.batches for arm in (FITTED, PROFILED)]
        draw.shuffle(work)
        for batch, arm in work:
            if arm == FITTED:
                plain[batch] = self.processes[arm].ask("time", self.name, batch, calls[batch])[1]
                continue
            profiled, replayed = self._kernels(arm, batch)
            total = profiled["total"]
            found[batch] |= {
                "profile": _share(profiled["kernel"], total),
                "profile, its cost left in": _share(profiled["most"], total),
                "replay": _share(replayed, total),
            }
            seen = {"profile_cost": profiled["event_cost"] * profiled["events"] / total}
            rows.append(labels | {"batch": str(batch), "unlisted": profiled["unlisted"]} | seen)
        if self.config.fitted:
            small = [batch for batch in self.config.batches if batch <= SMALL]
            fit = affine(small, [plain[batch] for batch in small])
            rows.append(labels | {"fixed_ms": 1e3 * fit.fixed, "each_ms": 1e3 * fit.each, "misfit": fit.error})
            for batch in small:
                found[batch]["affine"] = fit.tax(batch)
        for batch, methods in found.items():
            for method, share in methods.items():
                series = {"taxed": f"{self.name}, {method}"}
                if not self.config.fitted:  # a template among others of its kind
                    kind, width, _ = self.name.split("-")
                    series = {"shaped": f"{kind}, {method}", "width": width}
                rows.append(labels | series | {"batch": str(batch), "method": method, "tax": share})
        return rows + _apart(labels, found[min(self.config.batches)])

    def _kernels(self, arm: str, batch: int) -> tuple[dict[str, Any], float]:
        """The profile of a call, and seconds of its kernels by the replay."""
        process = self.processes[arm]
        each = process.ask("time", self.name, batch, 1)[0]
        calls = max(3, min(self.config.calls, round(LONGEST / each)))
        profiled = process.ask("profile", self.name, batch, calls)
        replayed = process.ask("replay", self.name, batch, self.config.rounds, self.config.kernel)
        return profiled, float(replayed["kernel"])

    def planted(self) -> list[Row]:
        """How much of a planted delay each method takes for kernels: nothing, were it without error."""
        rows: list[Row] = []
        for arm in (HOOKED, DELAYED):
            seen = self.processes[arm].ask(
                "prepare",
                self.asked,
                1,
                "",
                str(self.scratch / f"{self.name}-1"),
                self.config.settle,
                self.config.least,
            )
        seconds = 1e-6 * seen["facts"]["planted_us"]
        for block in range(self.config.blocks):
            (hooked, first), (delayed, second) = (self._kernels(arm, 1) for arm in (HOOKED, DELAYED))
            for method, more in (("profile", delayed["kernel"] - hooked["kernel"]), ("replay", second - first)):
                rows.append(
                    {"network": self.name, "block": block, "method": method, "in_kernels": more / seconds},
                )
        return rows


def _share(kernel: float, total: float) -> float:
    """What is left to the framework; kernels that seem longer than the call leave it nothing."""
    return max(0.0, 1 - kernel / total)


def _apart(labels: Row, methods: Mapping[str, float]) -> list[Row]:
    if "affine" not in methods:
        return []
    rows: list[Row] = [
        labels | {"cost": cost, "tax_apart": methods["affine"] - methods[method]}
        for cost, method in (("taken off", "profile"), ("left in", "profile, its cost left in"))
    ]
    return rows + [labels | {"method": m, "from_replay": methods[m] - methods["replay"]} for m in ("affine", "profile")]
