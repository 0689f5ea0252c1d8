"""Weights written as safetensors a piece at a time, so that no file has to be in memory."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.base.files import write_json
from tools.merge.checkpoints import DTYPES

if TYPE_CHECKING:
    from torch import Tensor

INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Weight:
    """A weight of a file: its name and shape."""

    name: str
    shape: tuple[int, ...]


def in_shards(weights: Sequence[Weight], width: int, most: int) -> list[tuple[str, list[Weight]]]:
    """Weights of `width` bytes a number in files of at most `most` bytes, in their order; a larger one is alone."""
    parts: list[list[Weight]] = [[]]
    size = 0
    for weight in weights:
        own = prod(weight.shape) * width
        if parts[-1] and size + own > most:
            parts.append([])
            size = 0
        parts[-1].append(weight)
        size += own
    if len(parts) == 1:
        return [("model.safetensors", parts[0])]
    return [(f"model-{at:05}-of-{len(parts):05}.safetensors", part) for at, part in enumerate(parts, 1)]


def write_shard(path: Path, weights: Sequence[Weight], dtype: str, width: int, pieces: "Iterator[Tensor]") -> None:
    """Write a safetensors file whose weights come in order, each in one piece or several; the file is on disk then.

    `safetensors` itself writes only what is whole in memory. The layout is its own: the length of the header (eight
    bytes), the header as JSON, and the numbers of one weight after the other.
    """
    import torch

    (stored,) = [name for name, torch_name in DTYPES.items() if torch_name == dtype]
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for weight in weights:
        begin, end = end, end + prod(weight.shape) * width
        header[weight.name] = {"dtype": stored, "shape": weight.shape, "data_offsets": (begin, end)}
    words = json.dumps(header).encode()
    words += b" " * (-len(words) % 8)
    with open(path, "xb") as file:
        file.write(len(words).to_bytes(8, "little") + words)
        for piece in pieces:
            file.write(piece.contiguous().view(torch.uint8).numpy().data)
        file.flush()
        os.fsync(file.fileno())
        if file.tell() != 8 + len(words) + end:
            raise AssertionError(f"{path.name} has {file.tell()} bytes")


def write_index(folder: Path, shards: Sequence[tuple[str, Sequence[Weight]]], width: int) -> None:
    """Write which file each weight is in, where there is more than one file."""
    if len(shards) > 1:
        total = sum(prod(weight.shape) * width for _, weights in shards for weight in weights)
        places = {weight.name: name for name, weights in shards for weight in weights}
        write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": places})
