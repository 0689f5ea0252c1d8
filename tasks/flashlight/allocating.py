"""Real trainings record what they ask of memory; every manager replays it, and serves one training for real."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, config
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.flashlight.networks import named, own, passes

if TYPE_CHECKING:
    from models.tensor.memory import Event, MemoryManager, Replayed

Row = dict[str, Any]
MIB = 2**20


@config
class Allocating:
    """A network whose training is recorded, how many steps of it, and the split limits that are tried, in MiB."""

    network: str = "mlp-64-512"
    steps: Count = 4
    limits: tuple[Count, ...] = (1, 2, 4, 8)


@measures(
    requests="requests of the recorded training",
    live_mib="MiB live at the peak",
    reserved_mib="MiB reserved at the peak, by manager",
    fragmentation="share of reserved bytes that were not live when they first peaked, by manager",
    limit_mib="the split limit that was best on the first half of the steps, MiB",
    reduction="share of the fragmentation that this limit takes away, on the whole training",
    unequal="weights that differ by a bit when a manager serves the training for real, by manager",
)
def allocate(*, config: Allocating, out: Path) -> None:
    """Write metrics.json and examples.parquet (the reduction, one row)."""

    import pyarrow
    import pyarrow.parquet

    from models.tensor.memory import Arena, Caching, Naive, Recorder, plan, replay

    labels = named(config.network).labels
    recorder = Recorder()
    weights = _trained(config, recorder)
    events = list(recorder.events)
    starts = [at for at, event in enumerate(events) if event.kind == "step"]
    first = events[: starts[len(starts) // 2]]
    limit = min(config.limits, key=lambda one: (_reserved(first, one * MIB), -one))
    planned = plan(events)
    managers: dict[str, MemoryManager] = {
        "naive": Naive(),
        "caching": Caching(),
        "caching, split limit": Caching(split_limit=limit * MIB),
        "arena": Arena(planned),
    }
    rows: list[Row] = [labels | {"requests": sum(event.kind == "allocate" for event in events)}]
    found: dict[str, Replayed] = {}
    for name, manager in managers.items():
        found[name] = replay(events, manager)
        seen = {"reserved_mib": found[name].peak_reserved / MIB, "fragmentation": found[name].fragmentation}
        rows.append(labels | {"manager": name} | seen)
    served: dict[str, MemoryManager] = {
        "caching": Caching(),
        "caching, split limit": Caching(split_limit=limit * MIB),
        "arena": Arena(planned),
    }
    for name, manager in served.items():
        again = _trained(config, manager)
        rows.append(labels | {"manager": name, "unequal": int((weights != again).sum())})
    plain, limited = (found[name].fragmentation for name in ("caching", "caching, split limit"))
    reduction = labels | {"reduction": 1 - limited / plain if plain else 0.0}
    rows += [reduction, labels | {"limit_mib": limit, "live_mib": found["naive"].peak_live / MIB}]
    write_json(out / "metrics.json", rows)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([reduction]), out / "examples.parquet")


def _reserved(events: "Sequence[Event]", limit: int) -> int:
    from models.tensor.memory import Caching, replay

    return replay(events, Caching(split_limit=limit)).peak_reserved


def _trained(config: Allocating, manager: "MemoryManager") -> Any:
    """All weights after a training whose results lie in a manager's memory."""

    import numpy as np

    from models.tensor import optimizers, using
    from models.tensor.memory import ManagedBackend

    with using(ManagedBackend(manager)):
        made = own(config.network)
        step = passes(made, optimizers.Adam(made.model.parameters(), 1e-3))
        for _ in range(config.steps):
            manager.step()
            step()
        return np.concatenate([p.numpy().ravel().copy() for p in made.model.parameters()])


@config
class Summary:
    """Nothing to choose."""


@measures(
    much_less="share of networks whose fragmentation the split limit takes a fifth or more of",
    arena_better="share of networks on which the planned arena reserves less than the caching manager",
    unequal_weights="weights that any manager changed, over all networks",
)
def summarise(*, allocated: dict[str, Path], config: Summary, out: Path) -> None:
    """Write metrics.json: what holds over all networks."""
    import json

    networks = [json.loads((folder / "metrics.json").read_text()) for folder in allocated.values()]
    much = better = unequal = 0
    for rows in networks:
        reserved = {row["manager"]: row["reserved_mib"] for row in rows if "reserved_mib" in row}
        better += reserved["arena"] < reserved["caching"]
        much += next(row["reduction"] for row in rows if "reduction" in row) >= 0.20
        unequal += sum(row["unequal"] for row in rows if "unequal" in row)
    shares = {"much_less": much / len(networks), "arena_better": better / len(networks), "unequal_weights": unequal}
    write_json(out / "metrics.json", [{"over": "all networks", **shares}])
