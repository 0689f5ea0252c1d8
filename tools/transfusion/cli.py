"""`tenfold transfusion`: train on one's own pictures with texts."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.engine.console import console, cores
from tasks.base.determinism import set_process_environment

app = typer.Typer(
    no_args_is_help=True, help="Train on your own pictures a model that draws and reads them (Transfusion)."
)


@app.callback()
def group() -> None:
    """A model that draws and reads pictures, trained on your own (Transfusion)."""


@app.command()
def train(
    folder: Annotated[Path, typer.Argument(help="Pictures, each with a text file of the same name, a caption a line.")],
    out: Annotated[Path, typer.Option(help="Where the model goes.")] = Path("transfusion-model"),
    steps: Annotated[int, typer.Option(min=1, help="Steps of the autoencoder, and of the generator.")] = 3000,
    side: Annotated[int, typer.Option(min=16, max=256, help="The side of a picture in pixels, a multiple of 16.")] = 32,
    seed: Annotated[int, typer.Option(min=0, help="What is drawn at random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print what came of it as JSON.")] = False,
) -> None:
    """Train on a folder of pictures with texts. Interrupted, it goes on where it stopped.

    What cannot be used is named, and the rest goes on. Texts without a picture are read as text alone. preview.png
    shows pictures above what is drawn of their captions.

    Example:

        tenfold transfusion train ~/pictures --out ~/painter
    """
    import torch

    from tools.transfusion.pairs import read_pairs
    from tools.transfusion.training import train_folder

    set_process_environment()
    if side % 16:
        raise typer.BadParameter("the side must be a multiple of 16")
    torch.set_num_threads(cores())
    pairs = read_pairs(folder, side)
    for problem in pairs.problems:
        print(f"tenfold: {problem}", flush=True) if not as_json else None
    done = train_folder(pairs, out, steps, seed, lambda said: None if as_json else console.print(said, markup=False))
    if as_json:
        print(json.dumps({**asdict(done), "problems": pairs.problems}, indent=1, ensure_ascii=False))
        return
    console.print(
        f"Learned from {done.pictures:,} pictures with {done.captions:,} captions and {done.documents:,} documents; "
        f'now: tenfold imagine "…" --model {out}',
        markup=False,
    )
