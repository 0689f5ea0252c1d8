"""`tenfold caption`: re-align the alt-texts of a folder of pictures with what the pictures show."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.engine.console import console
from flows.engine.progress import progress
from tasks.base.determinism import set_process_environment
from tasks.base.errors import UserError
from tasks.base.files import STATE

if TYPE_CHECKING:
    from tools.caption.realigning import Counts, Folders
    from tools.caption.trust import Trust

SEED = 1
MEASURED = STATE / "caption"
TRAINED = ("cpu", "gpu", "quick")
"""Profiles whose captioner is taken, the first that is there; the quick one has learned next to nothing."""


def caption(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="A folder of PNG, JPEG, WebP, GIF or SVG pictures.")],
    alt: Annotated[Path | None, typer.Option(help="CSV with image and alt, or records in JSON or JSON lines.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="JSON lines; by default beside IMAGES. Goes on where it was.")
    ] = None,
    rewrite: Annotated[
        bool, typer.Option("--rewrite", help="Write whole captions, also where there is no alt-text.")
    ] = False,
    anyway: Annotated[bool, typer.Option("--anyway", help="Use a captioner that is no better than a copy.")] = False,
    batch: Annotated[int, typer.Option(min=1, help="Pictures at once.")] = 64,
    profile: Annotated[str | None, typer.Option(help="Whose captioner: cpu, gpu or quick.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say what was done, and what was measured, as JSON.")] = False,
) -> None:
    """Mend what alt-texts say wrongly of skin tones, gender, hair, directions and colours, and leave the rest alone.

    The captioner is the one that `tenfold reproduce altogether` trained. How good it is is measured first, on pictures
    that it was not trained on (drawings of new things and in a new style, photographs on stamps), and said. An
    attribute is changed only where that mends ten wrong ones for each right one that it breaks. On photographs of
    people nothing has been measured. A file that is no picture gets a line that says why, and the rest goes on; so does
    a run that was broken off.

    Examples:

        tenfold caption photos --alt alts.csv

        tenfold caption photos --alt alts.csv --rewrite --out captions.jsonl
    """
    from tools.caption.realigning import Realigner, other_kinds_below, pictures_below, realign
    from tools.caption.trust import ANYWAY, trust_in

    set_process_environment()
    paths = pictures_below(images)
    _say(other_kinds_below(images))
    out = out or images.resolve().with_name(f"{images.resolve().name}-captions.jsonl")
    if out.is_dir():
        raise UserError(f"{out} is a folder: name a file with --out.")
    texts = _alts(alt, images, paths)
    if not texts and not rewrite:
        raise UserError("There is no alt-text to mend: name a file with --alt, or write captions with --rewrite.")
    folders = captioner(profile)
    with progress("measuring the captioner on held-out pictures") as tell:
        trust = trust_in(folders, MEASURED, tell)
    _say(standing(trust, rewrite))
    if not (anyway or (trust.writes if rewrite else trust.mends)):
        raise UserError(
            "This captioner is no better than leaving the alt-texts as they are, so nothing was written: train one "
            "with tenfold reproduce altogether --profile cpu, or use it all the same with --anyway."
        )
    least = trust.least if trust.mends or not anyway else dict.fromkeys(("skin", "gender", "hair"), ANYWAY)
    model = Realigner(folders, least, trust.least_caption if trust.writes else 0.0, rewrite)
    try:
        with progress("pictures", len(paths)) as tell:
            counts = realign(images, paths, texts, model, out, batch, lambda done: tell(done.pictures))
    except OSError as problem:
        raise UserError(f"{out} cannot be written ({problem.strerror}): name another --out.") from None
    if as_json:
        print(json.dumps({"out": str(out), **asdict(counts), "measured": asdict(trust)}, indent=1))
    else:
        console.print(_summary(counts, out), markup=False)


def _alts(alt: Path | None, images: Path, paths: list[str]) -> dict[str, str]:
    from tools.annotate.alts import read_alts

    if alt is None:
        return {}
    found, notes = read_alts(alt, images, paths)
    _say(notes)
    return {path: each.text for path, each in found.items() if each.text}


def captioner(profile: str | None) -> "Folders":
    """The captioner that a reproduction trained, with its encoders: the profile's, or the best that is here.

    Raises UserError where there is none.
    """
    from flows.altogether import stages as altogether
    from flows.engine.trained import is_here, made, trained
    from tools.caption.realigning import Folders

    profile = profile or next((name for name in TRAINED if is_here(altogether.full, name, seed=SEED)), None)
    if profile is None:
        raise UserError("No captioner has been trained here: run tenfold reproduce altogether --profile cpu first.")
    full = trained(altogether.full, profile, seed=SEED)
    _say([full.stale] if full.stale else [])
    features = made(altogether.features, profile)
    return Folders(
        encoder=made(altogether.encoder, profile).folder,
        dual=made(altogether.dual, profile, seed=SEED).folder,
        captioner=full.folder,
        size=made(altogether.drawn, profile).settings.size,
        encoding=features.settings,
        features=features.folder,
        levels=made(altogether.levels, profile).folder,
        titled=made(altogether.titled, profile).folder,
        held_out_style=altogether.LEVELS.split.held_out_style,
    )


def standing(trust: "Trust", rewrite: bool) -> list[str]:
    """How good the captioner is, in sentences."""
    if rewrite:
        said = [
            f"On {each.pictures} {kind}: F1 {each.copies:.2f} of the alt-texts as they are, {each.captions:.2f} of its "
            f"captions, {each.chosen:.2f} with captions only where it is sure."
            for kind, each in trust.writing.items()
        ]
        return said or ["How good its captions are could not be measured: there are no held-out pictures."]
    may = ", ".join(f"{name} (from {least:.2f})" for name, least in trust.least.items())
    said = [f"It is sure enough to change: {may or 'nothing'}."]
    for kind, tallies in trust.mending.items():
        wrong, mended, right, broken = (
            sum(getattr(each, what) for each in tallies.values()) for what in ("wrong", "mended", "right", "broken")
        )
        said.append(
            f"On {kind} it mended {mended} of {wrong} wrong statements, and broke {broken} of {right} right ones."
        )
    return said


def _summary(counts: "Counts", out: Path) -> str:
    said = [f"{counts.captioned:,} looked at", f"{counts.changed:,} changed"]
    said += [f"{counts.known:,} were there already"] if counts.known else []
    said += [f"{counts.without_alt:,} without an alt-text"] if counts.without_alt else []
    said += [f"{counts.unreadable:,} not readable (see problem in the file)"] if counts.unreadable else []
    return f"{counts.pictures:,} pictures: {', '.join(said)}. {out}"


def _say(notes: list[str]) -> None:
    """Sentences beside the answer, so that --json stays JSON."""
    for note in notes:
        print(f"tenfold: {note}", file=sys.stderr)
