"""What putting off saves: kernels launched, bytes made, and whether the results are the same."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, config
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.flashlight.networks import named, own, passes

if TYPE_CHECKING:
    from models.tensor.backend import TensorBackend

Row = dict[str, Any]


@config
class Fusing:
    """Networks whose losses and gradients are compared, and the length of a chain."""

    networks: tuple[str, ...]
    values: Count = 100_000


@measures(
    launches="kernels that are run value by value: numpy's one an operation, the lazy backend's one a chain",
    made_mib="MiB of results that they make",
    fewer_launches="how many times fewer kernels the lazy backend runs",
    less_made="share of those bytes that is not made",
    apart="largest difference of a result, as a share of the largest value",
)
def fuse(*, config: Fusing, out: Path) -> None:
    """Write metrics.json: a chain of ten operations, GELU forward and back, and whole networks."""
    from models.tensor.lazy import LazyBackend
    from models.tensor.numpy_backend import NumpyBackend

    rows: list[Row] = []
    for name, run in _chains(config).items():
        eager, lazy = Eager(), LazyBackend()
        expected, found = run(eager.backend), run(lazy)
        pair = {"numpy": (eager.launched, eager.made), "lazy": (lazy.launched, lazy.made)}
        rows += [
            {"chain": name, "backend": label, "launches": launched, "made_mib": made / 2**20}
            for label, (launched, made) in pair.items()
        ]
        saved = {"fewer_launches": eager.launched / lazy.launched, "less_made": 1 - lazy.made / eager.made}
        rows.append({"chain": name} | saved | {"apart": _apart([found], [expected])})
    for network in config.networks:
        results = [_results(network, backend) for backend in (NumpyBackend(), LazyBackend())]
        rows.append(named(network).labels | {"apart": _apart(results[1], results[0])})
    rows.append({"over": "chains and networks", "apart": max(row["apart"] for row in rows if "apart" in row)})
    write_json(out / "metrics.json", rows)


class Eager:
    """numpy's backend, with each primitive's call and result counted."""

    def __init__(self) -> None:
        from models.tensor.counting import CountingBackend
        from models.tensor.numpy_backend import NumpyBackend

        self.backend = CountingBackend(NumpyBackend())

    @property
    def launched(self) -> int:
        return sum(n for name, n in self.backend.calls.items() if name not in ("from_numpy", "to_numpy", "evaluate"))

    @property
    def made(self) -> int:
        return self.backend.bytes_made


def _chains(config: Fusing) -> dict[str, Any]:
    import numpy as np

    draw = np.random.default_rng(0)
    x, g = (draw.standard_normal(config.values).astype(np.float32) for _ in range(2))

    def ten(b: "TensorBackend") -> Any:
        z = x
        for _ in range(5):
            z = b.add(b.multiply(z, x), g)
        return np.array(b.evaluate(z))

    def gelu(b: "TensorBackend") -> Any:
        below = b.add(b.multiply(b.erf(b.multiply(x, 0.5**0.5)), 0.5), 0.5)
        density = b.multiply(b.exp(b.multiply(b.multiply(x, x), -0.5)), 0.4)
        return np.array(b.evaluate(b.multiply(g, b.add(below, b.multiply(x, density)))))

    def summed(b: "TensorBackend") -> Any:
        return np.array(b.evaluate(b.sum(b.multiply(b.tanh(x), b.add(g, 1.0)), (0,), False)))

    return {"ten products and sums": ten, "the gradient of GELU": gelu, "a sum at the end": summed}


def _results(network: str, backend: "TensorBackend") -> list[Any]:
    from models.tensor import using

    with using(backend):
        made = own(network)
        loss = passes(made)()
        return [loss.numpy(), *(p.grad.numpy() for p in made.model.parameters() if p.grad is not None)]


def _apart(found: list[Any], expected: list[Any]) -> float:
    import numpy as np

    return max(
        float(np.abs(a - b).max() / max(float(np.abs(b).max()), 1e-3)) for a, b in zip(found, expected, strict=True)
    )
