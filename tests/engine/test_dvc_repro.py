"""What a `dvc repro` from nothing makes, trainings included, is what Tenfold makes and tracks."""

import pytest
from conftest import Clone, comparable, read_json, runs_of, wait_for


@pytest.fixture(scope="module")
def repro(untouched: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which DVC alone has run everything."""
    clone = untouched.copy(tmp_path_factory.mktemp("repro") / "clone")
    clone.dvc("repro")
    return clone


def test_a_training_gives_the_same_digests(repro: Clone, finished: Clone) -> None:
    """Every kind of change, in stages that are quicker: tests/faults/test_record.py."""
    assert comparable(repro) == comparable(finished)


def test_it_is_tracked_too(repro: Clone) -> None:
    wait_for(lambda: not list((repro.root / ".tenfold/tracking").glob("dvc-*")), "the push of what dvc's stages said")
    runs = {run["name"]: run for run in runs_of(repro)["tiny"]}
    (parent,) = [run for name, run in runs.items() if str(name).startswith("quick ")]
    assert parent["tags"]["engine"] == "dvc repro"
    assert parent["status"] == "FINISHED"
    assert len(runs["line-1"]["curve"]) == 50


def test_it_notes_the_same_claims(repro: Clone, finished: Clone) -> None:
    register = "pipelines/quick/tiny/registered.json"
    assert read_json(repro.root / register) == read_json(finished.root / register)
    assert set(read_json(finished.root / register)["claims"]) == {
        "half-is-more", "third-is-more", "halves-agree", "one-half-is-more", "lines-count-alike", "planted", "shuffled",
    }  # fmt: skip
