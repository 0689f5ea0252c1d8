"""Kernels' time, by a profile and by a replay: what the host does in between is in neither."""

import time
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from models.framework_tax.kernels import COMPOSED, COMPUTE, profile, replay  # noqa: E402


def call_of(width: int, layers: int, spin: float = 0.0) -> Any:
    module = torch.nn.Sequential(*(torch.nn.Linear(width, width) for _ in range(layers))).eval()
    x = torch.randn(16, width)

    def call() -> Any:
        end = time.thread_time() + spin
        while time.thread_time() < end:
            pass
        with torch.inference_mode():
            return module(x)

    return call


def seconds(call: Any, calls: int = 20) -> float:
    call()
    began = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - began) / calls


def once_in(times: int, holds: Callable[[], bool]) -> bool:
    """Whether it holds in one of so many tries: company disturbs a timing, and none makes a wrong method right."""
    return any(holds() for _ in range(times))


def test_the_matrix_product_is_found_though_its_operator_has_children() -> None:
    """The sum over leaf operators would have missed it: addmm copies its bias first."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        call = call_of(768, 2)
        total = seconds(call)
        assert profile(call, 10).kernel > 0.5 * total
        assert replay(call, 3).kernel > 0.5 * total
    finally:
        torch.set_num_threads(threads)


def test_twice_as_many_products_are_twice_as_much_kernel_time() -> None:
    """A method that took kernels for the framework's, or a part of them alone, would find another ratio."""
    one, two = call_of(384, 2), call_of(384, 4)
    for method in (lambda call: profile(call, 20).kernel, lambda call: replay(call, 5).kernel):
        assert once_in(8, lambda method=method: 1.5 < method(two) / method(one) < 2.5)  # type: ignore[misc]


def test_what_the_host_does_is_in_no_kernel() -> None:
    plain, slow = call_of(64, 4), call_of(64, 4, spin=0.002)
    for method in (lambda call: profile(call, 20).kernel, lambda call: replay(call, 3).kernel):
        assert once_in(8, lambda method=method: abs(method(plain) - method(slow)) < 0.0005)  # type: ignore[misc]


def test_the_kernels_lie_between_both_ends_and_within_the_call() -> None:
    """A tenth percentile over a mean would find a tax in mere scatter."""
    found = profile(call_of(64, 4), 30)
    assert found.kernel <= found.most
    assert found.kernel < found.total
    assert found.unlisted < 0.02


def test_all_operators_are_replayed() -> None:
    """In inference mode a layer is dispatched whole: a replay of addmm alone would have run nothing."""
    assert replay(call_of(32, 5), 1).kernels == 5
    assert not COMPUTE & COMPOSED


def test_a_call_that_changes_its_operators_is_refused() -> None:
    state = {"n": 0}

    def call() -> Any:
        state["n"] += 1
        return torch.ones(2).add(1) if state["n"] % 2 else torch.ones(2)

    with pytest.raises(ValueError, match="different operators"):
        profile(call, 5)
