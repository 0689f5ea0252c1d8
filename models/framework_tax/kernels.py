"""Time inside kernels, out of a profile and by running the kernels alone; the list of operators that compute.

On a CPU an operator that computes may have children: `addmm` expands its bias and holds the matrix product itself, so
that the self time of leaves alone would miss it. What counts is the self time of the operators named here.
"""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

COMPUTE = frozenset(
    f"aten::{name}"
    for names in (
        "addmm mm bmm baddbmm addmv mv dot mkldnn_linear _addmm_activation",
        "convolution mkldnn_convolution _slow_conv2d_forward thnn_conv2d slow_conv_dilated2d _conv_depthwise2d",
        "_scaled_dot_product_flash_attention_for_cpu mkldnn_rnn_layer _softmax _safe_softmax",
        "native_layer_norm native_group_norm native_batch_norm _native_batch_norm_legit_no_training",
        "_batch_norm_impl_index_no_training",
        "gelu relu relu_ clamp clamp_min clamp_max hardtanh hardtanh_ tanh sigmoid silu silu_ elu leaky_relu",
        "add add_ sub sub_ rsub mul mul_ div div_ pow exp sqrt rsqrt neg cos sin sum mean var maximum minimum",
        "max_pool2d_with_indices avg_pool2d _adaptive_avg_pool2d",
        "index_select embedding index gather cat copy_ clone fill_ where masked_fill masked_fill_ roll",
        "constant_pad_nd _weight_norm_interface",
    )
    for name in names.split()
) | {"quantized::linear_dynamic"}
"""Operators that compute or move values; all others arrange, allocate or dispatch."""


COMPOSED = frozenset(
    f"aten::{name}"
    for names in (
        "linear matmul conv1d conv2d layer_norm batch_norm group_norm softmax scaled_dot_product_attention lstm",
        "dropout max_pool2d adaptive_avg_pool2d adaptive_avg_pool1d",
    )
    for name in names.split()
)
"""Operators that hand over to those that compute. In inference mode they are dispatched whole, and replayed whole."""


@dataclass(frozen=True)
class Profiled:
    """Of one call: its seconds without the profiler, those in kernels, and the share of self time in no list.

    Of what profiling an event costs, `event_cost`, a part falls into the kernel's own time, a part around it: `kernel`
    has all of it taken off, `most` nothing, and the truth lies between.
    """

    total: float
    kernel: float
    most: float
    event_cost: float
    events: int
    unlisted: float


