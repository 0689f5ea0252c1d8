"""The front end: a tensor is a backend's array and, where gradients are wanted, the node that made it (section 4.1)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.tensor.active import active
from models.tensor.backend import Array, Shape
from models.tensor.tape import Backward, Hook, Node, backpropagate


class Tensor:
    """An array with operators; `node` is None where no gradient is wanted."""

    __slots__ = ("__weakref__", "data", "node")
    __array_priority__ = 1000  # numpy's arrays leave operators with a tensor to it
    __hash__ = object.__hash__

    def __init__(self, data: Array, node: Node | None = None) -> None:
        self.data = data
        self.node = node

    @property
    def shape(self) -> Shape:
        return tuple(self.data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        found: np.dtype[Any] = self.data.dtype
        return found

    @property
    def ndim(self) -> int:
        return len(self.data.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.data.shape))

    @property
    def requires_grad(self) -> bool:
        return self.node is not None

    @property
    def grad(self) -> "Tensor | None":
        """The gradient that walks added up; leaves alone keep theirs."""
        return None if self.node is None or self.node.gradient is None else Tensor(self.node.gradient)

    @grad.setter
    def grad(self, value: "Tensor | None") -> None:
        if self.node is None:
            raise ValueError("this tensor wants no gradient")
        self.node.gradient = None if value is None else value.data

    def numpy(self) -> Any:
        """Its values as a numpy array, which may share memory with it."""
        return active.backend.to_numpy(self.data)

    def item(self) -> Any:
        """The only value.

        Raises:
            ValueError: there is not just one.
        """
        return self.numpy().item()

    def detach(self) -> "Tensor":
        """The same array without its history."""
        return Tensor(self.data)

    def backward(self, gradient: "Tensor | None" = None, *, retain_graph: bool = False, prune: bool = False) -> int:
        """Add the gradients of all leaves below; `tape.backpropagate` says more. How many nodes were walked."""
        if self.node is None:
            raise RuntimeError("backward: no leaf of this tensor wants a gradient")
        if gradient is None and self.size != 1:
            raise RuntimeError(f"backward: the tensor has shape {self.shape}, so give the gradient of each value")
        start = active.backend.full(self.shape, 1, self.dtype) if gradient is None else gradient.data
        if tuple(start.shape) != self.shape:
            raise ValueError(f"backward: a gradient of shape {tuple(start.shape)} for a tensor of shape {self.shape}")
        return backpropagate(self.node, start, retain_graph=retain_graph, prune=prune)

    def register_hook(self, hook: Hook) -> None:
        """Call a function with the gradient's array as soon as it is whole; what it returns takes its place."""
        if self.node is None:
            raise RuntimeError("register_hook: this tensor wants no gradient")
        self.node.hooks = [*(self.node.hooks or ()), hook]

    def __repr__(self) -> str:
        wants = ", requires_grad=True" if self.requires_grad else ""
        return f"tensor({np.array2string(self.numpy(), separator=', ')}, dtype={self.dtype}{wants})"

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a tensor without axes")
        return self.shape[0]

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    # Operators.

    def __add__(self, other: Any) -> "Tensor":
        return elementwise.add(self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> "Tensor":
        return elementwise.subtract(self, other)

    def __rsub__(self, other: Any) -> "Tensor":
        return elementwise.subtract(other, self)

    def __mul__(self, other: Any) -> "Tensor":
        return elementwise.multiply(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "Tensor":
        return elementwise.divide(self, other)

    def __rtruediv__(self, other: Any) -> "Tensor":
        return elementwise.divide(other, self)

    def __floordiv__(self, other: Any) -> "Tensor":
        return elementwise.floor_divide(self, other)

    def __mod__(self, other: Any) -> "Tensor":
        return elementwise.remainder(self, other)

    def __pow__(self, other: Any) -> "Tensor":
        return elementwise.power(self, other)

    def __rpow__(self, other: Any) -> "Tensor":
        return elementwise.power(other, self)

    def __neg__(self) -> "Tensor":
        return elementwise.negative(self)

    def __matmul__(self, other: "Tensor") -> "Tensor":
        return products.matmul(self, other)

    def __eq__(self, other: object) -> "Tensor":  # type: ignore[override]
        return elementwise.equal(self, other)

    def __ne__(self, other: object) -> "Tensor":  # type: ignore[override]
        return elementwise.not_equal(self, other)

    def __lt__(self, other: Any) -> "Tensor":
        return elementwise.less(self, other)

    def __le__(self, other: Any) -> "Tensor":
        return elementwise.less_equal(self, other)

    def __gt__(self, other: Any) -> "Tensor":
        return elementwise.greater(self, other)

    def __ge__(self, other: Any) -> "Tensor":
        return elementwise.greater_equal(self, other)

    def __getitem__(self, index: Any) -> "Tensor":
        return shaping.index(self, index)

    # The methods that networks use most; all others are functions.

    def astype(self, dtype: Any) -> "Tensor":
        return elementwise.cast(self, dtype)

    def reshape(self, *shape: int) -> "Tensor":
        return shaping.reshape(self, shape)

    def flatten(self, start: int = 0) -> "Tensor":
        """All axes from `start` on as one."""
        return shaping.reshape(self, (*self.shape[:start], -1) if self.size else (*self.shape[:start], 0))

    def transpose(self, first: int, second: int) -> "Tensor":
        """Two axes exchanged."""
        return shaping.swap(self, first, second)

    def permute(self, *axes: int) -> "Tensor":
        return shaping.transpose(self, axes)

    def sum(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> "Tensor":
        return reductions.sum(self, axis, keepdims)

    def mean(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> "Tensor":
        return reductions.mean(self, axis, keepdims)


def tensor(value: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of numbers, nested lists or a numpy array; Python's floats become float32."""
    if isinstance(value, Tensor):
        raise TypeError("tensor: this is a tensor already; detach() gives one without its history")
    found = np.asarray(value)
    if dtype is None and found.dtype == np.float64 and not isinstance(value, np.ndarray | np.generic):
        dtype = np.float32
    if requires_grad and np.dtype(dtype or found.dtype).kind != "f":
        raise TypeError(f"tensor: only floats have gradients, not {np.dtype(dtype or found.dtype)}")
    return Tensor(active.backend.from_numpy(np.array(found, dtype)), Node() if requires_grad else None)


def record(data: Array, inputs: tuple[Node | None, ...], backward: Backward) -> Tensor:
    """A result that remembers how to send its gradient back, where one of its inputs wants one."""
    if active.recording:
        for one in inputs:
            if one is not None:
                return Tensor(data, Node(inputs, backward))
    return Tensor(data)


MISTAKES = (ValueError, TypeError, IndexError)
"""What backends raise for wrong shapes, types and indices."""


def explained(problem: Exception, name: str, *arguments: Any) -> Exception:
    """The same mistake, told with the primitive and the shapes and types that it was given."""
    arrays = [a for a in arguments if hasattr(a, "shape") and hasattr(a, "dtype")]
    given = ", ".join(f"{a.dtype}{list(a.shape)}" for a in arrays)
    kind = next(kind for kind in MISTAKES if isinstance(problem, kind))
    return kind(f"{name}: {problem} ({given})")


def call(name: str, *arguments: Any) -> Any:
    """A primitive's result.

    Raises:
        ValueError, TypeError, IndexError: as the backend does, told by `explained`.
    """
    try:
        return getattr(active.backend, name)(*arguments)
    except MISTAKES as problem:
        raise explained(problem, name, *arguments) from problem


EVERY = tuple(tuple(range(ndim)) for ndim in range(9))
"""All axes of tensors that have few."""


def axes_of(axis: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Axes counted from 0, in order; all of them for None.

    Raises:
        IndexError: there is no such axis.
        ValueError: one is named twice.
    """
    if axis is None:
        return EVERY[ndim] if ndim < len(EVERY) else tuple(range(ndim))
    asked = (axis,) if isinstance(axis, int) else tuple(axis)
    for one in asked:
        if not -ndim <= one < ndim:
            raise IndexError(f"axis {one} of a tensor of {ndim} axes")
    found = tuple(sorted(one % ndim for one in asked))
    if len(set(found)) < len(found):
        raise ValueError(f"an axis twice in {asked}")
    return found


# They need the class above, and its operators need them.
from models.tensor import elementwise, products, reductions, shaping  # noqa: E402
