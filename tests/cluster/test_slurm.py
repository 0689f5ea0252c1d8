"""Workers as jobs of a real Slurm, where apt can bring one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import Clone, wait_for
from farm import PATIENT, alone, forks, mini, own_turns, same, set_remote, where
from slurm import install, slurm

__all__ = ["alone", "forks", "mini"]
pytestmark = pytest.mark.slow


def test_a_reproduction_on_slurm(mini: Clone, alone: Clone, tmp_path: Path) -> None:
    """The jobs are workers, give the digests of one machine, and are gone with the driver."""
    if not shutil.which("apt-get") and not shutil.which("sbatch"):
        pytest.skip("there is no apt-get to bring Slurm")
    install()
    with slurm(tmp_path / "slurm") as found:
        driver = mini.copy(tmp_path / "driver")
        driver.environment = {
            **driver.environment,
            **found,
            **PATIENT,
            **own_turns(driver),
            "TENFOLD_TEST_COMPUTED": os.devnull,
        }
        set_remote(driver, str(tmp_path / "remote"))
        worker = mini.copy(tmp_path / "worker")
        set_remote(worker, str(tmp_path / "remote"))
        jobs = {"workers": 2, "cpus": 1, "memory": 1.0, "partition": "short", "folder": str(worker.root),
                "python": sys.executable, "time": "00:10:00"}  # fmt: skip
        (tmp_path / "cluster.yaml").write_text(yaml.safe_dump({"slurm": jobs}))
        ended = driver.tenfold("reproduce", "--plain", "--cluster", str(tmp_path / "cluster.yaml"), check=False)
        logs = "".join(path.read_text() for path in (worker.root / ".tenfold/slurm").glob("*"))
        assert ended.returncode == 0, ended.stdout + ended.stderr + logs
        same(driver, alone)
        assert len(set(where(ended.stdout).values())) == 2, ended.stdout

        def queue() -> str:
            command = ["squeue", "-h", "-t", "running,pending"]
            return subprocess.run(command, env={**os.environ, **found}, capture_output=True, text=True).stdout

        wait_for(lambda: not queue().strip(), "the end of the jobs")
