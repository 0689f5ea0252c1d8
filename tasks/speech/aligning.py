"""How exactly known texts are found in sound: recordings put together from prompts, so that the truth is known."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from models.config import Count, Fraction, Index, NotNegative, config
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.speech.decoding import about, write_rows
from tasks.speech.prompts import LANGUAGES, RATE, Corpus, Utterance, read_corpus
from tasks.speech.texts import Alphabet
from tasks.speech.training import Recogniser, load_recogniser

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


BLOCK = RATE // 100
"""Samples of which the loudness is taken."""


@config
class Aligning:
    """Recordings of so many prompts of test each, with pauses of up to so many seconds; every prompt is in one.

    `delay` seconds of silence, a whole number of the model's frames, are put before a recording, as a control.
    `deleted` is the share of words that a transcript lacks, in its worst version (half and all of it are tried). Either
    kind of star costs one of `penalties` nats a frame, and what is quiet for one of `gaps` seconds is a pause to the
    baseline that goes by pauses; these, and by how much each method is late on average, are chosen on the prompts of
    development.
    """

    seed: Index = 0
    languages: tuple[str, ...] = LANGUAGES
    prompts: Count = 8
    pause: NotNegative = 0.8
    delay: NotNegative = 0.48
    deleted: Fraction = 0.3
    near: NotNegative = 0.1
    penalties: tuple[float, ...] = (0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    gaps: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4)

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


Found = Mapping[str, Sequence[tuple[float, float]]]
"""Begin and end of each prompt, by method."""

IN_PLACE, EVERYWHERE = "stars in their places", "stars everywhere"
STARS = (IN_PLACE, EVERYWHERE, "no star")
"""Where words are missing: a star in the place of each, one between any two words (as who does not know where words are
missing has to), or none."""

QUANTITIES = {
    "error": "seconds by which the begin and the end of a prompt are missed, the mean of both",
    "mean_error": "mean of that over the prompts of a recording, in seconds",
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
        f"a star in its place costs {settings.penalty:g}, stars everywhere {settings.everywhere:g}."
    )
    baselines = fair(recogniser, development, config)
    spool.note(f"A pause to the baseline is what is quiet for {baselines.gap:g} s.")
    rows: list[dict[str, Any]] = []
    for recording in recordings(corpus, "test", config, recogniser.alphabet):
        rows += _measured(recogniser, recording, settings, baselines, config)
    write_rows(out, rows, tuple(QUANTITIES))


def recordings(corpus: Corpus, split: str, config: Aligning, alphabet: Alphabet) -> list[Recording]:
    """The prompts of a part in an order of their own, in groups, with pauses of many lengths of faint noise.

    They are the same for every model of the language, so that models and recordings are crossed. A prompt with a letter
    that training lacks cannot be aligned, and is left out. What is left over of less than half a recording goes to the
    one before.
    """
    import numpy as np

    chance = Random(f"{config.language} {split} recordings")
    prompts = [each for each in corpus.split(split, config.language) if alphabet.tokens(each.text)]
    chance.shuffle(prompts)
    groups = [prompts[start : start + config.prompts] for start in range(0, len(prompts), config.prompts)]
    if len(groups) > 1 and 2 * len(groups[-1]) < config.prompts:
        rest = groups.pop()
        groups[-1] += rest
    made = []
    for number, group in enumerate(groups):
        parts = list(put_together(corpus, group, config.pause, chance))
        sound = np.concatenate([sound for sound, _ in parts])
        made.append(Recording(f"{config.language} {split} {number}", sound, [piece for _, piece in parts]))
    return made


def put_together(
    corpus: Corpus, prompts: Iterable[Utterance], pause: float, chance: Random
) -> "Iterator[tuple[Floats, Piece]]":
    """The sound of a recording, prompt by prompt, each after a pause of faint noise, and where its speech is."""
    import numpy as np

    noise = np.random.default_rng(chance.getrandbits(32))
    at = 0
    for each in prompts:
        silence = (1e-4 * noise.standard_normal(round(chance.uniform(0, pause) * RATE))).astype(np.float32)
        sound = corpus.of(each)
        begin, end = speech(sound)
        at += len(silence)
        yield np.concatenate([silence, sound]), Piece(each, (at + begin) / RATE, (at + end) / RATE)
        at += len(sound)


def speech(sound: "Floats") -> tuple[int, int]:
    """The first and the last sample of what is less than 30 decibels below the loudest 20 ms."""
    import numpy as np

    loud = np.flatnonzero(_loud(sound))
    return (int(loud[0]) * BLOCK, int(loud[-1] + 1) * BLOCK) if len(loud) else (0, len(sound))


def stretches(sound: "Floats", gap: float) -> list[tuple[float, float]]:
    """Begin and end, in seconds, of what is as loud, with pauses of less than `gap` seconds in it."""
    import numpy as np

    loud = np.flatnonzero(_loud(sound))
    if not len(loud):
        return [(0.0, len(sound) / RATE)]
    parts = np.split(loud, np.flatnonzero(np.diff(loud) * BLOCK >= gap * RATE) + 1)
    return [(float(part[0]) * BLOCK / RATE, float(part[-1] + 1) * BLOCK / RATE) for part in parts]


def _loud(sound: "Floats", below: float = 30.0) -> "NDArray[np.bool_]":
    """Whether each block of 10 ms is less than so many decibels below the loudest two."""
    import numpy as np

    blocks = len(sound) // BLOCK
    if blocks < 3:
        return np.zeros(0, bool)
    power = (sound[: blocks * BLOCK].reshape(blocks, BLOCK) ** 2).mean(1)
    smooth = np.convolve(power, np.ones(2) / 2, "same")
    loud: NDArray[np.bool_] = smooth > smooth.max() * 10 ** (-below / 10)
    return loud


@dataclass(frozen=True)
class Calibration:
    """What a star costs, and the seconds from the first and the last frame of a word to where it begins and ends.

    Of the words of development that are said, 95 % have a confidence above `doubt`. Stars between any two words cost
    `everywhere`.
    """

    penalty: float
    begin: float
    end: float
    doubt: float
    everywhere: float


def calibrated(recogniser: Recogniser, development: Sequence[Recording], config: Aligning) -> Calibration:
    """Medians of what frames miss, and for either kind of star what it best costs where words are missing."""
    from statistics import fmean, median, quantiles

    heard = [(recording, hear_sound(recogniser, recording.sound)) for recording in development]
    late, confidences = [], []
    for recording, logs in heard:
        words = words_said(recording.pieces)
        found = spans(recogniser, logs, words, Calibration(1.0, 0.0, 0.0, 0.0, 1.0))
        confidences += [confidence for _, _, confidence in found]
        late += _late(recording, of_pieces(recording.pieces, found))
    doubt = quantiles(confidences, n=20)[0]
    begin, end = median(begin for begin, _ in late), median(end for _, end in late)
    costs = {}
    for stars in (IN_PLACE, EVERYWHERE):
        errors = {}
        for penalty in config.penalties:
            settings = Calibration(penalty, begin, end, doubt, penalty)
            errors[penalty] = fmean(
                error
                for recording, logs in heard
                for error in misses(
                    recording.pieces, _deleted(recogniser, recording, logs, settings, config.deleted, stars)
                )
            )
        costs[stars] = min(errors, key=lambda penalty: errors[penalty])
    return Calibration(costs[IN_PLACE], begin, end, doubt, costs[EVERYWHERE])


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


def words_said(pieces: Sequence[Piece]) -> list[str]:
    """The words of all prompts, in order."""
    return [word for piece in pieces for word in piece.utterance.text.split()]


def of_pieces(pieces: Sequence[Piece], found: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Where each prompt begins and ends by the spans of its words."""
    made, at = [], 0
    for piece in pieces:
        count = len(piece.utterance.text.split())
        made.append((found[at][0], found[at + count - 1][1]))
        at += count
    return made


