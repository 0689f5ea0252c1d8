"""A network's name, `bert-8-512` for bert at batch 8 and width 512, and the same network in both libraries."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.tensor.backend import TensorBackend
    from models.tensor.zoo import Sample

KINDS = {"mlp": "layers", "bert": "attention", "asr": "attention", "vit": "attention"}
"""Where a network spends its time; those that are not here are convolutional."""

SHARING = ("resnet50", "bert", "asr", "vit")
"""Networks with residual connections, in which a value is used twice and its gradients are added."""

IMAGELESS = ("mlp", "bert")
"""Networks without convolutions, to which the layout of images is nothing."""


@dataclass(frozen=True)
class Named:
    """A network's name taken apart."""

    network: str
    batch: int
    width: int

    @property
    def labels(self) -> dict[str, Any]:
        """As rows carry them."""
        name = f"{self.network}-{self.batch}-{self.width}"
        return {"sized": name, "network": self.network, "kind": KINDS.get(self.network, "convolutional")}


def named(name: str) -> Named:
    """`bert-8-512` taken apart."""
    network, batch, width = name.split("-")
    return Named(network, int(batch), int(width))


def own(name: str) -> "Sample":
    """The network on the backend in use, its weights drawn anew from the same seed."""
    from models import tensor as ft
    from models.tensor import nn
    from models.tensor.zoo import sample

    ft.active.backend.seed(0)
    one = named(name)
    return sample(one.network, nn, ft.tensor, one.batch, one.width)


def torchs(name: str, channels_last: bool = False) -> "Sample":
    """The network in torch, dropouts off; with `channels_last` images and filters lie as convolutions like it."""
    import torch

    from models.tensor.zoo import sample

    torch.manual_seed(0)
    one = named(name)
    made = sample(one.network, torch.nn, torch.tensor, one.batch, one.width)
    _drop_nothing(made)
    if not channels_last:
        return made
    images = made.inputs.contiguous(memory_format=torch.channels_last)
    return replace(made, model=made.model.to(memory_format=torch.channels_last), inputs=images)


def with_weights_of(made: "Sample", theirs: "Sample") -> "Sample":
    """Our network with the weights of torch's, by way of safetensors; dropouts off here, too."""
    from safetensors.torch import save_file

    from models.tensor.checkpoint import load

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_file({name: x.contiguous() for name, x in theirs.model.state_dict().items()}, path)
        load(made.model, path)
    _drop_nothing(made)
    return made


def _drop_nothing(made: "Sample") -> None:
    """Turn dropouts off, which lie in the classifiers, so that both libraries do the same work."""
    if hasattr(made.model, "classifier"):
        made.model.classifier.eval()


def on(backend: "TensorBackend", run: Callable[[], Any]) -> Callable[[], Any]:
    """The same function, run on a backend."""
    from models.tensor import using

    def there() -> Any:
        with using(backend):
            return run()

    return there


def passes(made: "Sample", optimizer: Any = None) -> Callable[[], Any]:
    """Forward and backward, and the update where there is an optimizer; gives the loss."""
    parameters = list(made.model.parameters())

    def step() -> Any:
        for parameter in parameters:
            parameter.grad = None
        loss = made.loss(made.model(made.inputs), made.targets)
        loss.backward()
        if optimizer is not None:
            optimizer.step()
        return loss

    return step
