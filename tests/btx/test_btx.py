"""BTX's stages end to end on made text: budgets, determinism, what each arm may know."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_corpus import WORDS, make_corpus
from said_model import listen, loaded

from models.config import Mixture, Optimisation, Transformer
from models.flops import training_flops
from tasks.base.errors import UserError
from tasks.btx import training as btx
from tasks.btx.evaluation import Evaluation, btm, evaluate, mutual_information
from tasks.learning import lm
from tasks.learning.stored import load_model, load_weights
from tasks.learning.tokens import Tokenization, tokenize
from tasks.learning.train import Plateau

SMALL = Transformer(vocabulary=320, width=16, layers=2, heads=2, feed_forward=64, context=32)
MIXTURE = Mixture(experts=4)
EXPERT = Optimisation(steps=40, batch=8, learning_rate=1e-2, warmup=5)
FINETUNE = Optimisation(steps=50, batch=6, learning_rate=1e-2, warmup=5)


def baseline(**changes: Any) -> btx.Baseline:
    common = {"seed": 0, "workers": 3, "expert": EXPERT, "finetune": FINETUNE, "mixture": MIXTURE}
    return btx.Baseline(**(common | changes))


def trained(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text())


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every stage of the paper, run once."""
    root = tmp_path_factory.mktemp("btx")

    def folder(name: str) -> Path:
        made = root / name
        made.mkdir()
        return made

    made = {name: folder(name) for name in ("tokens", "seed", "mix", "btx", "dense", "dense-path", "upcycled")}
    tokens, seed = made["tokens"], made["seed"]
    tokenize(
        corpus=make_corpus(root / "corpus"),
        config=Tokenization(vocabulary=320, validation=0.1),
        out=tokens,
    )
    start = lm.Pretraining(
        architecture=SMALL,
        optimisation=replace(EXPERT, steps=60),
        plateau=Plateau(gain=0.01, steps=30),
        seed=0,
    )
    lm.pretrain(tokens=tokens, config=start, out=seed)
    for domain in WORDS:
        made[f"expert-{domain}"] = folder(f"expert-{domain}")
        config = btx.Expert(domain=domain, seed=0, optimisation=EXPERT)
        btx.train_expert(tokens=tokens, seed_model=seed, config=config, out=made[f"expert-{domain}"])
    experts = {domain: made[f"expert-{domain}"] for domain in WORDS}
    btx.mix(experts=experts, seed_model=seed, config=btx.Mix(seed=0, mixture=MIXTURE), out=made["mix"])
    tune = btx.Finetuning(seed=0, optimisation=FINETUNE)
    btx.finetune(tokens=tokens, mixture=made["mix"], config=tune, out=made["btx"])
    btx.train_dense(tokens=tokens, seed_model=seed, config=baseline(), out=made["dense"])
    btx.train_dense(tokens=tokens, seed_model=seed, config=baseline(match="path"), out=made["dense-path"])
    btx.train_upcycled(tokens=tokens, seed_model=seed, config=baseline(), out=made["upcycled"])
    made["metrics"] = folder("metrics")
    _evaluate(made, made["metrics"])
    return made


def _evaluate(arms: dict[str, Path], out: Path) -> None:
    evaluate(
        tokens=arms["tokens"],
        seed_model=arms["seed"],
        experts={domain: arms[f"expert-{domain}"] for domain in WORDS},
        merged=arms["mix"],
        models={label: arms[label] for label in ("btx", "dense", "upcycled")},
        config=Evaluation(seed=0, windows=40, prefix=6, permutations=20),
        out=out,
    )


@pytest.fixture(scope="module")
def rows(arms: dict[str, Path]) -> list[dict[str, Any]]:
    return json.loads((arms["metrics"] / "metrics.json").read_text())


def score(rows: list[dict[str, Any]], arm: str, domain: str) -> float:
    (value,) = [
        row["bits_per_byte"] for row in rows if "bits_per_byte" in row and (row["arm"], row["domain"]) == (arm, domain)
    ]
    return float(value)


