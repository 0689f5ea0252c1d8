"""What stages say reaches MLflow: once, whole, and also when the server was down."""

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Clone, begun_to_clean, client_of, newest_statuses, read_json, runs_of, wait_for

from flows.engine.compile import LONGEST_NOTE, _within
from flows.engine.publication import read_file
from flows.engine.server import answers, free_port
from tasks.running import pusher, tracking
from tasks.running.pusher import accepted_name


def test_a_reproduction_is_a_parent_run_with_a_run_for_each_stage(finished: Clone) -> None:
    runs = {run["name"]: run for run in runs_of(finished)["tiny"]}
    (parent,) = [run for name, run in runs.items() if str(name).startswith("quick ")]
    assert parent["status"] == "FINISHED"
    assert parent["tags"]["engine"] == "tenfold reproduce"
    assert parent["metrics"]["letters/line-0/all"] > 0
    assert {"stages.json", "report.html"} <= set(parent["files"])
    assert parent["metrics"]["verdicts/number/supported"] == 2
    assert parent["tags"]["verdicts.number.contradicted"] == "1"
    arms = {run["name"]: run for run in runs_of(finished)["tiny arms"]}
    assert set(arms) == {"clock (quick)", "line-0 (quick)", "line-1 (quick)"}
    assert arms["line-0 (quick)"]["metrics"]["letters/all"] == parent["metrics"]["letters/line-0/all"]
    assert arms["line-0 (quick)"]["status"] == "FINISHED"
    assert 0 <= arms["line-0 (quick)"]["took"] < 60_000
    line = runs["line-0"]
    assert line["tags"]["mlflow.parentRunId"] == parent["id"]
    assert line["tags"]["dvc"] == "pipelines/quick/tiny/dvc.yaml:line-0"
    assert line["params"]["optimisation.steps"] == "400"
    assert line["inputs"] == {"data/quick/tiny/cleaned": finished.digests()["data/quick/tiny/cleaned"]}
    assert len(line["curve"]) == len(set(line["curve"])) == 50
    assert "The texts are clean." in runs["cleaned"]["tags"]["mlflow.note.content"]
    assert "How to read these runs" in parent["about"]
    assert "data/sources.yaml" in runs_of(finished)["sources"][0]["about"]


LOADED = """
import json, mlflow, numpy as np
from safetensors.numpy import load_file
mlflow.set_tracking_uri("sqlite:///mlflow/mlflow.db")
client = mlflow.MlflowClient()
found = {}
for seed in (0, 1):
    version = client.get_model_version_by_alias("tiny-line", f"quick-seed-{seed}")
    model = mlflow.pyfunc.load_model(f"models:/tiny-line@quick-seed-{seed}")
    weights = load_file(f"data/quick/tiny/line-{seed}/model.safetensors")
    wanted = model.input_example["input"] @ weights["weight"].T + weights["bias"]
    found[seed] = {
        "run": version.run_id, "tags": version.tags, "signature": model.metadata.signature.to_dict(),
        "off": float(np.abs(model.predict(model.input_example) - wanted).max()),
    }
print(json.dumps(found))
"""


def test_a_final_model_is_registered_and_loads(finished: Clone) -> None:
    """Under its own run and seed: another seed's weights would predict as well, and be another model."""
    runs = {run["name"]: run["id"] for run in runs_of(finished)["tiny"]}
    found = json.loads(finished.run("-c", LOADED).stdout)
    for seed, one in found.items():
        assert one["run"] == runs[f"line-{seed}"]
        assert one["tags"]["dvc"] == f"pipelines/quick/tiny/dvc.yaml:line-{seed}"
        assert one["off"] < 1e-6
        (read,) = json.loads(one["signature"]["inputs"])
        assert (read["name"], read["tensor-spec"]) == ("input", {"dtype": "float32", "shape": [-1, 1]})


