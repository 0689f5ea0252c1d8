"""A reproduction that is killed, and the same command again: nothing finished is lost, nothing half is kept."""

import random
import shutil
import subprocess
import time
from pathlib import Path

import yaml
from conftest import Clone, comparable, wait_for

from tasks.running.digests import Digests

TRIES = {"sources/texts": 2, "tiny/cleaned": 2, "tiny/line-0": 4, "tiny/clocked": 2, "tiny/counted": 2}
"""How often each kind of stage is killed; those that are over at once are killed at each step of theirs in
tests/faults/test_every_step_raises.py, too."""


def test_kill_and_the_same_command_again(clone: Clone, finished: Clone) -> None:
    """Kill -9 at 12 seeded moments, in every kind of stage; nothing finished is lost, nothing half is kept.

    The record is the same with Prefect and MLflow; what those two say of a killed run: test_tracking.py.
    """
    chance = random.Random(2026)
    resumed = 0
    for target, tries in TRIES.items():
        for _ in range(tries):
            forget(clone, target)
            process = clone.start("reproduce", "--plain")
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
    clone.tenfold("reproduce", "--plain")
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
