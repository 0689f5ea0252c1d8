"""The training loop: its schedule, its bit-equal resume, and how it stops."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from models.config import Optimisation
from tasks.base.errors import UserError
from tasks.learning.train import Plateau, Training, learning_rate, train


def settings(**changes: float) -> Optimisation:
    return Optimisation(**({"steps": 12, "batch": 4, "learning_rate": 1e-2, "warmup": 3} | changes))


class Noisy(nn.Module):
    """A model whose loss depends on torch's random state, so that a resume must restore it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm, self.second = nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 1)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += 1
        return self.second(torch.dropout(self.norm(self.first(x)), 0.3, self.training))


class Killed(Exception):
    pass


def run(model: nn.Module, *, kill_at: int | None = None, poison: int | None = None, **changes: float) -> Training:
    def batch(step: int) -> torch.Tensor:
        if step == kill_at:
            raise Killed
        x = torch.randn(4, 4, generator=torch.Generator().manual_seed(step))
        return x * math.nan if step == poison else x

    def loss(trained: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return (trained(x) - x.sum(1, keepdim=True)).square().mean()

    return train(
        model,
        batch=batch,
        loss=loss,
        config=settings(**changes),
        tokens_per_step=4,
        flops_per_step=10,
        checkpoint_seconds=0,
    )


def weights(model: nn.Module) -> bytes:
    return b"".join(value.numpy().tobytes() for value in model.state_dict().values())


@pytest.mark.parametrize("moments", [[1], [7], [11], [2, 5, 6]])
def test_a_resumed_training_ends_in_the_same_bytes(
    moments: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost moments, random state, buffers, step or loss curve would each change the result."""
    whole = Noisy()
    expected = run(whole)
    monkeypatch.setenv("TENFOLD_CHECKPOINTS", str(tmp_path / "identity"))
    for moment in moments:
        with pytest.raises(Killed):
            run(Noisy(), kill_at=moment)
    torch.manual_seed(99)
    resumed = Noisy()
    torch.rand(3)
    assert run(resumed) == expected
    assert weights(resumed) == weights(whole)
    assert expected.steps == 12
    assert expected.tokens == 48
    assert expected.flops == 120


def test_a_finished_checkpoint_is_not_trained_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CHECKPOINTS", str(tmp_path))
    first, second = Noisy(), Noisy()
    assert run(first) == run(second)
    assert weights(first) == weights(second)


def test_nan_stops_and_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CHECKPOINTS", str(tmp_path))
    with pytest.raises(UserError, match=r"stopped at step 5.*learning rate"):
        run(Noisy(), poison=5)
    assert [path.name for path in tmp_path.iterdir()] == ["train.safetensors"]
    resumed = Noisy()
    assert run(resumed).steps == 12
    assert all(value.isfinite().all() for value in resumed.state_dict().values())


def test_an_infinite_gradient_stops() -> None:
    """The square root of zero has a finite value and an infinite slope."""
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.zero_()
    with pytest.raises(UserError, match="gradient norm"):
        train(
            model,
            batch=lambda step: torch.ones(1, 1),
            loss=lambda trained, x: trained(x).sqrt().sum(),
            config=settings(),
            tokens_per_step=1,
            flops_per_step=1,
        )


def test_the_gradient_is_clipped() -> None:
    """With plain weights of one, AdamW hides the scale; the second moment does not."""
    steps = {}
    for scale in (1.0, 1e6):
        model = nn.Linear(1, 1, bias=False)
        model.weight.data.fill_(1.0)
        train(
            model,
            batch=lambda step, scale=scale: torch.full((1, 1), scale if step == 0 else 1.0),
            loss=lambda trained, x: trained(x).sum(),
            config=settings(steps=3, warmup=0, weight_decay=0.0),
            tokens_per_step=1,
            flops_per_step=1,
        )
        steps[scale] = model.weight.item()
    assert steps[1.0] == pytest.approx(steps[1e6], abs=1e-6)


@given(st.integers(1, 400), st.integers(0, 50), st.floats(0, 1))
def test_the_schedule_warms_up_and_ends_at_the_floor(steps: int, warmup: int, floor: float) -> None:
    config = settings(steps=steps, warmup=warmup, floor=floor)
    rates = [learning_rate(config, step) for step in range(steps + 1)]
    assert all(0 < rate <= 1e-2 * (1 + 1e-12) for rate in rates[:-1])
    assert all(a <= b for a, b in pairwise(rates[:warmup]))
    assert all(a >= b for a, b in pairwise(rates[warmup:]))
    if warmup < steps:
        assert rates[warmup] == pytest.approx(1e-2)
        assert rates[-1] == pytest.approx(1e-2 * floor)


@pytest.mark.parametrize(
    ("values", "steps", "ended"),
    [([3.0, 2.0, 1.995, 0.0], 6, "plateau"), ([3.0, 2.0, 1.5, 1.0, 0.9, 0.8], 12, "steps")],
)
def test_the_plateau_rule(
    values: list[float], steps: int, ended: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two checks that differ by less than the gain end the training, and a resume does not revive it."""
    monkeypatch.setenv("TENFOLD_CHECKPOINTS", str(tmp_path))
    for _ in range(2):
        model, left = nn.Linear(2, 1), iter(values)
        done = train(
            model,
            batch=lambda step: torch.ones(1, 2),
            loss=lambda trained, x: trained(x).square().mean(),
            config=settings(),
            tokens_per_step=1,
            flops_per_step=1,
            validate=lambda trained, left=left: next(left),
            plateau=Plateau(gain=0.01, steps=2),
            checkpoint_seconds=0,
        )
        assert (done.steps, done.ended) == (steps, ended)


def test_curves_are_sparse_and_their_mean_is_the_loss() -> None:
    done = run(Noisy(), steps=200)
    assert len(done.losses) == 50
    assert done.losses[-1][0] == 200
    assert done.losses[-1][1] < done.losses[0][1]


def test_the_mean_of_the_loss_covers_every_step() -> None:
    """Each point is the mean since the last one, not the one lucky step at which it is written."""
    values = iter(float(value) for value in range(100))
    model = nn.Linear(1, 1)
    done = train(
        model,
        batch=lambda step: next(values),
        loss=lambda trained, value: trained.weight.sum() * 0 + value,
        config=settings(steps=100),
        tokens_per_step=1,
        flops_per_step=1,
    )
    assert done.losses[:2] == [(2, 0.5), (4, 2.5)]
