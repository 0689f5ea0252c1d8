"""A training stage with checkpoints, for the engine's own tests."""

import time
from pathlib import Path
from typing import Any

from models.config import Index, Optimisation, config
from tasks.learning.logged import Loaded, say_model


@config
class Line:
    """A straight line, fitted by the training loop of every paper."""

    seed: Index
    optimisation: Optimisation
    milliseconds: Index = 0


def fit(*, cleaned: Path, config: Line, out: Path) -> None:
    """Fit a line to the letters' positions: a training stage with checkpoints."""
    import torch
    from safetensors.torch import save_file
    from torch import nn

    from tasks.learning.train import train

    codes = torch.tensor([float(ord(c)) for path in sorted(cleaned.glob("*.txt")) for c in path.read_text()])
    model = nn.Linear(1, 1)

    def batch(step: int) -> torch.Tensor:
        time.sleep(config.milliseconds / 1000 / config.optimisation.steps)
        chance = torch.Generator().manual_seed(1000 * config.seed + step)
        return codes[torch.randint(len(codes), (8,), generator=chance)]

    def loss(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        return ((model(batch[:, None] / 128) - 1) ** 2).mean() + 0.01 * torch.rand(())

    train(
        model,
        batch=batch,
        loss=loss,
        config=config.optimisation,
        tokens_per_step=8,
        flops_per_step=100,
        checkpoint_seconds=0.2,
    )
    save_file(model.state_dict(), out / "model.safetensors")
    say_model(__name__, model.cpu(), {"input": codes[:3, None] / 128})


def _load_pyfunc(path: str) -> Loaded:
    """The line as MLflow loads it."""
    from safetensors.torch import load_file
    from torch import nn

    model: Any = nn.Linear(1, 1)
    model.load_state_dict(load_file(Path(path) / "model.safetensors"))
    return Loaded(model)
