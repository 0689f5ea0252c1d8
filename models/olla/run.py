"""Run a traced step for real: in another order, and inside one arena at planned addresses.

Views follow the operator that makes their storage at once, so that only operators have an order.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from models.olla.graph import Graph
from models.olla.placement import ALIGNMENT
from models.olla.trace import Traced


def node_order(traced: Traced, order: Sequence[int]) -> list[fx.Node]:
    """All nodes of the traced module: operators in the given order, each view as soon as it can be taken."""
    nodes = list(traced.module.graph.nodes)
    operator_of = {name: index for index, name in enumerate(traced.node_of)}
    waits = {node: len(node.all_input_nodes) for node in nodes}
    place = {node: index for index, node in enumerate(nodes)}
    given = [node for node in nodes if node.op in ("placeholder", "get_attr")]
    made = [*given]

    def run(node: fx.Node) -> None:
        pending = [node]
        while pending:
            current = pending.pop()
            made.append(current)
            for user in sorted(current.users, key=place.__getitem__, reverse=True):
                waits[user] -= 1
                if not waits[user] and user.name not in operator_of and user.op != "output":
                    pending.append(user)

    for node in given:
        for user in sorted(node.users, key=place.__getitem__):
            waits[user] -= 1
            if not waits[user] and user.name not in operator_of and user.op != "output":
                run(user)
    for node in nodes:  # a call without arguments, such as a number's tensor, that is no operator
        if node.op == "call_function" and not node.all_input_nodes and node.name not in operator_of:
            run(node)
    by_name = {node.name: node for node in nodes}
    for index in order:
        run(by_name[traced.node_of[index]])
    made += [node for node in nodes if node.op == "output"]
    if len(made) != len(nodes):
        raise ValueError("the order leaves out nodes of the traced module")
    return made


def reordered(traced: Traced, order: Sequence[int]) -> fx.GraphModule:
    """The traced step as a module that runs its operators in another order; it drops each value after its last use."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in node_order(traced, order):
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.lint()
    return fx.GraphModule(traced.module, graph)


@dataclass
class ArenaRun:
    """What a run in the arena gave, and the bytes that it needed elsewhere.

    `outside` counts bytes by operator that were computed elsewhere and copied in, because the operator cannot write
    where it is told to; `outside_peak` is the largest of them at one time.
    """

    outputs: list[Any]
    arena_bytes: int
    inside_bytes: int
    outside: Counter[str] = field(default_factory=Counter)
    outside_peak: int = 0


