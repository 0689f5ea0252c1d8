"""One process of a ring: its share of a batch, forward and back, reduced inline and in buckets.

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
    size, width, batch = order["size"], order["width"], order["batch"]
    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((size * batch, width)), draw.integers(0, 10, size * batch)
    whole = _model(width)
    _pass(whole, x, y)
    expected = [p.grad.numpy() for p in whole.parameters() if p.grad is not None]
    total = sum(gradient.nbytes for gradient in expected)
    found = {}
    for reducing in ("inline", "bucketed"):
        meeting = Path(order["folder"]) / reducing
        meeting.mkdir(exist_ok=True)
        ring: Collective = (
            SocketRing(rank, size, meeting) if order["kind"] == "sockets" else SharedMemoryRing(rank, size, meeting)
        )
        made = _model(width)
        reducer: Reducer = (
            InlineReducer(ring, made.parameters())
            if reducing == "inline"
            else BucketedReducer(ring, made.parameters(), order["bucket"])
        )
        share = slice(rank * batch, (rank + 1) * batch)
        seconds = []
        for _ in range(order["repetitions"]):
            for parameter in made.parameters():
                parameter.grad = None
            ring.barrier()
            began = time.perf_counter()
            _pass(made, x[share], y[share])
            reducer.finish()
            seconds.append(time.perf_counter() - began)
        sent, calls = ring.bytes_sent / order["repetitions"], ring.calls / order["repetitions"]
        own = [p.grad.numpy() for p in made.parameters() if p.grad is not None]
        error = max(float(np.abs(a - b).max()) for a, b in zip(own, expected, strict=True))
        errors = np.zeros(size)
        errors[rank] = error
        ring.all_reduce(errors)
        ring.barrier()
        ring.close()
        formula = 2 * (size - 1) / size * total
        found[reducing] = {
            "seconds": seconds,
            "calls": calls,
            "error": float(errors.max()),
            "bytes": sent / formula - 1,
        }
    if rank == 0:
        (Path(order["folder"]) / "found.json").write_text(json.dumps(found))


def _model(width: int) -> Any:
    """Four layers in float64, from the same seed in every process; all lengths are multiples of 4."""
    ft.active.backend.seed(0)
    layers = [one for _ in range(3) for one in (nn.Linear(width, width), nn.GELU())]
    made = nn.Sequential(*layers, nn.Linear(width, 12))
    for _, one in made.named_tensors():
        one.data = one.data.astype(np.float64)
    return made


def _pass(made: Any, x: Any, y: Any) -> None:
    nn.functional.cross_entropy(made(ft.tensor(x)), ft.tensor(y)).backward()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), int(sys.argv[2]))
