"""Every backend against torch, case by case, with its gradients; finite differences; and faults that must be found."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, config
from tasks.base import spool
from tasks.base.errors import UserError
from tasks.base.files import ROOT, write_json
from tasks.base.measures import measures

if TYPE_CHECKING:
    from models.tensor.backend import TensorBackend
    from models.tensor.conformance import Case, Outcome

Row = dict[str, Any]

FOREIGN = ("array_library", "jax_backend", "cupy_backend")
"""What the backends on others' engines consist of; the first is shared by both."""

DIFFERENT = {
    "sign, odd values": "numpy keeps NaN, torch gives 0",
    "absolute, odd values": "the gradient is that sign",
}
"""Cases in which we follow numpy and not torch; they are in no count."""


@config
class Conforming:
    """Backends that are tried on every case, compiling ones on every so many, and the places of finite differences.

    `places` are the values of each input that are moved, `every` says which cases those backends get that compile each
    one anew. The lazy backend puts off all operations: as it is, it would leave arrays as small as these to numpy.
    """

    backends: tuple[str, ...] = ("numpy", "counting")
    compiling: tuple[str, ...] = ("lazy, all put off", "jax")
    every: Count = 1
    places: Count = 6


@measures(
    failures="cases whose result or gradient is not torch's, by backend",
    cases="cases that were compared",
    operations="operations of them that have a gradient",
    worst_slope="largest difference of a gradient from central differences in float64, relative where above 1",
    found="share of the cases of a planted wrong gradient that are found",
    false_alarms="cases of other operations that fail by it",
    shuffled_failures="share of cases that fail against the expected result of another case of the operation",
    methods="methods that a backend has to define",
    backend_lines="lines of code of a backend that is not blank or a comment",
)
def conform(*, config: Conforming, out: Path) -> None:
    """Write metrics.json and failures.json, which names each case that differs and how."""

    import numpy as np

    from models.tensor.conformance import cases
    from tasks.flashlight.oracle import outcome
    from tasks.flashlight.planted import WrongGradient

    chosen = [case for case in cases() if case.name not in DIFFERENT]
    with np.errstate(all="ignore"):
        expected = {case.name: outcome(case) for case in chosen}
    rows: list[Row] = []
    failed: dict[str, dict[str, str]] = {}
    for name in (*config.backends, *config.compiling):
        tried = chosen[:: config.every] if name in config.compiling else chosen
        failed[name] = _failures(backend(name), tried, expected)
        rows.append({"backend": name, "failures": len(failed[name]), "cases": len(tried)})
        if failed[name]:
            spool.note(f"{name}: {len(failed[name])} of {len(tried)} cases differ from torch")
    wrong = _failures(WrongGradient(), [case for case in chosen if case.operation in ("sin", "exp")], expected)
    sines = [case for case in chosen if case.operation == "sin" and expected[case.name].gradients]
    some = [case for case in sines if expected[case.name].gradients[0].size]
    rows.append({"put_in": "wrong gradient", "found": sum(case.name in wrong for case in some) / len(some)})
    rows.append({"put_in": "wrong gradient", "false_alarms": sum(not name.startswith("sin,") for name in wrong)})
    rows.append({"put_in": "expectations of another case", "shuffled_failures": _shuffled(chosen, expected)})
    with np.errstate(all="ignore"):
        worst = _worst_slope(chosen, config.places)
    rows.append(
        {
            "over": "all operations",
            "worst_slope": worst,
            "operations": len({case.operation for case in chosen if expected[case.name].gradients}),
        }
    )
    rows += _sizes()
    write_json(out / "metrics.json", rows)
    write_json(out / "failures.json", failed)


