"""What PyTorch gives for a case of the conformance suite."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from models.tensor.conformance import REDUCED, Case, Outcome, weights

SAME = (
    "negative sign exp expm1 log log1p sqrt sin cos tanh sigmoid erf floor ceil relu isnan isinf logical_not add "
    "subtract multiply divide maximum minimum floor_divide remainder less less_equal greater greater_equal logical_and "
    "logical_or logical_xor bitwise_and bitwise_or bitwise_xor matmul where roll tril triu cumsum logsumexp softmax "
    "log_softmax stack"
)
"""Operations that torch has by the same name."""


def _dims(name: str) -> Callable[..., Any]:
    def reduce(x: torch.Tensor, axis: Any = None, keepdims: bool = False) -> Any:
        axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
        if name == "norm":
            return torch.linalg.vector_norm(x, dim=axes, keepdim=keepdims)
        if name in ("prod", "any", "all"):
            for one in sorted((a % x.ndim for a in axes), reverse=True):
                x = getattr(torch, name)(x, dim=one, keepdim=keepdims)
            return x
        if name == "count_nonzero":
            return (x != 0).sum(dim=axes, keepdim=keepdims)
        return getattr(torch, name)(x, dim=axes, keepdim=keepdims)

    return reduce


def _take(x: torch.Tensor, indices: torch.Tensor, axis: int) -> Any:
    flat = torch.index_select(x, axis, indices.reshape(-1))
    return flat.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def _index(x: torch.Tensor, at: Any) -> Any:
    if isinstance(at, slice) and at.step == -1:
        return torch.flip(x, (0,))
    return x[at]


def _pool(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda x, kernel, stride, padding: function(x, kernel, stride, padding)


def _sorted(x: torch.Tensor, axis: int = -1, descending: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.sort(x, dim=axis, descending=descending, stable=True)


def _median(x: torch.Tensor, axis: int) -> Any:
    return torch.median(x, dim=axis).values


OTHERS: dict[str, Callable[..., Any]] = {
    "absolute": torch.abs,
    "rint": torch.round,
    "gelu": F.gelu,
    "silu": F.silu,
    "power": torch.pow,
    "equal": torch.eq,
    "not_equal": torch.ne,
    "left_shift": torch.bitwise_left_shift,
    "right_shift": torch.bitwise_right_shift,
    **{name: _dims(name) for name in REDUCED.split()},
    "argmax": lambda x, axis: torch.argmax(x, dim=axis),
    "argmin": lambda x, axis: torch.argmin(x, dim=axis),
    "sort": _sorted,
    "argsort": lambda x, axis: _sorted(x, axis)[1],
    "topk": lambda x, k, axis: torch.topk(x, k, dim=axis),
    "median": _median,
    "clip": lambda x, low, high: torch.clamp(x, low, high),
    "reshape": lambda x, shape: x.reshape(shape),
    "transpose": lambda x, axes: x.permute(axes),
    "swap": lambda x, first, second: x.transpose(first, second),
    "broadcast_to": lambda x, shape: x.expand(shape),
    "pad": lambda x, widths, value: F.pad(x, [n for pair in reversed(widths) for n in pair], value=value),
    "flip": lambda x, axis: torch.flip(x, (axis,) if isinstance(axis, int) else axis),
    "tile": lambda x, times: torch.tile(x, times),
    "index": _index,
    "take": _take,
    "take_along_axis": lambda x, indices, axis: torch.gather(x, axis, indices),
    "nonzero": torch.nonzero,
    "concatenate": lambda *x, axis: torch.cat(x, axis),
    "one_hot": lambda x, classes: F.one_hot(x, classes).float(),
    "linear": F.linear,
    "conv2d": F.conv2d,
    "max_pool2d": _pool(F.max_pool2d),
    "avg_pool2d": _pool(F.avg_pool2d),
    "layer_norm": lambda x, *affine: F.layer_norm(x, x.shape[-1:], *affine),
}

OPTIONS = {"roll": {"shift": "shifts", "axis": "dims"}, "stack": {"axis": "dim"}}


def outcome(case: Case) -> Outcome:
    """Results and gradients of the same case in torch."""
    inputs = [torch.tensor(np.array(x)) for x in case.arrays]
    for one in inputs:
        one.requires_grad_(case.differentiable and one.dtype.is_floating_point)
    named = OPTIONS.get(case.operation, {"axis": "dim"} if case.operation in SAME.split() else {})
    options = {named.get(key, key): value for key, value in case.options.items()}
    function = OTHERS.get(case.operation) or getattr(torch, case.operation)
    found = function(inputs, **options) if case.operation == "stack" else function(*inputs, **options)
    results = tuple(found) if isinstance(found, tuple) else (found,)
    arrays = tuple(one.detach().numpy() for one in results)
    if not results[0].requires_grad:
        return Outcome(arrays)
    results[0].backward(torch.tensor(weights(arrays[0])))
    return Outcome(arrays, tuple(one.grad.numpy() for one in inputs if one.grad is not None))
