"""Acoustic models trained on the prompts, each on those of one language, by our own CTC loss."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from models.config import Count, Index, NotNegative, Optimisation, config
from models.speech.settings import Acoustic
from tasks.base.files import write_json
from tasks.learning.logged import Loaded, say_model
from tasks.learning.train import train
from tasks.speech.prompts import LANGUAGES, Utterance, read_corpus
from tasks.speech.spectra import read_spectra
from tasks.speech.texts import Alphabet

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from models.speech.acoustic import AcousticModel

    Floats = NDArray[np.float32]


@config
class Training:
    """How the acoustic model is trained, on one of the `languages`: each seed has the next one. `transcripts` may be
    shuffled among the utterances, as a control.

    `stretch` is the largest change of speed, `gain` of loudness in decibels and `noise` the highest power of white
    noise, in decibels below the mean power of the utterance's mel bands (0: none).
    """

    optimisation: Optimisation
    seed: Index = 0
    languages: tuple[str, ...] = LANGUAGES
    transcripts: Literal["right", "shuffled"] = "right"
    width: Count = 160
    layers: Count = 2
    strides: tuple[int, int] = (2, 2)
    stretch: NotNegative = 0.1
    gain: NotNegative = 6.0
    noise: NotNegative = 10.0

    @property
    def language(self) -> str:
        """What this seed's model is of."""
        return self.languages[self.seed % len(self.languages)]


def train_model(*, prompts: Path, spectra: Path, config: Training, out: Path) -> None:
    """Write model.safetensors, and model.json with its settings and letters."""
    import torch

    from models.speech.acoustic import AcousticModel
    from models.speech.ctc import ctc_loss

    corpus = read_corpus(prompts)
    utterances = corpus.split("train", config.language)
    alphabet = Alphabet.of(each.text for each in utterances)
    sounds = read_spectra(spectra, corpus.utterances)
    batches = Batches(utterances, [sounds[each.id] for each in utterances], alphabet, config)
    torch.manual_seed(config.seed)
    mels = batches.spectra[0].shape[1]
    settings = Acoustic(
        tokens=len(alphabet), mels=mels, width=config.width, layers=config.layers, strides=config.strides
    )
    model = AcousticModel(settings)
    model.mean.copy_(torch.from_numpy(batches.mean))
    model.deviation.copy_(torch.from_numpy(batches.deviation))

    def loss(network: Any, batch: "tuple[torch.Tensor, ...]") -> "torch.Tensor":
        found, lengths, tokens, counts = batch
        logs = network(found, lengths)
        frames = model.frames(lengths)
        # A token's loss, so that long texts weigh no more than short ones and the rate suits all batches.
        return (ctc_loss(logs.float(), tokens, frames, counts) / counts).mean()

    weights = sum(each.numel() for each in model.parameters())
    frames = int(sum(map(len, batches.spectra)) / len(batches.spectra)) * config.optimisation.batch
    train(
        model,
        batch=batches,
        loss=loss,
        config=config.optimisation,
        tokens_per_step=frames,
        flops_per_step=6 * weights * frames // model.stride,
    )
    save_model(model.cpu(), alphabet, out)
    say_model("tasks.speech.training", model.eval(), example_of(batches.spectra[0]))


