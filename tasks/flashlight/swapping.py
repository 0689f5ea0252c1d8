"""One primitive is swapped for another: does every network use it, and what does the swap take?"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.config import config
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.flashlight.networks import named, own, passes

Row = dict[str, Any]


@config
class Swapping:
    """Networks that are run forward, backward and updated."""

    networks: tuple[str, ...]


@measures(
    adds="calls of the swapped primitive, by pass",
    reached="1 where the swapped primitive changes the pass's result, by pass",
    swap_lines="lines of code that swap the primitive here",
    overloads="operators that torch has registered to add, each of which a swap there has to reach",
    networks_reached="share of networks and passes in which the swap changes the result",
)
def swap(*, config: Swapping, out: Path) -> None:
    """Write metrics.json: calls and effects of a swapped `add`, forward, backward and in the update."""

    import numpy as np

    from models.tensor.numpy_backend import NumpyBackend
    from tasks.flashlight.planted import PoisonedAdd, QuantisedAdd

    rows: list[Row] = []
    for name in config.networks:
        labels = named(name).labels
        counted = _counts(name)
        plain = _results(name, NumpyBackend)
        quantised = _results(name, QuantisedAdd)
        poisoned = _results(name, PoisonedAdd)
        for place, what in enumerate(("forward", "backward", "update")):
            changed = not np.array_equal(plain[place], quantised[place]) and bool(np.isnan(poisoned[place]).any())
            rows.append(labels | {"pass": what, "adds": counted[place], "reached": int(changed)})
    shares = [row["reached"] for row in rows]
    rows.append({"over": "all networks", "networks_reached": sum(shares) / len(shares)})
    body = inspect.getsource(QuantisedAdd).splitlines()
    rows.append({"library": "models/tensor", "swap_lines": sum(bool(line.strip()) for line in body)})
    rows.append({"library": "torch", "overloads": _overloads()})
    write_json(out / "metrics.json", rows)


def _counts(name: str) -> list[int]:
    """Calls of `add` in each of the passes."""

    from models.tensor import optimizers, using
    from models.tensor.counting import CountingBackend
    from models.tensor.numpy_backend import NumpyBackend

    backend = CountingBackend(NumpyBackend())
    with using(backend):
        made = own(name)
        optimizer = optimizers.SGD(made.model.parameters(), 0.01, momentum=0.9)
        marks = [backend.calls["add"]]
        loss = made.loss(made.model(made.inputs), made.targets)
        marks.append(backend.calls["add"])
        loss.backward()
        marks.append(backend.calls["add"])
        optimizer.step()
        passes(made, optimizer)()  # the second update adds momentum
        return [marks[1] - marks[0], marks[2] - marks[1], backend.calls["add"] - marks[2]]


def _results(name: str, backend: Callable[[], Any]) -> list[Any]:
    """The loss, all gradients and all weights after two steps, on a backend."""

    import numpy as np

    from models.tensor import active, optimizers, using

    with using(backend()), np.errstate(all="ignore"):
        made = own(name)
        optimizer = optimizers.SGD(made.model.parameters(), 0.01, momentum=0.9, weight_decay=0.01)
        step = passes(made, optimizer)
        loss = step()
        gradients = [p.grad.numpy().ravel() for p in made.model.parameters() if p.grad is not None]
        step()
        weights = [active.backend.to_numpy(p.data).ravel() for p in made.model.parameters()]
        return [np.atleast_1d(loss.numpy()), np.concatenate(gradients), np.concatenate(weights)]


def _overloads() -> int:
    import torch

    names = (name.split("::")[-1] for name in torch._C._dispatch_get_all_op_names() if name.startswith("aten::"))
    return sum(name.split(".")[0].strip("_") in ("add", "foreach_add") for name in names)
