"""The alignment of an hour of sound, from the file to the words, in a process whose peak memory is measured."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random
from statistics import fmean

from models.config import Index, NotNegative, Positive, config
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.speech.aligning import (
    Calibration,
    Piece,
    hear_chunks,
    misses,
    of_pieces,
    put_together,
    read_calibration,
    spans,
    words_said,
)
from tasks.speech.prompts import LANGUAGES, RATE, Utterance, read_corpus
from tasks.speech.training import load_recogniser


@config
class Hour:
    """Prompts of test, again and again in other orders, with pauses of up to so many seconds, for so many minutes."""

    seed: Index = 0
    languages: tuple[str, ...] = LANGUAGES
    minutes: Positive = 60.0
    pause: NotNegative = 0.8

    @property
    def language(self) -> str:
        """What this seed's model is of."""
        return self.languages[self.seed % len(self.languages)]


@measures(
    megabytes="peak resident MB of a process that reads, hears and aligns a recording, all libraries included",
    loaded_megabytes="the same before it has read anything, in MB",
    lattice_megabytes="what whole back-pointers of two bits a state and frame would take, in MB",
    minutes="how long the recording is",
    error="seconds by which the begin and the end of a prompt are missed, the mean of both",
)
def align_hour(*, prompts: Path, model: Path, aligned: Path, config: Hour, out: Path) -> None:
    """Write metrics.json; the recording is written to a file and removed again."""
    from tasks.speech.media import SoundWriter

    corpus, recogniser = read_corpus(prompts), load_recogniser(model)
    chance = Random(f"{config.seed} hour")
    said = [each for each in corpus.split("test", config.language) if recogniser.alphabet.tokens(each.text)]
    path = out / "recording.flac"
    pieces: list[Piece] = []
    frames = 0
    with SoundWriter(path, RATE, 1) as writer:
        for sound, piece in put_together(corpus, _again(said, chance), config.pause, chance):
            writer.write(sound[:, None])
            pieces.append(piece)
            frames += len(sound)
            if frames >= 60 * config.minutes * RATE:
                break
    words = words_said(pieces)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        found, loaded, peak = alone.submit(_align, path, model, read_calibration(aligned), words).result()
    path.unlink()
    heard = -(-frames // round(RATE * recogniser.model.seconds))
    states = 2 * len(recogniser.alphabet.tokens(" ".join(words)) or ()) + 1
    labels = {"seed": config.seed, "what": f"{config.minutes:g} minutes"}
    write_json(
        out / "metrics.json",
        [
            labels | {"megabytes": peak},
            labels | {"loaded_megabytes": loaded},
            labels | {"lattice_megabytes": heard * states / 4 / 1e6},
            labels | {"minutes": frames / RATE / 60},
            labels | {"error": fmean(misses(pieces, of_pieces(pieces, found)))},
        ],
    )


def _again(said: list[Utterance], chance: Random) -> Iterator[Utterance]:
    while True:
        yield from chance.sample(said, len(said))


def _align(
    path: Path, model: Path, calibration: Calibration, words: list[str]
) -> tuple[list[tuple[float, float, float]], float, float]:
    """The spans of the words, and the megabytes that this process took at first and at most."""
    from tasks.speech.media import SoundReader

    recogniser = load_recogniser(model)
    loaded = _peak()
    with SoundReader(path, RATE, 1) as reader:
        logs = hear_chunks(recogniser, (chunk[:, 0] for chunk in reader))
    return spans(recogniser, logs, words, calibration), loaded, _peak()


def _peak() -> float:
    """The most memory that this process has had, in MB: Linux keeps it for each program that a process runs, apart from
    what the process was before."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
