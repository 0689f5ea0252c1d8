"""What a backend offers: the primitives on which every operation, model and optimiser rests (Flashlight, section 4).

An array is whatever the backend likes, as long as it has `shape` (a tuple) and `dtype` (numpy's). A backend defines the
abstract methods; those that are not abstract have derived defaults, which it may replace by fused ones. Operations
never write into their arguments, `adam_update` excepted. All other operations are derived from these in `elementwise`,
`reductions`, `products`, `shaping` and `nn.functional`.
"""

from abc import ABC, abstractmethod
from typing import Any

Array = Any
"""A backend's own array."""

Shape = tuple[int, ...]
Axes = tuple[int, ...]


class TensorBackend(ABC):
    """The primitives. Axes are counted from 0 and never negative.

    Binary ones broadcast as numpy does; both arguments have one type, or one is a Python number, which takes it.
    """

    # Arrays from and to the host, constants, random numbers.

    @abstractmethod
    def from_numpy(self, x: Any) -> Array:
        """This backend's array of a numpy array."""

    @abstractmethod
    def to_numpy(self, x: Array) -> Any:
        """A numpy array of an array."""

    @abstractmethod
    def full(self, shape: Shape, value: float, dtype: Any) -> Array:
        """An array of one value."""

    @abstractmethod
    def arange(self, start: float, stop: float, step: float, dtype: Any) -> Array:
        """From start in steps up to, not including, stop."""

    @abstractmethod
    def seed(self, seed: int) -> None:
        """Start random numbers anew."""

    @abstractmethod
    def random_uniform(self, shape: Shape, dtype: Any) -> Array:
        """Uniform in [0, 1)."""

    @abstractmethod
    def random_normal(self, shape: Shape, dtype: Any) -> Array:
        """Of mean 0 and variance 1."""

    @abstractmethod
    def cast(self, x: Array, dtype: Any) -> Array:
        """The same values in another type."""

    @abstractmethod
    def copy(self, x: Array) -> Array:
        """An array of its own."""

    # Shapes and places.

    @abstractmethod
    def reshape(self, x: Array, shape: Shape) -> Array:
        """The same values in C order, in another shape."""

    @abstractmethod
    def transpose(self, x: Array, axes: Axes) -> Array:
        """Axis i of the result is axis axes[i]."""

    @abstractmethod
    def broadcast_to(self, x: Array, shape: Shape) -> Array:
        """Repeated along axes of length 1."""

    @abstractmethod
    def concatenate(self, arrays: list[Array], axis: int) -> Array:
        """One after the other along an axis."""

    @abstractmethod
    def pad(self, x: Array, widths: tuple[tuple[int, int], ...], value: float) -> Array:
        """With so many values before and after along each axis."""

    @abstractmethod
    def flip(self, x: Array, axes: Axes) -> Array:
        """Backwards along axes."""

    @abstractmethod
    def slice(self, x: Array, index: tuple[Any, ...]) -> Array:
        """x[index], for slices, whole numbers, None and Ellipsis."""

    @abstractmethod
    def unslice(self, x: Array, index: tuple[Any, ...], shape: Shape) -> Array:
        """Zeros of a shape with x at an index."""

    @abstractmethod
    def take(self, x: Array, indices: Array, axis: int) -> Array:
        """Whole slices along an axis; indices of any shape take its place."""

    @abstractmethod
    def add_at(self, x: Array, indices: Array, axis: int, length: int) -> Array:
        """Zeros to which the slices of x are added where `take` would take them; the axis has a length."""

    @abstractmethod
    def take_along_axis(self, x: Array, indices: Array, axis: int) -> Array:
        """One value for each index."""

    @abstractmethod
    def add_along_axis(self, x: Array, indices: Array, axis: int, length: int) -> Array:
        """Zeros to which x is added where `take_along_axis` would take it."""

    @abstractmethod
    def nonzero(self, x: Array) -> Array:
        """Indices of values that are not 0, a row each (int64)."""

    # One argument.

    @abstractmethod
    def negative(self, x: Array) -> Array:
        """-x."""

    @abstractmethod
    def absolute(self, x: Array) -> Array:
        """|x|."""

    @abstractmethod
    def sign(self, x: Array) -> Array:
        """-1, 0 or 1."""

    @abstractmethod
    def exp(self, x: Array) -> Array:
        """e to the x."""

    @abstractmethod
    def expm1(self, x: Array) -> Array:
        """e to the x, less 1."""

    @abstractmethod
    def log(self, x: Array) -> Array:
        """Natural logarithm."""

    @abstractmethod
    def log1p(self, x: Array) -> Array:
        """Natural logarithm of 1 + x."""

    @abstractmethod
    def sqrt(self, x: Array) -> Array:
        """Square root."""

    @abstractmethod
    def sin(self, x: Array) -> Array:
        """Sine, x in radians."""

    @abstractmethod
    def cos(self, x: Array) -> Array:
        """Cosine, x in radians."""

    @abstractmethod
    def tanh(self, x: Array) -> Array:
        """Hyperbolic tangent."""

    @abstractmethod
    def sigmoid(self, x: Array) -> Array:
        """1 / (1 + exp(-x)), without overflow."""

    @abstractmethod
    def erf(self, x: Array) -> Array:
        """The error function."""

    @abstractmethod
    def floor(self, x: Array) -> Array:
        """The next whole number below."""

    @abstractmethod
    def ceil(self, x: Array) -> Array:
        """The next whole number above."""

    @abstractmethod
    def rint(self, x: Array) -> Array:
        """The nearest whole number, halves to even ones."""

    @abstractmethod
    def isnan(self, x: Array) -> Array:
        """Whether it is no number (bool)."""

    @abstractmethod
    def isinf(self, x: Array) -> Array:
        """Whether it is infinite (bool)."""

    @abstractmethod
    def logical_not(self, x: Array) -> Array:
        """Whether it is 0 (bool)."""

    # Two arguments. Either may be a Python number, which takes the other's type.

    @abstractmethod
    def add(self, x: Array, y: Array) -> Array:
        """x + y."""

    @abstractmethod
    def subtract(self, x: Array, y: Array) -> Array:
        """x - y."""

    @abstractmethod
    def multiply(self, x: Array, y: Array) -> Array:
        """x * y."""

    @abstractmethod
    def divide(self, x: Array, y: Array) -> Array:
        """x / y, of floats."""

    @abstractmethod
    def floor_divide(self, x: Array, y: Array) -> Array:
        """x // y as Python has it."""

    @abstractmethod
    def remainder(self, x: Array, y: Array) -> Array:
        """x % y with y's sign."""

    @abstractmethod
    def power(self, x: Array, y: Array) -> Array:
        """x to the y."""

    @abstractmethod
    def maximum(self, x: Array, y: Array) -> Array:
        """The larger; NaN where either is."""

    @abstractmethod
    def minimum(self, x: Array, y: Array) -> Array:
        """The smaller; NaN where either is."""

    @abstractmethod
    def equal(self, x: Array, y: Array) -> Array:
        """x == y (bool)."""

    @abstractmethod
    def not_equal(self, x: Array, y: Array) -> Array:
        """x != y (bool)."""

    @abstractmethod
    def less(self, x: Array, y: Array) -> Array:
        """x < y (bool)."""

    @abstractmethod
    def less_equal(self, x: Array, y: Array) -> Array:
        """x <= y (bool)."""

    @abstractmethod
    def greater(self, x: Array, y: Array) -> Array:
        """x > y (bool)."""

    @abstractmethod
    def greater_equal(self, x: Array, y: Array) -> Array:
        """x >= y (bool)."""

    @abstractmethod
    def logical_and(self, x: Array, y: Array) -> Array:
        """Both (bool)."""

    @abstractmethod
    def logical_or(self, x: Array, y: Array) -> Array:
        """Either (bool)."""

    @abstractmethod
    def logical_xor(self, x: Array, y: Array) -> Array:
        """Just one (bool)."""

    @abstractmethod
    def bitwise_and(self, x: Array, y: Array) -> Array:
        """Bits of both."""

    @abstractmethod
    def bitwise_or(self, x: Array, y: Array) -> Array:
        """Bits of either."""

    @abstractmethod
    def bitwise_xor(self, x: Array, y: Array) -> Array:
        """Bits of just one."""

    @abstractmethod
    def left_shift(self, x: Array, y: Array) -> Array:
        """x << y."""

    @abstractmethod
    def right_shift(self, x: Array, y: Array) -> Array:
        """x >> y."""

    # Three arguments.

    @abstractmethod
    def where(self, condition: Array, x: Array, y: Array) -> Array:
        """x where the condition holds, else y; either may be a Python number."""

    @abstractmethod
    def clip(self, x: Array, low: float, high: float) -> Array:
        """Not below low, not above high."""

    # Reductions, over axes that stay as length 1 where `keepdims` says so.

    @abstractmethod
    def sum(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        """The sum; int64 of whole numbers and bools."""

    @abstractmethod
    def prod(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        """The product; int64 of whole numbers and bools."""

    @abstractmethod
    def amax(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        """The largest; NaN where one is."""

    @abstractmethod
    def amin(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        """The smallest; NaN where one is."""

    @abstractmethod
    def any(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        """Whether one is not 0 (bool)."""

    @abstractmethod
    def all(self, x: Array, axes: Axes, keepdims: bool) -> Array:
        """Whether none is 0 (bool)."""

    @abstractmethod
    def argmax(self, x: Array, axis: int) -> Array:
        """Where the first largest is (int64)."""

    @abstractmethod
    def argmin(self, x: Array, axis: int) -> Array:
        """Where the first smallest is (int64)."""

    @abstractmethod
    def cumsum(self, x: Array, axis: int) -> Array:
        """Sums from the start up to each place."""

    @abstractmethod
    def argsort(self, x: Array, axis: int) -> Array:
        """Indices in rising order, equal ones as they stood, NaN last (int64)."""

    # Products, convolutions and pools.

    @abstractmethod
    def matmul(self, x: Array, y: Array) -> Array:
        """Matrix products, (..., n, k) @ (..., k, m); leading axes broadcast."""

    @abstractmethod
    def conv2d(self, x: Array, weight: Array, stride: Shape, padding: Shape, groups: int) -> Array:
        """Cross-correlation of (n, c, h, w) with (o, c/groups, kh, kw): (n, o, h', w')."""

    @abstractmethod
    def conv2d_input_gradient(
        self, gradient: Array, weight: Array, shape: Shape, stride: Shape, padding: Shape, groups: int
    ) -> Array:
        """What `conv2d`'s output gradient means for an input of a shape."""

    @abstractmethod
    def conv2d_weight_gradient(
        self, gradient: Array, x: Array, shape: Shape, stride: Shape, padding: Shape, groups: int
    ) -> Array:
        """What it means for a weight of a shape."""

    @abstractmethod
    def max_pool2d(self, x: Array, kernel: Shape, stride: Shape, padding: Shape) -> tuple[Array, Array]:
        """The largest of each window of (n, c, h, w), and which of the window it was (int64)."""

    @abstractmethod
    def max_pool2d_gradient(
        self, gradient: Array, chosen: Array, shape: Shape, kernel: Shape, stride: Shape, padding: Shape
    ) -> Array:
        """Gradients added up where the largest were."""

    # Fused ones, with derived defaults.

    def evaluate(self, x: Array) -> Array:
        """Compute what has been put off, where a backend puts off."""
        return x

    def softmax(self, x: Array, axis: int) -> Array:
        """exp(x) over its sum along an axis."""
        e = self.exp(self.subtract(x, self.amax(x, (axis,), True)))
        return self.divide(e, self.sum(e, (axis,), True))

    def softmax_gradient(self, gradient: Array, y: Array, axis: int) -> Array:
        """From the output y."""
        return self.multiply(y, self.subtract(gradient, self.sum(self.multiply(gradient, y), (axis,), True)))

    def log_softmax(self, x: Array, axis: int) -> Array:
        """The logarithm of `softmax`."""
        shifted = self.subtract(x, self.amax(x, (axis,), True))
        return self.subtract(shifted, self.log(self.sum(self.exp(shifted), (axis,), True)))

    def log_softmax_gradient(self, gradient: Array, y: Array, axis: int) -> Array:
        """From the output y."""
        return self.subtract(gradient, self.multiply(self.exp(y), self.sum(gradient, (axis,), True)))

    def gelu(self, x: Array) -> Array:
        """x times the normal distribution's share below x."""
        return self.multiply(x, self.add(self.multiply(self.erf(self.multiply(x, 0.5**0.5)), 0.5), 0.5))

    def gelu_gradient(self, gradient: Array, x: Array) -> Array:
        """From the input x."""
        below = self.add(self.multiply(self.erf(self.multiply(x, 0.5**0.5)), 0.5), 0.5)
        density = self.multiply(self.exp(self.multiply(self.multiply(x, x), -0.5)), 0.3989422804014327)
        return self.multiply(gradient, self.add(below, self.multiply(x, density)))

    def layer_norm(self, x: Array, epsilon: float) -> tuple[Array, Array]:
        """Rows of (n, width) less their mean, over their standard deviation; and one over that, (n, 1)."""
        share = 1 / max(1, x.shape[1])
        centred = self.subtract(x, self.multiply(self.sum(x, (1,), True), share))
        variance = self.multiply(self.sum(self.multiply(centred, centred), (1,), True), share)
        scale = self.divide(1.0, self.sqrt(self.add(variance, epsilon)))
        return self.multiply(centred, scale), scale

    def layer_norm_gradient(self, gradient: Array, y: Array, scale: Array) -> Array:
        """From both outputs."""
        share = 1 / max(1, y.shape[1])
        mean = self.multiply(self.sum(gradient, (1,), True), share)
        along = self.multiply(self.sum(self.multiply(gradient, y), (1,), True), share)
        return self.multiply(scale, self.subtract(self.subtract(gradient, mean), self.multiply(y, along)))

    def adam_update(
        self, x: Array, gradient: Array, first: Array, second: Array, rates: tuple[float, float, float, float, float]
    ) -> tuple[Array, Array, Array]:
        """A step of Adam: the new weight and moments, which may reuse the memory of the old ones.

        `rates` are the step size and root of the second moment's correction, both betas, and epsilon:
        x - size * first / (sqrt(second) / root + epsilon).
        """
        size, root, beta1, beta2, epsilon = rates
        first = self.add(self.multiply(first, beta1), self.multiply(gradient, 1 - beta1))
        second = self.add(self.multiply(second, beta2), self.multiply(self.multiply(gradient, gradient), 1 - beta2))
        below = self.add(self.multiply(self.sqrt(second), 1 / root), epsilon)
        return self.subtract(x, self.multiply(self.divide(first, below), size)), first, second


REQUIRED = tuple(name for name, found in vars(TensorBackend).items() if getattr(found, "__isabstractmethod__", False))
"""Primitives that every backend defines."""

FUSED = tuple(name for name in vars(TensorBackend) if not name.startswith("_") and name not in REQUIRED)
"""Primitives with derived defaults."""

PRIMITIVES = REQUIRED + FUSED


def missing(backend: type) -> list[str]:
    """The required primitives that a class lacks, in the order of the protocol."""
    lacks: frozenset[str] = getattr(backend, "__abstractmethods__", frozenset())
    return [name for name in REQUIRED if name in lacks or not callable(getattr(backend, name, None))]
