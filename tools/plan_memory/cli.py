"""`tenfold plan-memory`: the peak of a training step now, the plan's, the bound, and the plan itself."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from flows.engine.console import console
from tasks.base.errors import UserError
from tools.plan_memory import answer as answers
from tools.plan_memory.answer import spoken
from tools.plan_memory.building import builder, traced_step


def plan_memory(
    build: Annotated[str, typer.Argument(metavar="MODULE:FUNCTION", help="What builds your model and its inputs.")],
    batch: Annotated[int | None, typer.Option(min=1, help="Given to the function.")] = None,
    limit: Annotated[str | None, typer.Option(help="Bytes that there are, such as 4GB.")] = None,
    optimizer: Annotated[Literal["sgd", "adam"], typer.Option(help="Of the training step that is planned.")] = "sgd",
    out: Annotated[Path, typer.Option(help="The plan, as JSON.")] = Path("memory-plan.json"),
    page: Annotated[Path, typer.Option(help="The memory map, as HTML.")] = Path("memory-plan.html"),
) -> None:
    """Plan the memory of a training step: the order of its operators and an address for each tensor.

    The function returns (model, inputs), (model, inputs, loss) with loss(model, *inputs), or (step, inputs) for a step
    of your own. It is traced without memory where its initialisation allows. Nothing is trained.

    Examples:

        tenfold plan-memory my_module:build --batch 32

        tenfold plan-memory my_module:build --batch 32 --optimizer adam --limit 4GB
    """
    room = answers.size_of(limit) if limit else None
    for path in (out, page):
        if path.is_dir() or not path.resolve().parent.is_dir():
            raise UserError(f"{path} cannot be written: name a file in a folder that is there.")
    traced = traced_step(builder(build), batch, optimizer)
    found = answers.answer(traced)
    plan = answers.as_json(found, traced)
    out.write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")
    from tools.plan_memory.page import write_page

    write_page(found, plan, build, page)
    _show(found)
    if room is not None:
        console.print(fits(found, room), markup=False)
    console.print(f"Wrote {out} and {page}.", markup=False)


def _show(found: answers.Answer) -> None:
    ordered, placed = found.plan.ordered, found.plan.placed
    table = Table("", "in all", "made by the step")
    table.add_row("PyTorch's order", spoken(found.now), spoken(found.plan.pytorch_peak))
    table.add_row("this plan", spoken(found.planned), spoken(placed.arena))
    if found.certain:
        table.add_row("no order needs less than", spoken(found.bound), spoken(ordered.bound))
    console.print(table)
    console.print(
        f"The plan saves {1 - found.planned / found.now:.1%} of all bytes (order: {ordered.rule}; addresses: "
        f"{placed.rule}, {placed.arena / max(1, placed.bound) - 1:.2%} above what is live at once).",
        markup=False,
    )
    if found.certain:
        console.print(f"It is at most {ordered.gap:.2%} above the best order.", markup=False)
    else:
        console.print(
            f"{len(found.graph.operators):,} operators are too many for a bound: this is the best of the rules.",
            markup=False,
        )
    console.print("Live at its peak, the largest first:", markup=False)
    for one in answers.limits(found):
        shape = "×".join(map(str, one["shape"])) or "scalar"
        line = f", {one['line']}" if one["line"] else ""
        console.print(f"  {spoken(one['bytes']):>10}  {one['name']} ({one['operator']}, {shape}{line})", markup=False)


def fits(found: answers.Answer, room: int) -> str:
    """Whether the plan fits into so many bytes, and whether any order could."""
    if found.planned <= room:
        now = "does" if found.now <= room else "does not"
        return f"The plan fits into {spoken(room)}; PyTorch's order {now}."
    if found.certain and found.bound > room:
        return (
            f"No order fits into {spoken(room)}: {spoken(found.bound - room)} would have to be computed again or moved "
            "elsewhere, or the batch made smaller."
        )
    return f"The plan does not fit into {spoken(room)}: it needs {spoken(found.planned - room)} more."
