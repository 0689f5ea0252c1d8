"""Seconds of passes and of single operations, here, in torch and in libraries that compile, in turns, on one thread."""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from models.config import Count, config
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.flashlight.clock import Timed, turns
from tasks.flashlight.networks import IMAGELESS, named, on, own, passes, torchs, with_weights_of
from tasks.flashlight.peers import CannotRun, peer
from tasks.timing.machine import alone, kernels

Row = dict[str, Any]

OPERATIONS = ("add", "multiply", "subtract", "exp", "tanh", "sum", "matmul")
TORCHS = {"multiply": "mul"}


@config
class Speed:
    """Networks by name, lengths of a chain, widths of products, and how often each is timed.

    `peers` are libraries that compile, and `compiled` the networks that they are given: each takes its minutes.
    """

    networks: tuple[str, ...]
    peers: tuple[str, ...] = ()
    compiled: tuple[str, ...] = ()
    lengths: tuple[Count, ...] = (100, 10_000, 1_000_000)
    widths: tuple[Count, ...] = (256, 1024)
    repetitions: Count = 12
    warm_up: Count = 2
    calls: Count = 2000


@measures(
    hundred_passes="median seconds of 100 passes forward and backward, by library",
    hundred_steps="median seconds of 100 passes forward and backward with Adam's update, by library",
    torch_seconds="median seconds of a pass forward and backward, by torch in its better layout",
    our_seconds="the same by the better of our backends",
    passes_ratio="our seconds forward and backward over torch's better layout, turn by turn, by backend",
    step_ratio="the same with the update, over torch's better layout and Adam",
    not_timed="1 where a library that compiles has no time for a network, by library and reason",
    loss_apart="difference of both libraries' losses from the same weights",
    call_us="median microseconds of an operation on 4 values that records for gradients, by library",
    call_ratio="ours over torch's, mean over operations, turn by turn",
    product_ratio="seconds of numpy's product of two square matrices over torch's, turn by turn, by width",
    chain_ratio="seconds of ten operations value by value over torch's, turn by turn, by values and backend",
    not_slower="share of the paper's six networks whose passes take no longer than torch's on our better backend",
    add_share="share of the time in primitives that is spent in add, by backend",
)
def compare(*, config: Speed, out: Path) -> None:
    """Write metrics.json; in each turn every library has its run, in changing order."""
    import torch

    from models.tensor.lazy import LazyBackend
    from models.tensor.numpy_backend import NumpyBackend

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(False)  # torch at its best
    for part in kernels().split("; "):
        spool.note(part)
    rows: list[Row] = [{"over": "this machine", "kernels": kernels()}]
    compiled = {name: _peers(name, config) for name in config.networks}  # minutes of compilers, before the clock
    with alone() as busy:
        backends = {"numpy": NumpyBackend(), "lazy": LazyBackend()}
        timed = [row for name in config.networks for row in _network(name, backends, compiled[name], config)]
        timed += _calls(config) + [row for length in config.lengths for row in _chain(length, config)]
        timed += [row for width in config.widths for row in _products(width, config)]
    timed.append(_whole(timed))
    rows += [row | busy for row in timed]
    write_json(out / "metrics.json", rows + _profile(config.networks[-1]))


def _network(name: str, backends: dict[str, Any], peers: tuple[Timed, list[Row]], config: Speed) -> list[Row]:
    """A network's passes and steps by torch, in all layouts and with both of its Adams, by both of our backends, and
    its passes by `peers`."""
    import torch

    from models.tensor import optimizers, using

    one = named(name)
    compiled, rows = peers
    for what in ("pass", "step"):
        runs: Timed = {}
        for label, last in {"torch": False, "torch, channels last": True}.items():
            if last and one.network in IMAGELESS:
                continue
            theirs = torchs(name, last)
            if what == "pass":
                runs[label] = passes(theirs)
                continue
            runs[label] = passes(theirs, torch.optim.Adam(theirs.model.parameters()))
            theirs = torchs(name, last)
            runs[f"{label}, fused Adam"] = passes(theirs, torch.optim.Adam(theirs.model.parameters(), fused=True))
        others = list(runs)
        reference = torchs(name)
        for label, backend in backends.items():
            with using(backend):
                made = with_weights_of(own(name), reference)
                if what == "pass":
                    apart = abs(passes(made)().item() - passes(reference)().item())
                    rows.append(one.labels | {"backend": label, "loss_apart": apart})
                optimizer = optimizers.Adam(made.model.parameters()) if what == "step" else None
                runs[label] = on(backend, passes(made, optimizer))
        seconds = turns(runs | compiled if what == "pass" else runs, config.repetitions, config.warm_up)
        best = min(others, key=lambda label: median(seconds[label]))
        quantity, ratio = ("hundred_passes", "passes_ratio") if what == "pass" else ("hundred_steps", "step_ratio")
        rows += [one.labels | {"library": label, quantity: 100 * median(s)} for label, s in seconds.items()]
        if what == "pass":
            middles = {"torch_seconds": median(seconds[best])}
            middles["our_seconds"] = min(median(seconds[label]) for label in ("numpy", "lazy"))
            rows.append(one.labels | middles)
        for label in ("numpy", "lazy"):
            for turn, (ours, other) in enumerate(zip(seconds[label], seconds[best], strict=True)):
                rows.append(one.labels | {"backend": label, "turn": turn, ratio: ours / other})
    return rows


