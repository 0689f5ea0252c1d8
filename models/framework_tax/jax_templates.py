"""The feed-forward and encoder templates in JAX, on the weights of the torch modules."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

Weights = dict[str, Any]
"""Arrays by the names of torch's state."""


def weights(path: Path) -> Weights:
    """Read weights that torch wrote as safetensors."""
    from safetensors.numpy import load_file

    return {name: jnp.asarray(one) for name, one in load_file(path).items()}


def ffn(own: Weights, x: Any) -> Any:
    """`templates` of `ffn`; x [batch, width]."""
    for name in sorted((name for name in own if name.endswith("weight")), key=lambda name: int(name.split(".")[0])):
        x = jax.nn.relu(x @ own[name].T + own[name.replace("weight", "bias")])
    return x


def encoder(own: Weights, x: Any) -> Any:
    """A stack of `EncoderLayer`; x [batch, tokens, width]."""
    for layer in range(len({name.split(".")[0] for name in own})):
        mine = {name.partition(".")[2]: one for name, one in own.items() if name.startswith(f"{layer}.")}
        x = _norm(mine, "norm", x + _attention(mine, x))
        inner = jax.nn.gelu(_linear(mine, "first", x), approximate=False)
        x = _norm(mine, "last_norm", x + _linear(mine, "second", inner))
    return x


def _linear(own: Weights, name: str, x: Any) -> Any:
    return x @ own[f"{name}.weight"].T + own[f"{name}.bias"]


def _norm(own: Weights, name: str, x: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    scale = jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return centred * scale * own[f"{name}.weight"] + own[f"{name}.bias"]


def _attention(own: Weights, x: Any) -> Any:
    batch, tokens, width = x.shape
    heads = max(1, width // 32)
    shape = (batch, tokens, heads, width // heads)
    q, k, v = (one.reshape(shape) for one in jnp.split(_linear(own, "attention.projected", x), 3, axis=2))
    mixed = jax.nn.dot_product_attention(q, k, v)
    return _linear(own, "attention.out", mixed.reshape(batch, tokens, width))


FORWARDS: dict[str, Callable[[Weights, Any], Any]] = {"ffn": ffn, "encoder": encoder}
