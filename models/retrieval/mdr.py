"""Multi-hop dense retrieval on frozen features: adapters and the loss that trains them (Xiong et al. 2021).

MDR trains a whole encoder, which learns by itself which words of a question, and of a passage that it has found, the
next passage must have. Here E(·) is frozen, so that passages are encoded once, and one vector of all that a text means
cannot say that. So vectors have two parts: meaning, which is E(·) after a small adapter, and words, a dense bag of
words (see `lexical`) in which a small network weighs each word of a query by its frozen token features. It reads q for
the first hop and q∘d1, attending from d1 to q, for the second.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.retrieval.reader import Dropout, Layer

SHARES = (0.7, 0.85, 0.6)
"""Shares of the words in both hops' queries before training."""

MARKS = 2
"""Marks of a token, see `Terms`."""


class Terms(NamedTuple):
    """Tokens of B texts, padded: `features` [B, T, features]; `real` [B, T], which are no padding.

    `marks` [B, T, MARKS] are 1 for words of the question and for what stands before the first sentence, such as a
    mail's header. `places` and `signs` [B, T, nonzero] are those of the token's word, and `rarity` [B, T] is its weight
    before any learning, 0 for all parts of a word but the first.
    """

    features: Tensor
    real: Tensor
    marks: Tensor
    places: Tensor
    signs: Tensor
    rarity: Tensor


class Adapter(nn.Module):
    """x_0 + f(x_0, …, x_n), f with one hidden layer, made of length 1.

    f begins as zero, so an untrained adapter passes its first input on and the search begins as the frozen encoder's.
    """

    def __init__(self, width: int, hidden: int, inputs: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(inputs * width, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
        )
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        return F.normalize(first + self.layers(torch.cat([first, *others], -1)), dim=-1)


class TermWeights(nn.Module):
    """How much each token's word counts in a query, above zero: its rarity times what a small network says.

    Tokens attend to the question's. The network begins as constant, `start` of the question's words and `others` of
    the first passage's.
    """

    def __init__(self, features: int, width: int, dropout: float, start: float = 1.0, others: float = 0.1) -> None:
        super().__init__()
        self.projected = nn.Linear(features, width)
        self.marked = nn.Linear(MARKS, width)
        self.asked = nn.Parameter(torch.zeros(width))
        self.dropout = Dropout(dropout)
        self.layer = Layer(width, 2, dropout)
        self.neighbours = nn.Conv1d(width, width, 5, padding=2, groups=width)
        self.last = nn.Linear(width, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        # What softplus makes `start` and `others` of.
        self.begin = [math.log(math.expm1(value)) for value in (start, others)]

    def forward(self, question: Terms, passage: Terms | None) -> tuple[Terms, Tensor]:
        """All terms, and the weight of each [B, T]."""
        asked = self._read(question) + self.asked
        tokens, terms = asked, question
        begin = torch.full((asked.shape[1],), self.begin[0], device=asked.device)
        if passage is not None:
            tokens = torch.cat([asked, self._read(passage)], 1)
            terms = Terms(*(torch.cat(pair, 1) for pair in zip(question, passage, strict=True)))
            begin = F.pad(begin, (0, passage.features.shape[1]), value=self.begin[1])
        read = self.layer(tokens, asked, question.real) * terms.real[..., None]
        read = read + F.gelu(self.neighbours(read.transpose(1, 2))).transpose(1, 2)
        return terms, F.softplus(self.last(read)[..., 0] + begin) * terms.rarity

    def _read(self, terms: Terms) -> Tensor:
        read: Tensor = self.dropout(self.projected(terms.features)) + self.marked(terms.marks)
        return read


class Retriever(nn.Module):
    """Both hops' queries and the passages, all vectors [n, width + words] of length 1.

    `width` is that of E(·), `words` that of the bags of words. A passage's vector has both parts in equal shares; in a
    query's the shares are learned, from the question. In the second hop the residual path of the meaning is
    E(q) + E(d1), what the frozen encoder would roughly give for q∘d1.
    """

    def __init__(
        self, width: int, words: int, features: int, hidden: int, temperature: float = 0.05, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.words = words
        self.first = Adapter(width, hidden, 1, dropout)
        self.passage = Adapter(width, hidden, 1, dropout)
        self.first_terms = TermWeights(features, hidden, dropout)
        self.second_terms = TermWeights(features, hidden, dropout)
        self.shares = nn.Linear(width, 3)
        nn.init.zeros_(self.shares.weight)
        self.shares.bias.data = torch.tensor(SHARES).logit()
        self.log_scale = nn.Parameter(torch.tensor(1 / temperature).log())

    def first_query(self, vector: Tensor, question: Terms) -> Tensor:
        """What asks for the first passage: `vector` is E(q), `question` the question's tokens."""
        return self._joined(self.first(vector), self.first_terms(question, None), self.shares(8 * vector)[:, 0])

    def second_query(self, vector: Tensor, found: Tensor, question: Terms, passage: Terms) -> Tensor:
        """What asks for the second passage, given E(d1) and the tokens of the first."""
        kept = self.shares(8 * vector)[:, 2:].sigmoid()
        meaning = F.normalize(kept * self.first(vector) + (1 - kept) * self.passage(found), dim=-1)
        return self._joined(meaning, self.second_terms(question, passage), self.shares(8 * vector)[:, 1])

    def passages(self, vectors: Tensor, bags: Tensor) -> Tensor:
        """Where passages lie in the space of the queries: `vectors` are E(d), `bags` their words."""
        return torch.cat([self.passage(vectors), bags], -1) / 2**0.5

    def _joined(self, meaning: Tensor, weighed: tuple[Terms, Tensor], share: Tensor) -> Tensor:
        """Both parts of a query, the squares of their lengths being the shares."""
        terms, weights = weighed
        values = (weights[..., None] * terms.signs).flatten(1)
        bag = torch.zeros(len(meaning), self.words, device=meaning.device)
        bag = F.normalize(bag.scatter_add(1, terms.places.flatten(1), values), dim=-1)
        lexical = share.sigmoid()[:, None]
        return torch.cat([(1 - lexical).sqrt() * meaning, lexical.sqrt() * bag], -1)


def mdr_loss(first: Tensor, second: Tensor, hops: Sequence[Tensor], negatives: Tensor, scale: Tensor) -> Tensor:
    """CE_1 + CE_2 of MDR: each hop's query against the positives of the whole batch and its own hard negatives.

    `first` and `second` are the queries of the two hops, [B, width]; `hops` the vectors of both positives, two times
    [B, width]; `negatives` [B, N, width], where N may be 0. Candidates are all 2B positives and the example's own N
    negatives. In the first hop the example's own second passage is masked, since it is no wrong answer there.
    `scale` is the inverse temperature that vectors of length 1 need.
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
