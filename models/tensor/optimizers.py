"""Stochastic gradient descent and Adam, by the rules and names of torch.optim."""

from collections.abc import Iterable
from math import sqrt

from models.tensor.active import active
from models.tensor.backend import Array
from models.tensor.tensor import Tensor


class Optimizer:
    """Parameters, each with what a rule keeps of it."""

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        self.parameters = list(parameters)
        self.lr = lr
        if not self.parameters or not all(p.requires_grad for p in self.parameters):
            raise ValueError("an optimizer needs parameters, and all of them with gradients")

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Change every parameter that has a gradient."""
        for place, parameter in enumerate(self.parameters):
            if parameter.node is not None and parameter.node.gradient is not None:
                parameter.data = self._changed(place, parameter.data, parameter.node.gradient)

    def _changed(self, place: int, x: Array, gradient: Array) -> Array:
        raise NotImplementedError


class SGD(Optimizer):
    """x - lr * v, v the gradients' sum of which each step forgets a share."""

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.0, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, lr)
        self.momentum, self.weight_decay = momentum, weight_decay
        self._velocity: dict[int, Array] = {}

    def _changed(self, place: int, x: Array, gradient: Array) -> Array:
        b = active.backend
        if self.weight_decay:
            gradient = b.add(gradient, b.multiply(x, self.weight_decay))
        if self.momentum:
            before = self._velocity.get(place)
            gradient = gradient if before is None else b.add(b.multiply(before, self.momentum), gradient)
            self._velocity[place] = b.evaluate(gradient)
        return b.evaluate(b.subtract(x, b.multiply(gradient, self.lr)))


class Adam(Optimizer):
    """Steps of the size of the mean gradient over its root mean square (Kingma and Ba 2015); decay is AdamW's."""

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr)
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        self._moments: dict[int, tuple[Array, Array]] = {}
        self._steps = 0

    def step(self) -> None:
        self._steps += 1
        super().step()

    def _changed(self, place: int, x: Array, gradient: Array) -> Array:
        b = active.backend
        if place not in self._moments:
            x = b.copy(x)  # the update may write into it, and others may hold the first weights
            shape = tuple(x.shape)
            self._moments[place] = b.full(shape, 0, x.dtype), b.full(shape, 0, x.dtype)
        if self.weight_decay:
            x = b.multiply(x, 1 - self.lr * self.weight_decay)
        beta1, beta2 = self.betas
        size, root = self.lr / (1 - beta1**self._steps), sqrt(1 - beta2**self._steps)
        rates = (size, root, beta1, beta2, self.eps)
        x, first, second = b.adam_update(x, gradient, *self._moments[place], rates)
        self._moments[place] = b.evaluate(first), b.evaluate(second)
        return b.evaluate(x)


def clip_gradients(parameters: Iterable[Tensor], most: float) -> float:
    """Scale all gradients so that their norm together is at most `most`; the norm before."""
    b = active.backend
    nodes = [p.node for p in parameters if p.node is not None and p.node.gradient is not None]
    squares = (b.multiply(n.gradient, n.gradient) for n in nodes)
    norm = sqrt(sum(float(b.to_numpy(b.sum(s, tuple(range(len(s.shape))), False))) for s in squares))
    if norm > most:
        for node in nodes:
            node.gradient = b.multiply(node.gradient, most / norm)
    return norm
