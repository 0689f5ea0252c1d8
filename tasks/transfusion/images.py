"""Images with captions as files, and the scanned digits as such."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from models.config import Count, Fraction, Index, config
from tasks.base import spool
from tasks.base.errors import UserError
from tasks.base.files import write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Bytes = NDArray[np.uint8]

FILE, INDEX = "images.safetensors", "images.json"

Split = Literal["train", "judge", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "judge", "validation", "test")
"""What generators learn from, what the judge learns from, what settings are chosen on, what is measured on."""

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PHRASES = ("{}", "a {}", "a handwritten {}")
"""How captions say a digit: each image has all of them, and a training draws one each time."""


@dataclass(frozen=True)
class Images:
    """Images `pixels` (n, channels, side, side), uint8, with `kind` (n) numbers, each kind's captions, and splits."""

    pixels: "Bytes"
    kind: "NDArray[np.int64]"
    split: tuple[Split, ...]
    captions: tuple[tuple[str, ...], ...]
    """By kind."""

    @property
    def side(self) -> int:
        return int(self.pixels.shape[-1])

    def of(self, split: Split, most: int = 0) -> "NDArray[np.int64]":
        """The numbers of a split's images; the first so many, if there is a limit."""
        import numpy as np

        found = np.array([number for number, each in enumerate(self.split) if each == split], np.int64)
        return found[:most] if most else found

    def scaled(self, numbers: "NDArray[np.int64]") -> "Tensor":
        """These images between -1 and 1, float32."""
        import torch

        return torch.from_numpy(self.pixels[numbers].astype("float32") / 127.5 - 1)


@config
class Digits:
    """Which digits: `most` of all (0: every one), shuffled by the seed, in shares for each split.

    What was a test image with one of the seeds `looked_at` is none with this one: its results were seen. The digits are
    cut to their middle, `crop` × `crop`, and averaged to `side` × `side`.
    """

    seed: Index = 0
    looked_at: tuple[Index, ...] = ()
    most: Index = 0
    crop: Count = 24
    side: Count = 8
    judge: Fraction = 0.35
    validation: Fraction = 0.1
    test: Fraction = 0.2


def prepare_digits(*, digits: Path, config: Digits, out: Path) -> None:
    """Write the scanned digits with their captions. Raises UserError where the file is not as it should be."""
    import numpy as np

    pixels, kind = read_digits(digits / "mnist_5k.csv.gz")
    count = min(config.most, len(pixels)) or len(pixels)
    ends = [round(count * share) for share in (config.judge, config.validation, config.test)]
    held: tuple[Split, ...] = ("judge", "validation", "test")
    names = [split for split, end in zip(held, ends, strict=True) for _ in range(end)]
    tested = names.index("test")
    names += ["train"] * (count - len(names))

    def shuffled(seed: int) -> "NDArray[np.int64]":
        return np.random.default_rng(seed).permutation(len(pixels))[:count]

    order = shuffled(config.seed)
    known = [number for seed in config.looked_at for number in shuffled(seed)[tested : tested + ends[-1]].tolist()]
    order = with_fresh(order, tested, ends[-1], known)
    captions = tuple(tuple(phrase.format(name) for phrase in PHRASES) for name in NAMES)
    made = shrunk(pixels[order], config.crop, config.side)
    write_images(Images(made[:, None], kind[order], tuple(names), captions), out)
    spool.table("images", [{"split": split, "images": names.count(split)} for split in SPLITS])


def with_fresh(order: "NDArray[np.int64]", begin: int, count: int, known: Sequence[int]) -> "NDArray[np.int64]":
    """The order with `count` numbers from `begin` that are not `known`: these change places with later ones.

    Raises:
        UserError: there are too few of the others.
    """
    import numpy as np

    places = np.arange(begin, len(order))
    fresh = ~np.isin(order[places], known)
    if fresh.sum() < count:
        raise UserError(f"Only {fresh.sum()} were never looked at, and {count} are to be tested on: test fewer.")
    chosen = places[fresh][:count]
    left = np.setdiff1d(places, chosen)
    return np.concatenate([order[:begin], order[chosen], order[left]])


def read_digits(path: Path) -> "tuple[Bytes, NDArray[np.int64]]":
    """Grey pictures (n, 28, 28), uint8, and their digits (n).

    Raises:
        UserError: a row is not 784 grey values and a digit.
    """
    import numpy as np

    wrong = UserError(f"{path.name} must have 784 grey values from 0 to 255 and a digit in every row.")
    try:
        with gzip.open(path, "rt") as file:
            table = np.loadtxt(file, delimiter=",", ndmin=2)
    except (OSError, ValueError) as problem:
        raise wrong from problem
    fits = table.shape[1] == 785 and len(table) > 1 and table.min() >= 0 and table.max() <= 255
    if not fits or table[:, -1].max() > 9:
        raise wrong
    return table[:, :-1].astype(np.uint8).reshape(-1, 28, 28), table[:, -1].astype(np.int64)


def shrunk(pixels: "Bytes", crop: int, side: int) -> "Bytes":
    """The middle `crop` × `crop` of pictures (n, height, width), averaged to `side` × `side`."""
    import numpy as np

    if crop % side:
        raise ValueError(f"{crop} pixels cannot be averaged to {side}")
    top, left = ((length - crop) // 2 for length in pixels.shape[1:])
    middle = pixels[:, top : top + crop, left : left + crop].astype(np.float64)
    blocks = middle.reshape(len(pixels), side, crop // side, side, crop // side)
    made: Bytes = blocks.mean((2, 4)).round().astype(np.uint8)
    return made


def write_images(images: Images, out: Path) -> None:
    """Write the pixels and kinds, and `images.json` with splits and captions."""
    from safetensors.numpy import save_file

    save_file({"pixels": images.pixels, "kind": images.kind}, out / FILE)
    write_json(out / INDEX, {"split": images.split, "captions": images.captions})


def read_images(folder: Path) -> Images:
    """What `write_images` wrote."""
    import json

    from safetensors.numpy import load_file

    stored, index = load_file(folder / FILE), json.loads((folder / INDEX).read_text())
    captions = tuple(map(tuple, index["captions"]))
    return Images(stored["pixels"], stored["kind"], tuple(index["split"]), captions)


def every_caption(images: Images) -> Sequence[str]:
    """All captions, for a tokenizer."""
    return [caption for captions in images.captions for caption in captions]
