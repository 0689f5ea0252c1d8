"""`tenfold caption`: re-align the alt-texts of a folder of pictures with what the pictures show."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from flows.engine.terminal import console
from tasks.closure import ROOT
from tasks.errors import UserError
from tasks.run import set_process_environment

if TYPE_CHECKING:
    from tasks.caption import Counts, Folders

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
    from tasks.caption import Realigner, pictures_below, realign

    set_process_environment()
    paths = pictures_below(images)
    out = out or images.resolve().with_name(f"{images.resolve().name}-captions.jsonl")
    if out.is_dir():
        raise UserError(f"{out} is a folder: name a file with --out.")
    texts = _alts(alt, images, paths)
    model = Realigner(trained(profile))
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
    from tasks.annotation.alts import read_alts

    if alt is None:
        return {}
    found, notes = read_alts(alt, images, paths)
    for note in notes:
        console.print(note, markup=False)
    return {path: each.text for path, each in found.items()}


def trained(profile: str | None) -> "Folders":
    """The captioner that a reproduction trained, with its encoders."""
    from tasks.altogether.encoder import Encoding
    from tasks.caption import Folders

    for name in (profile,) if profile else TRAINED:
        data, pipeline = ROOT / "data" / name / "altogether", ROOT / "pipelines" / name / "altogether"
        folders = {"encoder": "encoder", "dual": "dual-1", "captioner": "full-1"}
        if all((data / folder).is_dir() for folder in folders.values()):
            settings: dict[str, Any] = json.loads((pipeline / "params.json").read_text())
            encoding = {**settings["features"], "maps": tuple(settings["features"]["maps"])}
            if name == "quick" and not profile:
                console.print("Only the quick profile's captioner is here, which has learned next to nothing.")
            places = {part: data / folder for part, folder in folders.items()}
            return Folders(**places, size=settings["drawn"]["size"], encoding=Encoding(**encoding))
    which = f"--profile {profile}" if profile else "--profile cpu"
    raise UserError(f"No captioner has been trained here: run tenfold reproduce altogether {which} first.")


def _say(counts: "Counts", out: Path) -> None:
    said = [f"{counts.captioned:,} captioned"]
    said += [f"{counts.known:,} were there already"] if counts.known else []
    said += [f"{counts.without_alt:,} without an alt-text"] if counts.without_alt else []
    said += [f"{counts.unreadable:,} not readable (see problem in the file)"] if counts.unreadable else []
    console.print(f"{counts.pictures:,} pictures: {', '.join(said)}. {out}", markup=False)