class Batches:
    """Utterances of like lengths together, in another order each epoch; a pure function of the step."""

    def __init__(
        self, utterances: Sequence[Utterance], spectra: "Sequence[Floats]", alphabet: Alphabet, config: Training
    ) -> None:
        import numpy as np

        texts = [alphabet.tokens(each.text) or [] for each in utterances]
        if config.transcripts == "shuffled":
            # Among utterances that are as long, or most of them would be too long for their sound.
            order = sorted(range(len(texts)), key=lambda at: len(spectra[at]))
            chance, shuffled = Random(f"{config.seed} transcripts"), texts
            for start in range(0, len(order), 40):
                group = order[start : start + 40]
                mixed = chance.sample(group, len(group))
                shuffled = [texts[mixed[group.index(at)]] if at in group else each for at, each in enumerate(shuffled)]
            texts = shuffled
        self.spectra, self.texts, self.config = spectra, texts, config
        every = np.concatenate(list(spectra))
        self.mean, self.deviation = every.mean(0), every.std(0) + 1e-3
        self.seed, self.size = config.seed, min(config.optimisation.batch, len(texts))
        self._lengths = np.array([len(each) for each in spectra])

    def __call__(self, step: int) -> "tuple[Any, ...]":
        import numpy as np
        import torch

        per_epoch = len(self.texts) // self.size
        epoch, place = divmod(step, per_epoch)
        chance = np.random.default_rng([self.seed, 1, epoch])
        order = chance.permutation(len(self.texts))
        # Sorted by length within a few batches: little padding, and no batch knows its epoch's order.
        pool = 8 * self.size
        pools = [order[start : start + pool] for start in range(0, len(order), pool)]
        order = np.concatenate([each[np.argsort(self._lengths[each], kind="stable")] for each in pools])
        place = int(chance.permutation(per_epoch)[place])
        chosen = order[place * self.size : (place + 1) * self.size]
        chance = np.random.default_rng([self.seed, 2, step])
        made = [self._changed(self.spectra[at], chance) for at in chosen]
        texts = [self.texts[at] for at in chosen]
        lengths = torch.tensor([len(each) for each in made])
        counts = torch.tensor([len(each) for each in texts])
        padded = torch.zeros(len(made), int(lengths.max()), made[0].shape[1])
        tokens = torch.zeros(len(made), int(counts.max()), dtype=torch.long)
        for row, (spectrum, text) in enumerate(zip(made, texts, strict=True)):
            padded[row, : len(spectrum)] = torch.from_numpy(spectrum)
            tokens[row, : len(text)] = torch.tensor(text, dtype=torch.long)
        return padded, lengths, tokens, counts

    def _changed(self, spectrum: "Floats", chance: "np.random.Generator") -> "Floats":
        """Faster or slower, louder or quieter, noisier, and with parts masked."""
        import numpy as np

        from models.speech.features import masked

        config = self.config
        speed = 1 + config.stretch * chance.uniform(-1, 1)
        places = np.clip(np.arange(0, len(spectrum) - 1e-6, speed).round().astype(int), 0, len(spectrum) - 1)
        made = spectrum[places] + np.float32(chance.uniform(-1, 1) * config.gain * np.log(10) / 10)
        if config.noise:
            below = chance.uniform(config.noise, config.noise + 40) * np.log(10) / 10
            grain = np.log(chance.exponential(size=made.shape).astype(np.float32) + 1e-6) / 2
            made = np.logaddexp(made, made.mean() - np.float32(below) + grain)
        return masked(made.astype(np.float32), chance)


def example_of(spectrum: "Floats") -> "dict[str, torch.Tensor]":
    """The model's inputs for half a second at most: a prompt may be shorter."""
    import torch

    begin = torch.from_numpy(spectrum[None, :50])
    return {"spectra": begin, "lengths": torch.tensor([begin.shape[1]])}


def save_model(model: "AcousticModel", alphabet: Alphabet, out: Path) -> None:
    from safetensors.torch import save_file

    save_file(model.state_dict(), out / "model.safetensors")
    write_json(out / "model.json", {"settings": asdict(model.config), "letters": alphabet.letters})


@dataclass(frozen=True)
class Recogniser:
    """A trained acoustic model with its letters."""

    model: "AcousticModel"
    alphabet: Alphabet


def load_recogniser(folder: Path) -> Recogniser:
    """What `train_model` wrote, for use."""
    from pydantic import TypeAdapter
    from safetensors.torch import load_file

    from models.speech.acoustic import AcousticModel

    said = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    settings = TypeAdapter(Acoustic).validate_python(said["settings"], strict=False)
    model = AcousticModel(settings)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return Recogniser(model.eval(), Alphabet(said["letters"]))


def _load_pyfunc(path: str) -> Loaded:
    """The model as MLflow loads it."""
    return Loaded(load_recogniser(Path(path)).model)
