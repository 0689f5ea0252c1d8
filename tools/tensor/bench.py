"""A backend through all cases and beside others; a memory manager under whole trainings."""

from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING

from tasks.flashlight.allocating import trained
from tasks.flashlight.clock import Timed, turns
from tasks.flashlight.networks import on, own, passes, torchs
from tools.plan_memory.building import described

if TYPE_CHECKING:
    from models.tensor.backend import TensorBackend
    from models.tensor.memory import MemoryManager

NETWORKS = ("mlp-64-512", "alexnet-4-16", "bert-4-128")
TRAINED = ("mlp-64-256", "alexnet-4-8", "bert-4-64")
"""Networks by batch and width."""

STEPS = 3
MIB = 2**20


def conformance(backend: "TensorBackend") -> tuple[dict[str, str], int]:
    """The failing cases and how each fails, and the number of all."""
    from models.tensor.conformance import cases, failures
    from models.tensor.numpy_backend import NumpyBackend

    return failures(backend, NumpyBackend()), sum(1 for _ in cases())


def networks(backend: "TensorBackend", repetitions: int) -> Iterator[tuple[str, ...]]:
    """A row for each network: milliseconds here, on numpy's backend and in torch, in turns."""
    import torch
    from threadpoolctl import threadpool_limits

    from models.tensor.counting import CountingBackend
    from models.tensor.numpy_backend import NumpyBackend

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    limits = threadpool_limits(1)
    try:
        for network in NETWORKS:
            counted = CountingBackend(backend)
            runs: Timed = {"torch": passes(torchs(network))}
            try:
                on(counted, lambda network=network: passes(own(network))())()  # type: ignore[misc]
                for name, one in (("yours", backend), ("numpy", NumpyBackend())):
                    made = on(one, lambda network=network: own(network))()  # type: ignore[misc]
                    runs[name] = on(one, passes(made))
                took = {name: median(seconds) for name, seconds in turns(runs, repetitions, warm_up=1).items()}
            except Exception as problem:  # a network that fails is a row that says so
                yield network, described(problem), "", "", "", ""
                continue
            ratio = f"{took['yours'] / took['torch']:.2f}"
            most = max(counted.seconds, key=lambda name: counted.seconds[name])
            yield network, *(f"{1e3 * took[name]:.2f}" for name in ("yours", "numpy", "torch")), ratio, most
    finally:
        torch.set_num_threads(threads)
        limits.restore_original_limits()


def managers(kind: "type[MemoryManager]") -> Iterator[tuple[tuple[str, ...], str]]:
    """A row for each network, with what is wrong: trainings in the manager's memory, and their requests replayed."""
    import numpy as np

    from models.tensor.memory import Caching, Naive, Recorder, replay

    for network in TRAINED:
        recorder = Recorder()
        expected = trained(network, STEPS, recorder)
        naive, caching = replay(recorder.events, Naive()), replay(recorder.events, Caching())
        others = [f"{one.peak_reserved / MIB:.1f}" for one in (naive, caching)]
        live = f"{naive.peak_live / MIB:.1f}"
        try:
            own = replay(recorder.events, kind())
            same = bool(np.array_equal(trained(network, STEPS, kind()), expected))
        except Exception as problem:  # the manager is a user's, and the other networks are still tried
            yield (network, "no", live, "", *others, ""), described(problem)
            continue
        row = (
            network,
            "yes" if same else "no",
            live,
            f"{own.peak_reserved / MIB:.1f}",
            *others,
            f"{own.fragmentation:.1%}",
        )
        yield row, "" if same else "the weights of the training are not those of numpy's own memory"
