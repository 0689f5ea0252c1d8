"""A stage on several GPUs of one host: one function in as many processes, which torchrun starts, a GPU each.

    def finetune(*, corpus: Path, config: Finetuning, out: Path) -> None:
        in_processes(finetune_share, config.processes, corpus=corpus, config=config, out=out)

`tasks.learning.train` in such a process averages its gradients with the others', by Accelerate, so each gives it a
share of every batch. The number of processes is a setting of the stage, and so part of what its result is recorded as;
the stage `needs` as many GPUs, of a worker that has them `--together`. Where there are none, gloo joins processes on
cores.
"""

import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

from tasks.base.determinism import seed
from tasks.base.errors import UserError
from tasks.base.instructions import NATIVE, PORTABLE, SETTINGS

_PR_SET_PDEATHSIG = 1


def in_processes(function: Callable[..., None], processes: int, **given: Any) -> None:
    """Call a module's function with the same arguments, which are folders and settings, in so many processes.

    The first one alone speaks to the tracking store, and the function sees to it that it alone writes. There is no
    checkpoint to go on from: processes that keep their own would go on from different steps.

    Raises:
        UserError: one of them failed, or there were not as many as were asked for; its words are in the log.
    """
    from pydantic_core import to_jsonable_python

    named = f"{function.__module__}:{function.__qualname__}"
    order = {"function": named, "processes": processes, "given": to_jsonable_python(given)}
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    environment.pop("TENFOLD_CHECKPOINTS", None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "order.json"
        path.write_text(json.dumps(order))
        launcher = subprocess.Popen(
            [
                sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1",
                "--nproc-per-node", str(processes), "--module", __name__, str(path),
            ],
            env=environment,
            preexec_fn=_die_with_parent,
        )  # fmt: skip
        try:
            code = launcher.wait()
        finally:
            launcher.terminate()  # and it its processes
            launcher.wait()
    if code:
        raise UserError(f"{named} failed in one of its {processes} processes; what that said stands above.")


def check_world(processes: int) -> None:
    """Refuse to go on unless so many processes are here, and each of them takes part.

    Raises:
        RuntimeError: the result would be that of another configuration.
    """
    import torch
    import torch.distributed as dist

    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    present = torch.zeros(dist.get_world_size(), dtype=torch.int64, device=device)
    present[dist.get_rank()] = os.getpid()
    dist.all_reduce(present)
    found = len(set(present.tolist()) - {0})
    if found != processes:
        raise RuntimeError(f"{processes} processes were asked for, {found} are here")


def main(order: Path) -> None:
    """Be one of the processes: join the others, count them, and do the work."""
    from pydantic import TypeAdapter

    _die_with_parent()
    import torch
    import torch.distributed as dist

    told = json.loads(order.read_text())
    module, _, name = told["function"].partition(":")
    function = getattr(importlib.import_module(module), name)
    hints = get_type_hints(function)
    given = {key: TypeAdapter(hints[key]).validate_json(json.dumps(value)) for key, value in told["given"].items()}
    seed(given.get("config"), ("numpy", "torch"), _level())
    local = int(os.environ["LOCAL_RANK"])
    if local:
        os.environ.pop("TENFOLD_SPOOL", None)
    if torch.cuda.is_available():
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        check_world(told["processes"])
        function(**given)
        dist.barrier()
    finally:
        dist.destroy_process_group()


def _level() -> str:
    """The level of instructions to which the stage holds its libraries, which its environment says."""
    return PORTABLE if all(os.environ.get(name) == value for name, value in SETTINGS.items()) else NATIVE


def _die_with_parent() -> None:
    """Ask the kernel to end this process with the one that started it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
