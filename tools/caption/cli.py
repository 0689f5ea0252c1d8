"""`tenfold caption`: re-align the alt-texts of a folder of pictures with what the pictures show."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from flows.engine.terminal import console
from flows.engine.trained import is_here, trained
from tasks.base.determinism import set_process_environment
from tasks.base.errors import UserError

if TYPE_CHECKING:
    from tools.caption.realigning import Counts, Folders

SEED = 1
TRAINED = ("cpu", "gpu", "quick")
"""Profiles whose captioner is taken, the first that is there; the quick one has learned next to nothing."""


def caption(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="A folder of PNG, JPEG, WebP, GIF or SVG pictures.")],
    alt: Annotated[Path | None, typer.Option(help="CSV with image and alt, or records in JSON or JSON lines.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="JSON lines; by default beside IMAGES. Goes on where it was.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Pictures at once.")] = 64,
    profile: Annotated[str | None, typer.Option(help="Whose captioner: cpu, gpu or quick.")] = None,
) -> None:
    """Write a caption of each picture: its alt-text, corrected towards what the picture shows, with the edit.

    The captioner is the one that `tenfold reproduce altogether` trained. A file that is no picture gets a line that
    says why, and the rest goes on; so does a run that was broken off.

    Examples:

        tenfold caption photos --alt alts.csv

        tenfold caption photos --alt alts.csv --out captions.jsonl --batch 128
    """
    from tools.caption.realigning import Realigner, pictures_below, realign

    set_process_environment()
    paths = pictures_below(images)
    out = out or images.resolve().with_name(f"{images.resolve().name}-captions.jsonl")
    if out.is_dir():
        raise UserError(f"{out} is a folder: name a file with --out.")
    texts = _alts(alt, images, paths)
    model = Realigner(captioner(profile))
    shown = Bar(
        TextColumn("captioning"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    try:
        with shown as bar:
            task = bar.add_task("captioning", total=len(paths))
            counts = realign(
                images, paths, texts, model, out, batch, lambda done: bar.update(task, completed=done.pictures)
            )
    except OSError as problem:
        raise UserError(f"{out} cannot be written ({problem.strerror}): name another --out.") from None
    _say(counts, out)


def _alts(alt: Path | None, images: Path, paths: list[str]) -> dict[str, str]:
    from tools.annotate.alts import read_alts

    if alt is None:
        return {}
    found, notes = read_alts(alt, images, paths)
    for note in notes:
        console.print(note, markup=False)
    return {path: each.text for path, each in found.items()}


def captioner(profile: str | None) -> "Folders":
    """The captioner that a reproduction trained, with its encoders: the profile's, or the best that is here.

    Raises UserError where there is none.
    """
    from flows.altogether import stages as altogether
    from tools.caption.realigning import Folders

    profile = profile or next((name for name in TRAINED if is_here(altogether.full, name, seed=SEED)), None)
    if profile is None:
        raise UserError("No captioner has been trained here: run tenfold reproduce altogether --profile cpu first.")
    if profile == "quick":
        console.print("The quick profile's captioner has learned next to nothing; --profile cpu has one that works.")
    full = trained(altogether.full, profile, seed=SEED)
    if full.stale:
        console.print(full.stale, markup=False)
    return Folders(
        encoder=trained(altogether.encoder, profile).folder,
        dual=trained(altogether.dual, profile, seed=SEED).folder,
        captioner=full.folder,
        size=trained(altogether.drawn, profile).settings.size,
        encoding=trained(altogether.features, profile).settings,
    )


def _say(counts: "Counts", out: Path) -> None:
    said = [f"{counts.captioned:,} captioned"]
    said += [f"{counts.known:,} were there already"] if counts.known else []
    said += [f"{counts.without_alt:,} without an alt-text"] if counts.without_alt else []
    said += [f"{counts.unreadable:,} not readable (see problem in the file)"] if counts.unreadable else []
    console.print(f"{counts.pictures:,} pictures: {', '.join(said)}. {out}", markup=False)
