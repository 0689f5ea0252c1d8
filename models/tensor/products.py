"""Matrix products, convolutions, pools and normalisation, with their gradients."""

from functools import partial

from models.tensor import elementwise, shaping
from models.tensor.active import active
from models.tensor.backend import Array
from models.tensor.tape import Node
from models.tensor.tensor import Tensor, call, record

Pair = int | tuple[int, int]


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Matrix products over the last two axes; a vector stands for a row on the left, a column on the right."""
    x, y, m, n = elementwise.operands(a, b)
    rows, columns = len(x.shape), len(y.shape)
    if rows < 2 or columns < 2:
        return _with_vectors(a, b)
    if rows > 2 and columns == 2 and a.size:  # one tall product is faster than many
        tall = shaping.reshape(a, (a.size // a.shape[-1], a.shape[-1]))
        return shaping.reshape(matmul(tall, b), (*a.shape[:-1], b.shape[-1]))
    z = call("matmul", x, y)
    if (m is None and n is None) or not active.recording:
        return Tensor(z)
    return Tensor(z, Node((m, n), partial(_matmul_back, m is not None, n is not None, x, y)))


def _matmul_back(first: bool, second: bool, x: Array, y: Array, g: Array) -> tuple[Array, Array]:
    times = active.backend.matmul
    of_x = elementwise.unbroadcast(times(g, _turned(y)), x.shape) if first else None
    return of_x, elementwise.unbroadcast(times(_turned(x), g), y.shape) if second else None


def _with_vectors(a: Tensor, b: Tensor) -> Tensor:
    """A product of which one side is a vector: it is made a matrix, and its axis taken away again."""
    if not a.ndim or not b.ndim:
        raise ValueError(f"matmul: shapes {list(a.shape)} and {list(b.shape)}: a number is no matrix")
    if a.ndim == 1:
        product = matmul(shaping.reshape(a, (1, a.size)), b)
        return shaping.reshape(product, (*product.shape[:-2], *product.shape[-1:]) if b.ndim > 1 else ())
    return shaping.reshape(matmul(a, shaping.reshape(b, (b.size, 1))), a.shape[:-1])


def _turned(x: Array) -> Array:
    """The last two axes exchanged."""
    last = len(x.shape) - 1
    if last == 1:
        return active.backend.transpose(x, (1, 0))
    return active.backend.transpose(x, (*range(last - 1), last, last - 1))


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., inputs) times the transpose of weight (outputs, inputs), with bias (outputs,)."""
    if x.ndim < 2 or weight.ndim != 2 or x.shape[-1] != weight.shape[1] or x.dtype != weight.dtype:
        product = matmul(x, shaping.transpose(weight, (1, 0)))
        return product if bias is None else elementwise.add(product, bias)
    rows = x if x.ndim == 2 else shaping.reshape(x, (x.size // weight.shape[1] if x.size else 0, weight.shape[1]))
    inputs, w = rows.data, weight.data
    y = call("matmul", inputs, _turned(w))
    if bias is not None:
        y = call("add", y, bias.data)
    m, n, o = rows.node, weight.node, None if bias is None else bias.node

    def backward(g: Array) -> tuple[Array, Array, Array]:
        b = active.backend
        of_x, of_weight = m and b.matmul(g, w), n and b.matmul(_turned(g), inputs)
        return of_x, of_weight, o and b.sum(g, (0,), False)

    product = record(y, (m, n, o), backward)
    return product if x.ndim == 2 else shaping.reshape(product, (*x.shape[:-1], weight.shape[0]))


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Pair = 1, padding: Pair = 0, groups: int = 1
) -> Tensor:
    """Cross-correlation of (n, c, h, w) with (o, c/groups, kh, kw), bias (o,).

    Raises:
        ValueError: channels, groups or window do not fit; the sentence has the shapes.
    """
    if x.ndim != 4 or weight.ndim != 4 or x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        raise ValueError(f"conv2d: shapes {list(x.shape)} and {list(weight.shape)} in {groups} groups do not fit")
    how = (_pair(stride), _pair(padding), groups)
    images, filters = x.data, weight.data
    m, n = x.node, weight.node

    def backward(g: Array) -> tuple[Array, Array]:
        b = active.backend
        of_x = m and b.conv2d_input_gradient(g, filters, images.shape, *how)
        return of_x, n and b.conv2d_weight_gradient(g, images, filters.shape, *how)

    y = record(call("conv2d", images, filters, *how), (m, n), backward)
    return y if bias is None else elementwise.add(y, shaping.reshape(bias, (1, bias.size, 1, 1)))


def max_pool2d(x: Tensor, kernel: Pair, stride: Pair | None = None, padding: Pair = 0) -> Tensor:
    """The largest of each window of (n, c, h, w); of equal ones the first has the gradient."""
    how = (_pair(kernel), _pair(kernel if stride is None else stride), _pair(padding))
    shape = x.data.shape
    y, chosen = call("max_pool2d", x.data, *how)
    return record(y, (x.node,), lambda g: (active.backend.max_pool2d_gradient(g, chosen, shape, *how),))


def avg_pool2d(x: Tensor, kernel: Pair, stride: Pair | None = None, padding: Pair = 0) -> Tensor:
    """The mean of each window of (n, c, h, w), zeros of the padding among them: a convolution with equal weights."""
    high, wide = _pair(kernel)
    n, c, *size = x.shape
    weight = Tensor(active.backend.full((1, 1, high, wide), 1 / (high * wide), x.dtype))
    y = conv2d(shaping.reshape(x, (n * c, 1, *size)), weight, None, kernel if stride is None else stride, padding)
    return shaping.reshape(y, (n, c, *y.shape[2:]))


def layer_norm(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, epsilon: float = 1e-5) -> Tensor:
    """The last axis less its mean over its standard deviation, times weight, plus bias (Ba et al. 2016)."""
    shape = x.data.shape
    width = shape[-1]
    rows = (x.size // width if width else 0, width)
    y, scale = call("layer_norm", call("reshape", x.data, rows), epsilon)

    def backward(g: Array) -> tuple[Array]:
        b = active.backend
        return (b.reshape(b.layer_norm_gradient(b.reshape(g, rows), y, scale), shape),)

    normal = record(active.backend.reshape(y, shape), (x.node,), backward)
    scaled = normal if weight is None else elementwise.multiply(normal, weight)
    return scaled if bias is None else elementwise.add(scaled, bias)
