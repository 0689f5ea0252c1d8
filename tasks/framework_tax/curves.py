"""The paper's two regimes, fitted to its own published curves: knees, and what faster kernels would do to them.

These are fits to figures that were read off the paper's, no measurement and no reproduction.
"""

import csv
from pathlib import Path
from typing import Any

from models.config import Count, Positive, config
from models.framework_tax.fits import Regimes, knee, regimes
from tasks.base.files import write_json
from tasks.base.measures import measures

Row = dict[str, Any]
Curve = dict[int, float]


@config
class Curves:
    """How many times faster the kernels of the next GPUs are supposed to be.

    `flat` are the batches whose mean latency is taken for the framework's, to predict the others from kernel time.
    """

    faster: tuple[Positive, ...] = (1.0, 2.0, 4.0, 8.0)
    flat: tuple[Count, ...] = (1, 2, 4)


@measures(
    published_ms="milliseconds of a call, as digitised",
    fitted_ms="the same by the fit of both regimes",
    fit_error="root mean square of the fit's relative errors",
    fitted_knee="batch at which kernels take as long as their dispatch, by the fit",
    flat_to="largest batch up to which latency is within 10 % of that at batch 1, as digitised",
    knee_ratio="knee in half precision over that in single precision, by the fit",
    published_speedup="latency of PyTorch over the runtime's, as digitised",
    published_tax="share of the latency in which no kernel runs, as digitised",
    predicted_tax="the same by the fit, were the kernels so many times faster and the host the same",
    foretold_ms="the larger of the flat part and the digitised kernel time, at batches beyond the flat part",
    foretold_error="that over the digitised latency less 1, without its sign",
    tax_growth="predicted tax with twice as fast kernels less that with the same, mean over batches",
)
def fit_curves(*, curves: Path, config: Curves, out: Path) -> None:
    """Write metrics.json: each curve with its fit, and what follows from it."""
    with (curves / "curves.csv").open() as file:
        points = list(csv.DictReader(file))
    series: dict[tuple[str, str, str, str], Curve] = {}
    for one in points:
        key = (one["model"], one["precision"], one["runtime"], one["quantity"])
        series.setdefault(key, {})[int(one["batch"])] = float(one["ms"])
    rows: list[Row] = []
    fits: dict[tuple[str, str, str], Regimes] = {}
    for (model, precision, runtime, quantity), curve in series.items():
        if quantity != "latency" or precision == "not named":
            continue
        fit = fits[model, precision, runtime] = regimes(list(curve), list(curve.values()))
        rows += _of_curve({"curve": f"{model} {precision}, {runtime}"}, curve, fit, config)
    for model, precision, runtime in fits:
        if precision == "fp16":
            ratio = fits[model, precision, runtime].knee / fits[model, "fp32", runtime].knee
            rows.append({"halved": f"{model}, {runtime}", "knee_ratio": ratio})
        if runtime != "PyTorch":
            eager = series[model, precision, "PyTorch", "latency"]
            own = series[model, precision, runtime, "latency"]
            label = {"sped_up": f"{model} {precision}, {runtime}"}
            rows += [label | {"batch": str(b), "published_speedup": eager[b] / own[b]} for b in own]
    total, kernels = (series["not named", "not named", "PyTorch", what] for what in ("latency", "kernels"))
    label = {"overhead": "eager PyTorch, as digitised"}
    rows += [label | {"batch": str(b), "published_tax": 1 - kernels[b] / total[b]} for b in total]
    level = sum(total[b] for b in config.flat) / len(config.flat)
    for batch in (b for b in total if b not in config.flat):
        foretold = max(level, kernels[batch])
        error = abs(foretold / total[batch] - 1)
        rows.append({"beyond": "the flat part", "batch": str(batch), "foretold_ms": foretold, "foretold_error": error})
    write_json(out / "metrics.json", rows)


def _of_curve(label: Row, curve: Curve, fit: Regimes, config: Curves) -> list[Row]:
    flat = knee(list(curve), list(curve.values()))
    rows = [label | {"fit_error": fit.error, "fitted_knee": fit.knee, "flat_to": flat}]
    rows += [label | {"batch": str(b), "published_ms": ms, "fitted_ms": fit.at(b)} for b, ms in curve.items()]
    if not fit.identified:
        return rows
    growth = [fit.tax(b, 2.0) - fit.tax(b) for b in curve]
    rows.append(label | {"tax_growth": sum(growth) / len(growth)})
    rows += [
        {"faster": f"{label['curve']}, {times:g} × as fast", "batch": str(b), "predicted_tax": fit.tax(b, times)}
        for times in config.faster
        for b in curve
    ]
    return rows