@pytest.mark.parametrize("same", [True, False])
def test_only_the_model_that_a_run_made_is_logged_under_it(done: Clone, same: bool) -> None:
    """Where the server was down, the stage may have run again, with other settings, before it was back."""
    client = client_of(done)

    def versions() -> int:
        return len(client.search_model_versions("name = 'tiny-line'"))

    before = versions()
    made = read_json(next((done.root / ".tenfold/published").glob("*line-0")))["identity"]
    start = {"kind": "start", "out": "data/quick/tiny/line-0", "process": "1-0", "commit": "0", "flow_run": ""}
    start |= {"pipeline": "pipelines/quick/tiny", "stage": "line-0", "function": "tasks.tiny_fitting:fit"}
    start |= {"settings": {"seed": 0}, "inputs": {}, "identity": made if same else "another"}
    model = {"kind": "model", "loader": "tasks.tiny_fitting", "inputs": {"input": ["float32", [-1, 1]]}}
    model |= {"output": ["float32", [-1, 1]], "example": {"input": [[0.5]]}}
    late = done.root / ".tenfold/tracking/20260101-000000-late"
    late.mkdir()
    for name, events in (("own", [{"kind": "start", "process": "1-0"}]), ("1", [start, model])):
        events = [*events, {"kind": "end", "status": "FINISHED"}]
        (late / f"{name}.jsonl").write_text("".join(json.dumps({**event, "time": 1.0}) + "\n" for event in events))
    done.run("-m", "tasks.running.tracking")
    assert not late.exists()
    assert versions() == before + same


def test_a_cached_stage_names_the_run_that_made_it(done: Clone) -> None:
    first = {run["name"]: run["id"] for run in runs_of(done)["tiny"]}
    old, new = "config=tiny.Counting())\nhalf", "config=tiny.Counting(repeats=2))\nhalf"
    done.edit("flows/tiny.py", lambda code: code.replace(old, new))
    done.tenfold("reproduce")
    assert len(runs_of(done)["tiny arms"]) == 3, "the arms of the earlier reproduction have left the page"
    newest = next(run for run in runs_of(done)["tiny"] if str(run["name"]).startswith("quick "))
    table = read_json(Path(str(newest["folder"]).removeprefix("file://")) / "stages.json")
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    cached = next(row for row in rows if row["stage"] == "line-0")
    assert cached["state"] == "cached"
    assert cached["run"] == first["line-0"]


@pytest.fixture
def mlflow_server(untouched: Clone, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """An address, and the command that serves MLflow there."""
    port = free_port()
    home = tmp_path_factory.mktemp("server")
    for path in (untouched.root / "mlflow").glob("mlflow.db*"):  # the tables take long to make
        shutil.copy(path, home)
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{home}/mlflow.db",
        "--artifacts-destination",
        str(home / "artifacts"),
    ]
    return f"http://127.0.0.1:{port}", command