def test_equal_compute_is_within_one_percent(arms: dict[str, Path]) -> None:
    """A baseline with fewer operations would make BTX win for free."""
    btx_flops = sum(trained(arms[name])["flops"] for name in (*(f"expert-{d}" for d in WORDS), "btx"))
    for name in ("dense", "upcycled"):
        assert trained(arms[name])["flops"] == pytest.approx(btx_flops, rel=0.01)


@given(
    st.sampled_from(["dense", "upcycled"]),
    st.integers(60, 3000),
    st.integers(60, 3000),
    st.integers(1, 64),
    st.integers(1, 64),
)
@settings(max_examples=50)
def test_equal_compute_holds_for_any_budget(arm: str, expert: int, tune: int, batch: int, tune_batch: int) -> None:
    config = baseline(
        expert=replace(EXPERT, steps=expert, batch=batch),
        finetune=replace(FINETUNE, steps=tune, batch=tune_batch),
    )
    dense, sparse = training_flops(SMALL), training_flops(SMALL, MIXTURE)
    one = dense if arm == "dense" else sparse
    made = btx.baseline_optimisation(config, one, SMALL)
    spent = 3 * expert * batch * dense + tune * tune_batch * sparse
    assert made.steps * made.batch * one == pytest.approx(spent, rel=0.01)
    assert made.learning_rate == EXPERT.learning_rate


def test_the_other_matchings(arms: dict[str, Path]) -> None:
    dense = training_flops(SMALL)
    data = btx.baseline_optimisation(baseline(match="data"), dense, SMALL)
    assert data.steps * data.batch == pytest.approx(3 * 40 * 8 + 50 * 6, abs=4)
    path = trained(arms["dense-path"])
    assert path["steps"] == 40 + 50
    assert path["tokens"] == 90 * 3 * 8 * 32


def test_all_arms_share_the_learning_rate(rows: list[dict[str, Any]]) -> None:
    costs = {row["arm"]: row for row in rows if "flops" in row}
    assert {"seed", "expert-code", "btm-top-1", "btx", "dense", "upcycled"} <= set(costs)
    assert {row["learning_rate"] for row in costs.values()} == {1e-2}
    assert costs["btx"]["serial_steps"] == 40 + 50
    assert costs["btx"]["tokens"] == (3 * 40 * 8 + 50 * 6) * 32
    assert costs["btm-top-2"]["inference_flops"] == 2 * costs["seed"]["inference_flops"]


def test_the_mixture_holds_the_experts_in_order_and_the_seed_last(arms: dict[str, Path]) -> None:
    merged = load_weights(arms["mix"])
    folders = [*(arms[f"expert-{domain}"] for domain in sorted(WORDS)), arms["seed"]]
    for index, folder in enumerate(folders):
        for name, weight in load_weights(folder).items():
            if ".feed_forward." in name:
                assert merged[name][index].numpy().tobytes() == weight.numpy().tobytes()


