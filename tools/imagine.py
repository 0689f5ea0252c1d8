"""Pictures of a prompt, drawn by Transfusion: the paper's model of digits, or one of your own."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.engine.console import console
from tasks.base.determinism import set_process_environment
from tasks.base.errors import UserError


def command(
    prompt: Annotated[str, typer.Argument(help="What to draw, as in “a three”.")],
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("imagined.png"),
    n: Annotated[int, typer.Option("--n", "-n", min=1, max=256, help="Pictures, side by side.")] = 8,
    guidance: Annotated[
        float, typer.Option(min=0, max=50, help="How strictly to follow the prompt; 1: no more.")
    ] = 3.0,
    seed: Annotated[int, typer.Option(min=0, help="What is drawn at random.")] = 0,
    model: Annotated[Path | None, typer.Option(help="A folder that tenfold transfusion train wrote.")] = None,
    profile: Annotated[str | None, typer.Option(help="Whose model of digits: quick, cpu or gpu.")] = None,
) -> None:
    """Draw pictures of a prompt.

    Examples:

        tenfold imagine "a handwritten seven" --out seven.png

        tenfold imagine "a red heart" --model ~/painter --n 4 --guidance 5
    """
    from tasks.transfusion.gallery import contact_sheet, png
    from tools.transfusion.painter import painter

    set_process_environment()
    if not prompt.strip():
        raise UserError("The prompt is empty: say what to draw.")
    found = painter(model, profile)
    for note in filter(None, [found.note, _unknown(found.unknown(prompt))]):
        print(f"tenfold: {note}", file=sys.stderr)
    sheet = contact_sheet(found.draw(prompt, n, guidance, seed), 8)
    try:
        out.write_bytes(png(sheet, max(1, 64 // found.side)))
    except OSError as problem:
        raise UserError(f"{out} cannot be written ({problem.strerror}): name another --out.") from None
    console.print(f"{n} pictures, guidance {guidance:g}, seed {seed}: {out}", markup=False)


def _unknown(words: list[str]) -> str:
    return f"No caption that this model learned from had {', '.join(words)}." if words else ""
