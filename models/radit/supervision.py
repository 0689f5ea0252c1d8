"""What the language model teaches the retriever (sections 2.4 and B of the paper; LSR of REPLUG, Shi et al. 2023)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.radit.settings import Direction


def likelihoods(log_probabilities: Sequence[Sequence[Tensor]]) -> Tensor:
    """p_LM of each question's answer with each passage, [questions, passages], of the answers' log probabilities.

    `log_probabilities[i][j]` are those of the tokens of answer i after passage j. The probability is that of a token,
    their geometric mean: the probability of a whole text of fifty tokens is zero after any passage, and says nothing.
    """
    return torch.stack([torch.stack([each.mean() for each in row]) for row in log_probabilities]).exp()


def supervised_distribution(likelihood: Tensor, temperature: float) -> Tensor:
    """log p_LSR(c | x, y) = log softmax over passages of p_LM(y | c∘x) / τ, of the shape of `likelihood`."""
    return (likelihood / temperature).log_softmax(-1)


def retriever_loss(
    scores: Tensor, likelihood: Tensor, temperature: float = 0.01, direction: Direction = "retriever to model"
) -> Tensor:
    """KL(p_R ‖ p_LSR), the mean over questions, in nats (equation 5).

    `scores` s(x, c) and `likelihood` p_LM(y | c∘x) are both [questions, passages]; p_R is the softmax of the scores.
    The other direction, KL(p_LSR ‖ p_R), is what several public implementations compute.
    """
    retriever, model = scores.log_softmax(-1), supervised_distribution(likelihood, temperature)
    first, second = (retriever, model) if direction == "retriever to model" else (model, retriever)
    return (first.exp() * (first - second)).sum(-1).mean()
