"""Real processes, one a runtime: a planted delay is found, a crash is named, and the others go on."""

import math
import os
import random
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tasks.base.errors import UserError
from tasks.framework_tax import blocks
from tasks.framework_tax.arms import ARMS, DELAY_US
from tasks.framework_tax.blocks import Plan, Point, Process, _Measuring, measure
from tasks.framework_tax.building import make
from tasks.framework_tax.networks import FAMILIES, Wanted, names_of, network
from tasks.framework_tax.record import LEAST_BLOCKS, problems
from tasks.framework_tax.runtimes import TorchScript
from tasks.framework_tax.worker import Served

PLAN = Plan(threads=1, blocks=LEAST_BLOCKS, settle=0.01, least=0.002, seed=0)

BROKEN = """
import os, signal, sys
import torch

class Model(torch.nn.Module):
    def __init__(self, what):
        super().__init__()
        self.what, self.linear = what, torch.nn.Linear(4, 4)

    def forward(self, x):
        if self.what == "dies" and "again" in " ".join(sys.argv):
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.what == "wrong" and "again" in " ".join(sys.argv):
            return self.linear(x) + 1
        return "a word" if self.what == "words" else {"out": self.linear(x)}

def dies(): return Model("dies"), torch.ones(2, 4)
def wrong(): return Model("wrong"), [torch.ones(2, 4)]
def words(): return Model("words"), torch.ones(2, 4)
def nothing(): return None
"""


def by_arm(record: dict[str, Any]) -> dict[str, Any]:
    return {point["arm"]: point for point in record["points"]}


def test_a_planted_delay_is_found_to_its_size() -> None:
    """A clock that did not see the host's own work would miss it. Four leaves spin."""
    points = [Point("ffn-16-2", arm, batch) for arm in ("eager", "eager, delayed") for batch in (1, 2)]
    found = measure(points, {"ffn-16-2": Wanted("ffn-16-2")}, {}, PLAN)
    assert [one for one in problems(found) if "waited for a core" not in one] == []  # company is no fault of the clock
    own = by_arm(found)
    assert own["eager, delayed"]["facts"]["planted_us"] == 4 * DELAY_US
    more = 1e6 * (median(own["eager, delayed"]["cpu"]) - median(own["eager"]["cpu"]))
    assert 0.7 * 4 * DELAY_US < more < 3 * 4 * DELAY_US, "caches that others emptied meanwhile may add to it"
    assert own["eager, delayed"]["calls"] == own["eager"]["calls"], "the slower one would be timed colder"
    assert len({one["pid"] for one in found["arms"].values()}) == 2
    assert all(sorted(order) == sorted(found["orders"][0]) for order in found["orders"])
    assert len({tuple(order) for order in found["orders"]}) > 1


def broken(folder: Path, *names: str) -> dict[str, dict[str, Any]]:
    """What became of these networks on eager and on eager in another process, in which some of them break."""
    (folder / "broken.py").write_text(BROKEN)
    asked = {name: Wanted(f"broken:{name}", "function", str(folder)) for name in names}
    points = [Point(one.name, arm, 3) for one in asked.values() for arm in ("eager", "eager, again")]
    record = measure(points, {one.name: one for one in asked.values()}, {}, PLAN)
    return {
        name: by_arm({"points": [point for point in record["points"] if point["network"] == one.name]})
        for name, one in asked.items()
    }


def test_what_breaks_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    found = broken(tmp_path, "words", "nothing", "wrong")
    for name, said in (("words", "outputs are to be tensors"), ("nothing", "NoneType")):
        assert said in found[name]["eager"]["failed"]
        assert "nothing to hold it against" in found[name]["eager, again"]["failed"]
    assert found["wrong"]["eager, again"]["error"] > 0.5
    assert found["wrong"]["eager"]["error"] == 0


def test_a_process_that_dies_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    found = broken(tmp_path, "dies")["dies"]
    assert "ended by SIGSEGV" in found["eager, again"]["failed"]
    assert not found["eager"]["failed"]
    assert len(found["eager"]["wall"]) == PLAN.blocks


@pytest.mark.parametrize(("calls", "before"), [(1, 1), (5, 1), (1, 0)])
def test_calls_before_those_that_count_are_made_and_not_counted(calls: int, before: int) -> None:
    made: list[int] = []
    served = object.__new__(Served)
    served._calls = {("net", 1): lambda: made.append(1)}
    served.time("net", 1, calls, before)
    assert len(made) == calls + before


