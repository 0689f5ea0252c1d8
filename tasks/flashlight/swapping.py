"""One primitive is swapped for another during one phase of a step: does the phase use it, and what does it take?"""

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import config
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.flashlight.networks import SHARING, named, own, torchs

if TYPE_CHECKING:
    from models.tensor.zoo import Sample

Row = dict[str, Any]
Swap = Callable[[], AbstractContextManager[Any]]

OPTIMIZERS: dict[str, dict[str, Any]] = {"SGD": {"momentum": 0.9, "weight_decay": 0.01}, "Adam": {}}
PHASES = ("forward", "backward", *(f"update by {name}" for name in OPTIMIZERS))


@config
class Swapping:
    """Networks that are run forward, backward and updated."""

    networks: tuple[str, ...]


@measures(
    adds="calls of the primitive here, by phase",
    reached="1 where a swap during this phase alone changes what it gives, by phase and library",
    swap_lines="lines of code that swap the primitive, by library",
    share_reached="share of networks and phases in which the swap changes what the phase gives, by library",
)
def swap(*, config: Swapping, out: Path) -> None:
    """Write metrics.json: calls and effects of a swapped `add`, here and in torch.

    Backward a sum is needed where a value is used twice, and is asked for in no other network.
    """

    from models.tensor import optimizers, using
    from models.tensor.numpy_backend import NumpyBackend
    from tasks.flashlight import torch_swap
    from tasks.flashlight.planted import CountedAdd, PoisonedAdd, QuantisedAdd

    rows: list[Row] = []
    libraries: dict[str, tuple[Callable[[str], Any], Any, Swap, Swap]] = {
        "models/tensor": (_own, optimizers, lambda: using(QuantisedAdd()), lambda: using(PoisonedAdd())),
        "torch": (torchs, _torchs_optimizers(), torch_swap.QuantisedAdds, torch_swap.PoisonedAdds),
    }
    for library, (build, rules, quantised, poisoned) in libraries.items():
        reached = []
        for name in config.networks:
            for phase in PHASES:
                if phase == "backward" and named(name).network not in SHARING:
                    continue
                with using(NumpyBackend()):
                    changes = [_result(build(name), rules, phase, one) for one in (None, quantised, poisoned)]
                reached.append(_differs(*changes))
                labels = named(name).labels | {"library": library, "phase": phase}
                rows.append(labels | {"reached": int(reached[-1])})
        rows.append({"library": library, "share_reached": sum(reached) / len(reached)})
    for name in config.networks:
        for phase in PHASES:
            counted = CountedAdd()
            with using(NumpyBackend()):
                _result(_own(name), optimizers, phase, lambda counted=counted: using(counted))  # type: ignore[misc]
            rows.append(named(name).labels | {"phase": phase, "adds": counted.sums})
    for library, written in (("models/tensor", QuantisedAdd), ("torch", torch_swap.QuantisedAdds)):
        body = inspect.getsource(written).splitlines()
        rows.append({"library": library, "swap_lines": sum(bool(line.strip()) for line in body)})
    write_json(out / "metrics.json", rows)


def _own(name: str) -> "Sample":
    """Our network with dropouts off, as torch's has them."""
    made = own(name)
    made.model.eval()
    return made


def _torchs_optimizers() -> Any:
    import torch

    return torch.optim


def _result(made: "Sample", optimizers: Any, phase: str, swapped: Swap | None) -> Any:
    """What the phase gives, the swap being in place during it and at no other time: the loss, gradients or weights."""
    import numpy as np

    during = {one: swapped if swapped is not None and one == phase else nullcontext for one in PHASES}
    parameters = list(made.model.parameters())
    rule = phase.removeprefix("update by ")
    rule = rule if rule in OPTIMIZERS else "SGD"
    optimizer = getattr(optimizers, rule)(parameters, lr=0.01, **OPTIMIZERS[rule])
    with np.errstate(all="ignore"):
        for _ in range(2):  # momentum is added from the second step on
            optimizer.zero_grad()
            with during["forward"]():
                loss = made.loss(made.model(made.inputs), made.targets)
            with during["backward"]():
                loss.backward()
            if not phase.startswith("update"):
                break
            with during[phase]():
                optimizer.step()
    arrays = {"forward": [loss], "backward": [p.grad for p in parameters if p.grad is not None]}.get(phase, parameters)
    return np.concatenate([one.detach().numpy().ravel() for one in arrays])


def _differs(plain: Any, quantised: Any, poisoned: Any) -> bool:
    import numpy as np

    return not np.array_equal(plain, quantised) and bool(np.isnan(poisoned).any())
