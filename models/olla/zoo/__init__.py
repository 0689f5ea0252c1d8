"""The networks that are planned: name, model, batch and loss, at the published sizes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.olla.training import Optimizer, Training


@dataclass(frozen=True)
class Sample:
    """A model in training mode, with the tensors of one batch and how its loss is computed."""

    model: "nn.Module"
    batch: "tuple[Tensor, ...]"
    loss: "Callable[[nn.Module, Sequence[Tensor]], Tensor]"


NETWORKS = (
    "alexnet",
    "vgg11",
    "vgg16",
    "vgg19",
    "resnet18",
    "resnet50",
    "mobilenet_v2",
    "efficientnet_b0",
    "googlenet",
    "squeezenet",
    "mnasnet",
    "r3d_18",
    "vit_b_16",
    "bert",
    "roberta",
    "gpt2",
    "smollm2",
    "transformer",
)
"""Of which the last six are transformers, from `transformers`' own configurations, or torch's encoder and decoder."""


def sample(name: str, batch: int, size: int = 0) -> Sample:
    """A network and one batch for it.

    Args:
        name: one of NETWORKS.
        batch: examples a step.
        size: pixels a side, or tokens; 0 is the published 224 pixels (112 for videos) and 128 tokens.
    """
    from models.olla.zoo import convolutional, transformers

    if name in convolutional.MODELS:
        return convolutional.sample(name, batch, size)
    return transformers.sample(name, batch, size)


def training_of(name: str, batch: int, optimizer: "Optimizer", size: int = 0) -> "Training":
    """The training step of a network; call it under FakeTensorMode to need no memory."""
    from models.olla.training import training

    made = sample(name, batch, size)
    return training(made.model, made.loss, made.batch, optimizer)
