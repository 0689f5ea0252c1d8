"""The stages: counts are those of the files, sums those of their parts, and planted faults show in what is written."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, read_json

from flows.flashlight.stages import FEW, SMALL, TIMED, TRAINED
from models.tensor import PRIMITIVES, conformance
from models.tensor.zoo import NETWORKS
from tasks.base.errors import UserError
from tasks.flashlight import clock, conforming, footprint, peers, swapping
from tasks.flashlight.allocating import Allocating, Summary, allocate, summarise
from tasks.flashlight.clock import kernels, torchs_kernels
from tasks.flashlight.footprint import Counting, count
from tasks.flashlight.networks import named, own, passes, torchs, with_weights_of
from tasks.flashlight.planted import QuantisedAdd
from tasks.flashlight.reducing import Reducing, reduce
from tasks.flashlight.speed import Speed, compare
from tasks.flashlight.swapping import Swapping, swap
from tasks.flashlight.walking import Walking, walk


def rows_with(out: Path, quantity: str, **labels: Any) -> list[dict[str, Any]]:
    rows = read_json(out / "metrics.json")
    return [row for row in rows if quantity in row and all(row.get(key) == value for key, value in labels.items())]


def test_a_footprint_counts_all_of_our_files_and_every_registered_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A count that left the backends out would be a fake."""
    import torch

    quick = {"numpy": "numpy", "models/tensor": "models.tensor", "torch": "json"}  # no import is what is tested here
    monkeypatch.setattr(footprint, "IMPORTS", quick)
    count(config=Counting(repetitions=1), out=tmp_path)
    (own,) = rows_with(tmp_path, "lines", library="models/tensor")
    files = list((ROOT / "models/tensor").rglob("*.py"))
    lines = [line.strip() for path in files for line in path.read_text().splitlines()]
    assert own["lines"] == sum(bool(line) and not line.startswith("#") for line in lines) <= 4000
    assert own["mib"] == pytest.approx(sum(path.stat().st_size for path in files) / 2**20)
    (theirs,) = rows_with(tmp_path, "lines", library="torch")
    assert theirs["lines"] > 100_000
    (times,) = rows_with(tmp_path, "times_smaller", counted="lines")
    assert times["times_smaller"] == pytest.approx(theirs["lines"] / own["lines"])
    operators = {row["library"]: row["operators"] for row in rows_with(tmp_path, "operators")}
    registered = len(torch._C._dispatch_get_all_op_names())
    assert operators["models/tensor"] == len(PRIMITIVES)
    assert operators["torch"] == pytest.approx(registered, rel=0.01)  # others may have registered more meanwhile


def test_a_swap_is_counted_and_reaches_all(tmp_path: Path) -> None:
    """Backward, AlexNet adds nothing; an update that was computed in one go would go around the swap."""
    swap(config=Swapping(networks=("bert-2-32", "alexnet-2-8")), out=tmp_path)
    for library in ("models/tensor", "torch"):
        (whole,) = rows_with(tmp_path, "share_reached", library=library)
        each = rows_with(tmp_path, "reached", library=library)
        assert len(each) == 7
        assert whole["share_reached"] == np.mean([row["reached"] for row in each])
        assert (whole["share_reached"] == 1) == (library == "models/tensor"), "in torch a layer adds within addmm"
    adds = {(row["network"], row["phase"]): row["adds"] for row in rows_with(tmp_path, "adds")}
    assert adds.pop(("alexnet", "backward")) == 0
    assert min(adds.values()) > 0


def test_a_swap_that_is_gone_around_is_not_counted_as_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """During one phase alone: a changed loss must not make gradients and weights count as reached."""
    from models.tensor import optimizers, using
    from models.tensor.numpy_backend import NumpyBackend

    monkeypatch.setattr(QuantisedAdd, "adam_update", NumpyBackend.adam_update)
    for phase, reached in (("forward", True), ("backward", False), ("update by SGD", True), ("update by Adam", False)):
        plain, swapped = (
            swapping._result(swapping._own("mlp-4-16"), optimizers, phase, one)
            for one in (None, lambda: using(QuantisedAdd()))
        )
        assert np.array_equal(plain, swapped) != reached, phase


