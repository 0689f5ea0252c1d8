"""Expressions that are not computed yet, and the source of a loop that computes one in a single pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

TEMPLATES = {
    "negative": "-{0}",
    "absolute": "abs({0})",
    "exp": "exp{bits}({0})",
    "log": "log({0})",
    "sqrt": "sqrt({0})",
    "tanh": "tanh{bits}({0})",
    "sigmoid": "sigmoid{bits}({0})",
    "erf": "erf{bits}({0})",
    "sin": "sin({0})",
    "cos": "cos({0})",
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "maximum": "({0} if {0} > {1} or {0} != {0} else {1})",
    "minimum": "({0} if {0} < {1} or {0} != {0} else {1})",
    "equal": "{0} == {1}",
    "not_equal": "{0} != {1}",
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "logical_and": "({0} != 0) & ({1} != 0)",
    "logical_or": "({0} != 0) | ({1} != 0)",
    "logical_not": "{0} == 0",
    "isnan": "{0} != {0}",
    "where": "({1} if {0} else {2})",
    "clip": "min(max({0}, {1}), {2}) if {0} == {0} else {0}",
    "cast": "{0}",
}
"""Primitives that are put off, and what they are in a kernel."""

COMPARING = frozenset(
    [
        "equal",
        "not_equal",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "logical_and",
        "logical_or",
        "logical_not",
        "isnan",
    ]
)
TYPES = {np.dtype(np.float32): "float32", np.dtype(np.float64): "float64", np.dtype(np.bool_): "boolean"}
LOOPS = 3


class Lazy:
    """An array to be: an operation on others, until it has a `value`. `weight` counts operations below it."""

    __slots__ = ("__weakref__", "dtype", "inputs", "operation", "shape", "value", "weight")

    def __init__(self, operation: str, inputs: tuple[Any, ...], shape: tuple[int, ...], dtype: Any) -> None:
        self.operation, self.inputs, self.shape, self.dtype = operation, inputs, shape, dtype
        self.value: Any = None
        self.weight: int = 1 + sum(x.weight for x in inputs if x.__class__ is Lazy and x.value is None)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Program:
    """A kernel to be: `key` says all that its source depends on; `leaves` are the arrays and numbers it is given."""

    key: tuple[Any, ...]
    leaves: tuple[Any, ...]
    lengths: tuple[int, ...]


def program(root: Lazy, reduced: int = 0) -> Program:
    """The operations below a root in order, with the arrays and numbers that they start from.

    Args:
        root: what is to be computed.
        reduced: how many of its last axes are summed over.
    """
    steps: list[tuple[Any, ...]] = []
    names: dict[int, str] = {}
    leaves: list[Any] = []
    stack: list[tuple[Any, bool]] = [(root, False)]
    while stack:
        found, ready = stack.pop()
        if id(found) in names:
            continue
        if found.__class__ is Lazy and found.value is None:
            if not ready:
                stack.append((found, True))
                stack.extend((x, False) for x in reversed(found.inputs))
                continue
            steps.append((found.operation, TYPES[found.dtype], tuple(names[id(x)] for x in found.inputs)))
            names[id(found)] = f"t{len(steps)}"
        else:
            leaves.append(found)
            names[id(found)] = f"x{len(leaves) - 1}"
    dtype = root.dtype
    given = [_given(leaf, dtype) for leaf in leaves]
    masks, lengths = _loops(root.shape, [np.shape(x) for x in given], reduced)
    if masks is None:
        given = [x if np.ndim(x) == 0 else np.broadcast_to(x, root.shape) for x in given]
        masks, lengths = _loops(root.shape, [np.shape(x) for x in given], reduced)
        assert masks is not None
    flat = tuple(x if np.ndim(x) == 0 else np.ascontiguousarray(x).reshape(-1) for x in given)
    kinds = tuple((TYPES[x.dtype], mask) for x, mask in zip(flat, masks, strict=True))
    return Program((tuple(steps), kinds, TYPES[dtype], bool(reduced)), flat, lengths)


def _given(leaf: Any, dtype: Any) -> Any:
    """A leaf as a kernel takes it: an array, or a number of numpy's."""
    found = leaf.value if leaf.__class__ is Lazy else leaf
    if isinstance(found, np.ndarray):
        return found if found.size != 1 else found.reshape(())[()]
    if isinstance(found, np.generic):
        return found
    return (dtype if dtype.kind == "f" else np.dtype(np.float64)).type(found)


