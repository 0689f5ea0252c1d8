"""The engine for real: what runs, what is kept, what happens when it is killed, stopped or doubled."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import Clone, comparable, read_json, wait_for

from tasks.running.digests import Digests


def test_a_second_run_does_nothing_and_loads_nothing(done: Clone) -> None:
    code = (
        "import sys; from tools.__main__ import main\n"
        "sys.argv = ['tenfold', 'reproduce']\n"
        "main()\n"
        "print('loaded:', sorted({'prefect', 'mlflow', 'torch'} & set(sys.modules)))"
    )
    ended = done.run("-c", code)
    assert "Nothing to do: 12 stages are up to date." in ended.stdout
    assert "loaded: []" in ended.stdout


def test_stages_run_side_by_side_one_thread_each(untouched: Clone, finished: Clone, tmp_path: Path) -> None:
    clone = untouched.copy(tmp_path / "clone")
    clone.edit("tasks/tiny.py", lambda code: code.replace(
        '    spool.note("The texts are clean.")',
        '    import os\n    (out / "threads").write_text(os.environ["OMP_NUM_THREADS"])',
    ))  # fmt: skip
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    meet = f"""    meeting = Path({str(meeting)!r})
    (meeting / str(config.seed)).touch()
    until = time.monotonic() + 60
    while len(list(meeting.iterdir())) < 2:
        assert time.monotonic() < until, "alone"
        time.sleep(0.01)
    import torch
"""
    clone.edit("tasks/tiny_fitting.py", lambda code: code.replace("    import torch\n", meet, 1))
    # A measuring stage waits until it can be alone, and who comes after it waits, too.
    clone.edit("flows/tiny.py", lambda code: code.replace(', kind="measure"', ""))
    output = clone.tenfold("reproduce", "--jobs", "3").stdout
    lines = [line for line in output.splitlines() if "tiny/line-" in line and line[0] in "●✓"]
    assert [line[0] for line in lines] == ["●", "●", "✓", "✓"], "both fits must have begun before one has ended"
    assert (clone.root / "data/quick/tiny/cleaned/threads").read_text() == "1"


def test_a_run_says_whether_its_bytes_are_those_on_record(done: Clone) -> None:
    """A stranger's first run confirms the record stage by stage, or names what differs on that machine."""
    lock = done.root / "pipelines/quick/tiny/dvc.lock"

    def again() -> str:
        for folder in (".dvc/cache", "data/quick/tiny"):
            shutil.rmtree(done.root / folder)
        said = done.tenfold("reproduce", "--plain").stdout
        return next(line for line in said.splitlines() if line.startswith("Bytes as on record"))

    compared = re.fullmatch(r"Bytes as on record: (\d+) of (\d+) stages", again())
    assert compared is not None
    assert compared[1] == compared[2] > "1"
    recorded = yaml.safe_load(lock.read_text())
    out = recorded["stages"]["line-1"]["outs"][0]
    out["md5"] = "0" * 32 + ".dir"
    lock.write_text(yaml.safe_dump(recorded))
    assert again().endswith("; not tiny/line-1"), "a measuring stage is never compared"


def test_a_failed_stage_stops_only_what_depends_on_it(clone: Clone) -> None:
    clone.edit("flows/tiny.py", lambda code: code.replace(
        "config=tiny.Counting())\nhalf", "config=tiny.Counting(fail=True))\nhalf"
    ))  # fmt: skip
    ended = clone.tenfold("reproduce", check=False)
    assert ended.returncode == 1
    assert "set count.fail to false" in ended.stdout, "the stage's last lines are shown"
    assert "python -m tasks.running.run tasks.tiny:count" in ended.stdout, "with the command to run it alone"
    assert "1 of 9 stages failed: tiny/counted." in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    data = clone.root / "data/quick/tiny"
    assert (data / "clocked").exists()
    assert (data / "line-1").exists()
    assert not (data / "counted").exists()
    assert not (data / "results").exists()
    clone.edit("flows/tiny.py", lambda code: code.replace("fail=True", ""))
    again = clone.tenfold("reproduce").stdout
    assert "tiny/line-0" not in again, "what had succeeded is kept"


