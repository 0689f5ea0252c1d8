"""Start the processes of a distributed run on this machine, wait for them together, and take what they found."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasks.base.errors import UserError
from tasks.hardware.gloo.job import Job, die_with_parent


def run(job: Job, *, seconds: float = 900) -> list[dict[str, Any]]:
    """Start the job's processes by torchrun on this machine, wait, and return the first process's rows.

    Raises:
        UserError: a process failed, or the run took longer than `seconds`.
    """
    return launch(job, [([], ["--standalone", "--local-addr", "127.0.0.1"], "lo")], seconds)


def launch(job: Job, nodes: list[tuple[list[str], list[str], str]], seconds: float) -> list[dict[str, Any]]:
    """Run the job on one torchrun a node, its processes shared out evenly.

    A node is the words before the command, the launcher's options that say how nodes meet, and the network device.
    """
    from tasks.hardware.gloo import worker as process

    with tempfile.TemporaryDirectory() as folder:
        order, rows = Path(folder) / "job.json", Path(folder) / "rows.json"
        order.write_text(json.dumps(asdict(job)))
        worker = ["--nproc-per-node", str(job.processes // len(nodes))]
        worker += ["--module", process.__name__, str(order), str(rows)]
        torchrun = [sys.executable, "-m", "torch.distributed.run"]
        launchers = [
            start([*before, *torchrun, *meet, *worker], surroundings(device)) for before, meet, device in nodes
        ]
        finish(launchers, seconds)
        made: list[dict[str, Any]] = json.loads(rows.read_text())
        return made


def surroundings(device: str) -> dict[str, str]:
    """The environment of the processes: one thread each, one network device, quiet."""
    return os.environ | {
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": device,
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "PYTHONWARNINGS": "ignore",
    }


def start(command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    """Start a launcher that does not outlive this process, however this process ends."""
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=die_with_parent,
    )


def finish(launchers: list[subprocess.Popen[str]], seconds: float) -> None:
    """Wait for launchers together; if one fails or is late, all are ended, and their workers with them.

    Raises:
        UserError: what failed, with the end of what it said.
    """
    try:
        for launcher in launchers:
            said, _ = launcher.communicate(timeout=seconds)
            if launcher.returncode:
                # Workers speak first and torchrun sums up at length; the first worker's error is the cause.
                words = [line for line in said.splitlines() if line.startswith("[rank")] or said.splitlines()
                raise UserError("A distributed run failed; its processes said:\n" + "\n".join(words[-60:]))
    except subprocess.TimeoutExpired:
        raise UserError(
            f"A distributed run took longer than {seconds:.0f} s: see whether the machine is busy."
        ) from None
    finally:
        for launcher in launchers:
            launcher.terminate()
        for launcher in launchers:
            launcher.wait()
