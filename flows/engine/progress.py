"""How far a tool is: a bar on a terminal, and in a file or a log a line now and then. Always beside the answer."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

EVERY = 10.0
"""Seconds between two lines where there is no terminal."""

Tell = Callable[..., None]


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Tell]:
    """Give a function that is told how much is done, and the total where that is only known later.

    What it shows goes to standard error, so that an answer in JSON stays JSON.
    """
    shown = Console(stderr=True, highlight=False)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=shown,
        transient=True,
        disable=not shown.is_terminal,
    )
    lines = _Lines(what, total)
    with bar:
        task = bar.add_task(what, total=total)

        def tell(done: int, total: int | None = None) -> None:
            if shown.is_terminal:
                bar.update(task, completed=done, total=total)
            else:
                lines.tell(done, total)

        yield tell


class _Lines:
    """One line every so often, with what is left by the speed so far."""

    def __init__(self, what: str, total: int | None) -> None:
        self._what, self._total = what, total
        self._begun = self._said = time.monotonic()

    def tell(self, done: int, total: int | None) -> None:
        self._total = total if total is not None else self._total
        now = time.monotonic()
        if now - self._said < EVERY:
            return
        self._said = now
        words = f"{self._what}: {done:,}"
        if self._total and done:
            left = (now - self._begun) * (self._total - done) / done
            words += f" of {self._total:,} ({done / self._total:.0%}), about {duration(left)} left"
        print(words, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """40 s, 3 min."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
