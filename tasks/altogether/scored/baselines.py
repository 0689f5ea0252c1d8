"""What a captioner has to beat: copying the alt-text, a neighbour's caption, and both together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.altogether.captioner.encoder import Features
from tasks.altogether.records import Record
from tasks.altogether.texts.attributes import words

if TYPE_CHECKING:
    from torch import Tensor


def looks(features: Features) -> "Tensor":
    """A vector of length 1 for each picture, from the frozen encoder alone [n, channels + bins].

    The palette says the colours and the mean over the grid the rest; either has the same weight.
    """
    import torch
    from torch.nn import functional

    parts = []
    for values in (features.tokens.mean(1, dtype=torch.float32), features.palette.float()):
        centred = (values - values.mean(0)) / (values.std(0, correction=0) + 1e-3)
        parts.append(functional.normalize(centred, dim=1))
    return torch.cat(parts, 1) / 2**0.5


def neighbours(asked: "Tensor", known: "Tensor") -> list[int]:
    """The row of `known` that is most like each of `asked`."""
    return [int(row) for at in range(0, len(asked), 1024) for row in (asked[at : at + 1024] @ known.T).argmax(1)]


def with_attributes(alt: str, neighbour: Record) -> str:
    """The alt-text, then the attributes of the neighbour's caption: "chef" → "chef: dark skin tone".

    A phrase whose words the alt has already is left out.
    """
    _, _, modifiers = neighbour.round2.partition(":")
    said = set(words(alt))
    more = [part.strip() for part in modifiers.split(",") if part.strip() and not set(words(part)) <= said]
    return alt + (f": {', '.join(more)}" if more else "")


def with_keywords(alt: str, neighbour: Record) -> str:
    """The same, and then the keywords of the neighbour's caption: "chef: dark skin tone, food"."""
    keywords = neighbour.round3.removeprefix(neighbour.round2).split(",")
    said = set(words(alt))
    more = [part.strip() for part in keywords if part.strip() and not set(words(part)) <= said]
    return ", ".join([with_attributes(alt, neighbour), *more])


def training_pictures(records: Sequence[Record]) -> list[Record]:
    """One record of each training picture, whose caption a neighbour may lend."""
    return list({record.img_path: record for record in records}.values())
