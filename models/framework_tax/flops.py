"""Floating-point operations of a forward pass: torch's counter, with what it counts as nothing on a CPU added by hand.

A multiply-add counts as two, as everywhere in Tenfold. torch's counter has no formula for the CPU's own attention,
the recurrent kernel of oneDNN or dynamically quantised products, and counts 0 for them.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


def attention(query: Sequence[int], key: Sequence[int], value: Sequence[int]) -> int:
    """Scores and their product with the values; shapes [batch, heads, tokens, width of a head]."""
    batch, heads, asked, width = query
    return 2 * batch * heads * asked * key[2] * (width + value[3])


def recurrent(batch: int, tokens: int, inputs: int, hidden: int, gates: int = 4) -> int:
    """One layer of an LSTM (four gates) in one direction: both products at every token."""
    return 2 * batch * tokens * gates * hidden * (inputs + hidden)


def linear(rows: int, inputs: int, outputs: int) -> int:
    """A product of `rows` rows with a matrix."""
    return 2 * rows * inputs * outputs


def count(module: "nn.Module", inputs: "Sequence[Tensor]") -> int:
    """Floating-point operations of `module(*inputs)`, int8 products among them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False, custom_mapping=_missing())
    with torch.no_grad(), counter, _Quantised() as quantised:
        quantised.watch(module)
        module(*inputs)
    return int(counter.get_total_flops()) + quantised.total


def _missing() -> "dict[Any, Callable[..., int]]":
    """Formulas for operators that torch's counter does not know; they are given shapes, and `out_shape`."""
    import torch

    def flash(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return attention(query, key, value)

    def onednn(x: Any, first: Any, second: Any, *_: Any, **__: Any) -> int:
        # The input is [tokens, batch, width] whatever the module's layout; weights are [gates x hidden, width].
        tokens, batch, width = x
        return linear(tokens * batch, width, first[0]) + linear(tokens * batch, second[1], second[0])

    return {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: flash,
        torch.ops.aten.mkldnn_rnn_layer: onednn,
    }


class _Quantised:
    """Counts the products of dynamically quantised layers, which no dispatch mode sees as matrix products."""

    def __init__(self) -> None:
        self.total = 0
        self._hooks: list[Any] = []

    def watch(self, module: "nn.Module") -> None:
        for one in module.modules():
            if type(one).__module__.startswith("torch.ao.nn.quantized.dynamic") and hasattr(one, "in_features"):
                self._hooks.append(one.register_forward_hook(self._seen))

    def _seen(self, module: Any, inputs: Any, output: Any) -> None:
        self.total += linear(inputs[0].numel() // module.in_features, module.in_features, module.out_features)

    def __enter__(self) -> "_Quantised":
        return self

    def __exit__(self, *problem: object) -> None:
        for hook in self._hooks:
            hook.remove()
