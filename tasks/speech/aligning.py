"""How exactly known texts are found in sound: recordings put together from prompts, so that the truth is known."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from models.config import Count, Fraction, Index, NotNegative, config
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.speech.decoding import about, write_rows
from tasks.speech.prompts import RATE, Corpus, Utterance, read_corpus
from tasks.speech.texts import Alphabet
from tasks.speech.training import Recogniser, load_recogniser

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


@config
class Aligning:
    """Recordings of so many prompts of test each, with pauses of up to so many seconds; every prompt is in one.

    `delay` seconds of silence are put before a recording, as a control. `deleted` is the share of words that a
    transcript lacks, in its worst version (half and all of it are tried). The star costs one of `penalties` nats a
    frame; that, and how much later than a word its frames are on average, are chosen on the prompts of development.
    """

    seed: Index = 0
    languages: tuple[str, ...] = ("en", "es", "fr", "it", "ru")
    prompts: Count = 8
    pause: NotNegative = 0.8
    delay: NotNegative = 0.5
    deleted: Fraction = 0.3
    near: NotNegative = 0.1
    penalties: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)

    @property
    def language(self) -> str:
        """What this seed's model is of."""
        return self.languages[self.seed % len(self.languages)]


@dataclass(frozen=True)
class Piece:
    """A prompt within a recording, with the seconds at which its speech begins and ends."""

    utterance: Utterance
    begin: float
    end: float


@dataclass(frozen=True)
class Recording:
    """Prompts one after the other, with what is said when."""

    name: str
    sound: "Floats"
    pieces: Sequence[Piece]


QUANTITIES = {
    "error": "seconds by which the begin and the end of a prompt are missed, the mean of both",
    "near": "share of prompts whose begin and end are both missed by less than a tenth of a second",
    "late": "90th percentile of the errors within a recording, in seconds",
    "confidence": "mean confidence of the words of a recording, in their right order or in another",
    "shift": "seconds by which a recording's words move when silence is put before it",
}


@measures(**QUANTITIES)
def align_recordings(*, prompts: Path, model: Path, config: Aligning, out: Path) -> None:
    """Write examples.parquet: errors by prompt and method, with their means in metrics.json."""
    corpus, recogniser = read_corpus(prompts), load_recogniser(model)
    development = recordings(corpus, "development", config, recogniser.alphabet)
    settings = calibrated(recogniser, development, config)
    write_json(out / "settings.json", asdict(settings))
    spool.note(
        f"Words are {settings.begin:+.3f} s from their first frame to {settings.end:+.3f} s from their last one; "
        f"the star costs {settings.penalty:g}."
    )
    rows: list[dict[str, Any]] = []
    for recording in recordings(corpus, "test", config, recogniser.alphabet):
        rows += _measured(recogniser, recording, settings, config)
    write_rows(out, rows, tuple(QUANTITIES))


def recordings(corpus: Corpus, split: str, config: Aligning, alphabet: Alphabet) -> list[Recording]:
    """The prompts of a part in an order of their own, in groups, with pauses of many lengths of faint noise.

    They are the same for every model of the language, so that models and recordings are crossed. A prompt with a letter
    that training lacks cannot be aligned, and is left out.
    """
    import numpy as np

    chance = Random(f"{config.language} {split} recordings")
    noise = np.random.default_rng(len(split))
    prompts = [each for each in corpus.split(split, config.language) if alphabet.tokens(each.text)]
    chance.shuffle(prompts)
    made = []
    for start in range(0, len(prompts), config.prompts):
        group = prompts[start : start + config.prompts]
        parts: list[Floats] = []
        pieces, at = [], 0
        for each in group:
            pause = round(chance.uniform(0, config.pause) * RATE)
            parts.append((1e-4 * noise.standard_normal(pause)).astype(np.float32))
            sound = corpus.of(each)
            begin, end = speech(sound)
            at += pause
            pieces.append(Piece(each, (at + begin) / RATE, (at + end) / RATE))
            parts.append(sound)
            at += len(sound)
        made.append(Recording(f"{config.language} {split} {start // config.prompts}", np.concatenate(parts), pieces))
    return made


