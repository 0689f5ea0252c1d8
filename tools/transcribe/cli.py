"""`tenfold transcribe`: what is said in sound and video files, as text, subtitles or JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.engine.console import console
from flows.engine.progress import progress
from models.speech import subtitles
from tasks.base.determinism import set_process_environment
from tasks.base.errors import UserError

if TYPE_CHECKING:
    from tools.transcribe.engines import Heard, Own, Whisper

HOT = 3.0
"""Nats that a hotword is worth more."""


class Format(StrEnum):
    """How the result is written."""

    TXT = "txt"
    SRT = "srt"
    VTT = "vtt"
    JSON = "json"


class Engine(StrEnum):
    """Who hears."""

    AUTO = "auto"
    WHISPER = "whisper"
    OWN = "own"


def transcribe(
    files: Annotated[list[Path], typer.Argument(metavar="FILES", help="Sound or video files, and folders of them.")],
    language: Annotated[str, typer.Option(help="What is spoken: en, es, fr, it, ru, cs or nl.")] = "en",
    hotwords: Annotated[str, typer.Option(help="Words to expect, with commas between them.")] = "",
    out: Annotated[Format, typer.Option(help="Format of the results.")] = Format.TXT,
    to: Annotated[Path | None, typer.Option(help="Folder for the results; else beside each file.")] = None,
    engine: Annotated[Engine, typer.Option(help="Whisper is taken for English where it is installed.")] = Engine.AUTO,
    again: Annotated[bool, typer.Option("--again", help="Also files whose result is there already.")] = False,
    profile: Annotated[str | None, typer.Option(help="Whose own recogniser: cpu, gpu or quick.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Transcribe files of any length, each into a file of its own. A run that was broken off goes on where it was.

    English is heard by Whisper (tiny), where faster-whisper is installed; the other languages by the paper's own
    recogniser, which knows the words of a telephone exchange's prompts and little else. A file that gives no sound is
    named, and the rest goes on.

    Examples:

        tenfold transcribe talk.mp4 --out srt

        tenfold transcribe prompts/ --language fr --hotwords "messagerie, dièse"
    """
    set_process_environment()
    paths = sound_files(files, out.value)
    if to is not None:
        to.mkdir(parents=True, exist_ok=True)
    words = [word.strip().lower() for word in hotwords.split(",") if word.strip()]
    targets = {path: result_of(path, to, out.value) for path in paths}
    waiting = [path for path in paths if again or not targets[path].exists()]
    done: list[dict[str, object]] = []
    failed = 0
    if waiting:
        hear = _engine(engine, language, words, profile)
        if not as_json:
            console.print(f"Heard by {hear.name}.")
        for path in waiting:
            with progress(f"seconds of {path.name}") as tell:
                try:
                    heard = hear(path, lambda seconds, tell=tell: tell(round(seconds)))  # type: ignore[misc]
                except UserError as problem:
                    failed += 1
                    done.append({"file": str(path), "problem": str(problem)})
                    if not as_json:
                        console.print(str(problem), markup=False)
                    continue
            _write(targets[path], heard, out)
            done.append({"file": str(path), "result": str(targets[path]), "seconds": heard.seconds})
            if heard.damage:
                done[-1]["problem"] = heard.damage
            if not as_json:
                said = f"{targets[path]}: {len(heard.words):,} words in {heard.seconds:.0f} s."
                console.print(f"{said} {heard.damage}".strip(), markup=False)
    there = len(paths) - len(waiting)
    if as_json:
        print(json.dumps({"files": done, "already_there": there}, ensure_ascii=False, indent=1))
    elif there:
        console.print(f"{there:,} files have their result already; --again hears them anew.")
    if failed:
        raise typer.Exit(1)


def sound_files(given: Sequence[Path], ending: str) -> list[Path]:
    """The files, and those below folders whose ending is one of sound or video.

    Raises:
        UserError: one is not there, or there is none at all.
    """
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            found += [each for each in sorted(path.rglob("*")) if each.suffix.lower() in ENDINGS and each.is_file()]
        elif path.exists():
            found.append(path)
        else:
            raise UserError(f"There is no file {path}.")
    if not found:
        raise UserError(f"There is no sound or video file in {', '.join(map(str, given))}.")
    return list(dict.fromkeys(found))


ENDINGS = (
    *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wma", ".aiff", ".au", ".g722", ".amr"),
    *(".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v"),
)


def result_of(path: Path, folder: Path | None, ending: str) -> Path:
    """Where a file's result goes: the whole name and the ending, so that a.mp3 and a.wav do not meet."""
    return (folder or path.parent) / f"{path.name}.{ending}"


def _engine(engine: Engine, language: str, hotwords: Sequence[str], profile: str | None) -> "Own | Whisper":
    from tools.transcribe import engines
    from tools.transcribe.recognisers import recogniser

    hot = dict.fromkeys(hotwords, HOT)
    if engine is not Engine.OWN and language == "en" and engines.has_whisper():
        from flows.engine.fetched import fetched

        folder = fetched("whisper-tiny")
        if not (folder / "unavailable.json").exists():
            return engines.Whisper(folder, hot)
    if engine is Engine.WHISPER:
        needs = "English alone" if language != "en" else "faster-whisper: pip install faster-whisper"
        raise UserError(f"Whisper is for {needs}, or leave --engine out.")
    folders = recogniser(language, profile)
    if folders.stale:
        console.print(folders.stale, markup=False)
    own = engines.Own(folders, hot)
    if own.unknown:
        console.print(f"Hotwords with letters that it does not know are left out: {', '.join(own.unknown)}.")
    return own


def _write(target: Path, heard: "Heard", out: Format) -> None:
    if out is Format.SRT:
        text = subtitles.srt(heard.words)
    elif out is Format.VTT:
        text = subtitles.vtt(heard.words)
    elif out is Format.JSON:
        words = [asdict(word) for word in heard.words]
        about = {"text": heard.text, "seconds": heard.seconds, "damage": heard.damage, "words": words}
        text = json.dumps(about, ensure_ascii=False, indent=1) + "\n"
    else:
        text = "\n".join(line.text for line in subtitles.lines(heard.words)) + "\n"
    part = target.with_name(f".{target.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(target)
