"""`tenfold align`: when each word of a transcript is said, and which words the sound does not bear out."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.engine.console import console
from flows.engine.progress import progress
from models.speech import subtitles
from models.speech.subtitles import Timed
from tasks.base.determinism import set_process_environment
from tasks.base.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.speech.aligning import Calibration
    from tasks.speech.training import Recogniser

RATE = 16000
NAMED = 10
"""How many doubtful words are named one by one."""


class Format(StrEnum):
    """How the words and their times are written."""

    JSON = "json"
    SRT = "srt"
    VTT = "vtt"
    TEXTGRID = "textgrid"


@dataclass(frozen=True)
class Word:
    """A word as the transcript has it, its times in seconds, its confidence; `doubt` says what speaks against it."""

    text: str
    begin: float
    end: float
    confidence: float
    doubt: str


def align(
    audio: Annotated[Path, typer.Argument(metavar="AUDIO", help="A sound or video file of any length.")],
    transcript: Annotated[Path, typer.Argument(metavar="TRANSCRIPT", help="Its text, UTF-8; * stands for any speech.")],
    language: Annotated[str, typer.Option(help="What is spoken: en, es, fr, it, ru, cs or nl.")] = "en",
    out: Annotated[Format, typer.Option(help="Format of the result.")] = Format.JSON,
    to: Annotated[Path | None, typer.Option(help="File for the result; else it is printed.")] = None,
    gaps: Annotated[bool, typer.Option("--gaps", help="Words may be missing from the transcript anywhere.")] = False,
    profile: Annotated[str | None, typer.Option(help="Whose recogniser: cpu, gpu or quick.")] = None,
) -> None:
    """Find when each word of a transcript is said: the best way of all, in memory that hardly grows with length.

    Words that the sound does not bear out are named: less sure than 95 % of the words that were said in recordings of
    development. Figures and letters that the recogniser does not know are taken for any speech.

    Examples:

        tenfold align talk.mp3 talk.txt --out srt --to talk.srt

        tenfold align talk.mp3 notes.txt --gaps
    """
    from tasks.speech.aligning import hear_chunks, read_calibration
    from tasks.speech.media import SoundReader
    from tasks.speech.training import load_recogniser
    from tools.transcribe.recognisers import recogniser

    set_process_environment()
    written = read_transcript(transcript)
    folders = recogniser(language, profile)
    if folders.stale:
        console.print(folders.stale, markup=False)
    hears = load_recogniser(folders.model)
    heard = 0
    with SoundReader(audio, RATE, 1) as reader, progress(f"seconds of {audio.name}") as tell:

        def chunks() -> "Iterator[NDArray[np.float32]]":
            nonlocal heard
            for chunk in reader:
                heard += len(chunk)
                tell(heard // RATE)
                yield chunk[:, 0]

        emissions = hear_chunks(hears, chunks())
    words = aligned(hears, emissions, written, read_calibration(folders.aligned), gaps)
    seconds = heard / RATE
    text = written_as(out, words, seconds, reader.damage)
    if to is None:
        print(text, end="")
    else:
        to.write_text(text, encoding="utf-8")
        _say(words, reader.damage, to)


def read_transcript(path: Path) -> list[str]:
    """The words of a transcript, as they are written.

    Raises:
        UserError: it is no file, no text, or has no word in it.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}.")
    try:
        words = path.read_text(encoding="utf-8-sig").split()
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: convert it first.") from None
    if not words:
        raise UserError(f"{path} has no word in it.")
    return words


def aligned(
    recogniser: "Recogniser",
    emissions: "NDArray[np.float32]",
    written: list[str],
    calibration: "Calibration",
    gaps: bool = False,
) -> list[Word]:
    """The words with their times.

    Raises:
        UserError: the recording is too short for the transcript.
    """
    from models.speech.alignment import STAR
    from models.speech.viterbi import TooShort
    from tasks.speech.aligning import spans
    from tasks.speech.texts import normalised

    parts: list[str] = []
    places: list[tuple[int, int]] = []
    for word in written:
        plain = (normalised(word) or "").split() if word != STAR else [STAR]
        known = [part if part == STAR or recogniser.alphabet.spelt(part) else STAR for part in plain]
        if not known and any(letter.isalnum() for letter in word):
            known = [STAR]
        if gaps and parts and parts[-1] != STAR and known and known[0] != STAR:
            parts.append(STAR)
        first = len(parts)
        parts += known
        places.append((first, len(parts)))
    if gaps:
        parts = [STAR, *parts, STAR]
        places = [(first + 1, stop + 1) for first, stop in places]
    if set(parts) <= {STAR}:
        raise UserError("The transcript has no word in letters that the recogniser knows: see --language.")
    try:
        found = spans(recogniser, emissions, parts, calibration)
    except TooShort as problem:
        raise UserError(
            f"The recording is too short for the transcript ({problem}, of {recogniser.model.seconds * 1000:.0f} ms "
            "each): is it the right one?"
        ) from None
    made, at = [], 0.0
    for word, (first, stop) in zip(written, places, strict=True):
        if first == stop:  # a dash, say
            made.append(Word(word, at, at, 1.0, ""))
            continue
        own = [each for each, part in zip(found[first:stop], parts[first:stop], strict=True) if part != STAR]
        confidence = min((each[2] for each in own), default=1.0)
        doubt = "" if own else "" if word == STAR else "not in the recogniser's letters"
        if own and confidence < calibration.doubt:
            doubt = "not borne out by the sound"
        at = max(found[first][0], found[stop - 1][1])
        made.append(Word(word, found[first][0], at, confidence, doubt))
    return made


def written_as(out: Format, words: list[Word], seconds: float, damage: str) -> str:
    """The words in a format; stars and dashes are no words there."""
    timed = [Timed(word.text, word.begin, word.end) for word in words if word.end > word.begin and word.text != "*"]
    if out is Format.SRT:
        return subtitles.srt(timed)
    if out is Format.VTT:
        return subtitles.vtt(timed)
    if out is Format.TEXTGRID:
        return subtitles.textgrid(timed, seconds)
    doubted = [word.text for word in words if word.doubt]
    about = {"seconds": seconds, "damage": damage, "doubted": doubted, "words": [asdict(word) for word in words]}
    return json.dumps(about, ensure_ascii=False, indent=1) + "\n"


def _say(words: list[Word], damage: str, to: Path) -> None:
    doubted = [word for word in words if word.doubt]
    console.print(f"{to}: {len(words):,} words, {len(doubted):,} of them doubtful. {damage}".strip(), markup=False)
    for word in doubted[:NAMED]:
        console.print(f"  {word.begin:8.2f} s  {word.text}: {word.doubt}", markup=False)
    if len(doubted) > NAMED:
        console.print(f"  and {len(doubted) - NAMED:,} more; --out json has them all.")
