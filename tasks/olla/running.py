"""Run plans for real: bit for bit the same, with the bytes of the real run beside those that were planned."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Index, config
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.olla.names import MIB, named

if TYPE_CHECKING:
    from torch import Tensor

    from models.olla.run import Arena
    from models.olla.trace import Traced
    from models.olla.training import Training

Row = dict[str, Any]


@config
class Running:
    """One graph to run, with a smaller size where the published one would need too much memory.

    `shown` is how many operators are listed by the bytes that they compute outside of the arena.
    """

    graph: str = "resnet18-8-sgd-64"
    shown: Count = 6
    seed: Index = 0


@measures(
    unequal="tensors of outputs, weights and state that differ in any bit from PyTorch's own step, by run",
    tensors="tensors that were compared",
    planned_mib="MiB that the plan foretells for the storages that the step creates, by run",
    measured_mib="MiB of storages that the real run created, at their peak, seen by a dispatch mode",
    peak_error="measured over foretold peak, minus 1",
    run_arena_mib="MiB of the arena in which the step ran",
    outside_share="share of the created bytes that operators computed outside of the arena and copied in",
    outside_mib="MiB that were computed outside over a step, by operator",
    outside_peak_mib="MiB outside at one time, at most",
)
def run_network(*, config: Running, out: Path) -> None:
    """Write metrics.json: a row a run (traced, reordered, in the arena), and the bytes outside by operator."""
    import torch

    from models.olla.planning import plan_graph
    from models.olla.run import Arena, reordered
    from models.olla.trace import trace
    from models.olla.zoo import training_of

    name = named(config.graph)
    torch.manual_seed(config.seed)
    made = training_of(name.network, name.batch, name.optimizer, name.size)  # type: ignore[arg-type]
    traced = trace(made.step, made.inputs, made.roles)
    plan = plan_graph(traced.graph)
    arena = Arena(traced, plan.ordered.order, plan.placed.addresses)
    expected, eager_peak = _after(made.step, made.inputs, config.seed)
    runs: dict[str, tuple[Callable[..., Any], int]] = {
        "traced": (traced.module, plan.pytorch_peak),
        "reordered": (reordered(traced, plan.ordered.order), plan.ordered.peak),
        "arena": (arena, plan.placed.arena),
    }
    rows: list[Row] = [name.labels | _peak("eager", plan.pytorch_peak, eager_peak)]
    for run, (step, foretold) in runs.items():
        found, peak = _after(step, made.inputs, config.seed)
        differ = sum(not torch.equal(one, other) for one, other in zip(found, expected, strict=True))
        row = name.labels | {"run": run, "unequal": differ, "tensors": len(expected)}
        rows.append(row | (_peak(run, foretold, peak) if run != "arena" else {}))
    rows += _outside(arena, traced, made, config)
    write_json(out / "metrics.json", rows)
    spool.note(f"{sum(row.get('unequal', 0) for row in rows)} of {len(expected)} tensors differ.")


def _peak(run: str, foretold: int, measured: int) -> Row:
    error = measured / foretold - 1
    return {"run": run, "planned_mib": foretold / MIB, "measured_mib": measured / MIB, "peak_error": error}


def _after(step: Callable[..., Any], inputs: "Sequence[Tensor]", seed: int) -> "tuple[list[Tensor], int]":
    """What a step gives and leaves in its inputs, and the peak of the storages that it created."""
    import torch

    own = [one.clone() for one in inputs]
    torch.manual_seed(seed + 1)
    with StoragePeak(own) as seen:
        made = step(*own)
        made = [made.detach()] if isinstance(made, torch.Tensor) else [one.detach() for one in made]
    return [*(one.clone() for one in made), *own], seen.peak


class StoragePeak:
    """Counts the bytes of storages that operators create while it is entered, each until nothing holds it.

    It knows nothing of graphs: a mode of torch's dispatcher sees every operator's results.
    """

    def __init__(self, known: "Sequence[Tensor]") -> None:
        self._known = {one.untyped_storage()._cdata for one in known}
        self._mode: Any = None
        self.live = self.peak = 0

    def __enter__(self) -> "StoragePeak":
        import weakref

        import torch
        from torch.utils import _pytree as pytree
        from torch.utils._python_dispatch import TorchDispatchMode

        outer = self
        seen: set[int] = set()

        class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
            def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                made = function(*args, **(kwargs or {}))
                for one in pytree.tree_leaves(made):
                    if isinstance(one, torch.Tensor):
                        storage = one.untyped_storage()
                        key = storage._cdata
                        if key not in seen and key not in outer._known:
                            seen.add(key)
                            size = storage.nbytes()
                            outer.live += size
                            weakref.finalize(storage, outer._gone, key, size, seen)
                outer.peak = max(outer.peak, outer.live)
                return made

        self._mode = Watch()  # type: ignore[no-untyped-call]
        self._mode.__enter__()
        return self

    def _gone(self, key: int, size: int, seen: set[int]) -> None:
        seen.discard(key)
        self.live -= size

    def __exit__(self, *problem: object) -> None:
        self._mode.__exit__(*problem)


def _outside(arena: "Arena", traced: "Traced", made: "Training", config: Running) -> list[Row]:
    """The bytes that were computed elsewhere and copied into the arena, by operator."""
    labels = named(config.graph).labels
    report = arena.run(*(one.clone() for one in made.inputs))
    total = sum(traced.graph.storages[storage].size for storage in traced.graph.created)
    outside = sum(report.outside.values())
    rows: list[Row] = [
        labels
        | {
            "arena": "planned",
            "run_arena_mib": report.arena_bytes / MIB,
            "outside_share": outside / total,
            "outside_peak_mib": report.outside_peak / MIB,
        }
    ]
    most = sorted(report.outside.items(), key=lambda item: (-item[1], item[0]))[: config.shown]
    return rows + [labels | {"operator": target, "outside_mib": size / MIB} for target, size in most if size]
