"""Distributed runs are real, compute what one process does, send what the formulas say, and leave nothing behind."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, wait_for

from models.config import Transformer
from tasks.base.errors import UserError
from tasks.hardware.gloo import fit as gloo_fit
from tasks.hardware.gloo import launch as launching
from tasks.hardware.gloo import shaped as gloo_shaped
from tasks.hardware.gloo import stages as gloo
from tasks.hardware.gloo.job import PARALLEL, Job, Shape
from tasks.hardware.gloo.launch import launch
from tasks.hardware.gloo.network import ADDRESSES, Link, Unavailable, linked

TINY = Shape(
    architecture=Transformer(
        vocabulary=64, width=32, layers=2, heads=4, feed_forward=64, context=16, tied_embeddings=False
    ),
    batch=8,
    micro_batches=4,
)

LAYER = 4 * (3 * 32 * 32 + 32 * 32 + 2 * 64 * 32 + 64 * 32 + 2 * 32)
ENDS = 4 * (2 * 64 * 32 + 32)
HIDDEN = 4 * 8 * 16 * 32
BY_HAND: dict[str, dict[tuple[str, int], int]] = {
    "ddp": {("all-reduce", 2 * LAYER + ENDS): 1},
    "fsdp": {
        ("all-gather", LAYER): 2 * 2,
        ("all-gather", ENDS): 1,
        ("reduce-scatter", LAYER): 2,
        ("reduce-scatter", ENDS): 1,
    },
    "fsdp-keep": {
        ("all-gather", LAYER): 2,
        ("all-gather", ENDS): 1,
        ("reduce-scatter", LAYER): 2,
        ("reduce-scatter", ENDS): 1,
    },
    "tensor": {("all-reduce", HIDDEN): 4 * 2 + 2, ("all-reduce", 4 * 8 * 16): 3},
    "tensor-sequence": {
        ("all-gather", HIDDEN): 4 * 2 + 2,
        ("reduce-scatter", HIDDEN): 4 * 2 + 2,
        ("all-reduce", 4 * 8 * 16): 3,
        ("all-reduce", 4 * 32): 2 * 2 + 1,
    },
    "pipeline": {("send", HIDDEN // 4): 4, ("receive", HIDDEN // 4): 4},
}
"""Of each process, on two: 2 layers, 4-byte numbers, 4 micro-batches; worked out on paper."""


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    out = tmp_path_factory.mktemp("volumes")
    gloo.measure_volumes(config=gloo.Volumes(shape=TINY, processes=(2,)), out=out)
    return json.loads((out / "metrics.json").read_text())


@pytest.mark.parametrize("arm", PARALLEL)
def test_every_collective_is_seen_and_is_the_one_worked_out_by_hand(counted: list[dict[str, Any]], arm: str) -> None:
    """A hook that misses DDP's reducer or the pipeline's messages finds fewer; a formula that is off differs."""
    rows = [row for row in counted if row["arm"] == arm and "count" in row]
    for process in {row["process"] for row in rows}:
        mine = [row for row in rows if row["process"] == process]
        assert {(row["kind"], row["message_bytes"]): row["count"] for row in mine} == BY_HAND[arm]
        assert {(row["kind"], row["message_bytes"]): row["formula_count"] for row in mine} == BY_HAND[arm]
        assert all(row["bytes"] == row["count"] * row["message_bytes"] == row["formula_bytes"] for row in mine)


def test_every_arm_trains_the_model_of_one_process(counted: list[dict[str, Any]]) -> None:
    totals = [row for row in counted if "loss_difference" in row]
    assert [row["arm"] for row in totals] == [*PARALLEL, "all"]
    assert all(row["loss_difference"] < 2e-5 for row in totals)
    assert all(row["mismatched_bytes"] == row["mismatched_count"] == 0 for row in totals)


def faked(monkeypatch: pytest.MonkeyPatch, losses: Sequence[float], **process: Any) -> None:
    """Let the stage believe in a DDP run with these losses and these collectives of its first process."""
    sent = {"seen": [["all-reduce", 2 * LAYER + ENDS, 1]], "debug": {"all-reduce": 1}}
    processes = [{"rank": 0} | sent | process, {"rank": 1} | sent]
    arms = [{"arm": "single", "losses": [4.0, 3.0]}, {"arm": "ddp", "losses": losses, "processes": processes}]
    monkeypatch.setattr(gloo, "run", lambda job: arms)


def test_an_arm_with_another_loss_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A wrong parallel run (a gradient twice too large, say) is not a run."""
    faked(monkeypatch, [4.0, 2.99])
    with pytest.raises(UserError, match="does not train the same model"):
        gloo.measure_volumes(config=gloo.Volumes(shape=TINY, processes=(2,)), out=tmp_path)


