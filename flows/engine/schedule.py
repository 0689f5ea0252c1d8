"""Stages in the order that their inputs allow: each is begun when all that it reads is there."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from flows.engine.stages import ConcreteStage


class Work(Protocol):
    """Somebody's work on a stage, such as a future, which tells when it is over."""

    def add_done_callback(self, told: Callable[[Any], None], /) -> object: ...


W = TypeVar("W", bound=Work)


def run_in_order(
    stages: Sequence[ConcreteStage],
    begin: Callable[[ConcreteStage, list[W]], W],
    ended_well: Callable[[ConcreteStage], bool],
    missing: Collection[str] = (),
) -> None:
    """Begin every stage as soon as those of `stages` that it reads have ended well, and return when none runs.

    `begin` is given the work on the stages that it reads. What comes after a stage that did not end well is not begun,
    nor what reads one of the `missing` folders.
    """
    by_out = {stage.out: stage for stage in stages}
    awaited = {*by_out, *missing}
    unmet = {stage.out: {folder for folder in stage.input_folders if folder in awaited} for stage in stages}
    readers: dict[str, list[str]] = defaultdict(list)
    for out, folders in unmet.items():
        for folder in folders:
            readers[folder].append(out)
    begun: dict[str, W] = {}
    over: SimpleQueue[str] = SimpleQueue()
    ready = [out for out, folders in unmet.items() if not folders]
    running = 0
    while ready or running:
        for out in ready:
            stage = by_out[out]
            begun[out] = begin(stage, [begun[folder] for folder in stage.input_folders if folder in begun])
            begun[out].add_done_callback(partial(_put, over, out))
            running += 1
        ended, ready = over.get(), []
        running -= 1
        if ended_well(by_out[ended]):
            for out in readers[ended]:
                unmet[out].discard(ended)
                ready += [] if unmet[out] else [out]


def _put(over: SimpleQueue[str], out: str, _: Any) -> None:
    over.put(out)
