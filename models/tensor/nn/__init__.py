"""What networks are made of, by the names and arguments of torch.nn: one network's code serves both libraries."""

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import Any

from models import tensor as ft
from models.tensor.nn import functional
from models.tensor.products import Pair
from models.tensor.tape import Node
from models.tensor.tensor import Tensor

__all__ = [
    "GELU",
    "BatchNorm2d",
    "Conv2d",
    "Dropout",
    "Embedding",
    "LayerNorm",
    "Linear",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "Parameter",
    "RMSNorm",
    "ReLU",
    "Sequential",
    "functional",
]


def Parameter(data: Tensor) -> Tensor:  # noqa: N802 - torch's name
    """A leaf that wants its gradient."""
    return Tensor(data.data, Node())


class Module:
    """Parameters are its tensors that want gradients, buffers those that do not; parts are its modules."""

    training = True

    def __call__(self, *inputs: Any) -> Any:
        return self.forward(*inputs)

    def forward(self, *inputs: Any) -> Any:
        """What the module computes."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def parts(self) -> Iterator[tuple[str, "Module"]]:
        """Modules directly below, by name."""
        return ((name, one) for name, one in vars(self).items() if isinstance(one, Module))

    def named_tensors(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Parameters and buffers with those of all parts, as torch names them in a state dict."""
        for name, one in vars(self).items():
            if isinstance(one, Tensor):
                yield prefix + name, one
        for name, part in self.parts():
            yield from part.named_tensors(f"{prefix}{name}.")

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """The tensors that are trained."""
        return ((name, one) for name, one in self.named_tensors() if one.requires_grad)

    def parameters(self) -> list[Tensor]:
        """The tensors that are trained, each once."""
        return list({id(one): one for _, one in self.named_parameters()}.values())

    def train(self, mode: bool = True) -> "Module":
        """Whether dropout drops and means are of the batch, here and in all parts."""
        self.training = mode
        for _, part in self.parts():
            part.train(mode)
        return self

    def eval(self) -> "Module":
        """As in use, not in training."""
        return self.train(False)

    def register_buffer(self, name: str, value: Tensor) -> None:
        """A tensor that is saved and not trained."""
        setattr(self, name, value)


class ModuleList(Module):
    """Modules by number."""

    def __init__(self, modules: Sequence[Module] = ()) -> None:
        for place, one in enumerate(modules):
            setattr(self, str(place), one)

    def __iter__(self) -> Iterator[Module]:
        return (one for _, one in self.parts())

    def __len__(self) -> int:
        return len(list(self.parts()))


class Sequential(ModuleList):
    """One module after the other."""

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def forward(self, x: Tensor) -> Tensor:
        for one in self:
            x = one(x)
        return x


def _uniform(bound: float, *shape: int) -> Tensor:
    return Parameter((ft.rand(*shape) * 2 - 1) * bound)


class Linear(Module):
    """(..., inputs) to (..., outputs); weights uniform within 1 / sqrt(inputs)."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        self.weight = _uniform(1 / sqrt(inputs), outputs, inputs)
        self.bias = _uniform(1 / sqrt(inputs), outputs) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)


class Conv2d(Module):
    """(n, inputs, h, w) to (n, outputs, h', w')."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        high, wide = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        bound = 1 / sqrt(inputs // groups * high * wide)
        self.weight = _uniform(bound, outputs, inputs // groups, high, wide)
        self.bias = _uniform(bound, outputs) if bias else None
        self.how = (stride, padding, groups)

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight, self.bias, *self.how)


class Embedding(Module):
    """Whole numbers below `count` to rows of `width` values."""

    def __init__(self, count: int, width: int) -> None:
        self.weight = Parameter(ft.randn(count, width))

    def forward(self, indices: Tensor) -> Tensor:
        return ft.take(self.weight, indices, 0)


class LayerNorm(Module):
    """The last axis less its mean over its standard deviation, scaled and shifted."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        self.weight, self.bias = Parameter(ft.ones(width)), Parameter(ft.zeros(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return ft.layer_norm(x, self.weight, self.bias, self.eps)


class RMSNorm(Module):
    """The last axis over its root mean square, scaled (Zhang and Sennrich 2019)."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        self.weight = Parameter(ft.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return x / ft.sqrt(ft.mean(x * x, -1, True) + self.eps) * self.weight


class BatchNorm2d(Module):
    """Channels less their mean over their standard deviation: the batch's in training, the running ones in use."""

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.weight, self.bias = Parameter(ft.ones(channels)), Parameter(ft.zeros(channels))
        self.running_mean, self.running_var = ft.zeros(channels), ft.ones(channels)
        self.eps, self.momentum = eps, momentum

    def forward(self, x: Tensor) -> Tensor:
        kept = (self.running_mean, self.running_var, self.weight, self.bias)
        return functional.batch_norm(x, *kept, self.training, self.momentum, self.eps)


class Dropout(Module):
    """In training each value is 0 with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.p, self.training)


class MaxPool2d(Module):
    """The largest of each window."""

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        self.how = (kernel_size, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(x, *self.how)


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        return ft.relu(x)


class GELU(Module):
    """x times the normal distribution's share below it."""

    def forward(self, x: Tensor) -> Tensor:
        return ft.gelu(x)