def test_dvc_and_tenfold_give_the_same_digests_after_every_kind_of_change(done: Clone, tmp_path: Path) -> None:
    other = done.copy(tmp_path / "other")

    def new_parameter(clone: Clone) -> None:
        clone.edit("flows/tiny.py", lambda code: code.replace("Letters(", "Letters(keep='aeiou', "))

    def new_source(clone: Clone) -> None:
        (clone.root / "texts/c.txt").write_text("sphinx of black quartz judge my vow")

    def new_code(clone: Clone) -> None:
        clone.edit("tasks/tiny.py", lambda code: code.replace('c in config.keep + " "', "c in config.keep"))

    def new_command(clone: Clone) -> None:
        clone.edit("flows/tiny.py", lambda code: code.replace('each={"seed": (0, 1)}', 'each={"seed": (1, 2)}'))

    def lost_output(clone: Clone) -> None:
        for path in (clone.root / "data/quick/tiny/cleaned").iterdir():
            path.unlink()

    def nothing(clone: Clone) -> None:
        pass

    for change in (nothing, new_parameter, new_source, new_code, new_command, lost_output):
        change(done)
        change(other)
        done.tenfold("reproduce")
        other.tenfold("compile")
        other.dvc("repro")
        assert comparable(done) == comparable(other), f"after {change.__name__}"
        other.tenfold("reproduce")
        assert "Nothing to do" in other.tenfold("reproduce").stdout, f"tenfold trusts what dvc did: {change.__name__}"
        status = done.dvc("repro").stdout
        described = (":code'", ":environment'", ":machine'")
        ran = [line for line in status.splitlines() if "Running" in line and not any(d in line for d in described)]
        assert ran == [], f"dvc trusts what tenfold did: {change.__name__}"
    assert (done.root / "data/sources/texts/c.txt").exists(), "a folder of one's own is read again when it changes"


def test_two_reproductions_at_once_compute_each_stage_once(clone: Clone, finished: Clone) -> None:
    first, second = clone.start("reproduce"), clone.start("reproduce")
    outputs = [process.communicate()[0] for process in (first, second)]
    assert first.returncode == second.returncode == 0, outputs
    assert comparable(clone) == comparable(finished)
    logs = "".join(path.read_text() for path in (clone.root / ".tenfold/logs").glob("*.log"))
    assert "Unable to acquire" not in "".join(outputs)
    assert logs.count("400 steps") <= 2


def test_a_dvc_repro_beside_a_reproduction(clone: Clone, finished: Clone) -> None:
    ours = clone.start("reproduce")
    time.sleep(random.Random(5).uniform(1, 3))
    theirs = clone.dvc("repro", check=False)
    output = ours.communicate()[0]
    assert theirs.returncode == 0, theirs.stderr
    assert ours.returncode == 0, output
    assert comparable(clone) == comparable(finished)


def test_a_reader_whose_input_is_replaced_meanwhile_tries_again(clone: Clone) -> None:
    """DVC empties an output before it makes it anew; the new folder may even get the number of the old one."""
    clone.edit("tasks/tiny.py", lambda code: code.replace(
        '    spool.note("The texts are clean.")',
        '    import shutil\n'
        '    away = texts.parent / "away"\n'
        '    if not away.exists():\n'
        '        shutil.copytree(texts, away)\n'
        '        for path in texts.iterdir():\n'
        '            path.unlink()\n'
        '        shutil.copytree(away, texts, dirs_exist_ok=True)\n'
        '        raise FileNotFoundError(texts)',
    ))  # fmt: skip
    clone.tenfold("reproduce", "tiny")


KINDS = ("sources/texts", "tiny/cleaned", "tiny/line-0", "tiny/clocked", "tiny/counted")
TRIES = 4


def test_kill_and_the_same_command_again(clone: Clone, finished: Clone) -> None:
    """Kill -9 at 20 seeded moments, in every kind of stage; nothing finished is lost, nothing half is kept."""
    chance = random.Random(2026)
    resumed = 0
    for target in KINDS:
        for _ in range(TRIES):
            forget(clone, target)
            process = clone.start("reproduce")
            assert process.stdout
            for line in process.stdout:
                if line.startswith(f"● {target}"):
                    if "line" in target:
                        wait_for_checkpoint(clone, process)
                    time.sleep(chance.uniform(0, 0.7))
                    break
            else:
                raise AssertionError(f"{target} did not run")
            process.kill()
            process.wait()
            logs = "".join(path.read_text() for path in (clone.root / ".tenfold/logs").glob("*line*.log"))
            resumed += logs.count("resumed at step")
            for path, digest in comparable(clone).items():
                if (clone.root / path).exists():
                    assert Digests(fresh=True).digest(str(clone.root / path)) == digest, (
                        f"{path} is not what the record says"
                    )
    clone.tenfold("reproduce")
    assert comparable(clone) == comparable(finished)
    assert resumed >= 1, "no training went on from its checkpoint"
    status = clone.dvc("status", "pipelines/quick/tiny/dvc.yaml").stdout
    assert "up to date" in status, status
    assert not list(clone.root.glob("data/**/.*.partial"))
    assert not checkpoints(clone), "a finished training leaves no checkpoint"


def forget(clone: Clone, target: str) -> None:
    """Make a stage run again: take it out of the record, its output and the cache of runs away."""
    paper, _, stage = target.partition("/")
    pipeline = "pipelines/sources" if paper == "sources" else f"pipelines/quick/{paper}"
    lock = clone.root / pipeline / "dvc.lock"
    if lock.exists():
        record = yaml.safe_load(lock.read_text())
        gone = record["stages"].pop(stage, {"outs": []})
        lock.write_text(yaml.safe_dump(record))
        for out in gone["outs"]:
            shutil.rmtree(clone.root / out["path"], ignore_errors=True)
    shutil.rmtree(clone.root / ".dvc/cache/runs", ignore_errors=True)


