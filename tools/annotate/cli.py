"""`tenfold annotate`: people re-align the alt-texts of a folder of pictures in rounds, and export what they wrote."""

import getpass
import json
import signal
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from flows.engine.console import console
from flows.engine.progress import progress
from tasks.base.errors import UserError

if TYPE_CHECKING:
    from tools.annotate.alts import Alt
    from tools.annotate.pictures import Found
    from tools.annotate.rounds import Annotations

MOST = 3
"""How many names of files a sentence lists."""
MEASURES = {
    **dict.fromkeys(("accepted", "skipped", "draft", "to do", "contested"), "{}"),
    "changed_share": "{:.0%}",
    **dict.fromkeys(("words_before", "words_after", "kept", "added", "removed"), "{:.1f}"),
    "similarity": "{:.2f}",
    "same_person": "{}",
}
"""What the report has of a round, and how it is written."""


def annotate(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="A folder of PNG, JPEG, WebP, GIF or SVG pictures.")],
    alt: Annotated[Path | None, typer.Option(help="CSV with image and alt, or records in JSON or JSON lines.")] = None,
    by: Annotated[str | None, typer.Option(help="Who annotates; by default your login name.")] = None,
    number: Annotated[int | None, typer.Option("--round", min=1, help="By default the last one begun.")] = None,
    store: Annotated[Path | None, typer.Option(help="Where the work is kept; by default beside IMAGES.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The page's port; 0 for any free one.")] = 8420,
    report: Annotated[bool, typer.Option("--report", help="Show how far the rounds agree, and who did what.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
    export: Annotated[Path | None, typer.Option(help="Write the accepted records to this new JSON file.")] = None,
) -> None:
    """Re-align alt-texts to what the pictures show, in rounds by different people, on a page of this machine.

    The page is tested in Chromium; how much it helps people who annotate has not been measured.

    Examples:

        tenfold annotate photos --alt alts.csv --by Ada

        tenfold annotate photos --round 2 --by Bo

        tenfold annotate photos --report

        tenfold annotate photos --export records.json
    """
    # Only now: the models of pydantic take a moment to load.
    from tools.annotate.rounds import Annotations, recall

    if as_json and not report:
        raise UserError("--json is a form of --report: say --report --json.")
    folder = images.resolve()
    store = store or folder.with_name(f"{folder.name}-annotations")
    if (report or export) and images.is_dir() and not store.is_dir():
        raise UserError(f"There are no annotations in {store}: make some with tenfold annotate {images}.")
    files, alts = recall(store)
    found = _pictures(images, files)
    alts |= _alts(alt, images, found)
    annotations = Annotations(store, found.pictures, alts)
    if not (report or export):
        _serve(annotations, found, images, number, _person(by), port)
        return
    _say(annotations.notes())
    if report:
        _report(annotations, as_json)
    if export:
        _export(annotations, number, folder.name, export)


def _pictures(images: Path, files: dict[str, dict[str, Any]]) -> "Found":
    from tools.annotate.pictures import find, number_of

    progress = partial(_progress, "Looking at the pictures")
    found = find(images, files, progress)
    notes = [f"{path} {why} and is left out." for path, why in list(found.unreadable.items())[:MOST]]
    if len(found.unreadable) > MOST:
        notes.append(f"{number_of(len(found.unreadable) - MOST, 'more file')} left out as unreadable.")
    if found.not_shown:
        endings = ", ".join(sorted(found.not_shown))
        notes.append(f"{number_of(found.not_shown.total(), 'file')} left out, of kinds not shown ({endings}).")
    _say(notes)
    return found


def _progress(what: str, paths: list[str]) -> Iterable[str]:
    with progress(what, len(paths)) as tell:
        for done, path in enumerate(paths):
            tell(done)
            yield path


def _alts(alt: Path | None, images: Path, found: "Found") -> dict[str, "Alt"]:
    if alt is None:
        return {}
    from tools.annotate.alts import read_alts

    alts, notes = read_alts(alt, images, [picture.path for picture in found.pictures])
    _say(notes)
    return alts


def _person(by: str | None) -> str:
    try:
        name = (getpass.getuser() if by is None else by).strip()
    except (OSError, KeyError):
        name = ""
    if not name or len(name) > 80 or not name.isprintable():
        raise UserError("Who annotates? Give a name of 1 to 80 printable characters, as in --by Ada.")
    return name


def _serve(annotations: "Annotations", found: "Found", images: Path, number: int | None, by: str, port: int) -> None:
    from tools.annotate import page
    from tools.annotate.pictures import number_of
    from tools.annotate.rounds import remember

    chosen = number or max(annotations.numbers(), default=1)
    try:
        annotations.start(chosen)
        notes = annotations.notes()
        annotations.store.mkdir(parents=True, exist_ok=True)
        remember(annotations.store, found.remembered, annotations.alts)
    except OSError as problem:
        raise UserError(
            f"{annotations.store} cannot be written ({problem.strerror}): choose another --store."
        ) from None
    bound = page.listen(port)
    _say(notes)
    if chosen > 1 and by in annotations.people(chosen - 1):
        _say([f"{by} has also accepted texts of round {chosen - 1}; the paper has a different person edit each round."])
    for signalled in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signalled, signal.default_int_handler)
    with_alt = sum(bool(annotations.alt(picture).text) for picture in found.pictures)
    console.print(
        f"{number_of(len(found.pictures), 'picture')}, {with_alt} with alt-text. {_standing(annotations, chosen)}",
        markup=False,
    )
    console.print(f"Annotate as {by}: http://127.0.0.1:{bound.getsockname()[1]}", markup=False)
    console.print(f"Each edit is saved at once in {annotations.store}. Ctrl-C ends.", markup=False)
    try:
        page.serve(page.application(annotations, images, chosen, by), bound)
    except KeyboardInterrupt:
        pass
    finally:
        annotations.round(chosen).refresh()
        console.print(
            f"\nClosed. {_standing(annotations, chosen)} The work is in {annotations.store}; "
            "the same command goes on from here.",
            markup=False,
        )


