"""The prompts as log-mel spectra, made once for everything that is trained and tested on them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.config import Count, config
from tasks.speech.prompts import Utterance, read_corpus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


@config
class Spectra:
    """How many mel bands there are."""

    mels: Count = 40


def make_spectra(*, prompts: Path, config: Spectra, out: Path) -> None:
    """Write spectra.safetensors: `spectra` [frames of all prompts, mels] in float16, and `ends`, where each ends."""
    import numpy as np
    from safetensors.numpy import save_file

    from models.speech.features import log_mel

    corpus = read_corpus(prompts)
    made = [log_mel(corpus.of(each), config.mels).astype(np.float16) for each in corpus.utterances]
    ends = np.cumsum([len(each) for each in made])
    save_file({"spectra": np.concatenate(made), "ends": ends}, out / "spectra.safetensors")


def read_spectra(folder: Path, utterances: Sequence[Utterance]) -> "dict[str, Floats]":
    """The spectrum of each utterance, by its id; `utterances` are all of the corpus, in its order."""
    import numpy as np
    from safetensors.numpy import load_file

    stored = load_file(folder / "spectra.safetensors")
    pieces = np.split(stored["spectra"].astype(np.float32), stored["ends"][:-1])
    return {each.id: piece for each, piece in zip(utterances, pieces, strict=True)}
