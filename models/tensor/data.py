"""Batches of arrays, shuffled anew each time around."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from models.tensor.tensor import Tensor, tensor


class Batches:
    """Goes over arrays of equal length in batches; each pass has another order, the same for the same seed."""

    def __init__(self, arrays: Sequence[Any], batch: int, *, shuffle: bool = True, seed: int = 0) -> None:
        if not arrays or len({len(x) for x in arrays}) != 1:
            raise ValueError(f"batches need arrays of one length, not {[len(x) for x in arrays]}")
        if batch < 1:
            raise ValueError(f"a batch of {batch}")
        self.arrays, self.batch, self.shuffle = [np.asarray(x) for x in arrays], batch, shuffle
        self._draw = np.random.default_rng(seed)

    def __len__(self) -> int:
        """Batches of a pass; the last one may be smaller."""
        return -(-len(self.arrays[0]) // self.batch)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        count = len(self.arrays[0])
        order = self._draw.permutation(count) if self.shuffle else np.arange(count)
        for start in range(0, count, self.batch):
            chosen = order[start : start + self.batch]
            yield tuple(tensor(x[chosen]) for x in self.arrays)
