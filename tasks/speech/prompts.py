"""The prompts of a telephone exchange in five languages, and what two fish say in a game in two more: real speech of
eight people, with what they say.

LibriSpeech's layout is read as well (SPEAKER/CHAPTER/*.flac beside *.trans.txt), with its readers as speakers: give the
folder as the source of sounds and as that of texts.
"""

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
"""Who speaks, by the names of the packages' folders: English and Spanish are the same person. Other languages
count as a person each, but for the game's, in which the voice is part of the name: "kitchen/kuch-m-objev0"."""
LANGUAGES = ("en", "es", "fr", "it", "ru", "cs", "nl")

DIALOG = re.compile(r'dialogId\("([^"]+)".*\)\s*dialogStr\("([^"\\]*)"\)')
"""A line of the game: its name, and what is said."""

LETTERS_A_SECOND = (2.0, 22.0)
"""Outside of these a transcript is not that of its sound."""


@config
class Prompts:
    """Which languages; of each at most so many minutes of prompts of at most so many seconds.

    Texts go to test, development and training by a hash: the same words, whoever says them, are in one part only.
    """

    languages: tuple[str, ...] = LANGUAGES
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
                Utterance(
                    f"{language}/{name}",
                    language,
                    speaker_of(name, language),
                    split,
                    text,
                    place,
                    len(whole),
                )
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

    files = {name: path for path in sorted(sounds.rglob("*")) for name in _names(path, sounds)}
    for name in sorted(said, key=lambda name: sha256(name.encode()).hexdigest()):
        if name not in files:
            continue
        try:
            sound = read_sound(files[name], RATE)
        except Unreadable as problem:
            spool.note(str(problem))
            continue
        seconds = len(sound) / RATE
        fast = len(said[name]) / seconds
        if config.shortest <= seconds <= config.longest and LETTERS_A_SECOND[0] <= fast <= LETTERS_A_SECOND[1]:
            yield name, said[name], sound


def _names(path: Path, folder: Path) -> list[str]:
    """What transcripts call a file of sound: its path below the folder; in LibriSpeech its name alone, and in the game
    the level and the name."""
    if path.suffix == ".ogg":
        return [f"{path.parent.parent.name}/{path.stem}"]
    if path.suffix not in (".g722", ".flac", ".wav"):
        return []
    if reader_of(path.stem):
        return [path.stem]
    return [path.relative_to(folder).with_suffix("").as_posix()]


def reader_of(name: str) -> str:
    """LibriSpeech's names begin with the reader's number: "84-121123-0001"; others have no reader in them."""
    found = re.fullmatch(r"(\d+)-\d+-\d+", name)
    return found[1] if found else ""


def speaker_of(name: str, language: str) -> str:
    """Who says a prompt: LibriSpeech's reader, the small fish (m) or the big one (v) of the game, or the exchange's
    voice."""
    fish = re.search(r"[/-]([mv])-", name)
    return reader_of(name) or (f"{language} {fish[1]}" if fish else SPEAKERS.get(language, language))


def read_texts(folder: Path) -> dict[str, str]:
    """The normalised transcripts by the prompt's name; those that are no plain speech are left out.

    The words of numbers are those that the prompts themselves give: "digits/7: seven".

    Raises:
        UserError: the folder has transcripts in none of the three layouts.
    """
    lines: dict[str, str] = {}
    packed = sorted(folder.glob("*.txt.gz"))
    chapters = sorted(folder.rglob("*.trans.txt"))
    dialogs = sorted(folder.rglob("dialogs_*.lua"))
    if not packed and not chapters and not dialogs:
        raise UserError(f"{folder} has no *.txt.gz, *.trans.txt or dialogs_*.lua: point the source at transcripts.")
    for path in packed:
        for line in gzip.decompress(path.read_bytes()).decode("utf-8", errors="replace").splitlines():
            name, colon, text = line.partition(":")
            if colon and not line.startswith(";") and text.strip():
                lines[name.strip()] = text.strip()
    for path in chapters:
        for line in path.read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition(" ")
            lines[name] = text.strip()
    for path in dialogs:
        for name, text in DIALOG.findall(path.read_text(encoding="utf-8")):
            if re.search(r"(^|-)[mv]-", name):  # what others say is said by many people, or is no speech
                lines[f"{path.parent.name}/{name}"] = text
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