def backend(name: str) -> "TensorBackend":
    """A backend by its name here.

    Raises:
        UserError: what it runs on is not installed.
    """

    from models.tensor.counting import CountingBackend
    from models.tensor.lazy import LazyBackend
    from models.tensor.numpy_backend import NumpyBackend

    made: dict[str, Callable[[], Any]] = {
        "numpy": NumpyBackend,
        "counting": lambda: CountingBackend(NumpyBackend()),
        "lazy, all put off": lambda: LazyBackend(large=1),
    }
    if name in made:
        found: TensorBackend = made[name]()
        return found
    if name == "cupy":
        from models.tensor.cupy_backend import CupyBackend

        try:
            return CupyBackend()
        except ImportError as problem:
            raise UserError("CuPy is not installed: pip install 'tenfold[gpu]'.") from problem
    try:
        from models.tensor.jax_backend import JaxBackend
    except ImportError as problem:
        raise UserError("JAX is not installed: pip install 'tenfold[flashlight]'.") from problem
    return JaxBackend()


def _failures(tried: "TensorBackend", chosen: "list[Case]", expected: "dict[str, Outcome]") -> dict[str, str]:
    import numpy as np

    from models.tensor import using
    from models.tensor.conformance import difference, run

    found = {}
    with using(tried), np.errstate(all="ignore"):
        for case in chosen:
            if wrong := difference(run(case), expected[case.name]):
                found[case.name] = wrong
    return found


def _shuffled(chosen: "list[Case]", expected: "dict[str, Outcome]") -> float:
    """How often a case fails that is held against the next case of the same operation with gradients."""

    import numpy as np

    from models.tensor.conformance import difference, run

    by_operation: dict[str, list[Case]] = {}
    for case in chosen:
        if expected[case.name].gradients and expected[case.name].gradients[0].size:
            by_operation.setdefault(case.operation, []).append(case)
    failures = tried = 0
    with np.errstate(all="ignore"):
        for group in by_operation.values():
            for case, other in zip(group, group[1:] + group[:1], strict=True):
                if case is not other:
                    tried += 1
                    failures += bool(difference(run(case), expected[other.name]))
    return failures / tried


def _worst_slope(chosen: "list[Case]", places: int) -> float:
    """How far a gradient is from what moving an input value does to the result, at worst."""

    import numpy as np

    from models.tensor.conformance import Case, run, weights

    worst = 0.0
    for case in chosen:
        arrays = [np.array(x, np.float64) if x.dtype.kind == "f" else x for x in case.arrays]
        inputs = [x for x in arrays if x.dtype.kind == "f"]
        smooth = case.differentiable and all(np.isfinite(x).all() for x in inputs)
        if not smooth or "equal ones" in case.about or "large" in case.about:
            continue  # no derivative there, or none that differences can show
        moved = Case(case.operation, case.about, tuple(arrays), case.options)
        found = run(moved)
        if found.error or (found.results[0].dtype.kind == "f" and len(found.gradients) != len(inputs)):
            raise UserError(f"{case.name} has no gradients to hold against slopes: {found.error or 'one is missing'}.")
        if not found.gradients:
            continue  # its result is whole numbers or truths
        for x, gradient in zip(inputs, found.gradients, strict=True):
            for place in list(np.ndindex(x.shape))[:: max(1, x.size // places)]:
                kept, totals = x[place], []
                for step in (1e-6, -1e-6):
                    x[place] = kept + step
                    y = run(moved, gradients=False).results[0]
                    totals.append(float((y * weights(y)).sum()))
                x[place] = kept
                slope = (totals[0] - totals[1]) / 2e-6
                worst = max(worst, abs(gradient[place] - slope) / max(1.0, abs(slope)))
    return worst


def _sizes() -> list[Row]:
    """What a new backend takes: the abstract methods, and the lines of the foreign ones."""

    from models.tensor import REQUIRED, numpy_backend

    shared, jax, cupy = ((ROOT / f"models/tensor/{name}.py").read_text() for name in FOREIGN)
    sources = {"jax": shared + jax, "cupy": shared + cupy, "numpy": inspect.getsource(numpy_backend)}
    rows: list[Row] = [{"over": "the protocol", "methods": len(REQUIRED)}]
    for name, text in sources.items():
        lines = [line.strip() for line in text.split("\n")]
        rows.append({"backend": name, "backend_lines": sum(bool(x) and not x.startswith("#") for x in lines)})
    return rows
