"""`tenfold tensor`: a skeleton of a backend, and what a backend or memory manager of one's own is worth."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from flows.engine.console import console
from tasks.base.errors import UserError
from tools.plan_memory.building import builder, described

if TYPE_CHECKING:
    from models.tensor.backend import TensorBackend
    from models.tensor.memory import MemoryManager


def tensor(
    action: Annotated[Literal["bench", "stub"], typer.Argument(help="bench tries and times; stub prints a skeleton.")],
    which: Annotated[str, typer.Argument(metavar="MODULE:CLASS", help="Your backend or memory manager.")] = "",
    shown: Annotated[int, typer.Option(min=1, help="Failing cases that are shown.")] = 20,
    repetitions: Annotated[int, typer.Option(min=2, help="Passes of a network that are timed.")] = 5,
) -> None:
    """Try a backend or memory manager of your own: where it fails, and how it compares.

    A backend is run through every case of the conformance suite, against numpy's, and networks are timed on it beside
    numpy's and torch. A memory manager serves whole trainings, which must keep their bits, and is compared by what it
    reserves. It exits with 1 where something fails.

    Examples:

        tenfold tensor stub > my_backend.py

        tenfold tensor bench my_backend:Backend
    """
    from tools.tensor import stub

    if action == "stub":
        if which:
            raise UserError("stub takes no class: it prints a skeleton of one.")
        print(stub.skeleton())  # plain, for a file
        return
    if not which:
        raise UserError("Name your class, such as my_backend:Backend.")
    made = _made(builder(which, wanted="a backend or a memory manager is a class"))
    failed = _show_manager(made) if not _is_backend(made) else _show_backend(made, shown, repetitions)
    if failed:
        raise typer.Exit(1)


def _made(kind: Any) -> "TensorBackend | MemoryManager":
    """An instance of the class, which needs no arguments.

    Raises:
        UserError: it is no backend and no manager, or lacks methods, or cannot be made.
    """
    from models.tensor.backend import REQUIRED, TensorBackend, missing
    from models.tensor.memory import MemoryManager

    if not isinstance(kind, type) or not issubclass(kind, TensorBackend | MemoryManager):
        name = getattr(kind, "__name__", str(kind))
        raise UserError(f"{name} is no class below TensorBackend or MemoryManager of models.tensor.")
    if issubclass(kind, TensorBackend) and (lacks := missing(kind)):
        raise UserError(f"{kind.__name__} lacks {len(lacks)} of {len(REQUIRED)} methods: {', '.join(lacks)}.")
    try:
        made: TensorBackend | MemoryManager = kind()
    except Exception as problem:
        raise UserError(f"{kind.__name__}() cannot be made: {described(problem)}.") from problem
    return made


def _is_backend(made: Any) -> bool:
    from models.tensor.backend import TensorBackend

    return isinstance(made, TensorBackend)


def _show_backend(backend: Any, shown: int, repetitions: int) -> bool:
    from tasks.timing.machine import kernels
    from tools.tensor import bench

    failures, cases = bench.conformance(backend)
    for name, reason in list(failures.items())[:shown]:
        console.print(f"[red]✗[/] {escape(name)}: {escape(reason)}")
    if len(failures) > shown:
        console.print(f"and {len(failures) - shown} more: --shown {len(failures)} lists them.")
    console.print(f"{cases - len(failures)} of {cases} cases pass.")
    console.print(kernels(), markup=False)
    table = Table(
        "milliseconds forward and backward", "yours", "numpy backend", "torch", "yours / torch", "most time in"
    )
    for row in bench.networks(backend, repetitions):
        table.add_row(*row)
    console.print(table)
    return bool(failures)


def _show_manager(manager: Any) -> bool:
    from tools.tensor import bench

    table = Table("network", "same bits", "MiB live", "yours reserves", "naive", "caching", "not live at peak")
    failed = False
    for row, problem in bench.managers(type(manager)):
        failed = failed or bool(problem)
        table.add_row(*row)
        if problem:
            console.print(f"[red]✗[/] {escape(row[0])}: {escape(problem)}")
    console.print(table)
    return failed