def _loops(
    shape: Sequence[int], others: Sequence[Sequence[int]], reduced: int
) -> tuple[list[tuple[bool, ...]] | None, tuple[int, ...]]:
    """Which loops each operand moves with, and how long they are; None for more than three.

    Neighbouring axes along which the same operands are repeated are one loop.
    """
    ndim = len(shape)
    moves = []
    for other in others:
        wide = (1,) * (ndim - len(other)) + tuple(other)
        moves.append([n == m and n != 1 for n, m in zip(wide, shape, strict=True)])
    groups: list[tuple[tuple[bool, ...], int]] = []
    for axis, length in enumerate(shape):
        if length == 1:
            continue
        flags = (*(m[axis] for m in moves), axis >= ndim - reduced)
        if groups and groups[-1][0] == flags:
            groups[-1] = (flags, groups[-1][1] * length)
        else:
            groups.append((flags, length))
    if reduced and not any(flags[-1] for flags, _ in groups):
        groups.append(((False,) * len(others) + (True,), 1))
    if sum(flags[-1] for flags, _ in groups) > 1:
        return None, ()
    if len(groups) > LOOPS:
        return None, ()
    groups = [((False,) * (len(others) + 1), 1)] * (LOOPS - len(groups)) + groups
    masks = [tuple(flags[i] for flags, _ in groups) for i in range(len(others))]
    return masks, tuple(length for _, length in groups)


def source(key: tuple[Any, ...]) -> str:
    """The kernel of a program as Python that numba compiles."""
    steps, kinds, dtype, reduced = key
    arguments = ", ".join(["n0", "n1", "n2", "out", *(f"a{i}" for i in range(len(kinds)))])
    head, loads = [], []
    for place, (_, mask) in enumerate(kinds):
        if not any(mask):
            head.append(f"x{place} = a{place}")
        else:
            loads.append(f"x{place} = a{place}[{_index(mask)}]")
    body = [
        f"t{i + 1} = {kind}({TEMPLATES[name].format(*names, bits=kind[-2:])})"
        for i, (name, kind, names) in enumerate(steps)
    ]
    last = f"t{len(steps)}"
    lines = [f"def kernel({arguments}):", *(f"    {line}" for line in head)]
    lines += ["    for i0 in range(n0):", "        for i1 in range(n1):"]
    if not reduced:
        lines += ["            for i2 in range(n2):"]
        lines += [f"                {line}" for line in (*loads, *body, f"out[(i0 * n1 + i1) * n2 + i2] = {last}")]
        return "\n".join(lines) + "\n"
    # Sums of float32 lose digits with their length: blocks are summed in it, and blocks' sums in float64.
    lines += [
        "            total = 0.0",
        "            for start in range(0, n2, 1024):",
        f"                part = {dtype}(0)",
    ]
    lines += ["                for i2 in range(start, min(start + 1024, n2)):"]
    lines += [f"                    {line}" for line in (*loads, *body, f"part += {last}")]
    lines += ["                total += part", "            out[i0 * n1 + i1] = total"]
    return "\n".join(lines) + "\n"


def _index(mask: Sequence[bool]) -> str:
    """Where in an operand a kernel stands that moves with some of the loops."""
    index = ""
    for loop, moves in enumerate(mask):
        if moves:
            index = f"({index}) * n{loop} + i{loop}" if index else f"i{loop}"
    return index