@pytest.mark.parametrize(("seconds", "before"), [((0.004, 0.3), 1), ((0.2, 0.3), 0)])
def test_all_arms_are_timed_as_warm_as_the_quickest_needs(seconds: tuple[float, float], before: int) -> None:
    """Were each arm's own time asked, the slower of two runtimes would be timed with cold caches."""
    points = [Point("net", arm, 1) for arm in ("eager", "torchscript")]
    made = _Measuring(points, {}, {}, PLAN, Path())
    for point, each in zip(points, seconds, strict=True):
        made.timed[point].quickest, made.timed[point].calls = each, max(1, round(0.01 / each))
    made._share_calls()
    assert {(one.calls, one.before) for one in made.timed.values()} == {(max(1, round(0.01 / seconds[0])), before)}


@pytest.mark.parametrize(("spread", "run"), [(0.0, 8), (0.5, 12)])
def test_blocks_go_on_until_medians_are_certain_and_no_longer_than_that(spread: float, run: int) -> None:
    points = [Point("net", arm, 1) for arm in ("eager", "torchscript")]
    made = _Measuring(points, {}, {}, replace(PLAN, most=12), Path())
    made._processes = dict.fromkeys(("eager", "torchscript"))  # type: ignore[arg-type]
    draw = random.Random(0)

    def ask(point: Point, *_: Any) -> tuple[float, float]:
        return (seconds := 1 + spread * draw.random(), seconds)

    made._ask = ask  # type: ignore[method-assign]
    made._time()
    assert {len(one.cpu) for one in made.timed.values()} == {len(made.orders)} == {run}


