"""A record that cannot be, or whose runtimes were not treated alike, withholds every verdict that rests on it."""

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from tasks.framework_tax.measuring import rows, why_withheld
from tasks.framework_tax.record import half_width, interval, lag, problems, sound, void
from tests.framework_tax.made_records import point, record


def whole() -> dict[str, Any]:
    return record(point(), point("torchscript", ms=0.7), point("compile", ms=0.8), point("onnxruntime", ms=0.4))


def test_a_sound_record_is_believed() -> None:
    """Otherwise every test below would pass on anything."""
    assert problems(whole()) == []
    assert why_withheld(whole()) == {}


SPOILT: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a mean of three runs": (lambda one: one["plan"].update(blocks=3), "no sample"),
    "a block left out": (lambda one: one["points"][1]["cpu"].pop(), "19 times|of 20 blocks"),
    "warm-up inside": (lambda one: one["points"][2].update(warm_up=0), "caches were cold"),
    "more threads for one": (lambda one: one["points"][3]["facts"].update(threads=2), "on 2 threads, not 1"),
    "fewer bits for one": (lambda one: one["points"][3]["facts"].update(precision="half"), "in half, not float32"),
    "one process for two": (lambda one: one["arms"]["torchscript"].update(pid=100), "shared a process"),
    "one order in all blocks": (lambda one: one.update(orders=[one["orders"][0]] * 20), "same order"),
    "spinning threads": (
        lambda one: one["points"][3].update(cpu=[2 * w for w in one["points"][3]["wall"]]),
        "more processor time",
    ),
    "a time of nothing": (lambda one: one["points"][0]["wall"].__setitem__(4, 0.0), "not above zero"),
    "an infinite time": (lambda one: one["points"][0]["cpu"].__setitem__(4, math.inf), "not above zero"),
    "a time that was copied": (lambda one: one["points"][0].update(wall=[1e-3] * 20, cpu=[1e-3] * 20), "last digit"),
    "more calls for one": (lambda one: one["points"][1].update(calls=11), "1 + 10 and 1 + 11 calls in a block"),
    "none before for one": (lambda one: one["points"][1].update(before=0), "0 + 10 and 1 + 10 calls in a block"),
    "a core that others had": (
        lambda one: [point.update(wall=[1.5 * w for w in point["wall"]]) for point in one["points"]],
        "waited for a core",
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_cannot_be_compared_withholds_the_verdict(what: str) -> None:
    spoil, said = SPOILT[what]
    found = whole()
    spoil(found)
    assert any(any(part in one for part in said.split("|")) for one in problems(found)), problems(found)
    judged = [row for row in rows(found) if "cpu_ms" in row]
    assert judged
    assert all("not sound" in row["unavailable"] for row in judged)


def test_eager_in_disguise_is_void_and_named_and_the_others_count() -> None:
    """One runtime that falls back on one network would else take the verdicts of all others with it."""
    found = whole()
    found["points"][2].update(torch_operators=100)
    assert problems(found) == []
    assert ("net", "compile", 1) not in sound(found)
    assert len(sound(found)) == 3
    assert "fell back to eager" in void(found)["net", "compile", 1]


def test_a_slow_change_over_blocks_shows_in_their_correlation() -> None:
    draw = random.Random(0)
    assert lag([one + 0.1 * draw.random() for one in range(20)]) > 0.7
    assert abs(lag([draw.random() for _ in range(400)])) < 0.15


def test_a_busy_machine_withholds_the_verdict() -> None:
    found = whole() | {"busy": {"others": 1.9, "unavailable": "others kept 1.9 of 2 cores busy"}}
    assert all("1.9 of 2" in row["unavailable"] for row in rows(found) if "cpu_ms" in row)


def test_a_wrong_output_is_void_and_named_and_never_timed() -> None:
    """OpenVINO gave wrong numbers at one width, quickly."""
    found = record(point(), point("openvino", ms=0.1) | {"error": 0.2}, point("onnxruntime") | {"error": math.nan})
    assert list(sound(found)) == [("net", "eager", 1)]
    void = [row for row in rows(found) if row.get("void")]
    assert [row["runtime"] for row in void] == ["openvino", "onnxruntime"]
    assert not any("cpu_ms" in row for row in void)


def test_int8_may_differ_in_its_outputs_but_not_be_wrong() -> None:
    found = record(point(), point("eager, int8") | {"error": 0.06}, point("eager, bfloat16") | {"error": 0.9})
    assert len(sound(found)) == 2
    assert problems(found) == []


def test_the_interval_of_the_median_covers_as_often_as_it_says() -> None:
    """A skewed distribution, as times have; the mean with its standard error would fail here."""
    draw = random.Random(1)
    true = math.log(2)  # the median of an exponential distribution
    for count, least in ((8, 0.98), (20, 0.94)):
        held = 0
        for _ in range(2000):
            low, high = interval([draw.expovariate(1.0) for _ in range(count)])
            held += low <= true <= high
        assert least <= held / 2000 <= 1.0
    assert interval(range(1, 21)) == (6, 15)
    with pytest.raises(ValueError, match="5 values"):
        interval([1.0] * 5)


def test_half_a_width_is_relative() -> None:
    assert half_width([100.0 + one for one in range(20)]) == pytest.approx(4.5 / 109.5)