def _peers(name: str, config: Speed) -> tuple[Timed, list[Row]]:
    """Passes by libraries that compile; one that cannot run, here or this network, has a row that says why."""
    one = named(name)
    runs: Timed = {}
    rows: list[Row] = []
    for label in config.peers:
        try:
            if name not in config.compiled:
                raise CannotRun("not among the networks that are compiled, for the minutes that it takes")
            runs[label], apart = peer(label, name)
        except CannotRun as problem:
            spool.note(f"{label} has no time for {one.labels['sized']}: {problem}")
            rows.append(one.labels | {"untimed": f"{label}: {problem}", "not_timed": 1})
            continue
        rows.append(one.labels | {"backend": label, "loss_apart": apart})
    return runs, rows


def _whole(rows: list[Row]) -> Row:
    """On how many of the paper's networks our better backend is not slower, by medians."""
    ratios: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if "passes_ratio" in row and row["network"] != "mlp":
            ratios.setdefault(row["network"], {}).setdefault(row["backend"], []).append(row["passes_ratio"])
    best = [min(median(values) for values in one.values()) for one in ratios.values()]
    return {"over": "the paper's networks", "not_slower": sum(ratio <= 1 for ratio in best) / max(1, len(best))}


def _calls(config: Speed) -> list[Row]:
    """Operations on four values (a 2 x 2 matrix), which record."""
    import numpy as np
    import torch

    from models import tensor as ft

    values = np.full((2, 2), 0.5, np.float32)
    rows: list[Row] = []
    ratios: list[list[float]] = []
    for name in OPERATIONS:
        runs: Timed = {}
        for label, library, x in (
            ("models/tensor", ft, ft.tensor(values, requires_grad=True)),
            ("torch", torch, torch.tensor(values, requires_grad=True)),
        ):
            operation = getattr(library, TORCHS.get(name, name) if label == "torch" else name)
            operands = (x,) if name in ("exp", "tanh", "sum") else (x, x)
            runs[label] = _repeated(operation, operands, config.calls)
        seconds = turns(runs, config.repetitions, config.warm_up)
        rows += [
            {"operation": name, "library": k, "call_us": 1e6 * median(s) / config.calls} for k, s in seconds.items()
        ]
        ratios.append([a / b for a, b in zip(seconds["models/tensor"], seconds["torch"], strict=True)])
    means = [sum(turn) / len(turn) for turn in zip(*ratios, strict=True)]
    return rows + [{"arm": "operations", "turn": turn, "call_ratio": mean} for turn, mean in enumerate(means)]


def _repeated(operation: Callable[..., Any], operands: tuple[Any, ...], calls: int) -> Callable[[], Any]:
    def run() -> None:
        for _ in range(calls):
            operation(*operands)

    return run


def _chain(length: int, config: Speed) -> list[Row]:
    """Ten operations value by value, without gradients."""
    import numpy as np
    import torch

    from models import tensor as ft
    from models.tensor import active, using
    from models.tensor.lazy import LazyBackend
    from models.tensor.numpy_backend import NumpyBackend

    draw = np.random.default_rng(0)
    x, y = (draw.standard_normal(length).astype(np.float32) for _ in range(2))
    times = max(1, 20_000 // length)
    runs: Timed = {}

    def chain(a: Any, b: Any) -> Any:
        z = a
        for _ in range(3):
            z = (z * b + 1.5) * a
        return z * 0.5

    def repeat(a: Any, b: Any) -> Callable[[], Any]:
        def run() -> None:
            for _ in range(times):
                found = chain(a, b)
                if isinstance(found, ft.Tensor):
                    active.backend.evaluate(found.data)

        return run

    runs["torch"] = repeat(torch.tensor(x), torch.tensor(y))
    for label, backend in (("numpy", NumpyBackend()), ("lazy", LazyBackend())):
        with using(backend):
            runs[label] = on(backend, repeat(ft.tensor(x), ft.tensor(y)))
    seconds = turns(runs, config.repetitions, config.warm_up)
    return [
        {"values": str(length), "backend": label, "turn": turn, "chain_ratio": ours / other}
        for label in ("numpy", "lazy")
        for turn, (ours, other) in enumerate(zip(seconds[label], seconds["torch"], strict=True))
    ]


def _products(width: int, config: Speed) -> list[Row]:
    """Products of square matrices alone: what of a ratio is the BLAS's, and none of either library's doing."""
    import numpy as np
    import torch

    x = np.random.default_rng(0).standard_normal((width, width)).astype(np.float32)
    y = torch.tensor(x)
    seconds = turns({"numpy": lambda: x @ x, "torch": lambda: y @ y}, config.repetitions, config.warm_up)
    ratios = [ours / other for ours, other in zip(seconds["numpy"], seconds["torch"], strict=True)]
    return [{"product": str(width), "turn": turn, "product_ratio": ratio} for turn, ratio in enumerate(ratios)]


def _profile(name: str) -> list[Row]:
    """Where a counting backend says that the time goes, without a fault and with a slow add."""
    from models.tensor import using
    from models.tensor.counting import CountingBackend
    from models.tensor.numpy_backend import NumpyBackend
    from tasks.flashlight.planted import SlowAdd

    rows: list[Row] = []
    for label, inner in (("numpy", NumpyBackend()), ("slow add", SlowAdd())):
        backend = CountingBackend(inner)
        with using(backend):
            passes(own(name))()
        rows.append({"profiled": label, "add_share": backend.seconds["add"] / sum(backend.seconds.values())})
    return rows
