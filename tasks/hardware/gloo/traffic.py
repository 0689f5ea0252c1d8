"""Counting what processes send each other: every collective that PyTorch hands to its communication library."""

from collections import Counter
from typing import Any

from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.debug import CommDebugMode
from torch.utils._python_dispatch import TorchDispatchMode

KINDS = {
    "allreduce_": "all-reduce",
    "allreduce_coalesced_": "all-reduce",
    "all_reduce": "all-reduce",
    "all_reduce_": "all-reduce",
    "_allgather_base_": "all-gather",
    "all_gather_into_tensor": "all-gather",
    "_reduce_scatter_base_": "reduce-scatter",
    "reduce_scatter_tensor": "reduce-scatter",
    "send": "send",
    "recv_": "receive",
}
"""Operators of torch.ops.c10d (called by FSDP2, DDP's reducer and the pipeline) and of
torch.ops._c10d_functional (called by DTensor), by the collective that they are."""

SILENT = {"wait_tensor", "_wrap_tensor_autograd"}


class Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the collectives started under it: `seen[kind, bytes]` is how many carried that many bytes.

    Bytes are those of the whole tensor: all-reduce, its operand; all-gather, its output;
    reduce-scatter, its input; send and receive, the message.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: Counter[tuple[str, int]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(issubclass(kind, DTensor) for kind in types):
            # DTensor first turns itself into local tensors and collectives, which come by here again.
            return NotImplemented
        result = func(*args, **(kwargs or {}))
        if func.namespace in ("c10d", "_c10d_functional"):
            name = func._opname
            if name not in SILENT:
                kind = KINDS[name]
                self.seen[kind, _payload(kind, args, result)] += 1
        return result


def _payload(kind: str, args: Any, result: Any) -> int:
    """The bytes of one collective: of its first argument, except where that holds only a share."""
    whole = args[0]
    if kind == "all-gather" and isinstance(result, Tensor):
        whole = result  # the functional operator: its argument is the shard
    elif kind == "reduce-scatter" and not isinstance(result, Tensor):
        whole = args[1]  # (output, input, …)
    return sum(tensor.numel() * tensor.element_size() for tensor in ([whole] if isinstance(whole, Tensor) else whole))


def communication_counts(counted: CommDebugMode) -> dict[str, int]:
    """The collectives that PyTorch's own CommDebugMode counted, under the names used here."""
    counts: Counter[str] = Counter()
    for operator, count in counted.get_comm_counts().items():
        counts[KINDS[operator.__name__]] += count
    return dict(counts)
