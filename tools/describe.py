"""What a picture shows, said by Transfusion: the paper's model of digits, or one of your own."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.engine.console import console
from tasks.base.determinism import set_process_environment
from tasks.base.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LIGHT = 127
"""Grey values above are light."""


def command(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE...", help="PNG, JPEG, WebP, GIF, BMP or SVG.")],
    model: Annotated[Path | None, typer.Option(help="A folder that tenfold transfusion train wrote.")] = None,
    profile: Annotated[str | None, typer.Option(help="Whose model of digits: quick, cpu or gpu.")] = None,
) -> None:
    """Say what pictures show. A picture that cannot be read is named, and the others go on.

    The digits that the paper's model learned from are light on dark; a picture with a light border is turned around.

    Examples:

        tenfold describe three.png

        tenfold describe heart.png star.svg --model ~/painter
    """
    from tools.transfusion.painter import painter

    set_process_environment()
    found = painter(model, profile)
    if found.note:
        print(f"tenfold: {found.note}", file=sys.stderr)
    failed = []
    for path in pictures:
        try:
            said = found.read(seen(path, found.side, found.channels))
        except UserError as problem:
            failed.append(str(problem))
            continue
        console.print(f"{path}: {said or 'nothing that ends'}", markup=False)
    if failed:
        raise UserError(" ".join(failed))


def seen(path: Path, side: int, channels: int) -> "NDArray[np.uint8]":
    """A picture as the model sees it: (side, side, channels), uint8.

    Raises:
        UserError: there is no such file, or it gives no picture.
    """
    import numpy as np

    from tasks.altogether.drawn.rendering import Unreadable, on_background, picture

    try:
        rgb = on_background(picture(path, side))
    except (OSError, Unreadable) as reason:
        why = reason.strerror if isinstance(reason, OSError) else reason
        raise UserError(f"{path} cannot be read ({why}).") from None
    if channels == 3:
        return rgb
    grey = rgb.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    shown = 255 - grey if border.mean() > LIGHT else grey
    made: NDArray[np.uint8] = shown.round().astype(np.uint8)[..., None]
    return made
