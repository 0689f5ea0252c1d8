"""A backend through all cases and beside others; a memory manager under whole trainings."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tools.plan_memory.building import described

if TYPE_CHECKING:
    from models.tensor.backend import TensorBackend
    from models.tensor.memory import MemoryManager

NETWORKS = {"layers of 512": ("mlp", 64, 512), "AlexNet, small": ("alexnet", 4, 16), "BERT, small": ("bert", 4, 128)}
TRAINED = {"layers of 256": ("mlp", 64, 256), "AlexNet, small": ("alexnet", 4, 8), "BERT, small": ("bert", 4, 64)}
MIB = 2**20


def conformance(backend: "TensorBackend") -> tuple[dict[str, str], int]:
    """The failing cases and how each fails, and the number of all."""
    from models.tensor.conformance import cases, failures
    from models.tensor.numpy_backend import NumpyBackend

    return failures(backend, NumpyBackend()), sum(1 for _ in cases())


def machine() -> str:
    """Whose kernels ran: they decide more than any backend."""
    from threadpoolctl import threadpool_info

    pools = {f"{p['internal_api']} {p.get('architecture') or ''}".strip() for p in threadpool_info()}
    return f"numpy and torch on one thread; {', '.join(sorted(pools))}"


def networks(backend: "TensorBackend", repetitions: int) -> Iterator[tuple[str, ...]]:
    """A row for each network: milliseconds here, on numpy's backend and in torch, in turns."""
    import torch
    from threadpoolctl import threadpool_limits

    from models.tensor import nn, tensor
    from models.tensor.counting import CountingBackend
    from models.tensor.numpy_backend import NumpyBackend
    from models.tensor.zoo import sample

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    limits = threadpool_limits(1)
    try:
        for label, sized in NETWORKS.items():
            torch.manual_seed(0)
            theirs = sample(sized[0], torch.nn, torch.tensor, *sized[1:])
            counted = CountingBackend(backend)
            runs: dict[str, Callable[[], Any]] = {"torch": _passes(theirs)}
            try:
                _on(counted, lambda sized=sized: _passes(sample(sized[0], nn, tensor, *sized[1:]))())()  # type: ignore[misc]
                for name, one in (("yours", backend), ("numpy", NumpyBackend())):
                    made = _on(one, lambda sized=sized: sample(sized[0], nn, tensor, *sized[1:]))()  # type: ignore[misc]
                    runs[name] = _on(one, _passes(made))
                took = _turns(runs, repetitions)
            except Exception as problem:  # a network that fails is a row that says so
                yield label, described(problem), "", "", "", ""
                continue
            ratio = f"{took['yours'] / took['torch']:.2f}"
            most = max(counted.seconds, key=lambda name: counted.seconds[name])
            yield label, *(f"{1e3 * took[name]:.2f}" for name in ("yours", "numpy", "torch")), ratio, most
    finally:
        torch.set_num_threads(threads)
        limits.restore_original_limits()


def managers(kind: "type[MemoryManager]") -> Iterator[tuple[tuple[str, ...], str]]:
    """A row for each network, with what is wrong: trainings in the manager's memory, and their requests replayed."""
    import numpy as np

    from models.tensor.memory import Caching, Naive, Recorder, replay

    for label, sized in TRAINED.items():
        recorder = Recorder()
        expected = _trained(sized, recorder)
        naive, caching = replay(recorder.events, Naive()), replay(recorder.events, Caching())
        others = [f"{one.peak_reserved / MIB:.1f}" for one in (naive, caching)]
        live = f"{naive.peak_live / MIB:.1f}"
        try:
            own = replay(recorder.events, kind())
            same = bool(np.array_equal(_trained(sized, kind()), expected))
        except Exception as problem:  # the manager is a user's, and the other networks are still tried
            yield (label, "no", live, "", *others, ""), described(problem)
            continue
        row = (
            label,
            "yes" if same else "no",
            live,
            f"{own.peak_reserved / MIB:.1f}",
            *others,
            f"{own.fragmentation:.1%}",
        )
        yield row, "" if same else "the weights of the training are not those of numpy's own memory"


def _trained(sized: tuple[str, int, int], manager: "MemoryManager") -> Any:
    """All weights after three steps in a manager's memory."""
    import numpy as np

    from models.tensor import nn, optimizers, tensor, using
    from models.tensor.memory import ManagedBackend
    from models.tensor.zoo import sample

    with using(ManagedBackend(manager)) as backend:
        backend.seed(0)
        made = sample(sized[0], nn, tensor, *sized[1:])
        optimizer = optimizers.Adam(made.model.parameters(), 1e-3)
        step = _passes(made)
        for _ in range(3):
            manager.step()
            step()
            optimizer.step()
        return np.concatenate([p.numpy().ravel().copy() for p in made.model.parameters()])


def _passes(made: Any) -> Callable[[], Any]:
    parameters = list(made.model.parameters())

    def step() -> None:
        for parameter in parameters:
            parameter.grad = None
        made.loss(made.model(made.inputs), made.targets).backward()

    return step


def _on(backend: "TensorBackend", run: Callable[[], Any]) -> Callable[[], Any]:
    from models.tensor import using

    def there() -> Any:
        with using(backend):
            return run()

    return there


def _turns(runs: dict[str, Callable[[], Any]], repetitions: int) -> dict[str, float]:
    """The median seconds of each."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repetitions + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if turn:  # the first warms up
                found[name].append(time.perf_counter() - began)
    return {name: sorted(seconds)[len(seconds) // 2] for name, seconds in found.items()}
