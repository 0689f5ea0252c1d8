"""The transducer's loss against all alignments one by one, and its gradient."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from models.speech.transducer import transducer_loss

TEXTS = [(1,), (1, 1), (2, 1, 2), (), (3, 3, 3)]
FRAMES = [4, 3, 4, 1, 2]


def grid(seed: int = 0) -> Tensor:
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(len(TEXTS), 4, 4, 4, generator=chance, dtype=torch.float64).log_softmax(-1)


def padded() -> tuple[Tensor, Tensor, Tensor]:
    tokens = torch.zeros(len(TEXTS), 3, dtype=torch.long)
    for row, text in enumerate(TEXTS):
        tokens[row, : len(text)] = torch.tensor(text, dtype=torch.long)
    return tokens, torch.tensor(FRAMES), torch.tensor([len(text) for text in TEXTS])


def brute_force(logs: Tensor, text: tuple[int, ...], frames: int) -> float:
    """-log of the summed probabilities of every order of the text's tokens and of a blank a frame, a blank last."""
    total = 0.0
    for said in itertools.combinations(range(frames + len(text) - 1), len(text)):
        frame = place = 0
        score = 0.0
        for step in range(frames + len(text)):
            token = text[place] if step in said else 0
            score += logs[frame, place, token].item()
            frame, place = (frame, place + 1) if step in said else (frame + 1, place)
        total += math.exp(score)
    return -math.log(total)


def test_the_loss_is_the_sum_over_alignments() -> None:
    """A diagonal that is off by one, or padding that counts, changes it. Lengths differ; a text may be empty."""
    found = transducer_loss(grid(), *padded())
    expected = [brute_force(*each) for each in zip(grid(), TEXTS, FRAMES, strict=True)]
    assert found.tolist() == pytest.approx(expected, abs=1e-9)


def test_the_gradient_is_the_losss() -> None:
    """Masks of what cannot be must not leak into it."""
    scores = torch.randn(len(TEXTS), 4, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda each: transducer_loss(each.log_softmax(-1), *padded()), (scores,))
    transducer_loss(scores.log_softmax(-1), *padded()).sum().backward()
    assert scores.grad is not None
    assert scores.grad[1, 3:].abs().max() == 0
    assert scores.grad[0, :, 2:].abs().max() == 0
