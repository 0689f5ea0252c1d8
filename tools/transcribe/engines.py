"""Two ways to hear: the package's Whisper by faster-whisper, and the paper's own recogniser."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.speech.subtitles import Timed
from tools.transcribe.recognisers import Folders

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

RATE = 16000
WINDOW = 30
"""Seconds that are heard at once."""

Tell = Callable[[float], None]
"""Is told how many seconds have been heard."""


@dataclass(frozen=True)
class Heard:
    """The words of a file with their times, how many seconds it has, and where it broke off, if it did."""

    words: list[Timed]
    seconds: float
    damage: str

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


def has_whisper() -> bool:
    """Whether faster-whisper is installed."""
    return find_spec("faster_whisper") is not None


class Whisper:
    """The tiny English model in windows that end where it is quiet, so that no word is cut."""

    name = "Whisper tiny (English) by faster-whisper"

    def __init__(self, folder: Path, hotwords: Mapping[str, float]) -> None:
        from faster_whisper import WhisperModel

        self._model: Any = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)
        self._hotwords = " ".join(hotwords) or None

    def __call__(self, path: Path, tell: Tell) -> Heard:
        from tasks.speech.media import SoundReader

        words: list[Timed] = []
        with SoundReader(path, RATE, 1) as reader:
            at = 0
            for window in windows(iter(reader)):
                segments, _ = self._model.transcribe(
                    window, language="en", beam_size=5, word_timestamps=True, hotwords=self._hotwords, vad_filter=False
                )
                words += [
                    Timed(word.word.strip(), at / RATE + word.start, at / RATE + word.end)
                    for segment in segments
                    for word in segment.words or ()
                ]
                at += len(window)
                tell(at / RATE)
            return Heard(words, at / RATE, reader.damage)


def windows(chunks: "Iterator[Floats]", longest: int = WINDOW * RATE) -> "Iterator[Floats]":
    """Sound in windows of at most `longest` samples, each cut at the quietest tenth of a second of its last third."""
    import numpy as np

    size = RATE // 10
    waiting = np.zeros(0, np.float32)
    for chunk in chunks:
        waiting = np.concatenate([waiting, chunk[:, 0]])
        while len(waiting) >= longest:
            start = longest * 2 // 3
            blocks = waiting[start : start + (longest - start) // size * size].reshape(-1, size)
            cut = start + (int((blocks**2).mean(1).argmin()) * size + size // 2)
            yield waiting[:cut]
            waiting = waiting[cut:]
    if len(waiting):
        yield waiting


class Own:
    """The paper's own recogniser: emissions in windows, and one beam search over all of them, in pieces."""

    name = "the paper's own recogniser"

    def __init__(self, folders: Folders, hotwords: Mapping[str, float]) -> None:
        import json

        from pydantic import TypeAdapter

        from models.speech.settings import Search
        from tasks.speech.aligning import read_calibration
        from tasks.speech.prompts import read_sentences
        from tasks.speech.recognition import language_model, searching
        from tasks.speech.training import load_recogniser

        self._recogniser = load_recogniser(folders.model)
        self._calibration = read_calibration(folders.aligned)
        sentences = read_sentences(folders.prompts)[folders.language]
        written = json.loads((folders.decoded / "settings.json").read_text(encoding="utf-8"))
        settings = TypeAdapter(Search).validate_python(written, strict=False)
        self.unknown = [word for word in hotwords if self._recogniser.alphabet.spelt(word) is None]
        self._search = searching(self._recogniser, sentences, settings, language_model(sentences, 3), hotwords)

    def __call__(self, path: Path, tell: Tell) -> Heard:
        import numpy as np

        from tasks.speech.aligning import hear_chunks
        from tasks.speech.media import SoundReader

        with SoundReader(path, RATE, 1) as reader:
            heard = 0

            def chunks() -> "Iterator[Floats]":
                nonlocal heard
                for chunk in reader:
                    heard += len(chunk)
                    tell(heard / RATE)
                    yield chunk[:, 0]

            emissions = hear_chunks(self._recogniser, chunks())
            damage = reader.damage
        beams = self._search.begin(1)
        for start in range(0, len(emissions), 1000):
            piece = emissions[None, start : start + 1000]
            self._search.advance(beams, piece, np.array([piece.shape[1]]))
        unit = self._recogniser.model.seconds
        words = [
            Timed(
                word.text,
                max(0.0, word.begin * unit + self._calibration.begin),
                max(0.0, word.end * unit + self._calibration.end),
            )
            for word in self._search.results(beams)[0][0].words
        ]
        return Heard(words, heard / RATE, damage)
