"""`tenfold advise`: which strategy to train with on a cluster of one's own, by the calibrated simulator."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from flows.engine.terminal import console
from flows.engine.trained import trained
from tools.advise import adviser


def advise(
    model: Annotated[str, typer.Option(help="A known model, or a YAML file.")],
    gpu: Annotated[str, typer.Option(help="A known cluster (v100, a100, h100, h200), or a YAML file.")],
    gpus: Annotated[int, typer.Option(min=1, help="How many GPUs.")] = 8,
    batch_tokens: Annotated[str, typer.Option(help="Tokens a step over all GPUs.")] = "4M",
    sweep: Annotated[str | None, typer.Option(help="Draw scaling curves, as in gpus=8..4096.")] = None,
    out: Annotated[Path, typer.Option(help="The file for the curves.")] = Path("scaling.html"),
    profile: Annotated[str, typer.Option(help="Whose calibration to use.")] = "quick",
) -> None:
    """Search all valid strategies of training on a cluster, and say what bounds the best ones. Simulated.

    Examples:

        tenfold advise --model llama-2-70b --gpu h100 --gpus 1024 --batch-tokens 4M

        tenfold advise --model my-model.yaml --gpu my-cluster.yaml --sweep gpus=8..4096
    """
    from flows import hardware_scaling  # only here: `tenfold --help` need not load a paper

    workload, cluster = adviser.read_workload(model), adviser.read_cluster(gpu)
    batch = adviser.tokens(batch_tokens)
    numbers = adviser.span(sweep) if sweep else [gpus]
    fitted = trained(hardware_scaling.calibration, profile)
    if fitted.stale:
        console.print(fitted.stale, markup=False)
    calibration = adviser.read_calibration(fitted.folder)
    if sweep:
        curve = adviser.sweep(workload, cluster, calibration, numbers, batch)
        if not curve:
            adviser.ask(workload, cluster, calibration, numbers[-1], batch)  # says why nothing is possible
        _show_curve(curve)
        adviser.draw(curve, f"{Path(model).stem} on {Path(gpu).stem}, {batch_tokens} tokens a step", out)
        console.print(f"Wrote {out}.")
        return
    answer = adviser.ask(workload, cluster, calibration, gpus, batch)
    table = Table("", "strategy", "step", "tokens/s", "MFU", "bound by", "memory", "$ / 1B tokens", "kJ / 1M tokens")
    for place, option in enumerate(answer.options, 1):
        table.add_row(
            str(place),
            adviser.describe(option),
            f"{option.seconds:.3g} s",
            f"{option.tokens_per_second:,.0f}",
            f"{option.mfu:.1%}",
            f"{option.bound} ({option.shares[option.bound]:.0%})",
            f"{option.memory_bytes / 2**30:.0f} GiB",
            f"{option.dollars_per_billion_tokens:,.0f}",
            f"{option.joules_per_billion_tokens / 1e6:,.2f}",
        )
    console.print(table)
    used = calibration.digest()[:8]
    console.print(f"{answer.considered:,} strategies were simulated with calibration {used}; none was measured.")
    (scaled,) = adviser.sweep(workload, cluster, calibration, [gpus], batch)
    if scaled.doubled and scaled.marginal is not None:
        price = scaled.doubled.dollars_per_billion_tokens / scaled.best.dollars_per_billion_tokens - 1
        console.print(
            f"Twice as many GPUs ({2 * gpus}) with the same batch: {scaled.doubled.tokens_per_second:,.0f} tokens/s. "
            f"Each added GPU brings {scaled.marginal:.0%} of what each brings now, and a token costs {price:+.0%}."
        )
    else:
        console.print(f"Twice as many GPUs ({2 * gpus}) cannot share this batch: give more --batch-tokens.")


def _show_curve(curve: list[adviser.Scaled]) -> None:
    table = Table(
        "GPUs", "best strategy", "tokens/s", "a GPU", "MFU", "bound by", "an added GPU brings", "$ / 1B tokens"
    )
    for one in curve:
        table.add_row(
            str(one.gpus),
            adviser.describe(one.best),
            f"{one.best.tokens_per_second:,.0f}",
            f"{one.best.tokens_per_second_per_gpu:,.0f}",
            f"{one.best.mfu:.1%}",
            f"{one.best.bound} ({one.best.shares[one.best.bound]:.0%})",
            "–" if one.marginal is None else f"{one.marginal:.0%}",
            f"{one.best.dollars_per_billion_tokens:,.0f}",
        )
    console.print(table)
    at = adviser.knee(curve)
    if at is None:
        console.print(f"No knee: each GPU keeps {adviser.KNEE:.0%} of its speed up to {curve[-1].gpus} GPUs.")
    else:
        console.print(
            f"The knee is at {at} GPUs: there each does less than {adviser.KNEE:.0%} of its speed at the start."
        )
