"""One process of a ring: its share of a batch, forward and back, reduced inline and in buckets by turns.

    python -m tasks.flashlight.ring_process ORDER.json RANK

The first one writes found.json into the folder of the order.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from models import tensor as ft
from models.tensor import nn
from models.tensor.distributed import BucketedReducer, Collective, InlineReducer, Reducer, SharedMemoryRing, SocketRing


def main(order: dict[str, Any], rank: int) -> None:
    """Run one process of the ring."""
    size, batch, counted = order["size"], order["batch"], order["repetitions"]
    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((size * batch, order["width"])), draw.integers(0, 10, size * batch)
    whole = _model(order)
    _pass(whole, x, y)
    expected = [p.grad.numpy() for p in whole.parameters() if p.grad is not None]
    formula = 2 * (size - 1) / size * sum(gradient.nbytes for gradient in expected)
    share = slice(rank * batch, (rank + 1) * batch)
    arms = {name: _arm(name, order, rank) for name in ("inline", "bucketed")}
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    turns = order["warm_up"] + counted
    for turn in range(turns):
        for name in list(arms)[:: 1 if turn % 2 else -1]:  # the same order in every process
            ring, made, reducer = arms[name]
            for parameter in made.parameters():
                parameter.grad = None
            ring.barrier()
            began = time.perf_counter()
            _pass(made, x[share], y[share])
            reducer.finish()
            seconds[name].append(time.perf_counter() - began)
    found = {}
    for name, (ring, made, _) in arms.items():
        sent, calls = ring.bytes_sent / turns, ring.calls / turns
        own = [p.grad.numpy() for p in made.parameters() if p.grad is not None]
        errors = np.zeros(size)
        errors[rank] = max(float(np.abs(a - b).max()) for a, b in zip(own, expected, strict=True))
        ring.all_reduce(errors)
        ring.barrier()
        ring.close()
        found[name] = {
            "seconds": seconds[name][-counted:],
            "calls": calls,
            "error": float(errors.max()),
            "bytes": sent / formula - 1,
        }
    if rank == 0:
        (Path(order["folder"]) / "found.json").write_text(json.dumps(found))


def _arm(name: str, order: dict[str, Any], rank: int) -> tuple[Collective, Any, Reducer]:
    """A ring, a network and a reducer of their own."""
    meeting = Path(order["folder"]) / name
    meeting.mkdir(exist_ok=True)
    kind = SocketRing if order["kind"] == "sockets" else SharedMemoryRing
    ring: Collective = kind(rank, order["size"], meeting)
    made = _model(order)
    if name == "inline":
        return ring, made, InlineReducer(ring, made.parameters())
    return ring, made, BucketedReducer(ring, made.parameters(), order["bucket"])


def _model(order: dict[str, Any]) -> Any:
    """Layers in float64, from the same seed in every process; all lengths are multiples of 4."""
    ft.active.backend.seed(0)
    width = order["width"]
    layers = [one for _ in range(order["layers"]) for one in (nn.Linear(width, width), nn.GELU())]
    made = nn.Sequential(*layers, nn.Linear(width, 12))
    for _, one in made.named_tensors():
        one.data = one.data.astype(np.float64)
    return made


def _pass(made: Any, x: Any, y: Any) -> None:
    nn.functional.cross_entropy(made(ft.tensor(x)), ft.tensor(y)).backward()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), int(sys.argv[2]))
