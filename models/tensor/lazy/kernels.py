"""Kernels of the fused primitives, and the elementary functions of all kernels, in float32; compiled by numba."""

# mypy: disable-error-code=untyped-decorator

import math
from typing import Any

import numpy as np
from numba import boolean, float32, float64, njit

f32, i32 = np.float32, np.int32


@njit(error_model="numpy", forceinline=True)
def exp32(x: Any) -> Any:
    """By a polynomial on [-ln 2 / 2, ln 2 / 2] (Cephes), which compilers vectorise; within 1e-7."""
    y = min(max(x, f32(-104.0)), f32(89.0))
    n = math.floor(y * f32(1.4426950408889634) + f32(0.5))
    r = y - n * f32(0.693359375) + n * f32(2.12194440e-4)
    p = f32(1.9875691500e-4) * r + f32(1.3981999507e-3)
    p = p * r + f32(8.3334519073e-3)
    p = p * r + f32(4.1665795894e-2)
    p = p * r + f32(1.6666665459e-1)
    p = p * r + f32(5.0000001201e-1)
    p = p * r * r + r + f32(1.0)
    power = i32(n)
    half = power >> i32(1)  # in two factors, so that neither leaves the range
    one = i32((half + i32(127)) << i32(23)).view(f32)
    other = i32((power - half + i32(127)) << i32(23)).view(f32)
    return p * one * other if x == x else x


@njit(error_model="numpy", forceinline=True)
def erf32(x: Any) -> Any:
    """Within 2e-7 (Abramowitz and Stegun 7.1.26)."""
    y = abs(x)
    t = f32(1.0) / (f32(1.0) + f32(0.3275911) * y)
    p = f32(1.061405429) * t - f32(1.453152027)
    p = (p * t + f32(1.421413741)) * t - f32(0.284496736)
    p = (p * t + f32(0.254829592)) * t
    z = f32(1.0) - p * exp32(-y * y)
    return z if x >= f32(0.0) else -z


@njit(error_model="numpy", forceinline=True)
def sigmoid32(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return f32(1.0) / (f32(1.0) + exp32(-x))


@njit(error_model="numpy", forceinline=True)
def sigmoid64(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + math.exp(-x))


@njit(error_model="numpy", forceinline=True)
def tanh32(x: Any) -> Any:
    """By exp32."""
    return f32(1.0) - f32(2.0) / (exp32(f32(2.0) * x) + f32(1.0))


FUNCTIONS = {
    "exp32": exp32,
    "exp64": math.exp,
    "erf32": erf32,
    "erf64": math.erf,
    "tanh32": tanh32,
    "tanh64": math.tanh,
    "sigmoid32": sigmoid32,
    "sigmoid64": sigmoid64,
    "log": math.log,
    "sqrt": math.sqrt,
    "sin": math.sin,
    "cos": math.cos,
    "float32": float32,
    "float64": float64,
    "boolean": boolean,
}
"""What the source of a kernel names."""


def compiled(source: str, sums: bool) -> Any:
    """A kernel of its source; sums may be taken in another order, nothing else may."""
    names: dict[str, Any] = dict(FUNCTIONS)
    exec(source, names)  # noqa: S102 - the source is ours, out of TEMPLATES and numbers
    return njit(error_model="numpy", fastmath={"contract", "reassoc"} if sums else {"contract"})(names["kernel"])


SUMS = {"error_model": "numpy", "fastmath": {"contract", "reassoc"}}


@njit(**SUMS)
def softmax(x: Any, y: Any) -> None:
    """Rows of x (n, width) into y."""
    for i in range(x.shape[0]):
        largest = x[i, 0]
        for j in range(x.shape[1]):
            largest = x[i, j] if x[i, j] > largest or x[i, j] != x[i, j] else largest
        total = f32(0.0)
        for j in range(x.shape[1]):
            e = exp32(x[i, j] - largest)
            y[i, j] = e
            total += e
        share = f32(1.0) / total
        for j in range(x.shape[1]):
            y[i, j] *= share


@njit(**SUMS)
def softmax_gradient(g: Any, y: Any, out: Any) -> None:
    """As `TensorBackend.softmax_gradient`, rows."""
    for i in range(g.shape[0]):
        along = f32(0.0)
        for j in range(g.shape[1]):
            along += g[i, j] * y[i, j]
        for j in range(g.shape[1]):
            out[i, j] = y[i, j] * (g[i, j] - along)


@njit(**SUMS)
def log_softmax(x: Any, y: Any) -> None:
    """Rows of x (n, width) into y."""
    for i in range(x.shape[0]):
        largest = x[i, 0]
        for j in range(x.shape[1]):
            largest = x[i, j] if x[i, j] > largest or x[i, j] != x[i, j] else largest
        total = f32(0.0)
        for j in range(x.shape[1]):
            total += exp32(x[i, j] - largest)
        shift = largest + f32(math.log(total))
        for j in range(x.shape[1]):
            y[i, j] = x[i, j] - shift


@njit(**SUMS)
def log_softmax_gradient(g: Any, y: Any, out: Any) -> None:
    """As `TensorBackend.log_softmax_gradient`, rows."""
    for i in range(g.shape[0]):
        total = f32(0.0)
        for j in range(g.shape[1]):
            total += g[i, j]
        for j in range(g.shape[1]):
            out[i, j] = g[i, j] - exp32(y[i, j]) * total


@njit(**SUMS)
def layer_norm(x: Any, epsilon: Any, y: Any, scale: Any) -> None:
    """As `TensorBackend.layer_norm`."""
    share = f32(1.0 / x.shape[1])
    for i in range(x.shape[0]):
        mean = f32(0.0)
        for j in range(x.shape[1]):
            mean += x[i, j]
        mean *= share
        variance = f32(0.0)
        for j in range(x.shape[1]):
            apart = x[i, j] - mean
            variance += apart * apart
        by = f32(1.0) / f32(math.sqrt(variance * share + epsilon))
        scale[i, 0] = by
        for j in range(x.shape[1]):
            y[i, j] = (x[i, j] - mean) * by


@njit(**SUMS)
def layer_norm_gradient(g: Any, y: Any, scale: Any, out: Any) -> None:
    """As `TensorBackend.layer_norm_gradient`."""
    share = f32(1.0 / g.shape[1])
    for i in range(g.shape[0]):
        mean, along = f32(0.0), f32(0.0)
        for j in range(g.shape[1]):
            mean += g[i, j]
            along += g[i, j] * y[i, j]
        mean *= share
        along *= share
        for j in range(g.shape[1]):
            out[i, j] = scale[i, 0] * (g[i, j] - mean - y[i, j] * along)


@njit(error_model="numpy", fastmath={"contract"})
def adam(x: Any, g: Any, m: Any, v: Any, rates: Any) -> None:
    """As `TensorBackend.adam_update`, in place, over flat arrays."""
    size, root, beta1, beta2, epsilon = f32(rates[0]), f32(1 / rates[1]), f32(rates[2]), f32(rates[3]), f32(rates[4])
    rest1, rest2 = f32(1 - rates[2]), f32(1 - rates[3])
    for i in range(x.size):
        first = m[i] * beta1 + g[i] * rest1
        second = v[i] * beta2 + g[i] * g[i] * rest2
        m[i], v[i] = first, second
        x[i] -= size * (first / (f32(math.sqrt(second)) * root + epsilon))
