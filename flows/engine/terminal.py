"""What a person sees in the terminal: the plan, the stages that run, and what became of them."""

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from flows.engine.console import console
from flows.engine.execute import Outcome, durations, last_line
from flows.engine.plan import Plan
from flows.engine.publication import WITHDRAWN
from flows.engine.stages import ConcreteStage
from tasks.judging.claims import WHOSE
from tasks.judging.judge import VERDICTS
from tasks.judging.report import cell

if TYPE_CHECKING:
    from flows.engine.cluster.driver import Cluster

MARKS = {"ran": "[green]✓[/]", "restored": "[green]↺[/]", "unchanged": "[dim]=[/]", "failed": "[red]✗[/]"}
WORDS_EVERY = 20
"""Seconds between the last words of a running stage, where they are written into a file."""
WORDS = {"restored": "from the cache", "unchanged": "unchanged after all"}


class Terminal:
    """Prints a line for each finished stage and keeps the running ones in view.

    On a terminal those are live lines at the bottom; in a file or a log each running stage's last words
    are written down now and then.
    """

    def __init__(self, plan: Plan) -> None:
        self._left = len(plan.work)
        self._total = len(plan.work)
        self._tasks: dict[str, Any] = {}
        self._running: dict[str, ConcreteStage] = {}
        self._cpu_seconds: dict[str, float] = defaultdict(float)
        self._same: dict[str, bool] = {}
        self._over = threading.Event()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            _LastLine(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> "Terminal":
        self._progress.start()
        if not console.is_terminal:
            threading.Thread(target=self._write_down, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._progress.stop()
        if self._cpu_seconds:
            each = ", ".join(f"{paper} {seconds:.0f}" for paper, seconds in sorted(self._cpu_seconds.items()))
            console.print(f"CPU seconds of the stages that ran: {each}")
        if self._same:
            other = [title for title, same in self._same.items() if not same]
            words = f"Bytes as on record: {len(self._same) - len(other)} of {len(self._same)} stages"
            console.print(words + (f"; not {', '.join(other)}" if other else ""))

    def _write_down(self) -> None:
        while not self._over.wait(WORDS_EVERY):
            for title, stage in list(self._running.items()):
                if words := last_line(stage):
                    console.print(f"  {title}: {escape(words[:100])}")

    def hear(self, outcome: Outcome) -> None:
        """Show what has become of a stage."""
        title = outcome.stage.title
        if outcome.state == "started":
            if title in self._running:
                return  # it is tried again
            self._running[title] = outcome.stage
            self._tasks[title] = self._progress.add_task(title, total=None, stage=outcome.stage)
            if not console.is_terminal:
                console.print(f"● {title}")
            if outcome.tail:
                console.print(f"  {title}: {outcome.tail}", markup=False)
            return
        self._running.pop(title, None)
        if title in self._tasks:
            self._progress.remove_task(self._tasks.pop(title))
        self._left -= 1
        if outcome.state == "ran":
            self._cpu_seconds[outcome.stage.paper] += outcome.cpu_seconds
        if outcome.same is not None:
            self._same[title] = outcome.same
        where = f", on {outcome.host}" if outcome.host else ""
        took = f"{outcome.seconds:.1f} s ({outcome.cpu_seconds:.1f} CPU s{where})"
        word = WORDS.get(outcome.state, took if outcome.seconds else outcome.state)
        console.print(f"{MARKS[outcome.state]} {title}  [dim]{word}  ({self._total - self._left}/{self._total})[/]")
        if outcome.tail:
            console.print(escape(outcome.tail), style="red")
            console.print(f"Run it alone with: {outcome.stage.command}")


class _LastLine(ProgressColumn):
    """The last thing that a running stage has printed."""

    def render(self, task: Task) -> Text:
        return Text(last_line(task.fields["stage"])[:80], style="dim")


def show_plan(plan: Plan, jobs: int, *, elsewhere: bool = False) -> None:
    """Say how many stages there are, which run and for about how long, unless other machines run them."""
    cached = len(plan.stages) - len(plan.work)
    known = durations()
    seconds = [known[stage.out] for stage in plan.work if stage.out in known]
    estimate = f", about {max(max(seconds), sum(seconds) / jobs):.0f} s" if len(seconds) == len(plan.work) else ""
    todo = f"{len(plan.stages)} stages, {cached} up to date, {len(plan.work)} to do"
    console.print(todo if elsewhere else f"{todo}{estimate}, {jobs} at a time")


def show_places(cluster: "Cluster") -> None:
    """Where each stage ran, and for how long it waited, moved its bytes and ran, in seconds, with what else it took."""
    shown = Table("stage", "host", *(f"{column} (s)" for column in ("queue", "transfer", "run", "rest")), "MB", "tries")
    for out, place in cluster.places.items():
        seconds = (f"{value:.2f}" for value in (place.queue, place.transfer, place.run, place.rest))
        shown.add_row(out.removeprefix("data/"), place.host, *seconds, f"{place.bytes / 1e6:.3f}", str(place.tries))
    console.print(shown)


def show_status(plan: Plan) -> None:
    """One line for each stage: up to date, to run and why, or waiting for an earlier one."""
    for stage in plan.stages:
        reasons = plan.reasons[stage.out]
        if reasons:
            more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
            console.print(f"[yellow]●[/] {stage.title}  {escape(str(reasons[0]))}{more}")
        elif stage.out in plan.waiting:
            console.print(f"[dim]○ {stage.title}  comes after a stage that must run[/]")
        else:
            console.print(f"[green]✓[/] [dim]{stage.title}[/]")


def counted(counts: dict[str, Counter[str]]) -> list[str]:
    """A line for each kind of claim; foregone ones, which could not fail, are named and not counted by verdict."""
    lines = [f"{whose}: {verdicts_in_words(counts[whose])}" for whose in WHOSE[:-1] if whose in counts]
    if foregone := sum(counts.get(WHOSE[-1], {}).values()):
        lines.append(f"not counted, as they could not fail or were certain beforehand: {foregone}")
    return lines


def verdicts_in_words(counts: Mapping[str, int]) -> str:
    """As in "3 supported, 1 withdrawn"."""
    return ", ".join(f"{counts[word]} {word.lower()}" for word in (*VERDICTS, WITHDRAWN) if counts.get(word))


def controls(ids: list[str]) -> str:
    """Controls by name, within a sentence."""
    return f"the control{'s' if len(ids) > 1 else ''} {', '.join(ids)}"


def show_table(title: str, data: dict[str, Any]) -> None:
    """A result table: `columns`, and `rows` of a label and numbers.

    A cell may hold one training's value as each of several stages told it, so that values are not always seeds.
    """
    values = "draws" if data["over"] == "draws" else "values"
    runs = f", means of up to {data['runs']} {values}" if data["runs"] > 1 else ""
    shown = Table(title=f"{title}: {data['title']}{runs}", title_justify="left", title_style="bold")
    for number, column in enumerate(data["columns"]):
        shown.add_column(str(column), justify="right" if number else "left", no_wrap=True)
    for row in data["rows"]:
        shown.add_row(*(cell(value) for value in row))
    console.print(shown)
