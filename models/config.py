"""The sizes of the architectures and the settings of the methods, importable without torch.

Every setting in Tenfold is a frozen, strictly validated dataclass made with `config`: a wrong name,
a wrong type, a negative size or a NaN fails when the paper is compiled, long before any work.
"""

from dataclasses import field as field
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

T = TypeVar("T")

Count = Annotated[int, Field(gt=0)]
"""A number of things: at least one."""

Index = Annotated[int, Field(ge=0)]
"""A seed or a position: zero or more."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A finite number above zero, such as a learning rate."""

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A finite number that may be zero, such as a weight decay."""

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""A share between zero and one."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
def config(cls: type[T]) -> type[T]:
    """Turn a class into a frozen, keyword-only dataclass whose values are checked on construction."""
    settings = ConfigDict(extra="forbid", strict=True)
    made: Any = dataclass(cls, frozen=True, kw_only=True, config=settings)
    return made  # type: ignore[no-any-return]


@config
class Transformer:
    """A Llama-style decoder: RMSNorm, rotary positions, SwiGLU (Touvron et al. 2023, section 2).

    `feed_forward` is the hidden width of SwiGLU; `vocabulary` counts tokens; `context` is the
    longest sequence, in tokens.
    """

    vocabulary: Count
    width: Count
    layers: Count
    heads: Count
    feed_forward: Count
    context: Count
    tied_embeddings: bool = True

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} must be a multiple of twice the {self.heads} heads")


@config
class Mixture:
    """Experts in place of every feed-forward block, `top_k` of them for each token (BTX, section 3.2)."""

    experts: Count
    top_k: Count = 2

    def __post_init__(self) -> None:
        if self.top_k > self.experts:
            raise ValueError(f"top_k is {self.top_k}, but there are only {self.experts} experts")


@config
class Optimisation:
    """AdamW with linear warm-up, a cosine down to a share of the peak, and clipped gradients.

    `batch` counts sequences a step, `steps` and `warmup` optimiser steps; weight decay applies to
    matrices only. The defaults are the paper's where scale does not matter (BTX, section 4.1).
    """

    steps: Count
    batch: Count
    learning_rate: Positive
    warmup: Index = 100
    floor: Fraction = 0.1
    weight_decay: NotNegative = 0.1
    clip: Positive = 1.0
