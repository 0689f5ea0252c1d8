"""The way back: graphs of any depth, hooks at the right moment, memory that is let go, pruning that changes nothing."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch

from models import tensor as ft
from models.tensor.tensor import Tensor


def leaf(*values: float) -> Tensor:
    return ft.tensor(list(values), requires_grad=True)


def test_hundreds_of_thousands_of_nodes_need_no_recursion() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(300_000):
        y = y + x
    assert y.backward() == 300_000
    assert x.grad is not None
    assert x.grad.item() == 300_001
    del y
    gc.collect()


def test_a_node_that_many_use_is_walked_once_and_after_them() -> None:
    """Twenty diamonds on end have a million paths."""
    x = leaf(2.0)
    y = x
    for _ in range(20):
        y = y + y
    assert y.backward() == 20
    assert x.grad is not None
    assert x.grad.item() == 2**20


def test_gradients_add_up_over_walks_and_a_graph_is_walked_once_unless_kept() -> None:
    x = leaf(3.0)
    y = x * x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad is not None
    assert x.grad.item() == 2 * 27
    with pytest.raises(RuntimeError, match="walked before: pass retain_graph=True"):
        y.backward()


def test_what_operations_saved_is_let_go_as_the_walk_goes_on() -> None:
    class Watched(np.ndarray[Any, Any]):
        pass

    x = leaf(1.0, 2.0)
    saved = np.ones(2, np.float32).view(Watched)
    kept = weakref.ref(saved)
    y = ft.sum(x * Tensor(saved))
    del saved
    assert kept() is not None
    y.backward()
    assert kept() is None, "without retain_graph nothing holds it"


def test_a_graph_that_is_dropped_leaves_nothing_behind() -> None:
    """A tape that all operations append to would hold it for ever."""
    x = leaf(1.0)
    y = x * 2.0
    node = y.node
    for _ in range(10):
        y = y * 2.0
    before = weakref.ref(y)
    del y
    assert before() is None
    assert node is not None
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one).__name__ == "Node" and node in one.inputs]


def test_hooks_see_whole_gradients_and_a_leafs_as_soon_as_it_is_whole() -> None:
    first, last = leaf(1.0), leaf(1.0)
    order: list[str] = []
    middle = last * 2.0
    middle.register_hook(lambda g: order.append(f"middle {g[0]:g}"))
    last.register_hook(lambda g: order.append(f"last {g[0]:g}"))
    first.register_hook(lambda g: order.append(f"first {g[0]:g}"))
    y = middle * first + middle
    z = y * 5.0
    z.backward()
    assert order == ["first 10", "middle 10", "last 20"], "first is whole before middle is walked"
    changed = leaf(1.0)
    changed.register_hook(lambda g: g * 3)
    (changed * 2.0).backward()
    assert changed.grad is not None
    assert changed.grad.item() == 6


def test_nothing_is_recorded_where_nothing_is_wanted() -> None:
    with ft.no_gradients():
        assert not (leaf(1.0) * 2.0).requires_grad
    assert not (ft.ones(2) * 2.0).requires_grad
    assert (leaf(1.0).detach() * 2.0).node is None


def beam(library: Any, scores: Any, width: int) -> Any:
    """The best sum along a path of a lattice: at each step every hypothesis grows, and the best of each state stays."""
    kept = [scores[0][i] for i in range(width)]
    for step in range(1, len(scores)):
        grown = []
        for state in range(width):
            best = kept[0]
            for other in kept[1:]:
                best = library.maximum(best, other * 0.9)
            grown.append(best + scores[step][state])
        kept = grown
    final = kept[0]
    for other in kept[1:]:
        final = library.maximum(final, other)
    return final


def test_pruning_walks_fewer_nodes_to_the_same_gradients_which_are_torchs() -> None:
    """Of a beam's hypotheses nearly all have a gradient of 0, and all below them."""
    draw = np.random.default_rng(0).standard_normal((40, 5))
    results = []
    for prune in (False, True):
        scores = [[ft.tensor(np.array(v), requires_grad=True) for v in row] for row in draw]
        walked = beam(ft, scores, 5).backward(prune=prune)
        got = [[0.0 if s.grad is None else s.grad.item() for s in row] for row in scores]
        results.append((walked, got))
    theirs = [[torch.tensor(v, requires_grad=True) for v in row] for row in draw]
    beam(torch, theirs, 5).backward()
    wanted = [[0.0 if s.grad is None else s.grad.item() for s in row] for row in theirs]
    assert results[0][1] == results[1][1]
    np.testing.assert_allclose(results[0][1], wanted)
    assert results[1][0] < results[0][0] / 2