class Numbers(torch.nn.Module):
    """A product in one precision, and a number in double beside it, as attention's scale is when it is traced."""

    def __init__(self, kind: torch.dtype) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(4, 4).to(kind))
        self.scale = torch.tensor(0.5, dtype=torch.float64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(self.weight.dtype) @ self.weight * self.scale


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_a_number_in_double_is_no_product_in_double(kind: str, tmp_path: Path) -> None:
    module = Numbers(getattr(torch, kind)).eval()
    torch.jit.save(torch.jit.freeze(torch.jit.trace(module, torch.ones(2, 4))), str(tmp_path / "model.ts"))  # type: ignore[no-untyped-call]
    loaded = object.__new__(TorchScript)  # a process may say only once how many threads it has
    loaded.facts = {}
    loaded.load(Wanted("numbers"), tmp_path, 2)
    assert loaded.facts["precision"] == kind


@pytest.mark.parametrize("size", [1e-22, 1.0, 1e9])
def test_an_error_is_relative_to_outputs_however_small(size: float, tmp_path: Path) -> None:
    """Divided by a least size, outputs of 1e-22 would pass whatever a runtime gives."""
    served = object.__new__(Served)
    expected = size * np.array([3.0, 4.0, 5.0], dtype=np.float32)
    np.save(tmp_path / "output-0.npy", expected)
    served._calls, served._expected = {("net", 1): lambda: 1.1 * expected}, {("net", 1): tmp_path}
    served.runtime = SimpleNamespace(arrays=lambda outputs: [outputs])  # type: ignore[assignment]
    assert served.error(("net", 1)) == pytest.approx(0.5 / math.sqrt(50 / 3), rel=1e-4)


@pytest.fixture(scope="module")
def left_out(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """Why networks were not timed on arms, for one is constant, and runtimes are missing or have nothing to read."""
    built = tmp_path_factory.mktemp("built")
    (built / "model.ts.failed").write_text("it branches on its values")
    points = [Point("ffn-8-1", arm, 1) for arm in ("eager", "torchscript", "openvino")] + [Point("ffn-1-4", "eager", 1)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(blocks, "missing", lambda name: "openvino is not installed" if name == "openvino" else "")
        networks = {name: Wanted(name) for name in ("ffn-8-1", "ffn-1-4")}
        found = measure(points, networks, {"ffn-8-1": built}, Plan(1, 1, 0.001, 0.001, 0))
    return {(point["network"], point["arm"]): point["failed"] for point in found["points"]}


def test_a_network_whose_outputs_are_constant_is_named(left_out: dict[tuple[str, str], str]) -> None:
    """Nothing could be told from outputs that are all zero: any runtime would be equal."""
    assert "constant" in left_out["ffn-1-4", "eager"]


def test_a_runtime_that_is_not_installed_is_named(left_out: dict[tuple[str, str], str]) -> None:
    assert left_out["ffn-8-1", "openvino"] == "openvino is not installed"
    assert not left_out["ffn-8-1", "eager"]


def test_what_was_not_built_is_said_with_its_reason(left_out: dict[tuple[str, str], str]) -> None:
    assert left_out["ffn-8-1", "torchscript"] == "it branches on its values"


def test_all_threads_keep_to_the_cores_that_all_runtimes_have(tmp_path: Path) -> None:
    """A library's own threads, started at its import, would else run on a core that the others do not have."""
    process = Process("eager", 1, True, tmp_path)
    try:
        began = process.ask("start")
        process.ask("pin")
        threads = Path(f"/proc/{began['pid']}/task").iterdir()
        assert {frozenset(os.sched_getaffinity(int(one.name))) for one in threads} == {
            frozenset([max(os.sched_getaffinity(0))])
        }
    finally:
        process.close()


@pytest.mark.slow
def test_what_was_compiled_beforehand_is_not_compiled_again(tmp_path: Path) -> None:
    """A cache whose keys are others would let a first call take as long as without."""
    pytest.importorskip("torch")
    assert list(make(Wanted("ffn-8-1"), ["compile"], tmp_path)) == ["compile"]
    points = [Point("ffn-8-1", arm, batch) for arm in ("eager", "compile") for batch in (1, 2, 4)]
    found = measure(points, {"ffn-8-1": Wanted("ffn-8-1")}, {"ffn-8-1": tmp_path}, Plan(1, 1, 0.001, 0.001, 0))
    compiled = [point["operators"] for point in found["points"] if point["arm"] == "compile"]
    assert [one["inductor cache misses"] for one in compiled] == [0, 0, 0]
    assert [one["graphs"] for one in compiled] == [1, 2, 2]


def test_openvino_does_not_report_home() -> None:
    """Its import sends a message unless its telemetry cannot be imported."""
    pytest.importorskip("openvino")
    import subprocess

    code = (
        "import sys; from tasks.framework_tax.runtimes import start; from tasks.framework_tax.arms import ARMS; "
        "start(ARMS['openvino'], 1); "
        "print([m for m in sys.modules if m.startswith('openvino_telemetry') and sys.modules[m]])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_network_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UserError, match="no network ffn-64; there are bert-tiny"):
        network(Wanted("ffn-64"))
    with pytest.raises(UserError, match="name the folder"):
        network(Wanted("minilm"))


def test_inputs_follow_the_batch_and_are_the_same_each_time() -> None:
    """A batch that changed nothing would make every curve flat."""
    for name in ("encoder-16-1", "conv-4-1", "lstm-8-1"):
        made = network(Wanted(name))
        assert [len(made.inputs(batch)[0]) for batch in (1, 5)] == [1, 5]
        assert made.inputs(2)[0].equal(made.inputs(2)[0])
        assert len(made.module(*made.inputs(3))) == 3


def test_texts_may_have_another_length() -> None:
    """A length that changed nothing would make every curve over lengths flat."""
    shapes = [network(Wanted(name)).inputs(2)[0].shape for name in ("encoder-16-1", "encoder-16-1-256")]
    assert shapes == [(2, 16, 16), (2, 256, 16)]
    with pytest.raises(UserError, match="a ffn reads no text, so it cannot have 256 tokens"):
        network(Wanted("ffn-16-1-256"))


def test_groups_and_names_may_be_mixed() -> None:
    assert names_of("depths ffn-64-16 bert-tiny") == ["ffn-64-16", "ffn-256-1", "bert-tiny"]
    assert set(FAMILIES).isdisjoint(names_of("templates"))
    assert next(iter(ARMS)) == "eager"


def test_a_family_is_traced_and_frozen_in_evaluation_mode(tmp_path: Path) -> None:
    """A wrapper left in training mode cannot be frozen, and TorchScript would be missing for every real network."""
    made = network(Wanted("bert-tiny"))
    assert not any(one.training for one in made.module.modules())
    assert made.module(*made.inputs(3)).shape[0] == 3
    assert list(make(Wanted("bert-tiny"), ["torchscript"], tmp_path)) == ["torchscript"]
    assert (tmp_path / "model.ts").is_file()