def speech(sound: "Floats", below: float = 30.0) -> tuple[int, int]:
    """The first and the last sample of what is less than so many decibels below the loudest 20 ms."""
    import numpy as np

    size = RATE // 100
    blocks = len(sound) // size
    if blocks < 3:
        return 0, len(sound)
    power = (sound[: blocks * size].reshape(blocks, size) ** 2).mean(1)
    smooth = np.convolve(power, np.ones(2) / 2, "same")
    loud = np.flatnonzero(smooth > smooth.max() * 10 ** (-below / 10))
    return int(loud[0]) * size, int(loud[-1] + 1) * size


@dataclass(frozen=True)
class Calibration:
    """What a star costs, and the seconds from the first and the last frame of a word to where it begins and ends.

    Of the words of development that are said, 95 % have a confidence above `doubt`.
    """

    penalty: float
    begin: float
    end: float
    doubt: float


def calibrated(recogniser: Recogniser, development: Sequence[Recording], config: Aligning) -> Calibration:
    """Medians of what frames miss, and the star that is best where a fifth of the words is missing."""
    from statistics import fmean, median, quantiles

    heard = [(recording, hear_sound(recogniser, recording.sound)) for recording in development]
    begins, ends, confidences = [], [], []
    for recording, logs in heard:
        words = _words(recording)
        found = spans(recogniser, logs, words, Calibration(1.0, 0.0, 0.0, 0.0))
        confidences += [confidence for _, _, confidence in found]
        for piece, (begin, end) in zip(recording.pieces, _of_pieces(recording, found), strict=True):
            begins.append(piece.begin - begin)
            ends.append(piece.end - end)
    doubt = quantiles(confidences, n=20)[0]
    first = Calibration(config.penalties[0], median(begins), median(ends), doubt)
    errors = {}
    for penalty in config.penalties:
        settings = replace(first, penalty=penalty)
        errors[penalty] = fmean(
            error
            for recording, logs in heard
            for error in _errors(recording, _deleted(recogniser, recording, logs, settings, config.deleted, True))
        )
    return replace(first, penalty=min(errors, key=lambda penalty: errors[penalty]))


def hear_sound(recogniser: Recogniser, sound: "Floats") -> "Floats":
    """The emissions of sound, [frames, tokens]."""
    return hear_chunks(recogniser, [sound])


def hear_chunks(recogniser: Recogniser, chunks: "Iterable[Floats]") -> "Floats":
    """The emissions of sound of any length, of which a chunk at a time is held."""
    from models.speech.acoustic import emissions
    from models.speech.features import log_mel_of

    return emissions(recogniser.model, log_mel_of(chunks, recogniser.model.config.mels))


def read_calibration(folder: Path) -> Calibration:
    """What `align_recordings` chose on development."""
    return Calibration(**json.loads((folder / "settings.json").read_text(encoding="utf-8")))


def spans(
    recogniser: Recogniser, logs: "Floats", words: Sequence[str], settings: Calibration
) -> list[tuple[float, float, float]]:
    """Begin, end and confidence of each word, in seconds."""
    from models.speech.alignment import STAR, align_words

    spelt = [[] if word == STAR else recogniser.alphabet.spelt(word) or [] for word in words]
    unit = recogniser.model.seconds
    found = align_words(logs, words, spelt, settings.penalty)
    return [
        (max(0.0, each.begin * unit + settings.begin), each.end * unit + settings.end, each.confidence)
        for each in found.spans
    ]


def _words(recording: Recording) -> list[str]:
    return [word for piece in recording.pieces for word in piece.utterance.text.split()]


