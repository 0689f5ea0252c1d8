"""`tenfold advise`: which strategy to train with on a cluster of one's own, by the calibrated simulator."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from flows.engine.console import console
from flows.engine.progress import progress
from tools.advise import adviser, batches, own

if TYPE_CHECKING:
    from models.hardware.cluster import Cluster
    from models.hardware.search import Answer, Option


def advise(
    model: Annotated[str, typer.Option(help="A known model, or a YAML file.")],
    gpu: Annotated[str, typer.Option(help="A known cluster (v100, a100, h100, h200), or a YAML file.")],
    gpus: Annotated[int, typer.Option(min=1, help="How many GPUs.")] = 8,
    batch_tokens: Annotated[
        str, typer.Option(help="Tokens a step over all GPUs; moved by 5 % at most to what divides.")
    ] = "4M",
    exact: Annotated[bool, typer.Option("--exact", help="Keep to the whole sequences in --batch-tokens.")] = False,
    strategy: Annotated[
        str | None, typer.Option(help=f"One of your own, to set beside the best: {own.EXAMPLE}.")
    ] = None,
    sweep: Annotated[str | None, typer.Option(help="Draw scaling curves, as in gpus=8..4096.")] = None,
    out: Annotated[Path, typer.Option(help="The file for the curves.")] = Path("scaling.html"),
    profile: Annotated[str, typer.Option(help="Whose calibration to use.")] = "quick",
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Search all valid strategies of training on a cluster, and say what bounds the best ones. Simulated.

    Fitted to public figures of V100 to H100 clusters (llm-foundry, BLOOM, DGX Cloud, nccl-tests), and measured on 43
    step times of four other sources: off by 10 % on average, 38 % at worst. It was never set beside a cluster of yours.

    Examples:

        tenfold advise --model llama-2-70b --gpu h100 --gpus 1024 --batch-tokens 4M

        tenfold advise --model llama-2-70b --gpu h100 --gpus 1024 --strategy tensor=8,pipeline=4

        tenfold advise --model my-model.yaml --gpu my-cluster.yaml --sweep gpus=8..4096
    """
    from flows.engine.fetched import ready
    from flows.engine.trained import trained
    from flows.hardware_scaling import stages
    from models.hardware.search import search

    workload, cluster = adviser.read_workload(model), adviser.read_cluster(gpu)
    tokens = adviser.tokens(batch_tokens)
    numbers = adviser.span(sweep) if sweep else [gpus]
    held_out = adviser.read_held_out(ready(stages.held_out, profile).folder)
    fitted = trained(stages.calibration, profile)
    if fitted.stale:
        print(f"tenfold: {fitted.stale}", file=sys.stderr)
    calibration = adviser.read_calibration(fitted.folder)

    def fastest(sequences: int) -> "Answer":
        wanted = sequences * workload.sequence
        return search(workload, cluster, calibration, gpus=numbers[-1], batch_tokens=wanted, best=1)

    with progress("batches searched") as tell:
        batch = batches.choose(tokens, workload.sequence, numbers[-1], fastest, exact, tell)
    about: dict[str, Any] = {
        "batch": {"asked_tokens": tokens, "sequences": batch.sequences, "tokens": batch.tokens},
        "said": batches.said(batch, numbers[-1]),
        "held_out": asdict(held_out) if held_out else None,
        "dollars_per_gpu_hour": cluster.dollars_per_gpu_hour,
        "calibration": calibration.digest(),
    }
    if sweep:
        with progress("numbers of GPUs searched", len(numbers) + 1) as tell:
            curve = adviser.sweep(workload, cluster, calibration, numbers, batch.tokens, tell)
        if not curve:
            adviser.ask(workload, cluster, calibration, numbers[-1], batch.tokens)  # says why nothing is possible
        adviser.draw(curve, f"{Path(model).stem} on {Path(gpu).stem}, {batch.tokens:,} tokens a step", out)
        if as_json:
            rows = [{"gpus": one.gpus, "gain_of_doubling": one.marginal, **_row(one.best)} for one in curve]
            print(json.dumps({**about, "curve": rows, "knee": adviser.knee(curve), "figure": str(out)}, indent=1))
            return
        _show_curve(curve)
        _show_grounds(about["said"], held_out, cluster)
        console.print(f"Wrote {out}.", markup=False)
        return
    answer = adviser.ask(workload, cluster, calibration, gpus, batch.tokens)
    yours = None
    if strategy is not None:
        yours = own.judged(workload, cluster, calibration, own.read_strategy(strategy, gpus, batch.sequences))
    (scaled,) = adviser.sweep(workload, cluster, calibration, [gpus], batch.tokens)
    if as_json:
        told = {
            **about,
            "considered": answer.considered,
            "options": [_row(option) for option in answer.options],
            "yours": _row(yours) if yours else None,
            "doubled": _row(scaled.doubled) if scaled.doubled else None,
        }
        print(json.dumps(told, indent=1))
        return
    _show_options(answer, yours)
    used = calibration.digest()[:8]
    console.print(f"{answer.considered:,} strategies were simulated with calibration {used}; none was measured.")
    _show_grounds(about["said"], held_out, cluster)
    if yours:
        best = answer.options[0]
        share = yours.tokens_per_second / best.tokens_per_second
        console.print(f"Yours trains {share:.0%} as fast as the best; {_difference(yours, best)}.", markup=False)
    if scaled.doubled and scaled.marginal is not None:
        price = scaled.doubled.dollars_per_billion_tokens / scaled.best.dollars_per_billion_tokens - 1
        console.print(
            f"Twice as many GPUs ({2 * gpus}) with the same batch: {scaled.doubled.tokens_per_second:,.0f} tokens/s. "
            f"Each added GPU brings {scaled.marginal:.0%} of what each brings now, and a token costs {price:+.0%}."
        )
    else:
        console.print(f"Twice as many GPUs ({2 * gpus}) cannot share this batch: give more --batch-tokens.")


