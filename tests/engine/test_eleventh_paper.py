"""The walk-through of CONTRIBUTING.md: one file added shows up everywhere, and nothing else is edited."""

import subprocess

from conftest import Clone

PAPER = '''"""How many letters two texts have: a paper for the walk-through."""

from flows.engine.paper import Claim, Paper, Scale, Source, Stage, greater
from tasks import tiny
from tasks.judging.results import Table

cleaned = Stage(tiny.clean, inputs={"texts": Source("texts")}, config=tiny.Letters(keep="aeiou"))
clocked = Stage(tiny.clock, inputs={"cleaned": cleaned}, config=tiny.Counting(repeats=3), kind="measure")
letters = clocked["letters"]

paper = Paper(
    title="Vowels", authors="the walk-through", year=2026, arxiv="0000.00001",
    claims=[Claim("some", "There are vowels", "Table 1", "P", "many", "ours", greater(letters, 10, paired=""), "holds"),
    ],
    controls=[],
    scales=[Scale("texts", paper="1000", here="2")],
    tables=[Table(title="Vowels", rows="arm", quantities=("letters",), columns="domain")],
)
'''


def test_one_file_is_all_it_takes(done: Clone) -> None:
    (done.root / "flows/vowels.py").write_text(PAPER)
    before = subprocess.run(["git", "status", "--short"], cwd=done.root, capture_output=True, text=True, check=True)
    assert "vowels" in done.tenfold("list").stdout
    done.tenfold("compile")
    assert (done.root / "pipelines/cpu/vowels/dvc.yaml").exists()
    assert "vowels" in (done.root / "dvc.yaml").read_text()
    assert "name: vowels" in (done.root / "prefect.yaml").read_text()
    assert "There are vowels" in (done.root / "mlflow/experiments.json").read_text()
    output = done.tenfold("reproduce").stdout
    assert "vowels: Vowels" in output
    assert "✓ tiny/" not in output, "the other papers are left alone"
    assert "vowels: Vowels" in (done.root / "data/report/report.md").read_text()
    query = (
        "import mlflow; client = mlflow.MlflowClient('sqlite:///mlflow/mlflow.db')\n"
        "experiment = client.get_experiment_by_name('vowels')\n"
        "for run in client.search_runs([experiment.experiment_id]):\n"
        "    print(run.info.run_name, run.info.status, sorted(run.data.metrics))"
    )
    runs = done.run("-c", query).stdout
    assert "clocked FINISHED" in runs
    assert "letters/clock/all" in runs
    edited = subprocess.run(["git", "status", "--short"], cwd=done.root, capture_output=True, text=True, check=True)
    new = set(edited.stdout.splitlines()) - set(before.stdout.splitlines())
    assert not [line for line in new if any(room in line for room in ("flows/", "tasks/", "models/"))]
