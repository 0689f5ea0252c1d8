"""Multi-hop dense retrieval on frozen features: adapters, and the loss that trains them (Xiong et al. 2021).

MDR trains a whole encoder. Here E(·) is frozen, so that passages are encoded once, and small adapters are trained:
g(E(q)) asks for the first hop, h(E(q), E(d1)) for the second, and p(E(d)) is how a passage is found.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Adapter(nn.Module):
    """x_0 + f(x_0, …, x_n), f with one hidden layer, made of length 1.

    f begins as zero, so an untrained adapter passes its first input on and the search begins as the frozen encoder's.
    """

    def __init__(self, width: int, hidden: int, inputs: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs * width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        return F.normalize(first + self.layers(torch.cat([first, *others], -1)), dim=-1)


class Retriever(nn.Module):
    """The three adapters. All vectors in and out are [n, width] of length 1, so that inner products are cosines.

    In the second hop the residual path is E(q) + E(d1), what the frozen encoder would roughly give for q∘d1.
    """

    def __init__(self, width: int, hidden: int, temperature: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = Adapter(width, hidden, 1, dropout)
        self.second = Adapter(width, hidden, 3, dropout)
        self.passage = Adapter(width, hidden, 1, dropout)
        self.log_scale = nn.Parameter(torch.tensor(1 / temperature).log())

    def first_query(self, question: Tensor) -> Tensor:
        """g(E(q)): what asks for the first passage."""
        return self.first(question)  # type: ignore[no-any-return]

    def second_query(self, question: Tensor, passage: Tensor) -> Tensor:
        """h(E(q), E(d1)): what asks for the second passage, given the frozen vectors of both."""
        return self.second(question + passage, question, passage)  # type: ignore[no-any-return]

    def passages(self, vectors: Tensor) -> Tensor:
        """p(E(d)): where passages lie in the space of the queries."""
        return self.passage(vectors)  # type: ignore[no-any-return]


def mdr_loss(first: Tensor, second: Tensor, hops: Sequence[Tensor], negatives: Tensor, scale: Tensor) -> Tensor:
    """CE_1 + CE_2 of MDR: each hop's query against the positives of the whole batch and its own hard negatives.

    `first` and `second` are the queries of the two hops, [B, width]; `hops` the vectors of both positives, two times
    [B, width]; `negatives` [B, N, width], where N may be 0. Candidates are all 2B positives and the example's own N
    negatives. In the first hop the example's own second passage is masked, since it is no wrong answer there.
    `scale` is the inverse temperature that cosines need.
    """
    count = len(first)
    positives = torch.cat(list(hops))
    own = torch.arange(count, device=first.device)
    losses = []
    for hop, query in enumerate((first, second)):
        in_batch = query @ positives.T
        hard = torch.einsum("bw,bnw->bn", query, negatives)
        scores = scale * torch.cat([in_batch, hard], 1)
        if hop == 0:
            # After the scale, whose gradient would otherwise be 0 times infinity.
            scores = scores.index_put((own, own + count), torch.tensor(-torch.inf, device=first.device))
        losses.append(F.cross_entropy(scores, own + hop * count))
    return losses[0] + losses[1]