def _row(option: "Option") -> dict[str, Any]:
    """An option with all of its strategy's settings, and in words."""
    return {"in_words": adviser.describe(option), **asdict(option)}


def _show_options(answer: "Answer", yours: "Option | None") -> None:
    table = Table(
        "", "strategy", "step", "tokens/s", "a GPU", "MFU", "bound by", "memory", "$ / 1B tokens", "kJ / 1M tokens"
    )
    listed = [(str(place), option) for place, option in enumerate(answer.options, 1)]
    for name, option in [*listed, *([("yours", yours)] if yours else [])]:
        table.add_row(
            name,
            adviser.describe(option),
            f"{option.seconds:.3g} s",
            f"{option.tokens_per_second:,.0f}",
            f"{option.tokens_per_second_per_gpu:,.0f}",
            f"{option.mfu:.1%}",
            f"{option.bound} ({option.shares[option.bound]:.0%})",
            f"{option.memory_bytes / 2**30:.0f} GiB",
            f"{option.dollars_per_billion_tokens:,.0f}",
            f"{option.joules_per_billion_tokens / 1e6:,.2f}",
        )
    console.print(table)


def _show_grounds(said: list[str], held_out: adviser.HeldOut | None, cluster: "Cluster") -> None:
    """What the figures rest on: the batch, the simulator's error, the price."""
    for sentence in said:
        console.print(sentence, markup=False)
    console.print(
        str(held_out or "How far it is off has not been measured here: run tenfold reproduce hardware_scaling.")
    )
    console.print(
        f"Prices assume ${cluster.dollars_per_gpu_hour:.2f} a GPU hour; dollars_per_gpu_hour in a cluster's file "
        "changes that."
    )


def _difference(yours: "Option", best: "Option") -> str:
    """What costs a strategy most of the time that the best one saves."""
    times = {name: yours.shares[name] * yours.seconds - best.shares[name] * best.seconds for name in yours.shares}
    name = max(times, key=lambda part: times[part])
    return f"the most of the difference is {name} ({times[name]:+.3g} s of a step of {yours.seconds:.3g} s)"


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
