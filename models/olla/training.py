"""One training step of a model as a function of flat tensors: forward, loss, backward, update in place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

Loss = Callable[[nn.Module, Sequence[Tensor]], Tensor]
"""From the model (called with its own weights in place) and the batch's tensors to a scalar."""

Optimizer = Literal["sgd", "adam"]


@dataclass(frozen=True)
class Training:
    """A step and its flat inputs: `step(*inputs)` gives the loss and writes the new weights over the old ones.

    `roles` says what each input is: "weight", "buffer", "state" (of the optimiser) or "input".
    """

    step: Callable[..., Tensor]
    inputs: tuple[Tensor, ...]
    roles: tuple[str, ...]


class WithLoss(nn.Module):
    """A model whose call gives the loss, so that functional_call reaches both."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, *batch: Tensor) -> Tensor:
        return self.loss(self.model, batch)


def training(
    model: nn.Module, loss: Loss, batch: Sequence[Tensor], optimizer: Optimizer = "sgd", learning_rate: float = 0.01
) -> Training:
    """The training step of a model.

    Args:
        model: in training mode; its weights become inputs of the step.
        loss: gives the scalar from the model and the batch.
        batch: the batch's tensors.
        optimizer: "sgd" (no state) or "adam" (two states a weight and a count of steps).
        learning_rate: of the update.
    """
    whole = WithLoss(model, loss)
    names = [name for name, one in whole.named_parameters() if one.requires_grad]
    frozen = {name: one for name, one in whole.named_parameters() if not one.requires_grad}
    weights = [one for one in whole.parameters() if one.requires_grad]
    buffers = {name: one for name, one in whole.named_buffers()} | frozen
    state = _state(weights, optimizer)
    inputs = (*(one.detach() for one in weights), *buffers.values(), *state, *batch)
    roles = ["weight"] * len(weights) + ["buffer"] * len(buffers) + ["state"] * len(state) + ["input"] * len(batch)

    def step(*flat: Tensor) -> Tensor:
        given = list(flat)
        own, given = given[: len(names)], given[len(names) :]
        rest, given = given[: len(buffers)], given[len(buffers) :]
        moments, data = given[: len(state)], given[len(state) :]
        leaves = [one.detach().requires_grad_() for one in own]
        call = dict(zip(names, leaves, strict=True)) | dict(zip(buffers, rest, strict=True))
        value: Tensor = functional_call(whole, call, tuple(data), tie_weights=True)
        gradients = torch.autograd.grad(value, leaves, allow_unused=True)
        with torch.no_grad():
            _update(own, gradients, moments, optimizer, learning_rate)
        return value.detach()

    return Training(step, tuple(inputs), tuple(roles))


def _state(weights: Sequence[Tensor], optimizer: Optimizer) -> list[Tensor]:
    if optimizer == "sgd":
        return []
    moments = [torch.zeros_like(one) for one in weights for _ in range(2)]
    return [torch.zeros((), device=weights[0].device), *moments]


def _update(
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    state: Sequence[Tensor],
    optimizer: Optimizer,
    learning_rate: float,
) -> None:
    """Plain SGD, or Adam as torch.optim writes it for one weight after the other, its count of steps a tensor."""
    if optimizer == "adam":
        count = state[0]
        count.add_(1)
        step_size = (learning_rate / (1 - torch.pow(0.9, count))).neg()
        scale = torch.sqrt(1 - torch.pow(0.999, count)) * step_size
        small = 1e-8 / step_size
    for index, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
        if gradient is None:
            continue
        if optimizer == "sgd":
            weight.add_(gradient, alpha=-learning_rate)
            continue
        first, second = state[1 + 2 * index], state[2 + 2 * index]
        first.lerp_(gradient, 0.1)
        second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        root = (second.sqrt() / scale).add_(small)
        weight.addcdiv_(first, root)


def loss_of_outputs(model: nn.Module, batch: Sequence[Tensor]) -> Tensor:
    """The loss that a model itself gives: a scalar, a `.loss`, or else the mean of its first output."""
    made: Any = model(*batch)
    value = getattr(made, "loss", None)
    if value is None:
        value = made[0] if isinstance(made, (tuple, list)) else getattr(made, "logits", made)
    scalar: Tensor = value if value.dim() == 0 else value.float().mean()
    return scalar
