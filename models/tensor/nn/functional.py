"""Functions that networks call, by the names and arguments of torch.nn.functional, so that a network serves both."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models import tensor as ft
from models.tensor.active import active
from models.tensor.products import Pair, avg_pool2d, conv2d, linear, max_pool2d
from models.tensor.reductions import log_softmax, softmax
from models.tensor.tensor import Tensor

__all__ = ["avg_pool2d", "conv2d", "gelu", "linear", "log_softmax", "max_pool2d", "relu", "silu", "softmax", "tanh"]

gelu, relu, silu, tanh = ft.gelu, ft.relu, ft.silu, ft.tanh


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Each value 0 with probability p, the others divided by 1 - p."""
    if not training or not p:
        return x
    kept = ft.greater_equal(ft.rand(*x.shape, dtype=x.dtype), p)
    return x * (ft.cast(kept, x.dtype) * (1 / (1 - p)))


def layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Over the last axis, of a length that `shape` repeats."""
    if tuple(shape) != x.shape[-1:]:
        raise ValueError(f"layer_norm: shape {list(shape)} is not the last axis of {list(x.shape)}")
    return ft.layer_norm(x, weight, bias, eps)


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
) -> Tensor:
    """softmax(q k' / sqrt(d)) v over (..., tokens, d); `attn_mask` is True where attention may go."""
    scores = (query * query.shape[-1] ** -0.5) @ ft.swap(key, -2, -1)
    if is_causal:
        attn_mask = ft.shaping.triangle(query.shape[-2], key.shape[-2])
    if attn_mask is not None:
        scores = ft.where(attn_mask, scores, float("-inf"))
    return softmax(scores, -1) @ value


def mse_loss(x: Tensor, target: Tensor) -> Tensor:
    """The mean squared difference."""
    apart = x - target
    return ft.mean(apart * apart)


def l1_loss(x: Tensor, target: Tensor) -> Tensor:
    """The mean absolute difference."""
    return ft.mean(ft.absolute(x - target))


def nll_loss(log_probabilities: Tensor, target: Tensor) -> Tensor:
    """The mean of -log p of the right class: (n, classes) and (n,) whole numbers."""
    chosen = ft.take_along_axis(log_probabilities, target.reshape(-1, 1), 1)
    return -ft.mean(chosen)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """`nll_loss` of the logits' logarithm of softmax: (n, classes) and (n,) whole numbers."""
    return nll_loss(log_softmax(logits, 1), target)


def binary_cross_entropy_with_logits(logits: Tensor, target: Tensor) -> Tensor:
    """The mean of -log p of right answers, p the logits' sigmoid, without overflow."""
    return ft.mean(ft.relu(logits) - logits * target + ft.log1p(ft.exp(-ft.absolute(logits))))


def batch_norm(
    x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor, training: bool, momentum: float, eps: float
) -> Tensor:
    """Each channel of (n, c, h, w) less its mean over its standard deviation; in training `mean` and `var` follow."""
    channels = (1, x.shape[1], 1, 1)
    if training:
        here = ft.mean(x, (0, 2, 3), True)
        centred = x - here
        spread = ft.mean(centred * centred, (0, 2, 3), True)
        count = x.size // x.shape[1]
        b = active.backend
        for kept, now in ((mean, here.detach()), (var, spread.detach() * (count / max(1, count - 1)))):
            mixed = b.add(b.multiply(kept.data, 1 - momentum), b.multiply(b.reshape(now.data, kept.shape), momentum))
            kept.data = b.evaluate(mixed)
    else:
        centred, spread = x - mean.reshape(*channels), var.reshape(*channels)
    scale = weight.reshape(*channels) / ft.sqrt(spread + eps)
    return centred * scale + bias.reshape(*channels)


def ctc_loss(
    log_probs: Tensor, targets: Tensor, input_lengths: Sequence[int], target_lengths: Sequence[int], blank: int = 0
) -> Tensor:
    """-log p of each label sequence over all its alignments, over its length, averaged (Graves et al. 2006).

    Args:
        log_probs: (time, n, classes).
        targets: (n, longest) whole numbers, padded by anything.
        input_lengths: how many steps of each sequence count.
        target_lengths: how many labels of each sequence count, one or more.
        blank: the class that stands for no label.
    """
    count, longest = targets.shape
    labels = np.full((count, 2 * longest + 1), blank, np.int64)
    labels[:, 1::2] = targets.numpy()
    states = labels.shape[1]
    skips = np.zeros((count, states), bool)  # from two states before, past a blank between different labels
    skips[:, 2:] = (labels[:, 2:] != blank) & (labels[:, 2:] != labels[:, :-2])
    steps, least = log_probs.shape[0], -1e30
    at = np.broadcast_to(labels, (steps, count, states))
    emitted = ft.take_along_axis(log_probs, ft.tensor(np.ascontiguousarray(at)), 2)
    starts = ft.tensor(np.arange(states) < 2)
    paths = ft.where(starts, emitted[0], least)
    may_skip, lengths = ft.tensor(skips), np.asarray(input_lengths)
    for step in range(1, steps):
        one = ft.pad(paths, ((0, 0), (1, 0)), least)[:, :-1]
        two = ft.where(may_skip, ft.pad(paths, ((0, 0), (2, 0)), least)[:, :states], least)
        grown = ft.logsumexp(ft.stack([paths, one, two]), 0) + emitted[step]
        running = lengths > step
        paths = grown if running.all() else ft.where(ft.tensor(running[:, None]), grown, paths)
    ends = 2 * np.asarray(target_lengths)
    last = ft.take_along_axis(paths, ft.tensor(np.stack([ends, ends - 1], 1)), 1)
    weights: Any = -1.0 / (count * np.asarray(target_lengths))
    return ft.sum(ft.logsumexp(last, 1) * ft.tensor(weights.astype(log_probs.dtype)))


def adaptive_avg_pool2d(x: Tensor, size: Pair) -> Tensor:
    """The mean over each image, for size 1."""
    if size not in (1, (1, 1)):
        raise ValueError(f"adaptive_avg_pool2d: size {size}; only 1 is there")
    return ft.mean(x, (2, 3), True)
