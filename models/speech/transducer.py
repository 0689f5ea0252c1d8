"""Recurrent neural network transducers (Graves 2012): the loss, by the sums over all alignments, a diagonal at a time.

An alignment goes through a grid of frames and tokens said so far: each blank takes a frame, each token one more place
in the text. `log_probabilities[t, u]` are those of frame t after u tokens. The states (t, u) of one diagonal t + u
depend on those of the diagonal before alone, so that a text of U tokens in T frames takes T + U steps instead of T · U.
"""

import torch
from torch import Tensor

from models.speech.settings import BLANK

IMPOSSIBLE = -1e30
"""The log probability of what cannot be: finite, so that differences of two such are no NaN."""


def transducer_loss(log_probabilities: Tensor, tokens: Tensor, frames: Tensor, lengths: Tensor) -> Tensor:
    """-log p(text | sound) of each text, in nats, [texts]; it is not divided by lengths.

    `log_probabilities` is [texts, frames, longest + 1, vocabulary], normalised over the vocabulary; `tokens` is [texts,
    longest], of which the first `lengths` count, as the first `frames` of the frames do: at least one.
    """
    texts, count, places, _ = log_probabilities.shape
    said = tokens[:, None, :, None].expand(-1, count, -1, 1)
    blank = _by_diagonals(log_probabilities[..., BLANK])
    token = _by_diagonals(log_probabilities[:, :, :-1].gather(3, said)[..., 0])
    edge = log_probabilities.new_full((texts, 1), IMPOSSIBLE)
    alpha = torch.cat([edge.new_zeros(texts, 1), edge.expand(-1, places - 1)], 1)
    every = [alpha]
    for diagonal in range(count + places - 2):
        stays = alpha + blank[:, diagonal]
        says = torch.cat([edge, alpha[:, :-1] + token[:, diagonal, : places - 1]], 1)
        alpha = torch.logaddexp(stays, says).clamp(min=IMPOSSIBLE)
        every.append(alpha)
    rows = torch.arange(texts, device=frames.device)
    last = frames - 1 + lengths
    return -(torch.stack(every, 1)[rows, last, lengths] + blank[rows, last, lengths])


def _by_diagonals(grid: Tensor) -> Tensor:
    """[texts, frames, places] as [texts, diagonals, places]: at diagonal d and place u, what is at frame d - u."""
    texts, frames, places = grid.shape
    at = torch.arange(frames + max(places, 1), device=grid.device)[:, None] - torch.arange(places, device=grid.device)
    inside = (at >= 0) & (at < frames)
    moved = grid.gather(1, at.clamp(0, frames - 1)[None].expand(texts, -1, -1))
    return torch.where(inside, moved, IMPOSSIBLE)