@pytest.mark.parametrize(
    ("process", "says"),
    [
        ({"debug": {"all-reduce": 2}}, "CommDebugMode counts"),
        ({"seen": [["all-reduce", LAYER, 1]]}, "sent different things"),
    ],
)
def test_counts_that_disagree_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, process: dict[str, Any], says: str
) -> None:
    faked(monkeypatch, [4.0, 3.0], **process)
    with pytest.raises(RuntimeError, match=says):
        gloo.measure_volumes(config=gloo.Volumes(shape=TINY, processes=(2,)), out=tmp_path)


def test_a_run_on_fewer_processes_than_asked_for_fails() -> None:
    """The classic fake: one process that calls itself distributed."""
    job = Job(work="volumes", processes=2, shapes=(TINY,), arms=("ddp",))
    alone = dataclasses.replace(job, processes=1)
    told = dataclasses.asdict(job)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launching, "asdict", lambda one: told)
        with pytest.raises(UserError, match="2 processes were asked for, 1 are here"):
            launch(alone, [([], ["--standalone", "--local-addr", "127.0.0.1"], "lo")], 60)


LONG = """
from test_gloo import TINY
from tasks.hardware.gloo.job import Job
from tasks.hardware.gloo.launch import run
run(Job(work="steps", processes=2, shapes=(TINY,), arms=("ddp",), repetitions=1_000_000))
"""


def test_no_process_outlives_its_stage() -> None:
    """Killed without a chance to tidy up, the stage takes torchrun and both workers with it."""
    paths = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests/hardware")))}
    stage = subprocess.Popen([sys.executable, "-c", LONG], cwd=ROOT, env=os.environ | paths)
    found = wait_for(lambda: len(made := descendants(stage.pid)) >= 3 and made, "the start of the workers", 60)
    os.kill(stage.pid, signal.SIGKILL)
    stage.wait()
    wait_for(lambda: not any(alive(pid) for pid in found), "the end of the workers", 30)


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that they started, which run the worker's module."""
    made = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            made += [child, *descendants(child)]
    return made


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_shape_that_some_arm_cannot_lay_out_is_refused_before_the_run() -> None:
    with pytest.raises(ValueError, match="4 heads do not divide among 8 processes"):
        gloo.Volumes(shape=TINY, processes=(8,))


def test_latency_and_bandwidth_are_recovered() -> None:
    rows = [{"bytes": size, "seconds": 2e-4 + size / 1e9} for size in (1024, 2**16, 2**20, 2**25)]
    assert gloo_fit.line(rows) == pytest.approx((2e-4, 1e-9))


def fitted(tmp_path: Path, held_out: float) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """The fit to made-up times that follow the model, those of the held-out shape `held_out` times as long."""
    timed = [{"collective": k, "bytes": s, "seconds": 1e-4 + s * 1e-9} for k in gloo_fit.KINDS for s in (1024, 2**20)]
    rows = []
    for width in (32, 64, 96, 128, 160, 192):
        for layers in (2, 4):
            for batch, context in ((8, 16), (16, 64)):
                split = "held-out" if width == 96 else "fit"
                sizes = {"width": width, "layers": layers, "heads": 4, "feed_forward": 3 * width, "vocabulary": 256}
                labels = {"split": split, "context": context, "batch": batch, "micro_batches": 4} | sizes
                for arm in ("single", *PARALLEL):
                    row = {"arm": arm, **labels}
                    work = gloo_fit.process_features(row, 2)
                    links = dict.fromkeys(gloo_fit.KINDS, (1e-4, 1e-9))
                    seconds = 2e-11 * work["operations"] + 3e-10 * work["elements"] + 1e-3 * work["layers"]
                    seconds += gloo_fit.communication(row, links, 2)
                    rows.append(row | {"seconds": seconds * (held_out if split == "held-out" else 1)})
    for name, made in (("collectives", timed), ("steps", rows), ("fit", None)):
        (tmp_path / name).mkdir(exist_ok=True)
        if made:
            (tmp_path / name / "metrics.json").write_text(json.dumps(made))
    gloo_fit.fit_gloo(
        collectives=tmp_path / "collectives", steps=tmp_path / "steps", config=gloo_fit.Fit(), out=tmp_path / "fit"
    )
    costs = json.loads((tmp_path / "fit/costs.json").read_text())
    return json.loads((tmp_path / "fit/metrics.json").read_text()), costs


