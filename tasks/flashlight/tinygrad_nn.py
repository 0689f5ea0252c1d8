"""torch.nn's names out of tinygrad's parts, so that the networks, written once, run on it as well."""

import sys
from typing import TYPE_CHECKING, Any

import tinygrad
from tinygrad import nn as parts
from tinygrad.helpers import Context
from tinygrad.nn.state import get_parameters, get_state_dict, load_state_dict

from models.tensor import zoo

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.flashlight.networks import Named

Linear, Conv2d, BatchNorm2d, LayerNorm, Embedding = (
    getattr(parts, name) for name in ("Linear", "Conv2d", "BatchNorm2d", "LayerNorm", "Embedding")
)
ONE_THREAD = {"NUM_CPU_THREADS": 1, "TRAINING": 1}


class Module:
    """Called, it goes forward."""

    def __call__(self, *inputs: Any) -> Any:
        return self.forward(*inputs)

    def forward(self, *inputs: Any) -> Any:
        """What the module computes."""
        raise NotImplementedError


class Sequential(Module):
    """One module after the other, by number, as torch names their weights."""

    def __init__(self, *modules: Any) -> None:
        for place, one in enumerate(modules):
            setattr(self, str(place), one)

    def forward(self, *inputs: Any) -> Any:
        (x,) = inputs
        for one in vars(self).values():
            x = one(x)
        return x


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, *inputs: Any) -> Any:
        return inputs[0].relu()


class Dropout(Module):
    """Turned off, as in the other libraries."""

    def forward(self, *inputs: Any) -> Any:
        return inputs[0]


class MaxPool2d(Module):
    """The largest of each window."""

    def __init__(self, kernel_size: int, stride: int) -> None:
        self.kernel_size, self.stride = (kernel_size, kernel_size), stride

    def forward(self, *inputs: Any) -> Any:
        return inputs[0].max_pool2d(self.kernel_size, self.stride)


class functional:  # noqa: N801 - torch's name
    """Functions by torch's names."""

    @staticmethod
    def relu(x: Any) -> Any:
        return x.relu()

    @staticmethod
    def gelu(x: Any) -> Any:
        return x.gelu("none")

    @staticmethod
    def scaled_dot_product_attention(query: Any, key: Any, value: Any, is_causal: bool = False) -> Any:
        return query.scaled_dot_product_attention(key, value, is_causal=is_causal)

    @staticmethod
    def cross_entropy(logits: Any, targets: Any) -> Any:
        return logits.sparse_categorical_crossentropy(targets)


def compiled(one: "Named", reference: zoo.Sample) -> "Callable[[], Any]":
    """Loss and gradients from torch's weights, as tinygrad's JIT captures them; gives the loss."""
    made = zoo.sample(one.network, sys.modules[__name__], tinygrad.Tensor, one.batch, one.width)
    known = get_state_dict(made.model)
    weights = {name: tinygrad.Tensor(x.numpy()) for name, x in reference.model.state_dict().items() if name in known}
    load_state_dict(made.model, weights, verbose=False)
    parameters = get_parameters(made.model)

    def captured() -> Any:
        loss = made.loss(made.model(made.inputs), made.targets)
        gradients = loss.gradient(*parameters)
        return tinygrad.Tensor.realize(loss, *gradients)

    step = tinygrad.TinyJit(captured)

    def run() -> Any:
        with Context(**ONE_THREAD):
            return step().item()

    run()  # it captures its second call
    run()
    return run
