"""Plan the memory of a training step: the order of its operators and the addresses of its tensors (OLLA).

`plan` gives a step that runs its plan. The parts: `trace` makes a graph of a step, `planning` its plan, `simulator`
replays it, `run` executes it; `lifetime_ilp`, `location_ilp` and `joint_ilp` are the paper's integer programs.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.olla.drop_in import PlannedStep


def plan(step: Callable[..., Any], example_inputs: Sequence[Any]) -> "PlannedStep":
    """A step that does the same as `step`, with its operators in the planned order and its tensors in one arena.

    Args:
        step: a function of tensors (or of trees of them) that may write into its arguments, such as a training step
            that updates its weights in place.
        example_inputs: its arguments; later calls need the same shapes and types.

    Raises:
        CannotTrace: the step's course or a shape depends on the data, or an operator cannot be traced.
    """
    from models.olla.drop_in import planned_step

    return planned_step(step, example_inputs)
