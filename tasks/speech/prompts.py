"""The prompts of a telephone exchange in five languages: real speech of four people, with what they say."""

import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from models.config import Fraction, Positive, config
from tasks.base import spool
from tasks.base.errors import UserError
from tasks.base.files import write_json
from tasks.speech.texts import normalised

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Sound = NDArray[np.float32]

RATE = 16000
SPEAKERS = {"en": "Allison", "es": "Allison", "fr": "June", "it": "Carlo", "ru": "IvrvoiceRU"}
"""Who speaks, by the names of the packages' folders: English and Spanish are the same person."""

LETTERS_A_SECOND = (2.0, 22.0)
"""Outside of these a transcript is not that of its sound."""


@config
class Prompts:
    """Which languages; of each at most so many minutes of prompts of at most so many seconds.

    Texts go to test, development and training by a hash: the same words, whoever says them, are in one part only.
    """

    languages: tuple[str, ...] = ("en", "es", "fr", "it", "ru")
    minutes: Positive = 30.0
    shortest: Positive = 0.4
    longest: Positive = 8.0
    test: Fraction = 0.15
    development: Fraction = 0.1


@dataclass(frozen=True)
class Utterance:
    """A prompt: where its sound lies in sound.safetensors, and what is said."""

    id: str
    language: str
    speaker: str
    split: str
    text: str
    start: int
    frames: int


def gather_prompts(*, sounds: dict[str, Path], texts: dict[str, Path], config: Prompts, out: Path) -> None:
    """Write utterances.parquet and sound.safetensors: `sound`, int16 at 16 kHz, one prompt after the other.

    sentences.json has every training text by language, those too that are too long for the acoustic model or have no
    sound: what n-gram models and lexicons are made of. A language whose packages are not
    available here is left out, and the run says so.

    Raises:
        UserError: there is none at all.
    """
    import numpy as np
    import pyarrow
    import pyarrow.parquet
    from safetensors.numpy import save_file

    utterances: list[Utterance] = []
    pieces: list[NDArray[np.int16]] = []
    sentences: dict[str, list[str]] = {}
    place = 0
    for language in config.languages:
        missing = [each[language] for each in (sounds, texts) if (each[language] / "unavailable.json").exists()]
        if missing:
            spool.note(f"The prompts in {language!r} are not available here and are left out.")
            continue
        seconds, said = 0.0, read_texts(texts[language])
        every = sorted({text for text in said.values() if split_of(text, config) == "train"})
        sentences[language] = every
        for name, text, sound in _read(sounds[language], said, config):
            if seconds >= 60 * config.minutes:
                break
            split = split_of(text, config)
            whole = np.clip(np.rint(sound * 32767), -32768, 32767).astype(np.int16)
            utterances.append(
                Utterance(f"{language}/{name}", language, SPEAKERS[language], split, text, place, len(whole))
            )
            pieces.append(whole)
            place += len(whole)
            seconds += len(whole) / RATE
        own = [each for each in utterances if each.language == language]
        spool.note(f"{language}: {len(own)} prompts, {seconds / 60:.1f} minutes.")
    if not utterances:
        raise UserError("No prompts are available here: apt-get with Debian's packages brings them.")
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist([asdict(each) for each in utterances]), out / "utterances.parquet"
    )
    save_file({"sound": np.concatenate(pieces)}, out / "sound.safetensors")
    write_json(out / "sentences.json", sentences)


def split_of(text: str, config: Prompts) -> str:
    """The part to which a text belongs, by a hash of its words."""
    number = int(sha256(text.encode()).hexdigest()[:8], 16) / 16**8
    parts = ((config.test, "test"), (config.test + config.development, "development"), (1.0, "train"))
    return next(part for edge, part in parts if number <= edge)


def _read(sounds: Path, said: Mapping[str, str], config: Prompts) -> Iterator[tuple[str, str, "Sound"]]:
    """Name, normalised text and sound of each prompt, in an order that mixes folders and lengths."""
    from tasks.speech.media import Unreadable, read_sound

    for name in sorted(said, key=lambda name: sha256(name.encode()).hexdigest()):
        path = sounds / f"{name}.g722"
        if not path.is_file():
            continue
        # A second of G.722 has 8,000 bytes.
        seconds = path.stat().st_size / 8000
        fast = len(said[name]) / seconds if seconds else 0.0
        if not config.shortest <= seconds <= config.longest or not LETTERS_A_SECOND[0] <= fast <= LETTERS_A_SECOND[1]:
            continue
        try:
            yield name, said[name], read_sound(path, RATE)
        except Unreadable as problem:
            spool.note(str(problem))


def read_texts(folder: Path) -> dict[str, str]:
    """The normalised transcripts by the prompt's name; those that are no plain speech are left out.

    The words of numbers are those that the prompts themselves give: "digits/7: seven".
    """
    (path,) = folder.glob("*.txt.gz")
    lines: dict[str, str] = {}
    for line in gzip.decompress(path.read_bytes()).decode("utf-8", errors="replace").splitlines():
        name, colon, text = line.partition(":")
        if colon and not line.startswith(";") and text.strip():
            lines[name.strip()] = text.strip()
    spoken = {name: normalised(text) for name, text in lines.items()}
    numerals = {
        name.removeprefix("digits/"): words
        for name, words in spoken.items()
        if re.fullmatch(r"digits/\d+", name) and words
    }
    found = {name: normalised(text, numerals) for name, text in lines.items() if "\ufffd" not in text}
    return {name: words for name, words in found.items() if words}


@dataclass(frozen=True)
class Corpus:
    """The utterances with their sound."""

    utterances: Sequence[Utterance]
    sound: "NDArray[np.int16]"
    sentences: Mapping[str, Sequence[str]]

    def of(self, utterance: Utterance) -> "Sound":
        """The sound of one, between -1 and 1."""
        import numpy as np

        piece = self.sound[utterance.start : utterance.start + utterance.frames]
        return piece.astype(np.float32) / np.float32(32768)

    def split(self, name: str, language: str) -> list[Utterance]:
        """The utterances of a part in a language."""
        return [each for each in self.utterances if each.split == name and each.language == language]


def read_corpus(folder: Path) -> Corpus:
    """What `gather_prompts` wrote."""
    import pyarrow.parquet
    from safetensors.numpy import load_file

    rows = pyarrow.parquet.read_table(folder / "utterances.parquet").to_pylist()
    sound = load_file(folder / "sound.safetensors")["sound"]
    return Corpus([Utterance(**row) for row in rows], sound, read_sentences(folder))


def read_sentences(folder: Path) -> dict[str, list[str]]:
    """The training texts by language."""
    found: dict[str, list[str]] = json.loads((folder / "sentences.json").read_text(encoding="utf-8"))
    return found
