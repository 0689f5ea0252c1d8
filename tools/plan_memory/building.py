"""A user's own model, built by their function and traced as a training step; every mistake a sentence."""

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError

if TYPE_CHECKING:
    from models.olla.trace import Traced
    from models.olla.training import Optimizer

RETURNS = "(model, inputs), (model, inputs, loss) or (step, inputs)"


def builder(name: str, wanted: str = f"a function is to return {RETURNS}") -> Callable[..., Any]:
    """The function or class that `module:name` names, looked for in the current folder, too.

    Raises:
        UserError: it cannot be imported, or cannot be called: `wanted` says what is.
    """
    module, colon, function = name.partition(":")
    if not colon or not module or not function:
        raise UserError(f"{name} is not of the form my_module:build.")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as problem:
        missing = f"its import of {problem.name}" if problem.name not in (module, module.split(".")[0]) else "it"
        raise UserError(
            f"{module} cannot be imported from {Path.cwd().name or '/'}: {missing} is not there."
        ) from problem
    except AttributeError as problem:
        raise UserError(f"{module} has no {function}.") from problem
    except Exception as problem:
        raise UserError(f"{module} cannot be imported: {described(problem)}.") from problem
    finally:
        sys.path.pop(0)
    if not callable(found):
        raise UserError(f"{name} is no function and no class: {wanted}.")
    return found  # type: ignore[no-any-return]


def traced_step(build: Callable[..., Any], batch: int | None, optimizer: "Optimizer") -> "Traced":
    """What the function builds, traced; under fake tensors where that works, so that no memory is needed.

    Raises:
        UserError: it cannot be built or traced; the sentence names the operator or the line.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    from models.olla.trace import CannotTrace

    problem: Exception | None = None
    for mode in (FakeTensorMode(), nullcontext()):
        try:
            with mode:
                step, inputs, roles = _training(_called(build, batch), optimizer)
            return _trace(step, inputs, roles)
        except (UserError, CannotTrace) as wrong:
            raise UserError(f"{wrong}.".replace("..", ".")) from wrong
        except Exception as wrong:  # an initialisation that looks at its numbers works with real tensors alone
            problem = wrong
    assert problem
    raise UserError(f"The model cannot be built: {described(problem)}.") from problem


def _trace(step: Callable[..., Any], inputs: Sequence[Any], roles: Sequence[str] | None) -> "Traced":
    from models.olla.trace import trace

    return trace(step, inputs, roles)


def _called(build: Callable[..., Any], batch: int | None) -> Any:
    takes = inspect.signature(build).parameters
    if batch is not None and not takes:
        raise UserError("--batch was given, but the function takes no argument: let it take the batch.")
    return build(batch) if batch is not None else build()


def _training(built: Any, optimizer: "Optimizer") -> tuple[Callable[..., Any], Sequence[Any], Sequence[str] | None]:
    """A step with its flat inputs and their roles, of whatever was returned."""
    from torch import Tensor, nn

    from models.olla.training import loss_of_outputs, training

    if not isinstance(built, tuple) or len(built) not in (2, 3):
        raise UserError(f"The function returned a {type(built).__name__}: it is to return {RETURNS}.")
    made, inputs = built[0], built[1]
    if not isinstance(made, nn.Module):
        if not callable(made) or len(built) == 3:
            raise UserError(f"The function returned a {type(made).__name__} first: it is to return {RETURNS}.")
        return made, inputs if isinstance(inputs, (tuple, list)) else (inputs,), None
    names = list(inputs) if isinstance(inputs, dict) else None
    batch = (
        list(inputs.values()) if isinstance(inputs, dict) else [inputs] if isinstance(inputs, Tensor) else list(inputs)
    )
    if other := next((one for one in batch if not isinstance(one, Tensor)), None):
        raise UserError(f"The inputs hold a {type(other).__name__}: they are to be tensors, in a tuple or by name.")
    own = built[2] if len(built) == 3 else None

    def loss(model: nn.Module, tensors: Sequence[Tensor]) -> Tensor:
        if own is not None:
            value: Tensor = own(model, *tensors)
            return value
        if names is None:
            return loss_of_outputs(model, tensors)
        return loss_of_outputs(lambda: model(**dict(zip(names, tensors, strict=True))), ())  # type: ignore[arg-type]

    step = training(made, loss, batch, optimizer)
    return step.step, step.inputs, step.roles


def described(problem: Exception) -> str:
    """A failure in the user's code: what it is, and the last line of theirs."""
    frames = [one for one in traceback.extract_tb(problem.__traceback__) if not _is_ours(one.filename)]
    words = " ".join(str(problem).split("\n")[0].split())[:200]
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno} ({frames[-1].line})" if frames else ""
    return f"{type(problem).__name__}: {words}{where}"


def _is_ours(path: str) -> bool:
    return any(part in path for part in ("/torch/", "/plan_memory/", "/olla/", "importlib")) or path.startswith("<")