def misses(pieces: Sequence[Piece], found: Sequence[tuple[float, float]]) -> list[float]:
    """Seconds by which the begin and the end of each prompt are missed, the mean of both."""
    return [
        (abs(begin - piece.begin) + abs(end - piece.end)) / 2 for piece, (begin, end) in zip(pieces, found, strict=True)
    ]


def _baselines(recogniser: Recogniser, recording: Recording, logs: "Floats", gap: float) -> Found:
    """Where prompts begin and end by what is no alignment."""
    import numpy as np

    from models.speech.alignment import by_pauses, by_peaks, uniform

    words, unit = words_said(recording.pieces), recogniser.model.seconds
    tokens = [token for word in words for token in recogniser.alphabet.spelt(word) or []]
    peaks = by_peaks(logs, tokens) * unit
    ends = np.cumsum([len(word) + 1 for word in words])
    found = {
        "uniform split": uniform(len(recording.sound) / RATE, words),
        "split by pauses": by_pauses(stretches(recording.sound, gap), words),
        "greedy peaks": [
            (float(peaks[end - len(word) - 1]), float(peaks[end - 2]) + unit)
            for word, end in zip(words, ends, strict=True)
        ],
    }
    return {name: of_pieces(recording.pieces, each) for name, each in found.items()}


