"""Managers of memory: places never meet, rules are the CUDA allocator's, and trainings in them keep their bits."""

import gc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import tensor as ft
from models.olla.caching_allocator import cached
from models.olla.placement import Block, live_bound
from models.tensor import nn, optimizers
from models.tensor.memory import Arena, Caching, Event, ManagedBackend, MemoryManager, Naive, Recorder, plan, replay
from models.tensor.zoo import sample

MIB = 2**20
SIZES = st.one_of(st.integers(1, 3000), st.integers(MIB - 600, MIB + 600), st.integers(2 * MIB, 40 * MIB))


@st.composite
def traces(draw: st.DrawFn) -> list[Event]:
    events: list[Event] = []
    live: list[int] = []
    for _ in range(draw(st.integers(1, 60))):
        if live and draw(st.booleans()):
            events.append(Event("free", live.pop(draw(st.integers(0, len(live) - 1)))))
        else:
            live.append(len(events))
            events.append(Event("allocate", len(events), draw(SIZES)))
    return events


@settings(max_examples=60, deadline=None)
@given(traces(), st.sampled_from([None, 21 * MIB, 32 * MIB]), st.sampled_from([None, 2 * MIB]), st.integers(1, 16))
def test_no_place_in_use_meets_another(events: list[Event], split: int | None, recycle: int | None, scale: int) -> None:
    """`replay` looks at every pair, and knows nothing of pieces."""
    for manager in (Naive(), Caching(split, recycle), Caching(split and split // scale, recycle, scale=scale)):
        seen = replay(events, manager)
        assert seen.peak_reserved >= seen.peak_live
        for event in events:  # what is left can be freed, and everything is one piece again
            assert event.kind in ("allocate", "free")


@settings(max_examples=60, deadline=None)
@given(traces())
def test_the_caching_manager_reserves_what_ollas_model_of_the_allocator_does(events: list[Event]) -> None:
    """Two programs of the same published rules, written apart."""
    ends = {event.number: at for at, event in enumerate(events) if event.kind == "free"}
    blocks = [
        Block(e.number, at, ends.get(e.number, len(events)), e.size)
        for at, e in enumerate(events)
        if e.kind == "allocate"
    ]
    other = cached(blocks)
    seen = replay(events, Caching())
    assert (seen.peak_reserved, seen.peak_live) == (other.reserved, other.live)
    assert seen.fragmentation == pytest.approx(other.at_peak)


def test_a_manager_that_gives_a_place_twice_is_caught() -> None:
    class Wrong(Naive):
        def allocate(self, size: int) -> Any:
            self.segments[1] = 100
            return super().allocate(size) if not self._made else type(super().allocate(1))(1, 0, size)

    with pytest.raises(ValueError, match="meet others in use"):
        replay([Event("allocate", 0, 10), Event("allocate", 1, 10)], Wrong())
    manager = Caching()
    place = manager.allocate(5)
    manager.free(place)
    with pytest.raises(ValueError, match="freed twice"):
        manager.free(place)


def test_a_split_limit_keeps_large_pieces_whole() -> None:
    """A piece of 30 MiB is cut up for 2 MiB without a limit, and then a second request of 30 MiB needs a new one."""
    events = [
        Event("allocate", 0, 30 * MIB),
        Event("free", 0),
        Event("allocate", 2, 2 * MIB),
        Event("allocate", 3, 30 * MIB),
    ]
    assert replay(events, Caching()).peak_reserved == 60 * MIB
    assert replay(events, Caching(split_limit=24 * MIB)).peak_reserved == 50 * MIB


def test_a_split_limit_uses_segments_again_and_one_below_a_segment_is_refused() -> None:
    """With a limit of 8 MiB, as PyTorch refuses it, ten requests one after the other reserved 200 MiB."""
    events = [Event(kind, at, 3 * MIB) for at in range(10) for kind in ("allocate", "free")]  # type: ignore[arg-type]
    assert replay(events, Caching(split_limit=24 * MIB)).peak_reserved == 20 * MIB
    for limit, scale in ((8 * MIB, 1), (20 * MIB, 1), (20 * MIB // 16, 16)):
        with pytest.raises(ValueError, match="not above"):
            Caching(split_limit=limit, scale=scale)


def test_a_scaled_manager_reserves_what_the_whole_one_does_for_requests_that_are_scaled() -> None:
    sizes = [3, 9, 30, 17, 0.5, 50, 12]
    reserved = []
    for scale in (1, 16):
        events = [Event("allocate", at, int(size * MIB) // scale) for at, size in enumerate(sizes)]
        events += [Event("free", 2), Event("free", 5)]
        events += [Event("allocate", 10 + at, int(size * MIB) // scale) for at, size in enumerate(sizes)]
        reserved.append(scale * replay(events, Caching(24 * MIB // scale, scale=scale)).peak_reserved)
    assert reserved[0] == reserved[1]


def test_peaks_from_a_place_on_count_what_is_still_there_and_nothing_that_was() -> None:
    events = [Event("allocate", 0, 1000), Event("allocate", 1, 4000), Event("free", 1), Event("allocate", 3, 2000)]
    assert replay(events, Naive()).peak_live == 5000
    seen = replay(events, Naive(), since=3)
    assert (seen.peak_live, seen.peak_reserved, seen.never_live) == (3000, 3000, 0)
    kept = replay(events, Caching(), since=3)
    assert kept.never_live == 1 - 3000 / (2 * MIB)


def trained(manager: MemoryManager, name: str = "bert", steps: int = 4) -> tuple[list[float], Any]:
    """Losses and one weight of a short training whose arrays all lie in a manager's memory."""
    with ft.using(ManagedBackend(manager)) as backend:
        backend.seed(0)
        made = sample(name, nn, ft.tensor, 4, 32)
        optimizer = optimizers.SGD(made.model.parameters(), 0.05, momentum=0.9)
        losses = []
        for _ in range(steps):
            manager.step()
            optimizer.zero_grad()
            loss = made.loss(made.model(made.inputs), made.targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses, made.model.parameters()[0].numpy().copy()


def test_every_manager_trains_to_the_same_bits_and_gives_all_back() -> None:
    recorder = Recorder()
    losses, weight = trained(recorder)
    assert losses[-1] < losses[0]
    planned = plan(recorder.events)
    for manager in (Caching(), Caching(split_limit=2 * MIB, scale=16), Arena(planned)):
        again, same = trained(manager)
        assert again == losses
        assert np.array_equal(weight, same)
    gc.collect()
    assert not recorder.segments, "a naive manager holds nothing once all arrays are gone"
    freed = {event.number for event in recorder.events if event.kind == "free"}
    assert freed == {event.number for event in recorder.events if event.kind == "allocate"}


def test_an_arena_is_as_small_as_what_lives_at_once_within_a_step() -> None:
    recorder = Recorder()
    trained(recorder)
    planned = plan(recorder.events)
    starts = [at for at, event in enumerate(recorder.events) if event.kind == "step"]
    step = recorder.events[starts[-2] : starts[-1]]
    ends = {event.number: at for at, event in enumerate(step) if event.kind == "free"}
    blocks = [Block(e.number, at, ends[e.number], e.size) for at, e in enumerate(step) if e.number in ends and e.size]
    assert live_bound(blocks) <= planned.size <= 1.1 * live_bound(blocks) + 64 * len(blocks)
    arena = Arena(planned)
    replay(recorder.events, arena)
    served = [address for _, address in planned.requests if address is not None]
    assert len(served) > 100