def wait_for_checkpoint(clone: Clone, process: subprocess.Popen[str]) -> None:
    """Wait until a training has written a checkpoint from now on, or all is over."""
    now = time.time()
    wait_for(
        lambda: process.poll() is not None or any(path.stat().st_mtime > now for path in checkpoints(clone)),
        "a checkpoint",
    )


def checkpoints(clone: Clone) -> list[Path]:
    return list((clone.root / ".tenfold/checkpoints").glob("*/*.safetensors"))


def test_control_c_ends_the_children_and_marks_the_run(clone: Clone) -> None:
    process = clone.start("reproduce")
    assert process.stdout
    for line in process.stdout:
        if line.startswith("● tiny/line-0"):
            break
    spool = clone.root / ".tenfold/tracking"
    wait_for(lambda: any('"stage": "line-0"' in path.read_text() for path in spool.glob("2*/*.jsonl")), "line-0")
    assert len(stages_of(clone)) > 1, "the server and the stage"
    process.send_signal(signal.SIGINT)
    output = process.communicate()[0]
    assert process.returncode == 130, output
    assert "the same command goes on from here" in output
    wait_for(lambda: not stages_of(clone), "the end of the stages")
    wait_for(lambda: not list(spool.glob("2*")), "the push of what was said")
    query = (
        "import mlflow; client = mlflow.MlflowClient('sqlite:///mlflow/mlflow.db')\n"
        "experiment = client.get_experiment_by_name('tiny')\n"
        "for run in client.search_runs([experiment.experiment_id]): print(run.info.run_name, run.info.status)"
    )
    runs = clone.run("-c", query).stdout
    parent = next(line for line in runs.splitlines() if line.startswith("quick "))
    assert parent.endswith("KILLED"), runs
    assert "line-0 KILLED" in runs


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


def test_an_edit_while_a_stage_runs_is_not_taken_for_its_result(clone: Clone) -> None:
    process = clone.start("reproduce")
    assert process.stdout
    for line in process.stdout:
        if line.startswith("● tiny/line-0"):
            break
    # A stage makes this folder when it has seen that the code is what its manifest says.
    wait_for((clone.root / "data/quick/tiny/.line-0.partial").exists, "the stage's beginning")
    clone.edit("tasks/tiny_fitting.py", lambda code: code + "\nEDITED = True\n")
    output = process.communicate()[0]
    assert process.returncode == 1
    assert "was edited while it ran" in output
    assert "data/quick/tiny/line-0" not in clone.digests()


def test_settings_that_another_command_compiles_meanwhile_do_not_get_into_the_record(clone: Clone) -> None:
    """The record said 200 mails of an output that a stage had made of 300: it reads its settings from the file."""
    process = clone.start("reproduce", "--plain")
    assert process.stdout
    for line in process.stdout:
        if line.startswith("● tiny/line-0"):
            break
    clone.edit("flows/tiny.py", lambda code: code.replace(
        "config=tiny.Counting())\nhalf", "config=tiny.Counting(seed=1))\nhalf"
    ))  # fmt: skip
    clone.tenfold("compile")
    said = process.communicate()[0]
    assert process.returncode == 1
    assert "does not hold the settings of tiny/counted any more" in said
    clone.tenfold("reproduce", "--plain")
    made = json.loads((clone.root / ".tenfold/published/data--quick--tiny--counted").read_text())
    assert made["digest"] == clone.digests()["data/quick/tiny/counted"]
    assert clone.tenfold("verify", "--rerun", "counted").returncode == 0


@pytest.fixture
def worker(done: Clone) -> Iterator[Clone]:
    """A clone whose deployments are known to the server, with a process worker beside."""
    done.run("-m", "prefect", "--no-prompt", "work-pool", "create", "tenfold", "--type", "process", "--overwrite")
    done.run("-m", "prefect", "--no-prompt", "deploy", "--all")
    import sys

    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", "tenfold", "--type", "process"],
        cwd=done.root,
        env=done.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield done
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()  # a worker that is asked to end may wait a long time for its next poll


def test_a_deployment_gives_the_same_digests(worker: Clone, finished: Clone) -> None:
    for folder in ("cleaned", "counted"):
        for path in (worker.root / "data/quick/tiny" / folder).iterdir():
            path.unlink()
    (worker.root / "pipelines/quick/tiny/dvc.lock").unlink()
    for path in (worker.root / ".dvc/cache/runs").glob("*"):
        subprocess.run(["rm", "-r", str(path)], check=True)
    ended = worker.run("-m", "prefect", "deployment", "run", "reproduce/tiny", "--watch")
    assert "Completed" in ended.stdout
    assert comparable(worker) == comparable(finished)
    assert read_json(worker.root / "data/quick/tiny/counted/metrics.json")
    again = worker.run("-m", "prefect", "deployment", "run", "reproduce/tiny", "--watch")
    assert "Completed" in again.stdout
    said = worker.run("-m", "prefect", "artifact", "inspect", "up-to-date").stdout
    assert "11 stages are up to date: nothing to do." in said, "a run without tasks looks broken"
