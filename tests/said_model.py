"""What a stage says of its final model, loaded as MLflow would load it."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch


def listen(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """The spool into which stages speak from now on."""
    spool = folder / "said.jsonl"
    monkeypatch.setenv("TENFOLD_SPOOL", str(spool))
    return spool


def loaded(spool: Path, out: Path) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The example and what the model, read from the disk anew, makes of it; both must be as the stage says they are."""
    (said,) = [event for line in spool.read_text().splitlines() if (event := json.loads(line))["kind"] == "model"]
    example = {name: np.array(said["example"][name], kind) for name, (kind, _) in said["inputs"].items()}
    for name, (_, shape) in said["inputs"].items():
        _fits(example[name], shape)
    model: Any = importlib.import_module(said["loader"])._load_pyfunc(str(out))
    made = model.predict(example)
    kind, shape = said["output"]
    assert made.dtype == kind
    _fits(made, shape)
    return {name: torch.from_numpy(given) for name, given in example.items()}, torch.from_numpy(made)


def _fits(array: "np.ndarray[Any, Any]", shape: list[int]) -> None:
    assert array.size
    assert len(array.shape) == len(shape)
    assert all(wanted in (-1, length) for length, wanted in zip(array.shape, shape, strict=True))