def profile(call: Callable[[], Any], calls: int) -> Profiled:
    """Self time of the operators that compute, from torch's profiler; medians over calls, at each position.

    Events are by the wall clock, calls by processor time.

    Args:
        calls: how many are profiled; as many are not, half of them before and half after.

    Raises:
        ValueError: calls do not dispatch the same operators.
    """
    import numpy as np
    import torch

    call()
    plain = [_once(call) for _ in range(calls - calls // 2)]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        under = [_once(call) for _ in range(calls)]
    call()
    plain += [_once(call) for _ in range(calls // 2)]
    events = sorted((e for e in seen.events() or () if "::" in e.name), key=lambda e: e.time_range.start)
    each, rest = divmod(len(events), calls)
    names = [event.name for event in events[:each]]
    if rest or not each or any(events[i].name != names[i % each] for i in range(len(events))):
        raise ValueError("calls dispatch different operators")
    own = np.array([event.self_cpu_time_total for event in events]).reshape(calls, each) * 1e-6
    own = np.median(own, axis=0)
    total = median(plain)
    cost = max(0.0, (median(under) - total) / each)
    listed = np.array([name in COMPUTE for name in names])
    kernel = np.maximum(own[listed] - cost, 0.0).sum()
    arranging = np.array([name in ARRANGING or name in COMPOSED for name in names])
    unlisted = own[~listed & ~arranging].sum() / own.sum()
    return Profiled(total, float(kernel), float(own[listed].sum()), cost, each, float(unlisted))


def _once(call: Callable[[], Any]) -> float:
    """Processor seconds of a call."""
    before = time.process_time()
    call()
    return time.process_time() - before


ARRANGING = frozenset(
    f"aten::{name}"
    for names in (
        "reshape view _reshape_alias transpose permute t expand as_strided unsqueeze squeeze slice select chunk split",
        "narrow flatten unflatten contiguous to _to_copy empty empty_like empty_strided resize_ result_type detach",
        "_unsafe_view item _local_scalar_dense zeros ones full arange unbind stack type_as lift_fresh new_empty alias",
        "new_zeros zero_ numpy_T size is_nonzero broadcast_to",
        "ones_like zeros_like pad _convolution _batch_norm_impl_index relu6",
    )
    for name in names.split()
)
"""Views and allocations, whose self time is the framework's, as that of COMPOSED is."""


@dataclass(frozen=True)
class Replayed:
    """Of one call: seconds of its kernels, run alone, and how many there are."""

    kernel: float
    kernels: int


def replay(call: Callable[[], Any], rounds: int, least: float = 0.002) -> Replayed:
    """Run every operator that computes alone, on its own arguments, less the same operator on an empty batch.

    What is taken off is what the operator costs without values: dispatch, checks, allocation. Arguments are warm, so
    that a kernel that waits for memory in the network is quicker here.

    Args:
        rounds: how often each is timed; the median counts.
        least: seconds of a round.
    """
    import torch

    seen = _captured(call)
    seconds: dict[Any, tuple[float, float | None]] = {}
    with torch.inference_mode():
        for key, (operator, arguments, options, empty) in seen.calls.items():
            full = _seconds(partial(operator, *arguments, **options), rounds, least)
            try:
                bare = _seconds(partial(operator, *empty, **options), rounds, least)
            except RuntimeError:  # some kernels take no empty batch
                bare = None
            seconds[key] = full, bare
    known = [bare for _, bare in seconds.values() if bare is not None]
    typical = median(known) if known else 0.0
    total = sum(
        seen.counts[key] * max(0.0, full - min(full, typical if bare is None else bare))
        for key, (full, bare) in seconds.items()
    )
    return Replayed(total, sum(seen.counts.values()))


class _Captured:
    def __init__(self) -> None:
        self.calls: dict[Any, tuple[Any, Any, Any, Any]] = {}
        self.counts: dict[Any, int] = {}


def _captured(call: Callable[[], Any]) -> _Captured:
    """Calls of operators that compute, those of the same operator on the same shapes being one, counted."""
    import torch
    from torch.utils import _pytree as pytree
    from torch.utils._python_dispatch import TorchDispatchMode

    found = _Captured()

    def kept(one: Any) -> Any:
        return one.detach() if isinstance(one, torch.Tensor) else one

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if function._schema.name in COMPUTE or function._schema.name in COMPOSED:
                leaves, _ = pytree.tree_flatten((args, kwargs))
                key = (function, tuple(_shape(one) for one in leaves))
                found.counts[key] = found.counts.get(key, 0) + 1
                if key not in found.calls:
                    own = pytree.tree_map(kept, args)
                    found.calls[key] = function, own, kwargs, pytree.tree_map(_emptied, own)
            return function(*args, **kwargs)

    def _emptied(one: Any) -> Any:
        parameter = isinstance(one, torch.Tensor) and one.untyped_storage()._cdata in weights
        return one if not isinstance(one, torch.Tensor) or parameter or one.dim() == 0 else one[:0]

    weights = _weights(call)
    with torch.no_grad(), Watch():  # type: ignore[no-untyped-call]
        call()
    return found


def _shape(one: Any) -> Any:
    import torch

    return (tuple(one.shape), tuple(one.stride()), one.dtype) if isinstance(one, torch.Tensor) else repr(one)


def _weights(call: Callable[[], Any]) -> set[int]:
    """Storages of the parameters and buffers of the module that the call closes over."""
    import torch

    cells = [cell.cell_contents for cell in (getattr(call, "__closure__", None) or ())]
    modules = [one for one in cells if isinstance(one, torch.nn.Module)]
    tensors: Sequence[Tensor] = [t for m in modules for t in (*m.parameters(), *m.buffers())]
    return {tensor.untyped_storage()._cdata for tensor in tensors}


def _seconds(run: Callable[[], Any], rounds: int, least: float) -> float:
    """Processor seconds of a run: the median over rounds of several."""
    run()
    before = time.perf_counter()
    run()
    times = max(1, round(least / max(time.perf_counter() - before, 1e-7)))
    found = []
    gc.disable()
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(times):
            run()
        found.append((time.process_time() - began) / times)
    gc.enable()
    return median(found)
