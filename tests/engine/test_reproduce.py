"""The engine for real, with Prefect and MLflow: what runs, what is kept, what happens when it is stopped or doubled."""

import os
import shutil
import signal
from pathlib import Path

from conftest import Clone, begun_to_clean, comparable, newest_statuses, wait_for


def test_a_second_run_does_nothing_and_loads_nothing(done: Clone) -> None:
    code = (
        "import sys; from tools.__main__ import main\n"
        "sys.argv = ['tenfold', 'reproduce']\n"
        "main()\n"
        "heavy = {'prefect', 'mlflow', 'torch', 'dask', 'distributed', 'flows.engine.cluster.driver'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))"
    )
    ended = done.run("-c", code)
    assert "Nothing to do: 12 stages are up to date." in ended.stdout
    assert "loaded: []" in ended.stdout


FITTING = """
import time
from pathlib import Path

from models.config import Index, Optimisation, config


@config
class Line:
    seed: Index
    optimisation: Optimisation
    milliseconds: Index = 0


def fit(*, cleaned: Path, config: Line, out: Path) -> None:
    meeting = Path({meeting!r})
    (meeting / str(config.seed)).touch()
    until = time.monotonic() + 60
    while len(list(meeting.iterdir())) < 2:
        assert time.monotonic() < until, "alone"
        time.sleep(0.01)
    (out / "line").write_text(str(config.seed))
"""
"""In the place of the tiny paper's trainings: each waits for the other."""


def test_stages_run_side_by_side_one_thread_each(clone: Clone, tmp_path: Path) -> None:
    clone.edit("tasks/tiny.py", lambda code: code.replace(
        '    spool.note("The texts are clean.")',
        '    import os\n    (out / "threads").write_text(os.environ["OMP_NUM_THREADS"])',
    ))  # fmt: skip
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    (clone.root / "tasks/tiny_fitting.py").write_text(FITTING.format(meeting=str(meeting)))
    # A measuring stage waits until it can be alone, and who comes after it waits, too.
    clone.edit("flows/tiny.py", lambda code: code.replace(', kind="measure"', ""))
    output = clone.tenfold("reproduce", "--jobs", "3").stdout
    lines = [line for line in output.splitlines() if "tiny/line-" in line and line[0] in "●✓"]
    assert [line[0] for line in lines] == ["●", "●", "✓", "✓"], "both fits must have begun before one has ended"
    assert (clone.root / "data/quick/tiny/cleaned/threads").read_text() == "1"


def test_a_failed_stage_stops_only_what_depends_on_it(done: Clone) -> None:
    data = done.root / "data/quick/tiny"
    for name in ("clocked", "counted", "results"):
        shutil.rmtree(data / name)
    # Other settings, with which nothing is in the cache.
    done.edit("flows/tiny.py", lambda code: code.replace("tiny.Counting(), kind", "tiny.Counting(repeats=2), kind"))
    done.edit("flows/tiny.py", lambda code: code.replace("tiny.Counting())\nhalf", "tiny.Counting(fail=True))\nhalf"))
    ended = done.tenfold("reproduce", check=False)
    assert ended.returncode == 1
    assert "set count.fail to false" in ended.stdout, "the stage's last lines are shown"
    assert "python -m tasks.running.run tasks.tiny:count" in ended.stdout, "with the command to run it alone"
    assert "1 of 5 stages failed: tiny/counted." in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert (data / "clocked").exists()
    assert not (data / "counted").exists()
    assert not (data / "results").exists()
    done.edit("flows/tiny.py", lambda code: code.replace("fail=True", ""))
    again = done.tenfold("reproduce", "--plain").stdout
    assert "✓ tiny/results" in again
    assert "tiny/clocked" not in again, "what had succeeded is kept"


def test_two_reproductions_at_once_compute_each_stage_once(clone: Clone, finished: Clone) -> None:
    first, second = clone.start("reproduce"), clone.start("reproduce")
    outputs = [process.communicate()[0] for process in (first, second)]
    assert first.returncode == second.returncode == 0, outputs
    assert comparable(clone) == comparable(finished)
    logs = "".join(path.read_text() for path in (clone.root / ".tenfold/logs").glob("*.log"))
    assert "Unable to acquire" not in "".join(outputs)
    assert logs.count("400 steps") <= 2


def test_control_c_ends_the_children_and_marks_the_run(done: Clone) -> None:
    process = begun_to_clean(done)
    assert len(stages_of(done)) > 1, "the server and the stage"
    process.send_signal(signal.SIGINT)
    output = process.communicate()[0]
    assert process.returncode == 130, output
    assert "the same command goes on from here" in output
    wait_for(lambda: not stages_of(done), "the end of the stages")
    wait_for(lambda: not list((done.root / ".tenfold/tracking").glob("2*")), "the push of what was said")
    status = newest_statuses(done)
    assert (status["reproduction"], status["cleaned"]) == ("KILLED", "KILLED")


def stages_of(clone: Clone) -> list[str]:
    """The command lines of the stages that run in the clone, and of the server that forks them."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
                where = os.readlink(folder / "cwd")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if where == str(clone.root) and "tasks.running.fork_server" in command:
                found.append(command)
    return found
