"""A stage's function in several processes of a host, by gloo on cores."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

from tasks.base.errors import UserError
from tasks.learning.torchrun import in_processes

pytestmark = pytest.mark.slow

SHARES = '''
import json
from pathlib import Path

import torch
import torch.distributed as dist

from models.config import Count, Index, Optimisation, config
from tasks.base import spool
from tasks.learning.torchrun import check_world
from tasks.learning.train import train


@config
class Training:
    processes: Count
    optimisation: Optimisation
    seed: Index = 3


def share(*, config: Training, out: Path) -> None:
    """Fit a line on this process's part of each batch of eight."""
    alone = not dist.is_initialized()
    rank, world = (0, 1) if alone else (dist.get_rank(), dist.get_world_size())
    model = torch.nn.Linear(4, 1)

    def batch(step: int) -> torch.Tensor:
        rows = torch.randn(8, 5, generator=torch.Generator().manual_seed(step))
        return rows[rank::world]

    def loss(model: torch.nn.Module, rows: torch.Tensor) -> torch.Tensor:
        return (model(rows[:, :4]) - rows[:, 4:]).square().mean()

    train(model, batch=batch, loss=loss, config=config.optimisation, tokens_per_step=8, flops_per_step=1)
    weights = [value for weight in model.parameters() for value in weight.flatten().tolist()]
    (out / f"{rank}-of-{world}.json").write_text(json.dumps(weights))


def expecting_three(*, out: Path) -> None:
    check_world(3)
'''


@pytest.fixture
def shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that the processes can import, too."""
    (tmp_path / "shares_of_a_test.py").write_text(SHARES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).resolve().parents[2]}")
    return importlib.import_module("shares_of_a_test")


def test_two_processes_train_as_one_does_on_the_whole_batch(
    shares: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that did not hear of each other would each fit their own half."""
    import torch

    from models.config import Optimisation

    spool = tmp_path / "spool.jsonl"
    monkeypatch.setenv("TENFOLD_SPOOL", str(spool))
    settings = Optimisation(steps=20, batch=8, learning_rate=0.1, warmup=1, clip=1.0, weight_decay=0.0, floor=0.1)
    in_processes(shares.share, 2, config=shares.Training(processes=2, optimisation=settings), out=tmp_path)
    curve = [json.loads(line) for line in spool.read_text().splitlines()]
    assert len([each for each in curve if each["name"] == "loss"]) == 20, "the first process alone speaks"
    torch.manual_seed(3)
    shares.share(config=shares.Training(processes=1, optimisation=settings), out=tmp_path)
    first, second, alone = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("0-of-2", "1-of-2", "0-of-1")
    )
    assert first == second
    assert first == pytest.approx(alone, abs=1e-5)


def test_another_number_of_processes_is_refused(
    shares: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What two give must not be recorded as the work of three."""
    with pytest.raises(UserError, match="expecting_three failed in one of its 2 processes"):
        in_processes(shares.expecting_three, 2, out=tmp_path)
    assert "3 processes were asked for, 2 are here" in capfd.readouterr().err
