"""`tenfold latency`: where the inference time of your own model goes, by runtime and batch."""

from pathlib import Path
from typing import Annotated

import typer

from tasks.base.errors import UserError


def latency(
    model: Annotated[
        str, typer.Argument(metavar="MODULE:FUNCTION | FOLDER | FILE.onnx", help="What builds or holds your model.")
    ] = "",
    batch: Annotated[str, typer.Option(help="Batches, apart by commas; three tell the regime.")] = "1,2,4,8,16",
    runtimes: Annotated[str, typer.Option(help="Runtimes, apart by commas; all that are here without it.")] = "",
    threads: Annotated[int, typer.Option(min=1, help="Of every runtime.")] = 1,
    blocks: Annotated[int, typer.Option(min=8, help="How often everything is timed.")] = 20,
    out: Annotated[Path, typer.Option(help="The answer, as JSON.")] = Path("latency.json"),
    page: Annotated[Path, typer.Option(help="The same, as HTML.")] = Path("latency.html"),
    compare_with: Annotated[
        tuple[Path, Path] | None, typer.Option("--compare", metavar="BEFORE.json AFTER.json", help="Tell what changed.")
    ] = None,
) -> None:
    """Time your model on every runtime: which regime each batch is in, who is fastest, what is free, what to do.

    The function returns (module, inputs): a PyTorch module, and one tensor or several with a batch. A folder holds a
    Hugging Face model that reads tokens. Every runtime has a process of its own; outputs are compared; a runtime that
    is not installed, does not export or breaks is named, and the others go on.

    Examples:

        tenfold latency my_module:build --batch 1,8,64 --runtimes eager,onnxruntime

        tenfold latency --compare before.json after.json
    """
    from tools.latency.running import show_changes, time_model

    if compare_with:
        if model:
            raise UserError("--compare takes two answers and no model.")
        if show_changes(compare_with):
            raise typer.Exit(1)
        return
    time_model(model, batch, runtimes, threads, blocks, out, page)