def test_costs_are_recovered_and_held_out_shapes_foretold(tmp_path: Path) -> None:
    rows, costs = fitted(tmp_path, 1.0)
    assert costs["operations"] == pytest.approx(2e-11, rel=0.02)
    assert costs["layers"] == pytest.approx(1e-3, rel=0.02)
    mape = next(row["mape"] for row in rows if row.get("arm") == "all" and row["split"] == "held-out")
    assert mape < 0.01


def test_held_out_times_do_not_reach_the_fit(tmp_path: Path) -> None:
    """A fit that has seen its test set would move with it, and would report a smaller error."""
    _, before = fitted(tmp_path, 1.0)
    rows, after = fitted(tmp_path, 2.0)
    assert after == before
    mape = next(row["mape"] for row in rows if row.get("arm") == "all" and row["split"] == "held-out")
    assert mape == pytest.approx(0.5, abs=0.01)


RECEIVE = """
import socket, sys
server = socket.create_server((sys.argv[1], 7000)); print("up", flush=True)
taken, _ = server.accept()
while taken.recv(65536): pass
taken.sendall(b"!")
"""
SEND = """
import socket, sys, time
made = socket.create_connection((sys.argv[1], 7000))
start = time.perf_counter()
made.sendall(bytes(int(sys.argv[2]))); made.shutdown(socket.SHUT_WR); made.recv(1)
print(time.perf_counter() - start)
"""


def seconds_over(link: Link, size: int) -> float:
    """Seconds for so many bytes over the link and one byte back."""
    with linked(link) as ends:
        receive = [*ends.inside(1), sys.executable, "-c", RECEIVE, ADDRESSES[1]]
        with subprocess.Popen(receive, stdout=subprocess.PIPE) as receiver:
            assert receiver.stdout
            receiver.stdout.readline()
            send = [*ends.inside(0), sys.executable, "-c", SEND, ADDRESSES[1], str(size)]
            return float(subprocess.run(send, capture_output=True, check=True).stdout)


@pytest.mark.parametrize(
    ("link", "size", "least"),
    [(Link(megabits=40.0), 1_000_000, 0.19), (Link(milliseconds=40.0), 1000, 0.08)],
)
def test_a_link_is_as_slow_as_it_was_asked_to_be(link: Link, size: int, least: float) -> None:
    """Or this machine refuses, and says which step: never a fast link under a slow name."""
    try:
        bare, shaped = seconds_over(Link(), size), seconds_over(link, size)
    except Unavailable:
        return
    assert least <= shaped < least + 0.1
    assert bare < least / 2


def test_where_no_link_can_be_made_the_reason_is_the_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(link: Link, config: gloo_shaped.ShapedTimes) -> list[dict[str, Any]]:
        raise Unavailable("tc qdisc add: Operation not permitted")

    monkeypatch.setattr(gloo_shaped, "over", refused)
    config = gloo_shaped.ShapedTimes(fit=(Link(),), held_out=(Link(megabits=100.0),), sizes=(4096,), repetitions=1)
    gloo_shaped.measure_shaped(config=config, out=tmp_path)
    (row,) = json.loads((tmp_path / "metrics.json").read_text())
    assert row["unavailable"] == "tc qdisc add: Operation not permitted"
    assert not any("seconds" in name or "error" in name for name in row)