def _of_pieces(recording: Recording, found: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Where each prompt begins and ends by the spans of its words."""
    made, at = [], 0
    for piece in recording.pieces:
        count = len(piece.utterance.text.split())
        made.append((found[at][0], found[at + count - 1][1]))
        at += count
    return made


def _errors(recording: Recording, found: Sequence[tuple[float, float]]) -> list[float]:
    return [
        (abs(begin - piece.begin) + abs(end - piece.end)) / 2
        for piece, (begin, end) in zip(recording.pieces, found, strict=True)
    ]


def _measured(
    recogniser: Recogniser, recording: Recording, settings: Calibration, config: Aligning
) -> list[dict[str, Any]]:
    import numpy as np

    from models.speech.alignment import by_peaks, uniform

    words, unit = _words(recording), recogniser.model.seconds
    logs = hear_sound(recogniser, recording.sound)
    aligned = spans(recogniser, logs, words, settings)
    tokens = [token for word in words for token in recogniser.alphabet.spelt(word) or []]
    peaks = by_peaks(logs, tokens) * unit
    shuffled = _shuffled(recogniser, recording, logs, settings, f"{config.seed} {recording.name}")
    ends = np.cumsum([len(word) + 1 for word in words])
    seconds = len(recording.sound) / RATE
    ways = {
        "forced alignment": _of_pieces(recording, aligned),
        "uniform split": _of_pieces(recording, uniform_seconds(seconds, uniform(len(logs), words), len(logs))),
        "greedy peaks": _of_pieces(
            recording,
            [
                (peaks[end - len(word) - 1] + settings.begin, peaks[end - 2] + unit + settings.end)
                for word, end in zip(words, ends, strict=True)
            ],
        ),
        "shuffled transcript": _of_pieces(recording, shuffled),
    }
    for share in (config.deleted / 2, config.deleted):
        for star in (True, False):
            name = f"{share:.0%} of words deleted, {'star' if star else 'no star'}"
            ways[name] = _deleted(recogniser, recording, logs, settings, share, star)
    rows: list[dict[str, Any]] = []
    for method, found in ways.items():
        errors = _errors(recording, found)
        for piece, error, (begin, end) in zip(recording.pieces, errors, found, strict=True):
            near = max(abs(begin - piece.begin), abs(end - piece.end)) < config.near
            labels = about(piece.utterance, config.seed) | {"method": method}
            rows += [labels | {"error": error}, labels | {"near": float(near)}]
        # The recording is the unit of a percentile.
        labels = about(recording.pieces[0].utterance, config.seed) | {"method": method}
        labels |= {"utterance": recording.name, "case": f"{config.seed} {recording.name}"}
        rows.append(labels | {"late": float(np.percentile(errors, 90))})
    for method, each in (("forced alignment", aligned), ("shuffled transcript", shuffled)):
        rows.append(labels | {"method": method, "confidence": _confidence(each)})
    silence = np.zeros(round(config.delay * RATE), np.float32)
    later = spans(recogniser, hear_sound(recogniser, np.concatenate([silence, recording.sound])), words, settings)
    moved = float(np.median([after[0] - before[0] for after, before in zip(later, aligned, strict=True)]))
    rows.append(labels | {"method": "forced alignment", "shift": moved})
    return rows


def uniform_seconds(seconds: float, found: Sequence[tuple[float, float]], frames: int) -> list[tuple[float, float]]:
    """Frames as shares of the whole sound."""
    return [(begin / frames * seconds, end / frames * seconds) for begin, end in found]


def _confidence(found: Sequence[tuple[float, float, float]]) -> float:
    return sum(confidence for _, _, confidence in found) / len(found)


def _shuffled(
    recogniser: Recogniser, recording: Recording, logs: "Floats", settings: Calibration, key: str
) -> list[tuple[float, float, float]]:
    """The spans that the words get when their order is lost: what is left of the alignment without the words."""
    words = _words(recording)
    order = Random(key).sample(range(len(words)), len(words))
    # The i-th word that is said is given the place of the i-th word of the shuffled text.
    return spans(recogniser, logs, [words[at] for at in order], settings)


def _deleted(
    recogniser: Recogniser,
    recording: Recording,
    logs: "Floats",
    settings: Calibration,
    share: float,
    star: bool,
) -> list[tuple[float, float]]:
    """Where prompts begin and end if words are missing from the text, with stars where they were or without.

    Only words inside of a prompt are deleted, never its first or last one, so that each prompt still has both ends.
    """
    from models.speech.alignment import STAR

    chance = Random(f"{recording.name} {share}")
    words: list[str] = []
    ends: list[tuple[int, int]] = []
    for piece in recording.pieces:
        own = piece.utterance.text.split()
        first = len(words)
        for at, word in enumerate(own):
            if 0 < at < len(own) - 1 and chance.random() < share:
                if star and words[-1] != STAR:
                    words.append(STAR)
            else:
                words.append(word)
        ends.append((first, len(words) - 1))
    found = spans(recogniser, logs, words, settings)
    return [(found[first][0], found[last][1]) for first, last in ends]