def _standing(annotations: "Annotations", number: int) -> str:
    counts = annotations.counts(number)
    return f"Round {number}: {', '.join(f'{count} {name}' for name, count in counts.items())}."


def _report(annotations: "Annotations", as_json: bool) -> None:
    from tools.annotate import agreement

    told = agreement.report(annotations)
    if as_json:
        print(json.dumps(told, indent=1))
        return
    rounds = Table("", *(f"round {row['round']}" for row in told["rounds"]), title="Each round against its start")
    for name, form in MEASURES.items():
        values = [row[name] for row in told["rounds"]]
        rounds.add_row(name.replace("_", " "), *("–" if value is None else form.format(value) for value in values))
    console.print(rounds)
    console.print(
        "Words are means over the accepted pictures; similarity is 1 − (added + removed) / words of both texts."
    )
    people = Table("round", "who", "accepted", "skipped", "saved edits", "minutes", "median s a picture")
    for row in told["annotators"]:
        counts = [str(row[name]) for name in ("accepted", "skipped", "saved_edits")]
        times = [f"{row['seconds'] / 60:.1f}", f"{row['median_seconds']:.0f}"]
        people.add_row(str(row["round"]), escape(row["by"]), *counts, *times)
    console.print(people)


def _export(annotations: "Annotations", number: int | None, source: str, out: Path) -> None:
    from tools.annotate import export
    from tools.annotate.pictures import number_of

    begun = [each for each in annotations.numbers() if annotations.counts(each)["accepted"]]
    last = number or max(begun, default=1)
    found, left_out = export.records(annotations, last, source)
    export.write(found, out)
    rest = ", ".join(f"{count} {name}" for name, count in left_out.items())
    console.print(
        f"Wrote {number_of(len(found), 'record')} with round {last} accepted to {out}; left out: {rest or 'none'}.",
        markup=False,
    )
    if last < 3:
        _say([f"No record has the round3 that Altogether trains on: the last round is {last}."])


def _say(notes: list[str]) -> None:
    """Sentences beside the answer, so that --json stays JSON."""
    for note in notes:
        print(f"tenfold: {note}", file=sys.stderr)
