"""The loss against all alignments one by one, its gradient, and torch's own."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from models.speech.ctc import ctc_loss, greedy, needed_frames


def said(alignment: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(token for token, _ in itertools.groupby(alignment) if token)


def brute_force(logs: Tensor, text: tuple[int, ...]) -> float:
    """-log of the summed probabilities of every alignment that says the text."""
    frames, vocabulary = logs.shape
    total = sum(
        math.exp(sum(logs[frame, token].item() for frame, token in enumerate(alignment)))
        for alignment in itertools.product(range(vocabulary), repeat=frames)
        if said(alignment) == text
    )
    return -math.log(total) if total else math.inf


def emissions(texts: int, frames: int, vocabulary: int, seed: int = 0) -> Tensor:
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(texts, frames, vocabulary, generator=chance, dtype=torch.float64).log_softmax(-1)


TEXTS = [(1,), (1, 1), (2, 1, 2), (3, 3, 3), (1, 2, 3, 1), (), (2, 2, 1)]


def test_the_loss_is_the_sum_over_alignments() -> None:
    """A transition too many or too few (over a blank between equal tokens, say) changes it. Lengths differ."""
    logs = emissions(len(TEXTS), 6, 4)
    frames = torch.tensor([6, 5, 6, 6, 6, 3, 4])
    tokens = torch.zeros(len(TEXTS), 4, dtype=torch.long)
    for row, text in enumerate(TEXTS):
        tokens[row, : len(text)] = torch.tensor(text, dtype=torch.long)
    lengths = torch.tensor([len(text) for text in TEXTS])
    found = ctc_loss(logs, tokens, frames, lengths)
    for row, text in enumerate(TEXTS):
        assert found[row].item() == pytest.approx(brute_force(logs[row, : frames[row]], text), rel=1e-9)


def test_the_gradient_is_that_of_finite_differences() -> None:
    scores = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    tokens, lengths = torch.tensor([[1, 1], [2, 3], [1, 0]]), torch.tensor([2, 2, 1])
    frames = torch.tensor([5, 4, 3])

    def loss(values: Tensor) -> Tensor:
        return ctc_loss(values.log_softmax(-1), tokens, frames, lengths)

    assert torch.autograd.gradcheck(loss, (scores,))


def test_torch_finds_the_same_on_long_texts() -> None:
    chance = torch.Generator().manual_seed(2)
    scores = torch.randn(4, 120, 30, generator=chance, requires_grad=True)
    tokens = torch.randint(1, 30, (4, 25), generator=chance)
    lengths, frames = torch.tensor([25, 10, 1, 20]), torch.tensor([120, 80, 60, 119])
    ours = ctc_loss(scores.log_softmax(-1), tokens, frames, lengths)
    (slope,) = torch.autograd.grad(ours.sum(), scores)
    theirs = torch.nn.functional.ctc_loss(
        scores.log_softmax(-1).transpose(0, 1), tokens, frames, lengths, reduction="none"
    )
    (expected,) = torch.autograd.grad(theirs.sum(), scores)
    assert torch.allclose(ours, theirs, rtol=1e-4)
    assert torch.allclose(slope, expected, atol=1e-4)


def test_a_text_too_long_for_its_sound_teaches_nothing() -> None:
    """An infinite loss would spoil the whole batch."""
    logs = emissions(2, 3, 4).requires_grad_()
    tokens, lengths = torch.tensor([[1, 1], [1, 2]]), torch.tensor([2, 2])
    assert needed_frames(tokens, lengths).tolist() == [3, 2]
    loss = ctc_loss(logs, tokens, torch.tensor([2, 3]), lengths)
    assert loss[0].item() == 0
    assert loss[1].item() > 0
    (slope,) = torch.autograd.grad(loss.sum(), logs)
    assert not slope[0].any()
    assert slope[1].any()


def test_the_likeliest_alignment_is_joined_and_its_blanks_dropped() -> None:
    logs = torch.full((7, 3), -9.0)
    for frame, token in enumerate((1, 1, 0, 1, 2, 2, 1)):
        logs[frame, token] = 0
    assert greedy(logs, 7) == [1, 1, 2, 1]
    assert greedy(logs, 6) == [1, 1, 2]
