"""`tenfold merge`: checkpoints into a mixture of experts, which is then finetuned on texts of one's own."""

import json
import resource
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table
from typer.core import TyperGroup

from flows.engine.console import console, cores
from flows.engine.progress import progress
from tasks.base.determinism import set_process_environment
from tasks.base.errors import UserError


class Merging(TyperGroup):
    """`tenfold merge CONFIG.yaml`: what is no command is the recipe of the command that merges."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command that merges before anything that is none."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["checkpoints", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=Merging,
    no_args_is_help=True,
    help="Merge checkpoints into a mixture of experts (tenfold merge CONFIG.yaml), and finetune it (BTX).",
)

Recipe = Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="What to merge.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print what came of it as JSON.")]

TEXT = """def area(width: float, height: float) -> float:
    return width * height

An area is what a surface measures. Lake Constance, for one, covers 536 square kilometres."""
"""What logits are compared on where no text is given."""


@app.command()
def checkpoints(
    recipe: Recipe,
    out: Annotated[Path, typer.Option(help="Where the mixture goes.")] = Path("mixture"),
    as_json: AsJson = False,
) -> None:
    """Merge checkpoints of the Llama family into one in Mixtral's layout, which transformers loads.

    Feed-forwards become experts, and everything else is averaged or taken from one base. Files are read and written a
    few megabytes at a time. What is written appears whole or not at all.

    Example:

        tenfold merge mixture.yaml --out ~/mixture
    """
    from tools.merge.merging import merge
    from tools.merge.recipe import read_recipe
    from tools.merge.sources import read_sources

    set_process_environment()
    began = time.perf_counter()
    read = read_recipe(recipe)
    with progress("weights merged") as tell:
        done = merge(read, read_sources(read, recipe), out, tell)
    seconds, peak = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    if as_json:
        print(json.dumps({**asdict(done), "seconds": seconds, "peak_bytes": peak}, indent=1))
        return
    files = "1 file" if done.files == 1 else f"{done.files} files"
    console.print(
        f"{len(read.experts)} experts: {done.parameters / 1e6:,.1f} M parameters, {done.active / 1e6:,.1f} M for each "
        f"token; {done.size >> 20:,} MB in {files}, {seconds:.1f} s, at most {peak >> 20:,} MB of memory.",
        markup=False,
    )
    console.print(f"The mixture is in {out}; now: tenfold merge finetune {out} TEXTS …", markup=False)


@app.command()
def check(
    recipe: Recipe,
    mixture: Annotated[Path, typer.Argument(help="The folder that was written by it.")] = Path("mixture"),
    text: Annotated[str, typer.Option(help="What to compare on.")] = TEXT,
) -> None:
    """Compare a merged folder's logits, by transformers, with those of the paper's code on the same checkpoints.

    Here all checkpoints are in memory. The command fails where logits differ by more than 0.0001.

    Example:

        tenfold merge check mixture.yaml ~/mixture
    """
    import torch

    from tools.merge.checking import CLOSE, furthest
    from tools.merge.recipe import read_recipe
    from tools.merge.sources import read_sources

    set_process_environment()
    torch.set_num_threads(cores())
    read = read_recipe(recipe)
    apart = furthest(read, read_sources(read, recipe), mixture, text)
    if not apart <= CLOSE:
        raise UserError(f"Logits differ by {apart:.2g}: {mixture} is not what {recipe} makes; merge it again.")
    console.print(f"Logits differ by at most {apart:.2g}.")


@app.command()
def finetune(
    mixture: Annotated[Path, typer.Argument(help="A folder that tenfold merge wrote.")],
    texts: Annotated[list[Path], typer.Argument(help="A file or folder of text for each domain.")],
    out: Annotated[Path, typer.Option(help="Where the finetuned mixture goes.")] = Path("finetuned"),
    trained: Annotated[
        Literal["router", "lora", "all"],
        typer.Option("--train", help="The routers; with LoRA on attention; or all weights, as the paper does."),
    ] = "lora",
    steps: Annotated[int, typer.Option(min=1, help="Steps of the optimiser.")] = 200,
    batch: Annotated[int, typer.Option(min=1, help="Windows a step.")] = 4,
    context: Annotated[int, typer.Option(min=8, help="Tokens of a window.")] = 256,
    learning_rate: Annotated[float | None, typer.Option(min=1e-8, max=1.0, help="The peak; else by --train.")] = None,
    balance: Annotated[float, typer.Option(min=0, help="The weight of the loss that balances the experts.")] = 0.01,
    windows: Annotated[int, typer.Option(min=1, help="Held-out windows a domain, at most.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="What is drawn at random.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train a mixture on your texts, and say how well it foretells held-out ones before and after, by domain.

    A tenth of the documents of each domain is held out. Interrupted, it goes on where it stopped. What is written
    appears whole or not at all.

    Examples:

        tenfold merge finetune ~/mixture ~/texts/python ~/texts/letters.jsonl --out ~/tuned

        tenfold merge finetune ~/mixture ~/texts/python ~/texts/letters.jsonl --train all --steps 2000
    """
    import torch

    from tools.merge.finetuning import Finetuning, finetune

    set_process_environment()
    torch.set_num_threads(cores())
    wanted = Finetuning(
        trained=trained, steps=steps, batch=batch, context=context, learning_rate=learning_rate or 0.0,
        balance=balance, windows=windows, seed=seed,
    )  # fmt: skip
    done = finetune(mixture, texts, out, wanted, lambda said: None if as_json else console.print(said, markup=False))
    if as_json:
        print(json.dumps(asdict(done), indent=1, ensure_ascii=False))
        return
    table = Table("held-out bits a byte", "before", "after", *(f"gates of {name}" for name in done.experts))
    for name, shares in done.gates.items():
        row = [f"{done.before[name]:.4f}", f"{done.after[name]:.4f}", *(f"{share:.2f}" for share in shares)]
        table.add_row(name, *row)
    console.print(table)
    console.print(f"The finetuned mixture is in {out}.", markup=False)
