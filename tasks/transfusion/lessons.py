"""What a generator is taught: captions and images in one sequence, in either order, beside text alone (section 4.1)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from models.transfusion.settings import TIMES, Sizes
from tasks.base.errors import UserError
from tasks.transfusion.arms import Arm
from tasks.transfusion.autoencoders import CODEBOOK, CONTINUOUS, encoded, load_autoencoder
from tasks.transfusion.images import Images, Split
from tasks.transfusion.texts import read_tokenizer, read_tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from models.transfusion.model import Transfusion
    from models.transfusion.noising import Noising
    from models.transfusion.rows import Rows
    from tasks.transfusion.generators import Generator

NEARLY = 4
"""Rows of text and of images that differ in length by no more are read together, which saves half of the calls."""

Part = tuple["Rows", "Tensor", "Tensor"]
"""Rows, with the noised images of those that have one, and their times."""


@dataclass(frozen=True)
class Shown:
    """Images as a generator gets them: `values` (n, channels, side, side), or `codes` (n, places) of a codebook."""

    values: "Tensor"
    codes: "Tensor"
    count: int = 0
    """Codes that there are; 0 where images are values."""


@dataclass(frozen=True)
class Captions:
    """Captions as rows: `rows[kind][n]` are numbers of rows with the n-th caption, by order; `empty` has none."""

    table: "Rows"
    first: "NDArray[np.int64]"
    """(kinds, captions): the row in which this caption comes before its image."""
    after: "NDArray[np.int64]"
    empty: int


class Drawn(NamedTuple):
    """What is read at a step, and the noise (or velocity) that is to be foretold of its images, where it has some."""

    parts: "tuple[Part, ...]"
    target: "Tensor | None" = None


class Lessons:
    """What a generator of these settings reads at each step, of one split, and how far it is off.

    All arms of a seed draw the same images, captions, orders, times and texts at each step.

    Raises:
        UserError: there is less text than a window has.
    """

    def __init__(
        self, images: Images, shown: Shown, texts: Path, config: "Generator", sizes: Sizes, split: Split = "train"
    ) -> None:
        import numpy as np

        from models.transfusion.noising import noising

        self.config, self.shown, self.sizes = config, shown, sizes
        self.arm: Arm = config.settings
        self.captions = caption_rows(images, texts, sizes)
        self.stream = read_tokens(texts)[split].astype(np.int64)
        if len(self.stream) <= config.context:
            raise UserError(
                f"There are {len(self.stream)} ids of text, and a window has {config.context}: give more text."
            )
        self.numbers = images.of(split)
        self.kinds = images.kind[self.numbers]
        if self.arm.shuffled:
            self.kinds = np.random.default_rng(config.seed).permutation(self.kinds)
        self.way: Noising = noising(self.arm.process)

    @property
    def positions(self) -> tuple[int, int]:
        """Positions that are read at a step, and those that foretell an id, both without padding."""
        from models.transfusion.rows import NOTHING

        read = foretelling = self.config.texts * self.config.context
        if self.arm.reads != "nothing":
            count, table = self.config.optimisation.batch, self.captions.table
            read += count * table.tokens.shape[1]
            asked = (table.targets != NOTHING).sum(1).float().mean() + self.shown.codes.shape[1]
            foretelling += round(count * float(asked))
        return read, foretelling

    def batch(self, step: int) -> Drawn:
        """What is read at a step: a pure function of it."""
        import numpy as np
        import torch

        from models.transfusion.rows import joined, with_codes

        config, arm, count = self.config, self.arm, self.config.optimisation.batch
        drawn = np.random.default_rng((config.seed, step))
        chosen = drawn.integers(len(self.numbers), size=count)
        which, order, dropped, time = (drawn.random(count) for _ in range(4))
        starts = drawn.integers(len(self.stream) - config.context, size=config.texts)
        text = _windows(torch.from_numpy(self.stream[starts[:, None] + np.arange(config.context + 1)]))
        none, now = self.shown.values[:0], torch.zeros(0, dtype=torch.long)
        if arm.reads == "nothing":
            return Drawn(((text, none, now),))
        said = (which * self.captions.first.shape[1]).astype(np.int64)
        before = order < config.caption_first
        kinds = self.kinds[chosen]
        rows = np.where(before, self.captions.first[kinds, said], self.captions.after[kinds, said])
        rows = np.where(before & (dropped < config.dropped), self.captions.empty, rows)
        # An image before its caption is noised up to the cap, uniformly, any other up to T.
        moment = torch.from_numpy(1 + (time * np.where(before, TIMES, arm.cap)).astype(np.int64))
        seen = self.captions.table.take(torch.from_numpy(rows))
        numbers = torch.from_numpy(self.numbers[chosen])
        target = None
        if self.shown.count:
            seen, noised, moment = with_codes(seen, self.shown.codes[numbers], self.sizes.vocabulary), none, now
        else:
            values = self.shown.values[numbers]
            noise = torch.from_numpy(drawn.standard_normal(values.shape, np.float32))
            noised, target = self.way.mixed(values, noise, moment), self.way.target(values, noise)
        if abs(seen.tokens.shape[1] - config.context) <= NEARLY:
            return Drawn(((joined(text, seen), noised, moment),), target)
        return Drawn(((text, none, now), (seen, noised, moment)), target)

    def loss(self, model: "Transfusion", drawn: Drawn, read_by: Any = None) -> "Tensor":
        """L_LM + λ · L_DDPM; `read_by` is the model as the training loop wraps it."""
        text, image = self.losses(model, drawn, read_by)
        return text if image is None else text + self.arm.weight * image

    def losses(self, model: "Transfusion", drawn: Drawn, read_by: Any = None) -> "tuple[Tensor, Tensor | None]":
        """Both losses; that of images where noise is foretold."""
        import torch

        from models.transfusion.model import image_loss, text_loss

        read = [(read_by or model)(*part) for part in drawn.parts]
        hidden = torch.cat([each.hidden.flatten(0, 1) for each in read])
        targets = torch.cat([rows.targets.flatten() for rows, _, _ in drawn.parts])
        text = text_loss(model, hidden, targets)
        return text, None if drawn.target is None else image_loss(read[-1].foretold, drawn.target)


def _windows(ids: "Tensor") -> "Rows":
    """Windows of text (windows, ids + 1) as rows, in which the next id is foretold everywhere."""
    import torch

    from models.transfusion.rows import NOTHING, Rows

    nowhere = torch.full_like(ids[:, 1:], NOTHING)
    return Rows(ids[:, :-1], ids[:, 1:], nowhere, nowhere[:, 0])


def as_read(images: Images, arm: Arm, autoencoders: dict[str, Path]) -> Shown:
    """All images as the arm reads them.

    Raises:
        UserError: the arm reads latents or codes, and there is no such autoencoder.
    """
    import numpy as np
    import torch

    every = np.arange(len(images.pixels))
    if arm.reads in ("pixels", "nothing"):
        return Shown(images.scaled(every), torch.zeros(len(every), 0, dtype=torch.long))
    model = load_autoencoder(autoencoder_of(arm, autoencoders))
    latents, codes = encoded(model, images, every)
    return Shown(latents, codes, model.sizes.codes)


def autoencoder_of(arm: Arm, autoencoders: dict[str, Path]) -> Path:
    """Where the arm's autoencoder lies."""
    kind = CODEBOOK if arm.reads == "codes" else CONTINUOUS
    if kind not in autoencoders:
        raise UserError(f"There is no {kind} autoencoder: give one.")
    return autoencoders[kind]


def longest_caption(images: Images, texts: Path) -> int:
    """Ids of the longest caption."""
    tokenizer = read_tokenizer(texts)
    return max(len(tokenizer.encode(caption).ids) for captions in images.captions for caption in captions)


def caption_rows(images: Images, texts: Path, sizes: Sizes) -> Captions:
    """Every caption before an image and after one, as rows."""
    import numpy as np

    from models.transfusion.rows import Patches, write_rows

    tokenizer = read_tokenizer(texts)
    image = Patches(sizes.patches)
    documents: list[list[Any]] = [[image]]
    first, after = [], []
    most = max(map(len, images.captions))
    for captions in images.captions:
        ids = [tokenizer.encode(caption).ids for caption in captions]
        ids = [ids[turn % len(ids)] for turn in range(most)]
        first.append(range(len(documents), len(documents) + most))
        after.append(range(len(documents) + most, len(documents) + 2 * most))
        documents += [[each, image] for each in ids] + [[image, each] for each in ids]
    length = 3 + sizes.patches + max(len(each) for document in documents for each in document if each is not image)
    table = write_rows(documents, sizes.vocabulary, length)
    return Captions(table, np.array(first, np.int64), np.array(after, np.int64), 0)