def test_a_wrong_number_of_experts_is_refused(arms: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must be 2, not 4"):
        btx.mix(
            experts={"code": arms["expert-code"]},
            seed_model=arms["seed"],
            config=btx.Mix(seed=0, mixture=MIXTURE),
            out=tmp_path,
        )


def test_an_unknown_domain_is_refused(arms: dict[str, Path], tmp_path: Path) -> None:
    config = btx.Expert(domain="maths", seed=0, optimisation=EXPERT)
    with pytest.raises(UserError, match="no domain 'maths'; the text has code"):
        btx.train_expert(tokens=arms["tokens"], seed_model=arms["seed"], config=config, out=tmp_path)


def test_experts_specialise(rows: list[dict[str, Any]]) -> None:
    """Swapped domains, or an expert trained on everything, would break the diagonal."""
    for domain in WORDS:
        assert score(rows, f"expert-{domain}", domain) < score(rows, "seed", domain)
        assert score(rows, "btm-oracle", domain) == pytest.approx(score(rows, f"expert-{domain}", domain))


def test_the_mean_is_over_domains(rows: list[dict[str, Any]]) -> None:
    for arm in ("seed", "btx", "btm-top-2", "soup", "merged"):
        expected = sum(score(rows, arm, domain) for domain in WORDS) / 3
        assert score(rows, arm, "mean") == pytest.approx(expected)


def test_documents_weigh_so_that_their_mean_is_the_domains(arms: dict[str, Path], rows: list[dict[str, Any]]) -> None:
    """Else a claim over documents would be judged on another number than the table shows."""
    examples = pyarrow.parquet.read_table(arms["metrics"] / "examples.parquet").to_pylist()
    for arm, domain in {(row["arm"], row["domain"]) for row in rows if "bits_per_byte" in row} - {("btx", "shuffled")}:
        own = [row for row in examples if (row["arm"], row["domain"]) == (arm, domain)]
        mean = sum(row["bits_per_byte"] * row["weight"] for row in own) / sum(row["weight"] for row in own)
        assert mean == pytest.approx(score(rows, arm, domain), rel=1e-9)
        assert len({row["document"] for row in own}) == len(own) > 1


def test_shuffled_text_is_harder(rows: list[dict[str, Any]]) -> None:
    assert score(rows, "btx", "shuffled") > 1.2 * score(rows, "btx", sorted(WORDS)[0])


def test_the_trained_router_is_used(rows: list[dict[str, Any]]) -> None:
    assert score(rows, "btx-uniform-router", "mean") != score(rows, "btx", "mean")
    assert score(rows, "btx-random-router", "mean") != score(rows, "btx", "mean")
    for row in rows:
        if "expert_distance" in row:
            assert row["expert_distance"] > 1e-4, row
    shares = [row["gate_share"] for row in rows if "gate_share" in row and row["arm"] == "btx"]
    assert sum(shares) == pytest.approx(len(WORDS) + 1)


def test_metrics_are_declared_and_repeat(arms: dict[str, Path], rows: list[dict[str, Any]], tmp_path: Path) -> None:
    keys = {"arm", "domain", "seed", "expert"}
    assert {key for row in rows for key in row} - keys == set(evaluate.measures)  # type: ignore[attr-defined]
    _evaluate(arms, tmp_path)
    assert (tmp_path / "metrics.json").read_bytes() == (arms["metrics"] / "metrics.json").read_bytes()


def test_btm_looks_at_the_prefix_only() -> None:
    """An ensemble weighed by the whole window would have read the answer."""
    torch.manual_seed(0)
    logs = torch.randn(3, 5, 20).sub(3)
    inside = torch.ones(5, 20, dtype=torch.bool)
    later = logs.clone()
    later[:, :, 8:] = torch.randn(3, 5, 12).sub(9)
    for top in (1, 2):
        before, after = btm(logs, inside, 8, top), btm(later, inside, 8, top)
        assert before[:, :8].equal(after[:, :8])
    best = logs[:, :, :8].sum(-1).argmax(0)
    assert btm(later, inside, 8, 1)[:, 8:].equal(later[best, torch.arange(5), 8:])


def test_btm_averages_distributions_by_posterior() -> None:
    logs = torch.tensor([[[0.5, 0.2]], [[0.25, 0.8]], [[0.01, 0.9]]]).log()
    inside = torch.ones(1, 2, dtype=torch.bool)
    expected = (0.5 * 0.2 + 0.25 * 0.8) / 0.75
    assert btm(logs, inside, 1, 2)[0, 1].exp() == pytest.approx(expected)


def test_mutual_information_of_known_tables() -> None:
    domain = torch.tensor([0, 0, 1, 1, 1])
    perfect = torch.eye(2)[domain]
    assert mutual_information(perfect, domain, 2) == pytest.approx(1.0)
    assert mutual_information(torch.full((5, 2), 0.5), domain, 2) == pytest.approx(0.0)
    assert mutual_information(torch.eye(3)[torch.zeros(5, dtype=torch.long)], domain, 2) == pytest.approx(0.0)


def test_the_model_that_is_logged_is_the_one_on_the_disk(
    arms: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = listen(monkeypatch, tmp_path)
    config = btx.Finetuning(seed=0, optimisation=replace(FINETUNE, steps=2))
    btx.finetune(tokens=arms["tokens"], mixture=arms["mix"], config=config, out=tmp_path)
    example, made = loaded(spool, tmp_path)
    assert torch.equal(made, load_model(tmp_path).eval()(example["tokens"]))
    other = load_model(arms["mix"]).eval()(example["tokens"])
    assert not torch.allclose(made, other), "the model before finetuning"