def test_managers_are_compared_on_the_same_requests_and_sums_are_those_of_the_networks(tmp_path: Path) -> None:
    folders = {}
    for name in ("mlp-8-64", "vit-2-32"):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        allocate(config=Allocating(network=name, steps=4, limits=(24, 64)), out=folders[name])
        reserved = {row["manager"]: row for row in rows_with(folders[name], "reserved_mib")}
        (live,) = rows_with(folders[name], "live_mib")
        assert reserved["naive"]["reserved_mib"] == live["live_mib"]
        assert reserved["naive"]["fragmentation"] == 0
        assert reserved["caching"]["reserved_mib"] >= reserved["caching, scaled"]["reserved_mib"] >= live["live_mib"]
        (reduction,) = rows_with(folders[name], "reduction")
        plain, limited = (reserved[m]["fragmentation"] for m in ("caching, scaled", "caching, scaled, split limit"))
        assert reduction["reduction"] == pytest.approx(1 - limited / plain)
    out = tmp_path / "out"
    out.mkdir()
    summarise(allocated=folders, config=Summary(), out=out)
    (whole,) = read_json(out / "metrics.json")
    assert whole["unequal_weights"] == 0
    assert whole["much_less"] in (0, 0.5, 1)


def test_the_memory_of_a_training_is_the_same_bytes_again(tmp_path: Path) -> None:
    """Requests end when arrays do; a garbage collection at another moment must not show."""
    texts = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        allocate(config=Allocating(network="bert-2-32", steps=4, limits=(24,)), out=tmp_path / place)
        texts.append((tmp_path / place / "metrics.json").read_bytes())
    assert texts[0] == texts[1]


def test_rings_of_real_processes_agree_with_one(tmp_path: Path) -> None:
    reduce(config=Reducing(processes=(2,), width=32, layers=3, repetitions=2, batch=4), out=tmp_path)
    (whole,) = rows_with(tmp_path, "gradient_error")
    assert whole["gradient_error"] < 1e-12
    assert whole["bytes_error"] < 1e-9
    calls = {(row["ring"], row["reducer"]): row["reductions"] for row in rows_with(tmp_path, "reductions")}
    assert calls["sockets", "inline"] == 8
    assert calls["shared memory", "bucketed"] == 1
    assert len(rows_with(tmp_path, "bucket_ratio", ring="sockets")) == 2


def test_a_beam_is_walked_with_and_without_pruning(tmp_path: Path) -> None:
    walk(config=Walking(nodes=200, repetitions=2, steps=8, beam=4), out=tmp_path)
    (whole,) = rows_with(tmp_path, "pruned_share")
    walked = {row["variant"]: row["walked"] for row in rows_with(tmp_path, "walked")}
    assert whole["pruned_share"] == walked["pruned"] / walked["whole"] < 1
    assert whole["unequal_gradients"] == 0
    assert whole["gradient_error"] < 1e-6


def test_both_libraries_are_timed_on_the_same_loss_and_a_slow_add_shows(tmp_path: Path) -> None:
    """Another network, precision or loss on one side would be an unfair comparison."""
    compare(
        config=Speed(
            networks=("vgg16-2-8", "vit-2-32"), lengths=(100,), widths=(16,), repetitions=2, warm_up=1, calls=5
        ),
        out=tmp_path,
    )
    apart = rows_with(tmp_path, "loss_apart")
    assert len(apart) == 4
    assert max(row["loss_apart"] for row in apart) < 1e-4
    layouts = {"torch", "torch, channels last"}
    for network in ("vgg16", "vit"):  # the one that is all convolutions and one that begins with one
        libraries = {row["library"] for row in rows_with(tmp_path, "hundred_passes", network=network)}
        assert libraries == layouts | {"numpy", "lazy"}
        libraries = {row["library"] for row in rows_with(tmp_path, "hundred_steps", network=network)}
        assert libraries == layouts | {f"{one}, fused Adam" for one in layouts} | {"numpy", "lazy"}
    others = [row for row in rows_with(tmp_path, "hundred_passes", network="vgg16") if row["library"] in layouts]
    best = min(row["hundred_passes"] for row in others)
    (seconds,) = rows_with(tmp_path, "torch_seconds", network="vgg16")
    assert seconds["torch_seconds"] == pytest.approx(best / 100)
    shares = {row["profiled"]: row["add_share"] for row in rows_with(tmp_path, "add_share")}
    assert shares["slow add"] > shares["numpy"] + 0.05


