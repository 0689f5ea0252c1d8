"""The random split: shares that independent draws predict, over all questions."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_questions import world

from tasks.concurrentqa.benchmark.random_split import RandomSplit, draw, measured, split_randomly
from tasks.concurrentqa.benchmark.splits import Question
from tasks.concurrentqa.questions.candidates import write_candidates

CONFIG = RandomSplit(seed=3, draws=8)


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    write_candidates(folder / "questions.parquet", [Question.of(each, "test") for each in world(300)[1]], Question)
    return folder


def split(benchmark: Path, out: Path, config: RandomSplit = CONFIG) -> list[dict[str, object]]:
    out.mkdir()
    split_randomly(benchmark=benchmark, config=config, out=out)
    rows: list[dict[str, object]] = json.loads((out / "metrics.json").read_text())
    return rows


def test_allowed_chains_are_as_many_as_independent_draws_predict(benchmark: Path, tmp_path: Path) -> None:
    """Allowed counted in either order (1 - 2p(1 - p)), or mixed questions dropped: then the share is 1."""
    rows = split(benchmark, tmp_path / "out")
    for probability in (0.25, 0.5, 0.75):
        mine = [row for row in rows if row["domain"] == f"{probability:g}" and row["arm"] == "split"]
        assert sorted(row["seed"] for row in mine) == list(range(3, 11))
        predicted = 1 - probability * (1 - probability)
        assert {row["predicted"] for row in mine} == {predicted}
        mean = sum(row["allowed"] for row in mine) / len(mine)
        # Eight draws of 300 independent questions: 4 standard errors.
        assert abs(mean - predicted) < 4 * (predicted * (1 - predicted) / 2400) ** 0.5
        for chain in ("EE", "EW", "WE", "WW"):
            found = [row for row in rows if row["domain"] == f"{probability:g}" and row["arm"] == chain]
            share = found[0]["predicted_share"]
            assert abs(sum(row["share"] for row in found) / 8 - share) < 4 * (share * (1 - share) / 2400) ** 0.5


def test_every_public_question_counts_and_is_typed_by_its_articles(benchmark: Path, tmp_path: Path) -> None:
    """Questions with an article in each scope that are dropped, or a type read off the wrong article."""
    rows = split(benchmark, tmp_path / "out")
    asked = [each.passages for each in world(300)[1] if each.chain == "WW"]
    articles = sorted({article for passages in asked for article in passages})
    for row in rows:
        if row["arm"] != "split":
            private = draw(articles, float(str(row["domain"])), int(str(row["seed"])))
            types = ["".join("E" if each in private else "W" for each in passages) for passages in asked]
            assert row["share"] == types.count(str(row["arm"])) / 300


def test_the_bytes_are_the_same_and_seeds_differ(benchmark: Path, tmp_path: Path) -> None:
    split(benchmark, tmp_path / "one")
    split(benchmark, tmp_path / "two")
    one, two = (tmp_path / name / "metrics.json" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    articles = [f"w{number}" for number in range(100)]
    assert draw(articles, 0.5, 1) != draw(articles, 0.5, 2)
    assert draw(articles, 0, 1) == set()
    assert draw(articles, 1, 1) == set(articles)


def test_a_benchmark_without_public_questions_says_nothing(tmp_path: Path) -> None:
    """A crash, or a share of 0 of no questions, which would look like a finding."""
    private = [Question.of(each, "test") for each in world(5)[1] if each.chain == "EE"]
    write_candidates(tmp_path / "questions.parquet", private, Question)
    assert split(tmp_path, tmp_path / "out") == []


@given(
    chains=st.dictionaries(st.text(max_size=3), st.sampled_from(("EE", "EW", "WE", "WW")), min_size=1, max_size=40),
    probability=st.floats(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_shares_sum_to_one_and_only_private_to_public_is_forbidden(chains: dict[str, str], probability: float) -> None:
    first, *others = measured(chains, probability, 0)
    shares = {row["arm"]: row["share"] for row in others}
    assert sum(shares.values()) == pytest.approx(1)
    assert sum(row["predicted_share"] for row in others) == pytest.approx(1)
    assert first["allowed"] == pytest.approx(1 - shares["EW"])
    predicted = {row["arm"]: row["predicted_share"] for row in others}
    assert first["predicted"] == pytest.approx(1 - predicted["EW"])
