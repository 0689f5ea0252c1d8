"""Weights to and from safetensors, under the names that torch gives them: each library reads what the other wrote."""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from models.tensor.active import active
from models.tensor.nn import Module

UNTRAINED = ("num_batches_tracked",)
"""What torch saves beside and nothing here reads."""


def save(module: Module, path: Path) -> None:
    """Write all parameters and buffers."""
    save_file({name: np.ascontiguousarray(one.numpy()) for name, one in module.named_tensors()}, path)


def load(module: Module, path: Path) -> None:
    """Read all parameters and buffers.

    Raises:
        ValueError: names or shapes are not the module's; the sentence says which.
    """
    found = {name: x for name, x in load_file(path).items() if not name.endswith(UNTRAINED)}
    own = dict(module.named_tensors())
    if lacks := sorted(own.keys() - found.keys()):
        raise ValueError(f"{path.name} has no {', '.join(lacks)}")
    if more := sorted(found.keys() - own.keys()):
        raise ValueError(f"{path.name} has {', '.join(more)}, which the network has not")
    for name, one in own.items():
        if found[name].shape != one.shape:
            raise ValueError(f"{name} is {list(found[name].shape)} in {path.name} and {list(one.shape)} here")
        one.data = active.backend.from_numpy(found[name].astype(one.dtype))
