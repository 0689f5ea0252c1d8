"""A callable in place of a step: it runs the plan in the arena."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from models.olla.planning import Plan, plan_graph
from models.olla.run import Arena
from models.olla.trace import Traced, trace


class PlannedStep:
    """Calls like the step that was planned; `plan` and `traced` say what it does."""

    def __init__(self, traced: Traced, plan: Plan, shapes: Sequence[Any], spec: Any, device: Any) -> None:
        self.traced, self.plan = traced, plan
        self._shapes, self._spec = list(shapes), spec
        self._arena = Arena(traced, plan.ordered.order, plan.placed.addresses, device)

    def __call__(self, *inputs: Any) -> Any:
        """What the step gives.

        Raises:
            ValueError: an input has another shape or type than the example had.
        """
        flat, spec = pytree.tree_flatten(list(inputs))
        if spec != self._spec or [_shape(one) for one in flat] != self._shapes:
            raise ValueError("The inputs are not shaped like the example: plan the step again for these.")
        assert self.traced.outputs is not None
        return pytree.tree_unflatten(self._arena(*flat), self.traced.outputs)


def planned_step(step: Callable[..., Any], example_inputs: Sequence[Any]) -> PlannedStep:
    """Trace and plan a step, and put the plan in its place; see `models.olla.plan`."""
    flat, spec = pytree.tree_flatten(list(example_inputs))
    traced = trace(step, example_inputs)
    device = next((one.device for one in flat if isinstance(one, Tensor)), "cpu")
    return PlannedStep(traced, plan_graph(traced.graph), [_shape(one) for one in flat], spec, device)


def _shape(value: Any) -> Any:
    return (value.shape, value.dtype, value.stride(), value.device) if isinstance(value, Tensor) else value
