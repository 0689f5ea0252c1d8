"""Documents of text and images as rows of ids: which positions are whose, and what is to be foretold at each.

A document begins with END, the token that separates documents, and ends before the next one. An image stands between
BOI and EOI, and takes one position a patch, a SLOT. The next token is foretold everywhere but where a patch or EOI
comes next: patches are denoised, and EOI is put after the last one (section 3.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from models.transfusion.settings import Vocabulary

NOTHING = -1
"""As a target: nothing is foretold here. As an image's number: here is no image."""


@dataclass(frozen=True)
class Patches:
    """An image as so many patches: where its slots are is said by `Rows.starts`."""

    count: int


Piece = Sequence[int] | Patches
"""Text as ids, or an image."""


class Rows(NamedTuple):
    """Documents side by side, (rows, length), padded with END at the right.

    `image` numbers the image of each position within its row, NOTHING for text. `starts` has the first slot of the
    one image of each row, NOTHING where there is none.
    """

    tokens: Tensor
    targets: Tensor
    image: Tensor
    starts: Tensor

    def take(self, rows: Tensor) -> "Rows":
        """These rows, in this order."""
        return Rows(self.tokens[rows], self.targets[rows], self.image[rows], self.starts[rows])


def write_rows(documents: Sequence[Sequence[Piece]], vocabulary: Vocabulary, length: int) -> Rows:
    """One row a document, with an END before and after it.

    Raises:
        ValueError: a document has more than one image as patches, or is longer than the length.
    """
    tokens = torch.zeros(len(documents), length, dtype=torch.long)
    targets = torch.full((len(documents), length), NOTHING)
    image = torch.full((len(documents), length), NOTHING)
    starts = torch.full((len(documents),), NOTHING)
    for row, document in enumerate(documents):
        ids, numbers = [0], [NOTHING]
        for piece in document:
            if isinstance(piece, Patches):
                if starts[row] != NOTHING:
                    raise ValueError("a row for training has one image at most")
                starts[row] = len(ids) + 1
                ids += [vocabulary.boi, *[vocabulary.slot] * piece.count, vocabulary.eoi]
                numbers += [NOTHING, *[0] * piece.count, NOTHING]
            else:
                ids += piece
                numbers += [NOTHING] * len(piece)
        if len(ids) > length:
            raise ValueError(f"a document of {len(ids)} positions does not fit into rows of {length}")
        check(ids, vocabulary)
        tokens[row, : len(ids)] = torch.tensor(ids)
        image[row, : len(ids)] = torch.tensor(numbers)
        following = torch.tensor([*ids[1:], 0])
        foretold = (following != vocabulary.slot) & (following != vocabulary.eoi)
        targets[row, : len(ids)] = torch.where(foretold, following, NOTHING)
    return Rows(tokens, targets, image, starts)


def joined(one: Rows, other: Rows) -> Rows:
    """Rows of both, as long as the longer ones."""
    length = max(one.tokens.shape[1], other.tokens.shape[1])
    fills = {"tokens": 0, "targets": NOTHING, "image": NOTHING}
    padded = {
        name: torch.cat([functional.pad(each, (0, length - each.shape[1]), value=fill) for each in both])
        for name, fill in fills.items()
        for both in [(getattr(one, name), getattr(other, name))]
    }
    return Rows(**padded, starts=torch.cat([one.starts, other.starts]))


def with_codes(rows: Rows, codes: Tensor, vocabulary: Vocabulary) -> Rows:
    """The rows with discrete image tokens (images, slots) in the place of slots, foretold as text is (Chameleon)."""
    which = (rows.starts != NOTHING).nonzero()[:, 0]
    places = rows.starts[which][:, None] + torch.arange(codes.shape[1], device=codes.device)
    ids = codes + vocabulary.first_code
    tokens, targets = rows.tokens.clone(), rows.targets.clone()
    tokens[which[:, None], places] = ids
    targets[which[:, None], places - 1] = ids
    return Rows(tokens, targets, torch.full_like(rows.image, NOTHING), torch.full_like(rows.starts, NOTHING))


def check(ids: Sequence[int], vocabulary: Vocabulary) -> None:
    """The contract of a document's ids: every image stands between its marks, and END does not stand within one.

    Raises:
        ValueError: what is wrong, and where, in one sentence.
    """
    inside, content = False, 0
    for place, token in enumerate(ids):
        if token < 0 or token >= vocabulary.size:
            raise ValueError(f"there is no token {token} (position {place}): ids go from 0 to {vocabulary.size - 1}")
        if token == vocabulary.boi:
            if inside:
                raise ValueError(f"a second image begins within an image (position {place})")
            inside, content = True, 0
        elif token == vocabulary.eoi:
            if not inside:
                raise ValueError(f"an image ends that never began (position {place})")
            if not content:
                raise ValueError(f"an image has no patches (position {place})")
            inside = False
        elif token == vocabulary.slot or token >= vocabulary.first_code:
            if not inside:
                raise ValueError(f"a patch stands outside of an image (position {place})")
            content += 1
        elif inside:
            raise ValueError(f"text or END stands within an image (position {place})")
    if inside:
        raise ValueError("the last image never ends")


def may_attend(image: Tensor, bidirectional: bool) -> Tensor:
    """Which position (second axis) may look at which (third): (rows, length, length) of truth values.

    `image` is (rows, length), the number of each position's image or NOTHING. What comes before may be looked at, and,
    if `bidirectional`, every patch of the same image (section 3.1, figure 4).
    """
    length = image.shape[-1]
    causal = torch.ones(length, length, dtype=torch.bool, device=image.device).tril()
    if not bidirectional:
        return causal.expand(len(image), -1, -1)
    same = (image[:, :, None] == image[:, None]) & (image != NOTHING)[:, None]
    return causal | same
