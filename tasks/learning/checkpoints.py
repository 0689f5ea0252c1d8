"""Where the training loop keeps its checkpoint, for a training that is no stage: the engine says it to its stages."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def checkpoints(folder: Path) -> Iterator[None]:
    """Let the training loop keep its checkpoint here, and go on from the one that is here."""
    before = os.environ.get("TENFOLD_CHECKPOINTS")
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["TENFOLD_CHECKPOINTS"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TENFOLD_CHECKPOINTS"]
        else:
            os.environ["TENFOLD_CHECKPOINTS"] = before
