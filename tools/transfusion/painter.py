"""A trained generator with all that it needs to draw and to read pictures."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.engine.trained import is_here, made, trained
from models.transfusion.settings import Sampling
from tasks.base.errors import UserError
from tasks.transfusion.autoencoders import FILE as AUTOENCODER
from tasks.transfusion.autoencoders import decoded, load_autoencoder
from tasks.transfusion.evaluation import LONGEST
from tasks.transfusion.generators import CONFIG, load_generator
from tasks.transfusion.texts import TOKENIZER, read_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

ABOUT = "about.json"
TRAINED = ("gpu", "cpu", "quick")
"""Profiles whose generator is taken, the best one first."""
STEPS = 50
AT_ONCE = 64
"""Pictures that are drawn together."""


@dataclass(frozen=True)
class Painter:
    """A generator, its tokenizer, the words of the captions that it was trained on, and an autoencoder or none.

    `side` is that of its pictures in pixels, and `note` a sentence that its user must read, or empty.
    """

    model: Any
    process: Any
    tokenizer: Any
    words: frozenset[str]
    autoencoder: Any
    side: int
    channels: int
    note: str = ""

    def draw(self, prompt: str, count: int, guidance: float, seed: int, steps: int = STEPS) -> "Tensor":
        """Pictures (count, channels, side, side) between -1 and 1, as prompted.

        Raises:
            UserError: no word of the prompt was in any caption, or the prompt is longer than what can be read.
        """
        import torch

        from models.transfusion.generation import imagine
        from models.transfusion.noising import noising

        if not set(words_of(prompt)) & self.words:
            some = ", ".join(sorted(self.words)[:12])
            raise UserError(f"No word of the prompt was in a caption that this model learned from: try {some}.")
        ids = self.tokenizer.encode(prompt).ids
        sizes = self.model.sizes
        room = sizes.transformer.context - sizes.patches - 2
        if len(ids) > room:
            raise UserError(f"The prompt has {len(ids)} tokens, and there is room for {room}: make it shorter.")
        bound = 1.0 if self.autoencoder is None else float(self.autoencoder.reach)
        sampling = Sampling(steps=steps, guidance=guidance, bound=bound)
        generator = torch.Generator().manual_seed(seed)
        parts = []
        for start in range(0, count, AT_ONCE):
            size = (min(AT_ONCE, count - start), sizes.channels, sizes.side, sizes.side)
            noise = torch.randn(size, generator=generator)
            parts.append(imagine(self.model, noising(self.process), [ids] * size[0], sampling, noise, generator))
        latents = torch.cat(parts)
        return latents.clamp(-1, 1) if self.autoencoder is None else decoded(self.autoencoder, latents)

    def unknown(self, prompt: str) -> list[str]:
        """Words of the prompt that no caption had."""
        return [word for word in words_of(prompt) if word not in self.words]

    def read(self, picture: "NDArray[np.uint8]") -> str:
        """What the model says of a picture (side, side, channels), uint8; empty where it says nothing that ends."""
        import torch

        from models.transfusion.generation import describe

        values = torch.from_numpy(picture.transpose(2, 0, 1)[None].astype("float32") / 127.5 - 1)
        if self.autoencoder is not None:
            with torch.inference_mode():
                values = self.autoencoder.standard(self.autoencoder.encode(values).latents)
        (ids,) = describe(self.model, values, LONGEST * 2)
        return str(self.tokenizer.decode([each for each in ids if each]).strip()) if ids and ids[-1] == 0 else ""


def words_of(text: str) -> list[str]:
    """Words in lower case."""
    return re.findall(r"\w+", text.lower())


def painter(model: Path | None, profile: str | None) -> Painter:
    """The painter in a folder that `tenfold transfusion train` wrote, or else the one that the paper's stages trained.

    Raises:
        UserError: there is none.
    """
    return of_folder(model) if model is not None else of_paper(profile)


def of_folder(folder: Path) -> Painter:
    """A painter that was trained on a folder of pictures."""
    missing = [name for name in (CONFIG, ABOUT, TOKENIZER, AUTOENCODER) if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{folder} has no {missing[0]}: give the folder that tenfold transfusion train wrote.")
    model, process = load_generator(folder)
    about = json.loads((folder / ABOUT).read_text())
    return Painter(
        model,
        process,
        read_tokenizer(folder),
        frozenset(about["words"]),
        load_autoencoder(folder),
        about["side"],
        about["channels"],
    )


def of_paper(profile: str | None) -> Painter:
    """The U-Net that the paper's stages trained on scanned digits: the profile's, or the best that is here."""
    from flows.transfusion import stages
    from tasks.transfusion.arms import UNET
    from tasks.transfusion.images import read_images

    axes = {name: {"arm": UNET, "seed": stages.SEEDS.at(name)[0]} for name in TRAINED}
    profile = profile or next((name for name in TRAINED if is_here(stages.main, name, **axes[name])), None)
    if profile is None:
        raise UserError("No generator has been trained here: run tenfold reproduce transfusion --profile cpu first.")
    found = trained(stages.main, profile, **axes.get(profile, axes["cpu"]))
    model, process = load_generator(found.folder)
    images = read_images(made(stages.digits, profile).folder)
    words = frozenset(word for captions in images.captions for each in captions for word in words_of(each))
    tokenizer = read_tokenizer(made(stages.texts, profile).folder)
    return Painter(model, process, tokenizer, words, None, images.side, images.pixels.shape[1], found.stale)