class Arena:
    """A traced step whose created storages all lie in one stretch of memory, at planned addresses.

    Args:
        traced: the step.
        order: its operators in the order in which they run.
        addresses: first byte of each created storage, by index; multiples of `ALIGNMENT`.
        device: where the arena is.
    """

    def __init__(
        self, traced: Traced, order: Sequence[int], addresses: Mapping[int, int], device: str | torch.device = "cpu"
    ) -> None:
        self.traced, self.addresses = traced, dict(addresses)
        self.nodes = node_order(traced, order)
        graph = traced.graph
        self.bytes = max((addresses[s] + graph.storages[s].size for s in graph.created if s in addresses), default=0)
        self._memory = torch.empty(self.bytes + ALIGNMENT, dtype=torch.uint8, device=device)
        self._skip = -self._memory.data_ptr() % ALIGNMENT
        operators = {name: graph.operators[index] for index, name in enumerate(traced.node_of)}
        self._creates = {node: operators[node.name].creates for node in self.nodes if node.name in operators}
        self._last = self._last_uses()

    def _last_uses(self) -> dict[fx.Node, list[fx.Node]]:
        """By node the values that nobody needs after it."""
        last = {value: node for node in self.nodes for value in node.all_input_nodes}
        found: dict[fx.Node, list[fx.Node]] = {}
        for value, node in last.items():
            found.setdefault(node, []).append(value)
        return found

    def __call__(self, *inputs: Any) -> list[Any]:
        """The step's flat outputs, which are copies of their own."""
        return self.run(*inputs).outputs

    def run(self, *inputs: Any) -> ArenaRun:
        """Run the step on flat inputs, which it overwrites as the step does."""
        values: dict[fx.Node, Any] = {}
        given = iter(inputs)
        report = ArenaRun([], self.bytes, 0)
        with torch.no_grad():
            for node in self.nodes:
                if node.op == "placeholder":
                    values[node] = next(given)
                elif node.op == "get_attr":
                    values[node] = getattr(self.traced.module, str(node.target))
                elif node.op == "output":
                    made: Any = fx.node.map_arg(node.args[0], values.__getitem__)
                    report.outputs = [one.clone() if isinstance(one, Tensor) else one for one in made]
                else:
                    values[node] = self._call(node, values, report)
                for value in self._last.get(node, ()):
                    if value.op != "placeholder":
                        values[value] = None
        return report

    def _call(self, node: fx.Node, values: Mapping[fx.Node, Any], report: ArenaRun) -> Any:
        arguments = fx.node.map_arg(node.args, values.__getitem__)
        keywords = fx.node.map_arg(dict(node.kwargs), values.__getitem__)
        target: Any = node.target
        creates = self._creates.get(node, ())
        if not creates:
            return target(*arguments, **keywords)
        places = self._places(node, creates)
        direct = _writes_in_place(target)
        if direct is not None and len(places) == 1 and (place := places[0]) is not None:
            # Empty, so that the kernel gives it the strides that it would give a result of its own: fake tensors are
            # sometimes wrong about them, and another stride is another order of summation in what reads it.
            made = torch.empty(0, dtype=node.meta["val"].dtype, device=self._memory.device).set_(place)
            direct(*arguments, **_without_layout(keywords, direct), out=made.resize_(0))
            if made.untyped_storage().data_ptr() != place.data_ptr():
                raise RuntimeError(f"{node.name} needs more bytes than were planned")
            report.inside_bytes += place.nbytes()
            return made
        made = target(*arguments, **keywords)
        leaves, spec = pytree.tree_flatten(made)
        outside = 0
        for index, leaf in enumerate(leaves):
            storage = places[index] if index < len(places) else None
            if isinstance(leaf, Tensor) and storage is not None:
                outside += leaf.untyped_storage().nbytes()
                if leaf.untyped_storage().nbytes() > storage.nbytes():
                    raise RuntimeError(f"{node.name} needs more bytes than were planned")
                empty = torch.empty(0, dtype=leaf.dtype, device=leaf.device)
                leaves[index] = empty.set_(storage, leaf.storage_offset(), leaf.shape, leaf.stride()).copy_(leaf)
        report.outside[str(target)] += outside
        report.outside_peak = max(report.outside_peak, outside)
        return pytree.tree_unflatten(leaves, spec)

    def _places(self, node: fx.Node, creates: Sequence[int]) -> list[torch.UntypedStorage | None]:
        """For each tensor that a node gives, its bytes in the arena; none for what lies on another storage.

        They are a storage of their own: as_strided's offsets count from a storage's beginning.
        """
        wanted = iter(creates)
        met: set[int] = set()
        places: list[torch.UntypedStorage | None] = []
        for leaf in pytree.tree_leaves(node.meta["val"]):
            place = None
            if isinstance(leaf, Tensor):
                key = leaf.untyped_storage()._cdata
                current = None if key in met else next(wanted, None)
                met.add(key)
                size = 0 if current is None else self.traced.graph.storages[current].size
                if current in self.addresses and size:
                    first = self._skip + self.addresses[current]
                    place = self._memory.untyped_storage()[first : first + size]
            places.append(place)
        return places


def _writes_in_place(target: Any) -> Any:
    """The variant of an operator that writes where it is told to; none where torch would compute and copy.

    Variants that torch generates by itself have no kernel of their own for a device.
    """
    packet = getattr(target, "overloadpacket", None)
    if packet is None or len(target._schema.returns) != 1:
        return None
    own = {argument.name: str(argument.type) for argument in target._schema.arguments}
    for name in packet.overloads():
        overload = getattr(packet, name)
        outs = [argument.name for argument in overload._schema.arguments if argument.is_out]
        theirs = {one.name: str(one.type) for one in overload._schema.arguments if not one.is_out}
        same = theirs == {name: kind for name, kind in own.items() if name in theirs or name not in LAYOUT}
        if outs == ["out"] and same and torch._C._dispatch_has_kernel_for_dispatch_key(overload.name(), "CPU"):
            return overload
    return None


LAYOUT = ("dtype", "layout", "device", "pin_memory")
"""Arguments that an operator has and its variant with `out` may lack."""


def _without_layout(keywords: dict[str, Any], direct: Any) -> dict[str, Any]:
    theirs = {argument.name for argument in direct._schema.arguments}
    return {name: value for name, value in keywords.items() if name in theirs or name not in LAYOUT}


def bytes_by_operator(graph: Graph) -> Counter[str]:
    """Bytes that each kind of operator creates in a step."""
    found: Counter[str] = Counter()
    for operator in graph.operators:
        found[operator.target] += sum(graph.storages[storage].size for storage in operator.creates)
    return found
