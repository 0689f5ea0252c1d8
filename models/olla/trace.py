"""Trace a whole training step (forward, backward, optimiser) and resolve its views and in-place operators.

The step is traced on fake tensors, so no memory is needed whatever the batch. A tensor belongs to the storage that it
lies on: two values with the same storage are views of each other, whatever operator made them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from models.olla.graph import Graph, Operator, Storage, connect

Step = Callable[..., Any]

UNMARKED_WRITES = {
    "aten.native_batch_norm.default": (3, 4),
    "aten.cudnn_batch_norm.default": (3, 4),
    "aten.miopen_batch_norm.default": (3, 4),
}
"""Arguments that are overwritten (the running statistics) though the operator's schema does not say so."""


class CannotTrace(ValueError):
    """The step cannot be traced; one sentence that names the operator or the line."""


@dataclass(frozen=True)
class Traced:
    """A traced step: its module, its graph, and which operator of the graph each node is; views are none.

    `outputs` is the shape of the tree that the step gives, whose leaves the module gives.
    """

    module: fx.GraphModule
    graph: Graph
    node_of: tuple[str, ...]
    outputs: pytree.TreeSpec | None = None

    @property
    def checksum(self) -> str:
        """A digest of operators, storages and sizes, by which a trace can be known again."""
        said = repr([(o.target, o.creates, o.reads, o.writes) for o in self.graph.operators])
        said += repr([(s.size, s.creator, s.kept) for s in self.graph.storages])
        return sha256(said.encode()).hexdigest()[:16]


def trace(step: Step, inputs: Sequence[Any], roles: Sequence[str] | None = None) -> Traced:
    """Trace a step on its example inputs, which are fake or real tensors (real ones are only looked at).

    Args:
        step: a function of tensors (or of trees of them) that may write into its arguments.
        inputs: its arguments.
        roles: what each flat input tensor is: "weight", "state", "buffer" or "input"; by default all are inputs.

    Raises:
        CannotTrace: the step depends on data, has a dynamic shape, or uses what cannot be traced.
    """
    from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

    flat, _ = pytree.tree_flatten(list(inputs))
    mode = next((one.fake_mode for one in flat if isinstance(one, FakeTensor)), None) or FakeTensorMode()
    fake = [
        mode.from_tensor(one) if isinstance(one, Tensor) and not isinstance(one, FakeTensor) else one for one in flat
    ]
    spec = pytree.tree_structure(list(inputs))
    output: list[Any] = []

    def flat_step(*arguments: Any) -> Any:
        made = step(*pytree.tree_unflatten(list(arguments), spec))
        leaves, out_spec = pytree.tree_flatten(made)
        output[:] = [out_spec]
        return leaves

    try:
        with mode:
            module = make_fx(flat_step, tracing_mode="real", record_stack_traces=True)(*fake)
    except Exception as problem:
        raise CannotTrace(_why(problem)) from problem
    names = list(roles) if roles is not None else ["input"] * len(flat)
    graph, node_of = resolve(module, names)
    return Traced(module, graph, node_of, output[0])


def _why(problem: Exception) -> str:
    import traceback

    lines = [frame for frame in traceback.extract_tb(problem.__traceback__) if "/torch/" not in frame.filename]
    lines = [frame for frame in lines if not frame.filename.endswith(("olla/trace.py", "olla/training.py"))]
    where = f", at {_short(lines[-1].filename)}:{lines[-1].lineno} ({lines[-1].line})" if lines else ""
    first = " ".join(str(problem).split("\n")[0].split())[:200]
    kind = type(problem).__name__
    if "DataDependent" in kind or "data-dependent" in first or "_local_scalar_dense" in first:
        return f"The step's course or a shape depends on the data ({first}){where}; only a fixed course can be planned"
    if "DynamicOutputShape" in kind:
        return f"An operator's shape depends on the data ({first}){where}; only fixed shapes can be planned"
    if "UnsupportedOperator" in kind or "UnsupportedFake" in kind:
        return f"An operator cannot be traced ({first}){where}"
    return f"The step cannot be traced: {kind}: {first}{where}"


