"""The stages: sums are those of their parts, planted optima are found, and the networks have their published sizes."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import read_json

from flows.olla.stages import FEW, RUN, SOLVED, TIMED, ZOO
from models.olla.graph import Graph
from models.olla.minimalloc import perfect, read_csv, write_csv
from models.olla.placement import arena_of, best_placement, live_bound
from models.olla.simulator import replay
from models.olla.zoo import NETWORKS, sample
from tasks.olla.names import MIB, named
from tasks.olla.planning import Planning, plan_network
from tasks.olla.running import Running, run_network
from tasks.olla.summary import Summary, planted_graph, summarise

PARAMETERS = {
    "alexnet": 61_100_840,
    "vgg16": 138_357_544,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "mobilenet_v2": 3_504_872,
    "efficientnet_b0": 5_288_548,
    "googlenet": 13_004_888,
    "squeezenet": 1_248_424,
    "mnasnet": 4_383_312,
    "r3d_18": 33_371_472,
    "vit_b_16": 86_567_656,
    "gpt2": 124_439_808,
    "smollm2": 134_515_008,
}
"""As published with the weights (torchvision, Hugging Face)."""


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("planned")
    plan_network(config=Planning(graph="alexnet-32-sgd"), out=out)
    return out


def row(rows: list[dict[str, Any]], **labels: Any) -> dict[str, Any]:
    (found,) = [one for one in rows if all(one.get(name) == value for name, value in labels.items())]
    return found


def test_the_account_of_a_saving_adds_up(planned: Path) -> None:
    rows = read_json(planned / "metrics.json")
    parts = {one["part"]: one["saved"] for one in rows if "part" in one}
    assert parts["order in all"] == pytest.approx(parts["early updates"] + parts["search beyond early updates"])
    peaks = {one["order"]: one["peak_mib"] for one in rows if "order" in one}
    resident = next(one["resident_mib"] for one in rows if "resident_mib" in one)
    assert parts["order in all"] == pytest.approx((peaks["pytorch"] - peaks["planned"]) / (peaks["pytorch"] + resident))
    graph = Graph.from_json(read_json(planned / "graph.json"))
    plan = read_json(planned / "plan.json")
    seen = replay(graph, plan["order"], {int(s): a for s, a in plan["addresses"].items()}, align=64)
    assert replay(graph, plan["order"]).peak / MIB == peaks["planned"]
    assert seen.arena / MIB == row(rows, placement="planned")["arena_mib"]


def test_a_plan_is_the_same_bytes_again(planned: Path, tmp_path: Path) -> None:
    plan_network(config=Planning(graph="alexnet-32-sgd"), out=tmp_path)
    for name in ("graph.json", "plan.json", "metrics.json", "examples.parquet"):
        assert (planned / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_real_runs_and_sums(planned: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir()
    out.mkdir()
    run_network(config=Running(graph="squeezenet-2-sgd-40"), out=run)
    rows = read_json(run / "metrics.json")
    assert {one["run"]: one["unequal"] for one in rows if "unequal" in one} == {"traced": 0, "reordered": 0, "arena": 0}
    assert max(abs(one["peak_error"]) for one in rows if "peak_error" in one) < 0.02
    summarise(planned={"a": planned}, ran={"b": run}, config=Summary(), out=out)
    found = read_json(out / "metrics.json")
    whole = row(found, over="all graphs")
    assert (whole["graphs"], whole["proved"], whole["worse_than_rules"], whole["unequal_tensors"]) == (1, 1.0, 0, 0)
    assert [one["planted"] for one in found if "planted" in one] == [1.0, 1.0]


def test_the_planted_optimum_is_one() -> None:
    """By exhaustive search on a small one."""
    from small_graphs import orders

    graph, best = planted_graph(3, seed=1)
    assert min(replay(graph, order).peak for order in orders(graph)) == best


def test_planted_packings_are_perfect_and_the_format_is_read_back(tmp_path: Path) -> None:
    blocks, capacity = perfect(40, seed=3)
    assert sum(b.size * (b.upper - b.lower) for b in blocks) == capacity * 1000
    assert live_bound(blocks) == capacity
    write_csv(blocks, tmp_path / "a.csv")
    assert read_csv(tmp_path / "a.csv") == blocks
    placed = best_placement(blocks, exact=False)
    assert capacity <= placed.arena == arena_of(blocks, placed.addresses) <= placed.arenas["greedy by size"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,lower,upper\n0,0,1\n", "no column size"),
        ("id,lower,upper,size\n0,3,3,4\n", "line 2: a block needs a lifetime"),
        ("id,lower,upper,size\n0,0,1,many\n", "line 2: lower, upper and size are whole numbers"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=says):
        read_csv(tmp_path / "a.csv")


@pytest.mark.parametrize("network", sorted(PARAMETERS))
def test_the_networks_have_the_published_sizes(network: str) -> None:
    """Toy graphs under a real network's name would be a fake."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        model = sample(network, 1).model
    own = {id(weight): weight.numel() for weight in model.parameters()}
    assert sum(own.values()) == PARAMETERS[network]


def test_every_name_in_the_stages_is_a_graph() -> None:
    for name in (*FEW, *ZOO, *RUN, *SOLVED, *TIMED):
        assert named(name).network in NETWORKS
        assert named(name).labels["graph"] == name
    assert set(SOLVED) <= set(ZOO)
    assert len(ZOO) == len(set(ZOO)) == 4 * len(NETWORKS)
    assert json.dumps(named("alexnet-1-sgd").labels)
