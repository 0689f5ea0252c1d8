"""What the processes of one distributed run are told, and how a stage starts them and waits for them."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from models.config import Count, Index, Positive, Transformer, config
from tasks.errors import UserError

Arm = Literal["single", "ddp", "fsdp", "fsdp-keep", "tensor", "tensor-sequence", "pipeline"]
"""How training is laid out: alone on each process, data parallel, FSDP2 with its layers resharded after
the forward pass or kept, tensor parallel without and with sequence parallelism, and a 1F1B pipeline."""

PARALLEL: tuple[Arm, ...] = ("ddp", "fsdp", "fsdp-keep", "tensor", "tensor-sequence", "pipeline")


@config
class Shape:
    """A training step: the architecture, sequences in the whole batch, and micro-batches of a pipeline."""

    architecture: Transformer
    batch: Count
    micro_batches: Count

    def __post_init__(self) -> None:
        if self.batch % self.micro_batches:
            raise ValueError(f"{self.batch} sequences do not divide into {self.micro_batches} micro-batches")

    def check(self, processes: int) -> None:
        """Refuse a shape that some arm cannot lay out over so many processes.

        Raises:
            ValueError: it says what does not divide, or that the micro-batches are too few for a pipeline.
        """
        sizes = self.architecture
        parts = {"heads": sizes.heads, "layers": sizes.layers, "sequences": self.batch, "positions": sizes.context}
        parts |= {"feed-forward columns": sizes.feed_forward, "tokens of the vocabulary": sizes.vocabulary}
        for name, number in parts.items():
            if number % processes:
                raise ValueError(f"{number} {name} do not divide among {processes} processes")
        if self.micro_batches < processes:
            raise ValueError(f"{self.micro_batches} micro-batches are too few for {processes} pipeline stages")
        if sizes.tied_embeddings:
            raise ValueError("the embedding must not be tied to the head: they lie on different pipeline stages")


@config
class Job:
    """Work for all processes together.

    `volumes`: train `steps` steps under each arm and record losses and collectives. `steps`: time the
    steps of all arms and shapes in turn, `repetitions` times. `collectives`: time each collective at
    each of `sizes` bytes in turn.
    """

    work: Literal["volumes", "steps", "collectives"]
    processes: Count
    shapes: tuple[Shape, ...] = ()
    arms: tuple[Arm, ...] = ()
    steps: Count = 4
    sizes: tuple[Count, ...] = ()
    repetitions: Count = 1
    learning_rate: Positive = 0.1
    seed: Index = 0


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
    from tasks import gloo_worker

    with tempfile.TemporaryDirectory() as folder:
        order, rows = Path(folder) / "job.json", Path(folder) / "rows.json"
        order.write_text(json.dumps(asdict(job)))
        worker = ["--nproc-per-node", str(job.processes // len(nodes))]
        worker += ["--module", gloo_worker.__name__, str(order), str(rows)]
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


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