def _late(recording: Recording, found: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """By how much each prompt begins and ends later than was found."""
    return [(piece.begin - begin, piece.end - end) for piece, (begin, end) in zip(recording.pieces, found, strict=True)]


@dataclass(frozen=True)
class Fair:
    """What the baselines get from development: the gap that is a pause, and by how much each of them is early."""

    gap: float
    early: Mapping[str, tuple[float, float]]

    def __call__(self, recogniser: Recogniser, recording: Recording, logs: "Floats") -> Found:
        """What the baselines find."""
        found = _baselines(recogniser, recording, logs, self.gap)
        return {
            name: [(begin + self.early[name][0], end + self.early[name][1]) for begin, end in each]
            for name, each in found.items()
        }


def fair(recogniser: Recogniser, development: Sequence[Recording], config: Aligning) -> Fair:
    """The baselines as they are best on development."""
    from statistics import fmean, median

    heard = [(recording, hear_sound(recogniser, recording.sound)) for recording in development]
    tried = []
    for gap in config.gaps:
        late: dict[str, list[tuple[float, float]]] = {}
        for recording, logs in heard:
            for name, each in _baselines(recogniser, recording, logs, gap).items():
                late.setdefault(name, []).extend(_late(recording, each))
        early = {name: (median(b for b, _ in each), median(e for _, e in each)) for name, each in late.items()}
        made = Fair(gap, early)
        errors = [
            error
            for recording, logs in heard
            for error in misses(recording.pieces, made(recogniser, recording, logs)["split by pauses"])
        ]
        tried.append((fmean(errors), made))
    return min(tried, key=lambda each: each[0])[1]


def _measured(
    recogniser: Recogniser, recording: Recording, settings: Calibration, baselines: Fair, config: Aligning
) -> list[dict[str, Any]]:
    import numpy as np

    words = words_said(recording.pieces)
    logs = hear_sound(recogniser, recording.sound)
    aligned = spans(recogniser, logs, words, settings)
    shuffled = _shuffled(recogniser, recording, logs, settings, f"{config.seed} {recording.name}")
    ways = {
        "forced alignment": of_pieces(recording.pieces, aligned),
        **baselines(recogniser, recording, logs),
        "shuffled transcript": of_pieces(recording.pieces, shuffled),
    }
    for share in (config.deleted / 2, config.deleted):
        for stars in STARS:
            ways[f"{share:.0%} of words deleted, {stars}"] = _deleted(
                recogniser, recording, logs, settings, share, stars
            )
    rows: list[dict[str, Any]] = []
    for method, found in ways.items():
        errors = misses(recording.pieces, found)
        for piece, error, (begin, end) in zip(recording.pieces, errors, found, strict=True):
            near = max(abs(begin - piece.begin), abs(end - piece.end)) < config.near
            labels = about(piece.utterance, config.seed) | {"method": method}
            rows += [labels | {"error": error}, labels | {"near": float(near)}]
        # The recording is the unit: its prompts share one path.
        labels = about(recording.pieces[0].utterance, config.seed) | {"method": method}
        labels |= {"utterance": recording.name, "case": f"{config.seed} {recording.name}", "prompts": len(errors)}
        rows.append(labels | {"late": float(np.percentile(errors, 90))})
        rows.append(labels | {"mean_error": float(np.mean(errors))})
    for method, each in (("forced alignment", aligned), ("shuffled transcript", shuffled)):
        rows.append(labels | {"method": method, "confidence": _confidence(each)})
    silence = np.zeros(round(config.delay * RATE), np.float32)
    later = spans(recogniser, hear_sound(recogniser, np.concatenate([silence, recording.sound])), words, settings)
    moved = float(np.median([after[0] - before[0] for after, before in zip(later, aligned, strict=True)]))
    rows.append(labels | {"method": "forced alignment", "shift": moved})
    return rows


def _confidence(found: Sequence[tuple[float, float, float]]) -> float:
    return sum(confidence for _, _, confidence in found) / len(found)


def _shuffled(
    recogniser: Recogniser, recording: Recording, logs: "Floats", settings: Calibration, key: str
) -> list[tuple[float, float, float]]:
    """The spans that the words get when their order is lost: what is left of the alignment without the words."""
    words = words_said(recording.pieces)
    order = Random(key).sample(range(len(words)), len(words))
    # The i-th word that is said is given the place of the i-th word of the shuffled text.
    return spans(recogniser, logs, [words[at] for at in order], settings)


def _deleted(
    recogniser: Recogniser,
    recording: Recording,
    logs: "Floats",
    settings: Calibration,
    share: float,
    stars: str,
) -> list[tuple[float, float]]:
    """Where prompts begin and end if words are missing from the text, with stars, one of `STARS`.

    Only words inside of a prompt are deleted, never its first or last one, so that each prompt still has both ends.
    """
    from models.speech.alignment import STAR

    if stars == EVERYWHERE:
        settings = replace(settings, penalty=settings.everywhere)
    chance = Random(f"{recording.name} {share}")
    words: list[str] = []
    ends: list[tuple[int, int]] = []

    def star() -> None:
        if words and words[-1] != STAR:
            words.append(STAR)

    for piece in recording.pieces:
        own = piece.utterance.text.split()
        for at, word in enumerate(own):
            kept = not 0 < at < len(own) - 1 or chance.random() >= share
            if stars == EVERYWHERE or (stars == IN_PLACE and not kept):
                star()
            if at == 0:
                first = len(words)
            if kept:
                words.append(word)
        ends.append((first, len(words) - 1))
    found = spans(recogniser, logs, words, settings)
    return [(found[first][0], found[last][1]) for first, last in ends]
