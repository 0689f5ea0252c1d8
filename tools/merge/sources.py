"""The checkpoints of a recipe: which become experts, and which give everything else."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.base.errors import UserError
from tools.merge.checkpoints import Checkpoint, agree, blocks, read_checkpoint, shapes
from tools.merge.recipe import Recipe, folder_of

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sources:
    """Experts in their order, the checkpoints whose average everything else is, and the numbers to write."""

    experts: tuple[Checkpoint, ...]
    rest: tuple[Checkpoint, ...]
    first: Checkpoint
    """The one whose tokenizer and settings the mixture has: the base, where one is named."""
    dtype: str

    def shared(self, name: str) -> "Iterator[Tensor]":
        """All rows of a weight that the experts share, a few at a time."""
        for start, stop in blocks(shapes(self.first.config)[name], len(self.rest)):
            yield self.shared_rows(name, start, stop)

    def shared_rows(self, name: str, start: int, stop: int) -> "Tensor":
        """Rows of a weight that the experts share: the average in float32, or the base's own as they are stored."""
        import torch

        rows = [each.rows(name, start, stop) for each in self.rest]
        return rows[0] if len(rows) == 1 else torch.stack([each.float() for each in rows]).mean(0)


def read_sources(recipe: Recipe, recipe_file: Path) -> Sources:
    """The checkpoints of a recipe, seen to be whole and of one architecture.

    Raises:
        UserError: they are not, or are stored in different numbers and the recipe does not say which to write.
    """
    experts = tuple(read_checkpoint(folder_of(recipe_file, each.source_model)) for each in recipe.experts)
    base = (read_checkpoint(folder_of(recipe_file, recipe.base_model)),) if recipe.base_model else ()
    agree([*base, *experts])
    stored = sorted({each.dtype for each in (*experts, *base)})
    if not recipe.dtype and len(stored) > 1:
        raise UserError(f"The checkpoints are stored as {' and '.join(stored)}: say with dtype in {recipe_file} which.")
    rest = base if recipe.rest == "base" else experts
    return Sources(experts, rest, (*base, *experts)[0], recipe.dtype or stored[0])
