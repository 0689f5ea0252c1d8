"""What an evaluation stage measures, declared on its function so that a claim can be checked early."""

from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., None])


def measures(**quantities: str) -> Callable[[F], F]:
    """Declare the columns of `metrics.json` that are results, each with its meaning and unit."""

    def declare(function: F) -> F:
        function.measures = quantities  # type: ignore[attr-defined]
        return function

    return declare
