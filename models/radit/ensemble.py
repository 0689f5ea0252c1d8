"""Predictions over several passages as one: probabilities are averaged, never logits (equation 2; REPLUG)."""

import torch
from torch import Tensor


def passage_weights(scores: Tensor) -> Tensor:
    """p_R(c | x), the softmax of the retriever's scores over the passages that are used: the last axis."""
    return scores.softmax(-1)


def mixture(log_probabilities: Tensor, weights: Tensor) -> Tensor:
    """log Σ_c p_R(c | x) p_LM(· | c∘x): the passages' log probabilities [passages, …] under `weights` [passages]."""
    shape = [len(weights)] + [1] * (log_probabilities.dim() - 1)
    return torch.logsumexp(log_probabilities + weights.log().view(shape), 0)


def answer_log_probability(log_probabilities: Tensor, weights: Tensor) -> Tensor:
    """log p(y | x, C′) where each token of y is predicted by the mixture, given those before it.

    `log_probabilities` [passages, tokens] are those of y's tokens after each passage alone.
    """
    return mixture(log_probabilities, weights).sum()


def mixtures(log_probabilities: Tensor, weights: Tensor, groups: Tensor, count: int) -> Tensor:
    """The mixtures of `count` groups of rows at once, as probabilities [count, vocabulary].

    Row i of `log_probabilities` [rows, vocabulary] belongs to group `groups[i]` and has the weight `weights[i]`.
    """
    mixed = torch.zeros(count, log_probabilities.shape[1], dtype=torch.float32, device=log_probabilities.device)
    return mixed.index_add_(0, groups, log_probabilities.float().exp() * weights[:, None].float())