def test_jax_computes_torchs_loss_and_what_cannot_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another loss would be another network's time; a library that is silently left out would hide that it won."""
    pytest.importorskip("jax")

    def lacking(name: str, reference: Any) -> peers.Pass:
        raise peers.CannotRun("it needs a compiler")

    monkeypatch.setitem(peers.PEERS, "lacking", lacking)
    monkeypatch.setattr(peers, "ONE_CORE", 9.0)  # another test of this process may have had JAX start a thread a core
    config = Speed(
        networks=("mlp-4-16", "bert-2-32"),
        peers=("JAX", "lacking"),
        compiled=("mlp-4-16",),
        lengths=(100,),
        widths=(16,),
        repetitions=1,
        warm_up=1,
        calls=5,
    )
    compare(config=config, out=tmp_path)
    (own,) = rows_with(tmp_path, "loss_apart", backend="JAX")
    assert own["loss_apart"] < 1e-5
    assert len(rows_with(tmp_path, "hundred_passes", library="JAX")) == 1
    told = {(row["network"], row["untimed"]) for row in rows_with(tmp_path, "not_timed")}
    assert ("mlp", "lacking: it needs a compiler") in told
    assert {network for network, _ in told} == {"mlp", "bert"}
    assert len(told) == 3


def test_a_case_without_gradients_is_no_case_whose_gradients_are_slopes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skipped, a backend that fails or forgets a gradient would have the best slopes of all."""
    (case,) = [one for one in conformance.cases() if one.name == "multiply, (3, 4) and (3, 4)"]
    assert conforming._worst_slope([case], 2) < 1e-6
    whole = conformance.run(case)
    for found in (conformance.Outcome(error="ValueError: no"), replace(whole, gradients=whole.gradients[:1])):
        monkeypatch.setattr(conformance, "run", lambda *_, found=found, **__: found)
        with pytest.raises(UserError, match=r"multiply, .* has no gradients"):
            conforming._worst_slope([case], 2)


def test_no_dropout_is_paid_for_by_torch_alone() -> None:
    """AlexNet has two; with them, two passes over the same batch would give two losses."""
    theirs = torchs("alexnet-2-8", channels_last=True)
    assert passes(theirs)().item() == passes(theirs)().item()
    made = with_weights_of(own("alexnet-2-8"), theirs)
    assert passes(made)().item() == pytest.approx(passes(theirs)().item(), abs=1e-4)


def test_what_torch_was_built_with_is_read_off_and_threads_are_told() -> None:
    built = "- Intel(R) oneAPI Math Kernel Library Version 2024.2-Product\n- Intel(R) MKL-DNN v3.12.0 (Git)\n"
    built += "- CPU capability usage: AVX512\n- Build settings: BLAS_INFO=mkl, BUILD_TYPE=Release"
    assert torchs_kernels(built) == "BLAS mkl, MKL 2024.2, oneDNN 3.12.0, instructions AVX512"
    assert kernels().count("threads") >= 2


def test_a_ring_is_not_alone_where_one_of_its_cores_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = len(os.sched_getaffinity(0))
    others, now = iter((0.0, 0.5, 0.0, 0.5)), iter((0.0, 1.0, 0.0, 1.0))  # half a core is busy
    monkeypatch.setattr(clock, "_by_others", lambda: next(others))
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    with clock.alone(needed=cores) as whole:
        pass
    with clock.alone(needed=cores - 1) as rest:
        pass
    assert "unavailable" in whole
    assert "unavailable" not in rest


def test_every_name_in_the_stages_is_a_network() -> None:
    for names in (SMALL, TRAINED, TIMED, FEW):
        assert all(named(name).network in NETWORKS for name in names)
        assert json.dumps(named(names[0]).labels)
    for names in (SMALL, TRAINED, TIMED):
        assert {named(name).network for name in names} == set(NETWORKS)


def test_a_library_on_two_threads_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX keeps a thread for each core, if it may: its times would be set beside those of one thread."""
    monkeypatch.setitem(peers.PEERS, "double", lambda name, reference: lambda: 0.0)
    monkeypatch.setattr(peers, "cores_used", lambda run: 1.5)
    with pytest.raises(peers.CannotRun, match=r"1\.5 cores"):
        peers.peer("double", "mlp-2-8")
