"""Training on a folder of pictures with texts: the autoencoder, then the generator; both go on where they stopped."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.config import Optimisation
from tasks.base.errors import UserError
from tasks.base.files import write_json
from tasks.learning.checkpoints import checkpoints
from tasks.transfusion.arms import PICTURES
from tasks.transfusion.autoencoders import CONTINUOUS, FILE, AutoencoderTraining
from tasks.transfusion.autoencoders import learn as learn_autoencoder
from tasks.transfusion.gallery import contact_sheet, png
from tasks.transfusion.generators import Generator, learn, save_generator
from tasks.transfusion.images import Images, Split
from tasks.transfusion.lessons import as_read
from tasks.transfusion.texts import TOKENIZER, TOKENS
from tools.transfusion.painter import ABOUT, of_folder, words_of
from tools.transfusion.pairs import Pairs

VOCABULARY = 1024
FEWEST = 8
"""Pictures that a training needs at least."""
CONTEXT = 32
SHOWN = 8


@dataclass(frozen=True)
class Trained:
    """How many pictures and captions were learned from, and where the model is."""

    pictures: int
    captions: int
    documents: int
    folder: str


def train_folder(pairs: Pairs, out: Path, steps: int, seed: int, tell: Callable[[str], None]) -> Trained:
    """Train on pairs and write the model's folder with preview.png; what an interrupted training left is used.

    Raises:
        UserError: there are too few pictures, or the folder holds a training of other pictures or settings.
    """
    import numpy as np

    if len(pairs.pictures) < FEWEST:
        raise UserError(f"There are {len(pairs.pictures)} pictures with texts, and {FEWEST} are the fewest: add some.")
    out.mkdir(parents=True, exist_ok=True)
    _same_as_before(pairs, out, steps, seed)
    pixels = np.stack(pairs.pictures).transpose(0, 3, 1, 2)
    count = len(pixels)
    split: tuple[Split, ...] = tuple("train" for _ in range(count))
    images = Images(pixels, np.arange(count), split, tuple(pairs.captions))
    write_tokens(pairs, out)
    if not (out / FILE).is_file():
        tell("the autoencoder learns to draw what it saw")
        with checkpoints(out / "checkpoints" / "autoencoder"):
            learn_autoencoder(images, autoencoder_training(steps, seed), out)
    tell("the generator learns to draw what is said")
    config = generator_training(steps, seed)
    with checkpoints(out / "checkpoints" / "generator"):
        model, _ = learn(images, as_read(images, config.settings, {CONTINUOUS: out}), out, config)
    save_generator(model, config, out)
    words = sorted({word for captions in pairs.captions for each in captions for word in words_of(each)})
    write_json(out / ABOUT, {"words": words, "side": int(pixels.shape[2]), "channels": int(pixels.shape[1])})
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    preview(out, pairs)
    return Trained(count, sum(map(len, pairs.captions)), len(pairs.documents), str(out))


def autoencoder_training(steps: int, seed: int) -> AutoencoderTraining:
    """The autoencoder's settings: pictures are halved twice."""
    optimisation = Optimisation(steps=steps, batch=32, learning_rate=2e-3, warmup=min(50, steps), weight_decay=0.0)
    return AutoencoderTraining(seed=seed, halvings=2, optimisation=optimisation)


def generator_training(steps: int, seed: int) -> Generator:
    """The generator's settings: latents through a U-Net."""
    return Generator(
        seed=seed,
        arm=PICTURES,
        width=128,
        layers=6,
        feed_forward=352,
        context=CONTEXT,
        optimisation=Optimisation(steps=steps, batch=32, learning_rate=2e-3, warmup=min(100, steps), weight_decay=0.0),
    )


def write_tokens(pairs: Pairs, out: Path) -> None:
    """Write the tokenizer and the text half: the documents, and all captions, so that there always is some text."""
    import numpy as np
    from safetensors.numpy import save_file

    from tasks.learning.tokens import train_tokenizer

    captions = [caption for each in pairs.captions for caption in each]
    texts = [*pairs.documents, "\n".join(captions)]
    tokenizer = train_tokenizer([*pairs.documents, *captions], VOCABULARY)
    tokenizer.save(str(out / TOKENIZER))
    names = [tokenizer.id_to_token(index) for index in range(tokenizer.get_vocab_size())]
    stream = [token for text in texts for token in (0, *tokenizer.encode(text).ids)]
    stream *= 1 + (2 * CONTEXT) // len(stream)
    lengths = np.array([0, *map(len, names[1:])], np.uint16)
    save_file({"train": np.array(stream, np.uint16), "token_bytes": lengths}, out / TOKENS)


def preview(out: Path, pairs: Pairs) -> None:
    """Write preview.png: the first pictures, and below each what is drawn of its first caption."""
    import torch

    painter = of_folder(out)
    shown = pairs.pictures[:SHOWN]
    real = torch.stack([torch.from_numpy(each.transpose(2, 0, 1).copy()).float() / 127.5 - 1 for each in shown])
    drawn = [painter.draw(captions[0], 1, 3.0, 0) for captions in pairs.captions[:SHOWN]]
    (out / "preview.png").write_bytes(png(contact_sheet(torch.cat([real, *drawn]), len(shown)), 2))


def _same_as_before(pairs: Pairs, out: Path, steps: int, seed: int) -> None:
    """Note what is trained on, or refuse to go on with something else."""
    import hashlib

    digest = hashlib.sha256(json.dumps([pairs.captions, pairs.documents, steps, seed]).encode())
    for each in pairs.pictures:
        digest.update(each.tobytes())
    note = out / "training.txt"
    if note.is_file() and note.read_text() != digest.hexdigest():
        raise UserError(f"{out} holds a training of other pictures, texts or settings: give another --out.")
    note.write_text(digest.hexdigest())