def test_a_server_that_is_down_loses_nothing(clone: Clone, mlflow_server: tuple[str, list[str]]) -> None:
    address, command = mlflow_server
    clone.environment = {**clone.environment, "MLFLOW_TRACKING_URI": address, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    clone.tenfold("reproduce")
    assert list((clone.root / ".tenfold/tracking").glob("2*/*.jsonl")), "what could not be pushed is kept"
    process = subprocess.Popen(command, cwd=clone.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: answers(f"{address}/health"), "the server's start")
        clone.run("-m", "tasks.running.tracking")
        assert not list((clone.root / ".tenfold/tracking").glob("2*"))
        runs = {run["name"]: run for run in runs_of(clone)["tiny"]}
        assert len(runs["line-0"]["curve"]) == 50
        assert runs["counted"]["status"] == "FINISHED"
        assert not (clone.root / ".tenfold/tracking/refused.jsonl").exists(), "the server takes models, too"
    finally:
        process.terminate()
        process.wait()


def test_a_killed_reproduction_is_marked(done: Clone) -> None:
    process = begun_to_clean(done)
    process.kill()
    process.wait()
    wait_for(lambda: not list((done.root / ".tenfold/tracking").glob("2*")), "the push of what was said")
    status = newest_statuses(done)
    assert (status["reproduction"], status["cleaned"]) == ("KILLED", "KILLED")


def test_every_name_that_the_papers_use_is_one_that_mlflow_takes() -> None:
    """A comma in one name ended the pusher, and every run stayed RUNNING for ever."""
    from mlflow.utils.validation import _validate_metric_name

    names = {name for path in (ROOT / "published").glob("*.json") for name in read_file(path).by_name()}
    names |= {"full, alt left out/f1", "/leading/and/../up", "a\nb", "π = 3,14 %", "x" * 400, "..", ""}
    for name in names:
        _validate_metric_name(accepted_name(name))
    real = names - {"", ".."}
    assert len({accepted_name(name) for name in real}) == len(real), "two figures would be one curve"


def test_every_description_of_a_paper_is_one_that_mlflow_takes() -> None:
    """One that was too long lost all runs of its paper."""
    from mlflow.utils.validation import _validate_experiment_tag

    for name, text in read_json(ROOT / "mlflow/experiments.json").items():
        assert text.strip(), name
        _validate_experiment_tag("mlflow.note.content", text)
    assert len(_within("a line\n" * 5000)) <= LONGEST_NOTE


def test_a_long_label_leaves_the_rest_of_its_name() -> None:
    """A label of all that was timed once took the whole name, and two arms that began alike were one."""
    labels = [", ".join(f"encoder-{width}-4" for width in range(n)) for n in (40, 41)]
    names = [accepted_name(f"lag/{label}/median") for label in labels]
    assert names[0] != names[1]
    for name, label in zip(names, labels, strict=True):
        assert name == f"lag/{accepted_name(label)}/median"


def test_one_bad_item_and_a_deleted_experiment_stop_nothing(done: Clone) -> None:
    """What MLflow refuses is set aside and said; the experiment that a page's bin holds is put back."""
    client = client_of(done)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    said = '    spool.note("The texts are clean.")'
    done.edit("tasks/tiny.py", lambda code: code.replace(
        said, said + '\n    spool.metric("bad", float("nan"), step=2**70)\n    spool.metric("good, too", 1.0)'
        '\n    spool.table("empty", [])'
    ))  # fmt: skip
    ended = done.tenfold("reproduce")
    assert "MLflow has refused 1 items" in ended.stdout
    cleaned = [run for run in runs_of(done)["tiny"] if run["name"] == "cleaned"]
    assert all(run["status"] == "FINISHED" for run in cleaned)
    assert not list((done.root / ".tenfold/tracking").glob("2*")), "nothing waits for ever"


def test_a_store_that_cannot_be_used_is_said_and_loses_nothing(done: Clone) -> None:
    (done.root / "mlflow/mlflow.db").write_text("no database")
    done.edit("flows/tiny.py", lambda code: code.replace("tiny.Counting())\nhalf", "tiny.Counting(repeats=2))\nhalf"))
    ended = done.tenfold("reproduce")
    assert "The tracking store did not take all that was said" in ended.stdout
    assert "mlflow.db" in ended.stdout
    assert list((done.root / ".tenfold/tracking").glob("2*/*.jsonl"))


@pytest.mark.parametrize("said", [b'{"kind": "end", "status": {}', b"\x00\xff\n", b"7\n", b"}\n", b'{"x": {}}\n'])
def test_a_damaged_spool_stops_no_pusher(said: bytes, tmp_path: Path) -> None:
    """The pusher died on it at the start of every run; nothing of any reproduction was pushed any more."""
    folder = tmp_path / "20260101-000000-abcd"
    folder.mkdir()
    (folder / "own.jsonl").write_bytes(said)
    assert pusher._end_of(folder) == "KILLED"
    (folder / "own.jsonl").write_bytes(said + b'\n{"kind": "end", "status": "FINISHED"}\n')
    assert pusher._end_of(folder) == "FINISHED"


def test_a_damaged_word_of_the_pusher_fails_no_reproduction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROBLEM", "REFUSED"):
        (tmp_path / name).write_bytes(b"\xff\x00\n")
        monkeypatch.setattr(tracking, name, tmp_path / name)
    assert tracking.waiting("none") == (0, "\ufffd\x00\n")
    assert tracking.refused() == 1


def test_a_store_that_cannot_be_opened_is_not_tried_for_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow/mlflow.db").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        pusher.Pusher()
