"""Final models as MLflow logs and loads them: arrays by name in, an array out."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tasks.base import spool

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


def say_model(loader: str, call: "Callable[..., Tensor]", example: "Mapping[str, Tensor]") -> None:
    """Say that the stage's whole output is a final model, which is `call`, with an example of what it reads.

    `loader` is a module with `_load_pyfunc(path)`, by which MLflow loads the output anew. Of integers, which are ids,
    any number on any axis will do; of other numbers, any number of rows. What is made has a fixed last axis.
    """
    import torch

    with torch.inference_mode():
        made = call(**example)
    inputs = {
        name: _array(given, (-1,) * given.dim() if not given.is_floating_point() else (-1, *given.shape[1:]))
        for name, given in example.items()
    }
    output = _array(made, (*(-1,) * (made.dim() - 1), made.shape[-1]))
    given = {name: given.tolist() for name, given in example.items()}
    spool.append({"kind": "model", "loader": loader, "inputs": inputs, "output": output, "example": given})


class Loaded:
    """A model as MLflow's python_function calls it."""

    def __init__(self, call: "Callable[..., Tensor]") -> None:
        self._call = call

    def predict(self, model_input: "Mapping[str, NDArray[Any]]", params: object = None) -> "NDArray[np.generic]":
        """What the model makes of these inputs."""
        import torch

        with torch.inference_mode():
            made = self._call(**{name: torch.from_numpy(given) for name, given in model_input.items()})
        found: NDArray[np.generic] = made.numpy()
        return found


def _array(tensor: "Tensor", shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """A type of numbers, as "float32", and a shape, with -1 for an axis of any length."""
    return str(tensor.dtype).removeprefix("torch."), shape
