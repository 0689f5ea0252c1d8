"""Processes, sockets and shared memory, all real: gradients are those of one large batch, bytes those of theory."""

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import tensor as ft
from models.tensor import nn
from models.tensor.distributed import BucketedReducer, Collective, InlineReducer, Reducer, SharedMemoryRing, SocketRing

SLOT = 40_000
"""Bytes: smaller than the parts, so that they go in pieces."""


def model() -> Any:
    ft.active.backend.seed(0)
    made = nn.Sequential(nn.Linear(64, 301), nn.GELU(), nn.Linear(301, 64), nn.GELU(), nn.Linear(64, 3))
    for _, one in made.named_tensors():
        one.data = one.data.astype(np.float64)
    return made


DATA = np.random.default_rng(1).standard_normal((24, 64)), np.random.default_rng(2).integers(0, 3, 24)


def gradients(made: Any, rows: slice) -> None:
    loss = nn.functional.cross_entropy(made(ft.tensor(DATA[0][rows])), ft.tensor(DATA[1][rows]))
    loss.backward()


def work(kind: str, reducing: str, rank: int, size: int, meeting: Path, results: Any) -> None:
    """One process: its share of the batch, reduced twice, the second time with gradients cleared."""
    ring: Collective = (
        SocketRing(rank, size, meeting) if kind == "sockets" else SharedMemoryRing(rank, size, meeting, SLOT)
    )
    made = model()
    reducer: Reducer = (
        InlineReducer(ring, made.parameters())
        if reducing == "inline"
        else BucketedReducer(ring, made.parameters(), bucket=100_000)
    )
    for _ in range(2):
        for parameter in made.parameters():
            parameter.grad = None
        each = 24 // size
        gradients(made, slice(rank * each, (rank + 1) * each))
        reducer.finish()
    ring.barrier()
    results.put((rank, [p.grad.numpy() for p in made.parameters()], ring.bytes_sent, ring.calls))
    ring.close()


@pytest.mark.parametrize(
    ("kind", "reducing", "size"),
    [
        ("sockets", "inline", 2),
        ("sockets", "bucketed", 4),
        ("shared memory", "bucketed", 2),
        ("shared memory", "inline", 4),
    ],
)
def test_processes_have_the_gradients_of_the_whole_batch(kind: str, reducing: str, size: int, tmp_path: Path) -> None:
    made = model()
    gradients(made, slice(None))
    expected = [p.grad.numpy() for p in made.parameters()]
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=work, args=(kind, reducing, r, size, tmp_path, results)) for r in range(size)]
    for one in workers:
        one.start()
    found = [results.get(timeout=60) for _ in workers]
    for one in workers:
        one.join(60)
    total = sum(g.nbytes for g in expected)
    first = found[0][1]
    for _, own, sent, calls in found:
        for mine, other, wanted in zip(own, first, expected, strict=True):
            assert np.array_equal(mine, other), "every process has the same bits"
            np.testing.assert_allclose(mine, wanted, atol=1e-12)
        # Parts differ by a value where the length is no multiple of the size.
        assert sent == pytest.approx(2 * 2 * (size - 1) / size * total, rel=0.01)
        assert calls == 2 * (6 if reducing == "inline" else 3)


def test_one_process_alone_needs_no_other(tmp_path: Path) -> None:
    ring = SocketRing(0, 1, tmp_path)
    values = np.arange(3.0)
    ring.all_reduce(values)
    ring.barrier()
    assert list(values) == [0, 1, 2]
    assert ring.bytes_sent == 0


def test_a_process_that_never_comes_is_waited_for_in_vain(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match=r"no process wrote 1.port within 0.2 seconds"):
        SocketRing(0, 2, tmp_path, timeout=0.2)
    alone = SharedMemoryRing(0, 2, tmp_path, timeout=0.2)
    with pytest.raises(TimeoutError, match=r"rank 1 did not come within 0.2 seconds"):
        alone.barrier()
