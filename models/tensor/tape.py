"""Gradients: nodes that know their inputs, walked backwards in the order in which they were made (section 4.3).

An operation makes its node after those of its inputs, so that the numbers of nodes are an order, and no search for one
is needed. The walk is a loop, so that a graph may be as deep as memory allows.
"""

import gc
from collections.abc import Callable, Sequence
from itertools import count
from operator import attrgetter

from models.tensor.active import active
from models.tensor.backend import Array

Backward = Callable[[Array], Sequence[Array | None]]
"""From the gradient of an output to those of the inputs, in their order."""

Hook = Callable[[Array], Array | None]
"""Called with a gradient once it is whole; what it returns takes its place."""

_number = count().__next__


class Node:
    """One operation, or a leaf (no `inputs`), whose `gradient` adds up over walks until it is cleared."""

    __slots__ = ("backward", "gradient", "hooks", "inputs", "order")

    def __init__(self, inputs: tuple["Node | None", ...] = (), backward: Backward | None = None) -> None:
        self.inputs = inputs
        self.backward = backward
        self.gradient: Array | None = None
        self.hooks: list[Hook] | None = None
        self.order = _number()


def backpropagate(root: Node, gradient: Array, *, retain_graph: bool = False, prune: bool = False) -> int:
    """Add the gradients of all leaves below a node; how many nodes were walked.

    Args:
        root: the node of the result.
        gradient: of the result.
        retain_graph: keep what the operations saved, so that the graph can be walked again.
        prune: do not go below nodes whose gradient is 0 throughout, as those of hypotheses that a beam dropped. The
            gradients are the same, save where a derivative is infinite or NaN.

    Raises:
        RuntimeError: the graph was walked before, without `retain_graph`.
    """
    collecting = gc.isenabled()
    gc.disable()  # its passes over millions of young nodes find nothing
    try:
        return _walk(root, gradient, retain_graph, prune)
    finally:
        if collecting:
            gc.enable()


def _walk(root: Node, gradient: Array, retain_graph: bool, prune: bool) -> int:
    nodes, due = _below(root)
    add = active.backend.add
    root.gradient = gradient if root.gradient is None else add(root.gradient, gradient)
    walked = 0
    for node in nodes:
        found = node.gradient
        if found is not None and node.inputs:
            node.gradient = None
            if node.hooks:
                found = _hooked(node, found)
            backward = node.backward
            if not retain_graph:
                node.backward = None
            if not (prune and _is_zero(found)):
                walked += 1
                if backward is None:
                    raise RuntimeError("this graph was walked before: pass retain_graph=True to the first backward")
                for one, change in zip(node.inputs, backward(found), strict=True):
                    if one is not None and change is not None:
                        one.gradient = change if one.gradient is None else add(one.gradient, change)
        if due:
            for leaf in due.get(node, ()):
                if leaf.gradient is not None:
                    leaf.gradient = _hooked(leaf, leaf.gradient)
    return walked


def _below(root: Node) -> tuple[list[Node], dict[Node, list[Node]]]:
    """The nodes that a walk visits, latest first; and after which of them leaves with hooks are whole."""
    seen = {root}
    stack, nodes = [root], []
    last: dict[Node, Node] = {}
    while stack:
        node = stack.pop()
        nodes.append(node)
        for one in node.inputs:
            if one is None:
                continue
            if one not in seen:
                seen.add(one)
                if one.inputs:
                    stack.append(one)
            if one.hooks and not one.inputs and (one not in last or node.order < last[one].order):
                last[one] = node
    nodes.sort(key=attrgetter("order"), reverse=True)
    if root.hooks and not root.inputs:
        last[root] = root
    due: dict[Node, list[Node]] = {}
    for leaf, node in last.items():
        due.setdefault(node, []).append(leaf)
    return nodes, due


def _hooked(node: Node, gradient: Array) -> Array:
    for hook in node.hooks or ():
        changed = hook(gradient)
        gradient = gradient if changed is None else changed
    return gradient


def _is_zero(gradient: Array) -> bool:
    found = active.backend.to_numpy(gradient)
    return not (found.item() if found.size == 1 else found.any())
