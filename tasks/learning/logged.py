"""Final models as MLflow logs and loads them: arrays by name in, an array out."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tasks.base import spool

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


def say_model(loader: str, call: "Callable[..., Tensor]", example: "Mapping[str, Tensor]") -> None:
    """Say that the stage's output is a final model, which `call` is and the module `loader` loads, with an example.

    Of integers, which are ids, any number on any axis will do; of other numbers, any number of rows. What is made has
    a fixed last axis.
    """
    import torch

    with torch.inference_mode():
        made = call(**example)
    inputs = {
        name: (_type(given), (-1,) * given.dim() if not given.is_floating_point() else (-1, *given.shape[1:]))
        for name, given in example.items()
    }
    output = (_type(made), (*(-1,) * (made.dim() - 1), made.shape[-1]))
    spool.model(loader, inputs, output, {name: given.tolist() for name, given in example.items()})


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


def _type(tensor: "Tensor") -> str:
    return str(tensor.dtype).removeprefix("torch.")