def _short(path: str) -> str:
    return "/".join(path.split("/")[-2:])


def resolve(module: fx.GraphModule, roles: Sequence[str]) -> tuple[Graph, tuple[str, ...]]:
    """The graph of a traced module, views resolved to their storages, and the node of each operator."""
    known: dict[int, int] = {}
    storages: list[Storage] = []
    operators: list[Operator] = []
    on: dict[fx.Node, tuple[int, ...]] = {}
    kept: set[int] = set()
    places = iter(roles)

    def storage_of(tensor: Tensor, node: fx.Node, creator: int | None, role: str = "") -> tuple[int, bool]:
        untyped = tensor.untyped_storage()
        key = untyped._cdata
        fresh = key not in known
        if fresh:
            known[key] = len(storages)
            dtype = str(tensor.dtype).removeprefix("torch.")
            storages.append(Storage(untyped.nbytes(), creator, False, node.name, tuple(tensor.shape), dtype, role))
        return known[key], fresh

    for node in module.graph.nodes:
        if node.op == "placeholder":
            role = next(places, "input")
            on[node] = tuple(storage_of(one, node, None, role)[0] for one in _tensors(node.meta.get("val")))
        elif node.op == "get_attr":
            value = getattr(module, node.target)
            on[node] = tuple(storage_of(one, node, None, "input")[0] for one in _tensors(node.meta.get("val", value)))
        elif node.op == "output":
            kept = {storage for value in node.all_input_nodes for storage in on[value]}
        else:
            made = [storage_of(one, node, len(operators)) for one in _tensors(node.meta.get("val"))]
            on[node] = tuple(dict.fromkeys(storage for storage, _ in made))
            creates = tuple(storage for storage, fresh in made if fresh)
            writes = _written(node, on)
            if not creates and not writes:
                continue  # a view, or a number
            # What an operator overwrites without reading (copy_, zero_) is read here too: that forbids nothing more,
            # for the write itself already follows every earlier access.
            reads = {storage for one in node.all_input_nodes for storage in on.get(one, ())} - set(writes)
            target = str(node.target)
            random = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
            line = _line(node.meta.get("stack_trace"))
            operators.append(Operator(node.name, target, creates, tuple(sorted(reads)), writes, random, line))
    storages = [
        s if index not in kept or s.creator is None else Storage(s.size, s.creator, True, s.name, s.shape, s.dtype)
        for index, s in enumerate(storages)
    ]
    return connect(operators, storages), tuple(operator.node for operator in operators)


def _tensors(value: Any) -> list[Tensor]:
    return [one for one in pytree.tree_leaves(value) if isinstance(one, Tensor)]


def _written(node: fx.Node, on: Mapping[fx.Node, tuple[int, ...]]) -> tuple[int, ...]:
    """The storages that a node overwrites, by its schema's marks and by the list above."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return ()
    found: list[int] = []
    unmarked = UNMARKED_WRITES.get(str(node.target), ())
    for place, argument in enumerate(schema.arguments):
        marked = argument.alias_info is not None and argument.alias_info.is_write
        if marked or place in unmarked:
            value = node.args[place] if place < len(node.args) else node.kwargs.get(argument.name)
            for one in pytree.tree_leaves(value):
                found += on.get(one, ()) if isinstance(one, fx.Node) else ()
    return tuple(dict.fromkeys(found))


def _line(stack: str | None) -> str:
    """The last line of user code in a stack, as folder/file:line."""
    found = re.findall(r'File "([^"]+)", line (\d+)', stack or "")
    own = [(path, line) for path, line in found if "/torch/" not in path and not path.endswith("olla/trace.py")]
    return f"{_short(own[-1][0])}:{own[-1][1]}" if own else ""
