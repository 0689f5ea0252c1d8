"""What makes a stage give the same bytes again: one thread, one instruction set, seeds, no network.

Every stage's code manifest holds this module, whether the stage imports it or not, for it runs before each.
"""

import os
import random
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tasks.base import instructions
from tasks.base.errors import UserError
from tasks.base.files import STATE


def set_process_environment(level: str = instructions.NATIVE) -> None:
    """One thread, instructions of `level` (see `tasks.base.instructions`), no network look-ups and no telemetry."""
    instructions.hold_to(level)
    threads = os.environ.get("TENFOLD_THREADS", "1")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = threads
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE", "DO_NOT_TRACK"):
        os.environ[name] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    os.environ["HF_HOME"] = str(STATE / "huggingface")


def seed(settings: Any, libraries: Collection[str], level: str = instructions.NATIVE) -> None:
    """Seed every generator that the stage's code can reach; numpy's and torch's only where it imports them.

    Raises:
        UserError: torch's matrix products cannot be held to `level` here.
    """
    value = getattr(settings, "seed", 0)
    random.seed(value)
    if "numpy" in libraries:
        import numpy

        numpy.random.seed(value)
    if "torch" in libraries:
        import torch

        if level == instructions.PORTABLE:
            try:
                instructions.hold_mkl_to_one_vendor(Path(torch.__file__).parent)
            except OSError as problem:
                raise UserError(
                    f"This system does not let a process change code in its memory ({problem}), without which its "
                    f"results would not be those of other machines: set {instructions.WISH}=1 for a record of its own."
                ) from None
        torch.manual_seed(value)
        torch.use_deterministic_algorithms(True)
        # The results are the same without filling fresh memory first, and a training step is 3–7 % faster.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
