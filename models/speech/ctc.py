"""Connectionist temporal classification (Graves et al. 2006): the loss, by the sums over all alignments.

Tokens are numbers from 1; 0 is blank. An alignment of a text gives each frame a token or blank, and says the text when
repetitions are joined and blanks dropped. The states of a text of L tokens are blank, token, blank, …: 2 L + 1.
"""

from typing import Any

import torch
from torch import Tensor

from models.speech.settings import BLANK

IMPOSSIBLE = -1e30
"""The log probability of what cannot be: finite, so that differences of two such are no NaN."""


def needed_frames(tokens: Tensor, lengths: Tensor) -> Tensor:
    """How many frames each text needs at least: a token each, and a blank between equal neighbours. [texts]"""
    places = torch.arange(1, tokens.shape[1], device=tokens.device)
    repeated = (tokens[:, 1:] == tokens[:, :-1]) & (places < lengths[:, None])
    return lengths + repeated.sum(1)


def ctc_loss(log_probabilities: Tensor, tokens: Tensor, frames: Tensor, lengths: Tensor) -> Tensor:
    """-log p(text | sound) of each text, in nats, [texts].

    `log_probabilities` is [texts, frames, vocabulary], normalised over the vocabulary; `tokens` is [texts, longest],
    of which the first `lengths` count, as the first `frames` of the frames do. A text that needs more frames than
    there are has a loss of 0 and no gradient.
    """
    loss: Tensor = _Loss.apply(log_probabilities, tokens, frames, lengths)  # type: ignore[no-untyped-call]
    return loss


class _Loss(torch.autograd.Function):
    """Forward and backward sums over frames; the gradient is minus the posterior of each token at each frame."""

    @staticmethod
    def forward(ctx: Any, log_probabilities: Tensor, tokens: Tensor, frames: Tensor, lengths: Tensor) -> Tensor:
        states, skips = _states(tokens, log_probabilities.dtype)
        emitted = log_probabilities.gather(2, states[:, None].expand(-1, log_probabilities.shape[1], -1))
        alpha = _sums(emitted, skips)
        last = frames - 1
        every = torch.arange(len(tokens), device=tokens.device)
        ends = torch.stack([2 * lengths, (2 * lengths - 1).clamp(min=0)], 1)
        found = alpha[last[:, None], every[:, None], ends]
        found[:, 1] = torch.where(lengths > 0, found[:, 1], IMPOSSIBLE)
        total = found.logsumexp(1)
        possible = (needed_frames(tokens, lengths) <= frames) & (total > IMPOSSIBLE / 2)
        ctx.save_for_backward(log_probabilities, states, skips, emitted, alpha, total, possible, frames, lengths)
        return torch.where(possible, -total, 0.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        log_probabilities, states, skips, emitted, alpha, total, possible, frames, lengths = ctx.saved_tensors
        beta = _sums_after(emitted, skips, frames, lengths)
        posterior = (alpha.transpose(0, 1) + beta.transpose(0, 1) - total[:, None, None]).exp()
        within = torch.arange(log_probabilities.shape[1], device=frames.device) < frames[:, None]
        weight = -gradients[0] * possible
        posterior = torch.where(within[:, :, None], posterior, 0.0) * weight[:, None, None]
        made = torch.zeros_like(log_probabilities)
        made.scatter_add_(2, states[:, None].expand(-1, made.shape[1], -1), posterior)
        return made, None, None, None


def _states(tokens: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The states' tokens [texts, 2 L + 1], and 0 where a state follows the one two before it, else `IMPOSSIBLE`."""
    states = tokens.new_full((tokens.shape[0], 2 * tokens.shape[1] + 1), BLANK)
    states[:, 1::2] = tokens
    skips = torch.full(states.shape, IMPOSSIBLE, dtype=dtype, device=tokens.device)
    skips[:, 3::2] = torch.where(tokens[:, 1:] != tokens[:, :-1], 0.0, IMPOSSIBLE).to(dtype)
    return states, skips


def _sums(emitted: Tensor, skips: Tensor) -> Tensor:
    """α: log of the sum over all ways from the first frame to each state at each frame, [frames, texts, states]."""
    alpha = emitted.new_full((emitted.shape[1], emitted.shape[0], emitted.shape[2]), IMPOSSIBLE)
    alpha[0, :, :2] = emitted[:, 0, :2]
    edge = emitted.new_full((emitted.shape[0], 2), IMPOSSIBLE)
    for frame in range(1, emitted.shape[1]):
        before = torch.cat([edge, alpha[frame - 1]], 1)
        ways = torch.stack([before[:, 2:], before[:, 1:-1], before[:, :-2] + skips])
        alpha[frame] = (ways.logsumexp(0) + emitted[:, frame]).clamp(min=IMPOSSIBLE)
    return alpha


def _sums_after(emitted: Tensor, skips: Tensor, frames: Tensor, lengths: Tensor) -> Tensor:
    """β: log of the sum over all ways from each state, after its own frame, to the text's end."""
    texts, count, states = emitted.shape
    beta = emitted.new_full((count, texts, states), IMPOSSIBLE)
    places = torch.arange(states, device=frames.device)
    ends = (places == 2 * lengths[:, None]) | (places == 2 * lengths[:, None] - 1)
    closed = torch.where(ends, 0.0, IMPOSSIBLE).to(emitted.dtype)
    edge = emitted.new_full((texts, 2), IMPOSSIBLE)
    skips_after = torch.cat([skips, edge], 1)[:, 2:]
    beta[-1] = closed
    for frame in range(count - 2, -1, -1):
        after = torch.cat([beta[frame + 1] + emitted[:, frame + 1], edge], 1)
        ways = torch.stack([after[:, :-2], after[:, 1:-1], after[:, 2:] + skips_after])
        sums = ways.logsumexp(0).clamp(min=IMPOSSIBLE)
        beta[frame] = torch.where((frames - 1 == frame)[:, None], closed, sums)
    return beta


def greedy(log_probabilities: Tensor, frames: int) -> list[int]:
    """The tokens of the likeliest alignment: the best of each frame, repetitions joined, blanks dropped."""
    best = log_probabilities[:frames].argmax(-1)
    joined = torch.unique_consecutive(best)
    return [int(token) for token in joined if token != BLANK]
