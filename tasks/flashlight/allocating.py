"""Real trainings record what they ask of memory; every manager replays it, and serves one training for real."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, config
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.flashlight.networks import named, own, passes

if TYPE_CHECKING:
    from models.tensor.memory import Caching, MemoryManager, Plan, Replayed

Row = dict[str, Any]
MIB = 2**20
SCALED, LIMITED = "caching, scaled", "caching, scaled, split limit"


@config
class Allocating:
    """A network whose training is recorded, how many steps of it, and the split limits that are tried.

    The networks are far smaller than those for which PyTorch's allocator was made, most of whose requests lie above its
    segments of 20 MiB: `scale` divides all of its sizes, and the limits, which are MiB of the allocator as it is.
    """

    network: str = "mlp-64-512"
    steps: Count = 4
    scale: Count = 16
    limits: tuple[Count, ...] = (24, 32, 64, 128)


@measures(
    requests="requests of the recorded training",
    live_mib="MiB live at the peak of the second half of the steps",
    reserved_mib="MiB reserved at its peak, by manager",
    fragmentation="share of these by which they exceed the peak of what is live, by manager",
    limit_mib="the split limit that reserved least in the first half of the steps, MiB of the allocator as it is",
    reduction="share of the fragmentation that this limit takes away in the second half",
    unequal="weights that differ by a bit when a manager serves the training for real, by manager",
)
def allocate(*, config: Allocating, out: Path) -> None:
    """Write metrics.json and examples.parquet (the reduction, one row).

    The limit and the arena's plan come from the first half of the steps; all figures are of the second.
    """

    import pyarrow
    import pyarrow.parquet

    from models.tensor.memory import Naive, Recorder, plan, replay

    labels = named(config.network).labels
    recorder = Recorder()
    weights = trained(config.network, config.steps, recorder)
    events = list(recorder.events)
    starts = [at for at, event in enumerate(events) if event.kind == "step"]
    half = starts[len(starts) // 2]
    first = events[: half + 1]  # with the start that ends its last step
    limit = min(config.limits, key=lambda one: (replay(first, _limited(one, config.scale)).peak_reserved, -one))
    planned = plan(first)
    rows: list[Row] = [labels | {"requests": sum(event.kind == "allocate" for event in events)}]
    found: dict[str, Replayed] = {}
    for name, manager in ({"naive": Naive()} | _managers(limit, config.scale, planned)).items():
        found[name] = replay(events, manager, since=half)
        seen = {"reserved_mib": found[name].peak_reserved / MIB, "fragmentation": found[name].never_live}
        rows.append(labels | {"manager": name} | seen)
    for name, manager in _managers(limit, config.scale, planned).items():
        again = trained(config.network, config.steps, manager)
        rows.append(labels | {"manager": name, "unequal": int((weights != again).sum())})
    plain, limited = (found[name].never_live for name in (SCALED, LIMITED))
    reduction = labels | {"reduction": 1 - limited / plain if plain else 0.0}
    rows += [reduction, labels | {"limit_mib": limit, "live_mib": found["naive"].peak_live / MIB}]
    write_json(out / "metrics.json", rows)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([reduction]), out / "examples.parquet")


def _limited(limit: int, scale: int) -> "Caching":
    from models.tensor.memory import Caching

    return Caching(split_limit=limit * MIB // scale, scale=scale)


def _managers(limit: int, scale: int, planned: "Plan") -> "dict[str, MemoryManager]":
    """All but the naive one, anew; what outlives a step lies in the arena's own scaled caching manager."""
    from models.tensor.memory import Arena, Caching

    return {
        "caching": Caching(),
        SCALED: Caching(scale=scale),
        LIMITED: _limited(limit, scale),
        "arena": Arena(planned, Caching(scale=scale)),
    }


def trained(network: str, steps: int, manager: "MemoryManager") -> Any:
    """All weights after a training with Adam whose results lie in a manager's memory."""

    import numpy as np

    from models.tensor import optimizers, using
    from models.tensor.memory import ManagedBackend

    with using(ManagedBackend(manager)):
        made = own(network)
        step = passes(made, optimizers.Adam(made.model.parameters(), 1e-3))
        for _ in range(steps):
            manager.step()
            step()
        return np.concatenate([p.numpy().ravel().copy() for p in made.model.parameters()])


@config
class Summary:
    """Nothing to choose."""


@measures(
    much_less="share of networks whose fragmentation the split limit takes a fifth or more of",
    arena_better="share of networks on which the planned arena reserves less than the caching manager, scaled or not",
    unequal_weights="weights that any manager changed, over all networks",
)
def summarise(*, allocated: dict[str, Path], config: Summary, out: Path) -> None:
    """Write metrics.json: what holds over all networks."""
    import json

    networks = [json.loads((folder / "metrics.json").read_text()) for folder in allocated.values()]
    much = better = unequal = 0
    for rows in networks:
        reserved = {row["manager"]: row["reserved_mib"] for row in rows if "reserved_mib" in row}
        better += reserved["arena"] < min(reserved["caching"], reserved[SCALED])
        much += next(row["reduction"] for row in rows if "reduction" in row) >= 0.20
        unequal += sum(row["unequal"] for row in rows if "unequal" in row)
    shares = {"much_less": much / len(networks), "arena_better": better / len(networks), "unequal_weights": unequal}
    write_json(out / "metrics.json", [{"over": "all networks", **shares}])
