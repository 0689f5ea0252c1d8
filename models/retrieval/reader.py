"""An extractive reader of chains over frozen token features.

As the reader of MDR (Xiong et al. 2021, section 2.3) it finds the answer's span, says how likely the chain is the right
one and which sentences support the answer, and mixes the scores of chain and span. MDR finetunes a whole ELECTRA; here
tokens come with frozen features and exact-match marks (Chen et al. 2017, DrQA), and a small stack reads the question.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SPAN, YES, NO = 0, 1, 2
"""Kinds of answers."""

MARKS = 2
"""Exact-match marks of a token: its word is in the question; its word is in the other passage."""


class Chains(NamedTuple):
    """A batch of B questions, each with a chain of two passages, padded.

    `question` [B, Q, features] and `tokens` [B, T, features] are frozen features; `asked` and `real` say which of them
    are no padding. For each passage token: `hop` 0 or 1, `marks` [B, T, MARKS], `sentence` its slot among
    the chain's sentences, 0 … `sentences` - 1 (a title or a mail's header has a slot too; so has padding: the last).
    """

    question: Tensor
    asked: Tensor
    tokens: Tensor
    real: Tensor
    hop: Tensor
    marks: Tensor
    sentence: Tensor
    sentences: int


class Readings(NamedTuple):
    """Scores of a batch of chains: log-probabilities `start`, `end` [B, T] and `kind` [B, 3], logits `rank` [B] and
    `support` [B, sentences]."""

    start: Tensor
    end: Tensor
    kind: Tensor
    rank: Tensor
    support: Tensor


class Answers(NamedTuple):
    """What a batch of chains answers: `kind`, first and last token of the span, and its log-probability, all [B]."""

    kind: Tensor
    first: Tensor
    last: Tensor
    score: Tensor


class Dropout(nn.Module):
    """Drops whole dimensions of an example, the same ones for all its tokens (Gal & Ghahramani 2016).

    It regularises like plain dropout, and a random number for each number of each token takes a third of the time.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, tokens, width] → the same shape."""
        if not self.training or self.share == 0:
            return tokens
        mask = F.dropout(torch.ones_like(tokens[:, :1]), self.share)
        return tokens * mask


class Layer(nn.Module):
    """Passage tokens attend to a memory, then pass a feed-forward block; both residual, normalised before."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, Dropout(dropout)
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.joined = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor, memory: Tensor, visible: Tensor) -> Tensor:
        query = self.query(self.before(tokens)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = self.key_value(memory).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=visible[:, None, None])
        tokens = tokens + self.dropout(self.joined(seen.transpose(1, 2).flatten(2)))
        return tokens + self.dropout(self.feed_forward(self.after(tokens)))  # type: ignore[no-any-return]


class Reader(nn.Module):
    """Cross-attention from the chain to the question and, so that the passages see each other, to sentence means."""

    def __init__(self, features: int, width: int = 96, layers: int = 2, heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.heads = heads
        self.projected = nn.Linear(features, width)
        self.segment = nn.Embedding(3, width)
        self.marked = nn.Linear(MARKS, width, bias=False)
        self.layers = nn.ModuleList(Layer(width, heads, dropout) for _ in range(layers))
        self.memory = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)
        self.last = nn.LayerNorm(width)
        self.neighbours = nn.Conv1d(width, width, 5, padding=2, groups=width)
        self.span = nn.Linear(width, 2)
        self.support = nn.Linear(width, 1)
        self.pooled = nn.Sequential(nn.Linear(3 * width, width), nn.GELU(), nn.Linear(width, 4))

    def forward(self, chains: Chains) -> Readings:
        question = self.projected(chains.question) + self.segment.weight[0]
        tokens = self.projected(chains.tokens) + self.segment(chains.hop + 1) + self.marked(chains.marks)
        question, tokens = self.dropout(question), self.dropout(tokens)
        pool = Pool(chains)
        for layer in self.layers:
            memory = self.memory(torch.cat([question, pool.means(tokens)], 1))
            tokens = layer(tokens, memory, torch.cat([chains.asked, pool.filled], 1))
        tokens = self.last(tokens)
        shown = tokens * chains.real[..., None]  # or the last tokens' neighbours would be the batch's padding
        sentences = pool.means(tokens)
        asked = chains.asked[..., None]
        mean_question = (question * asked).sum(1) / asked.sum(1)
        strongest = sentences.masked_fill(~pool.filled[..., None], -torch.inf).amax(1)
        mean = shown.sum(1) / chains.real.sum(1, keepdim=True)
        pooled = self.pooled(torch.cat([mean_question, strongest, mean], -1))
        local = tokens + F.gelu(self.neighbours(shown.transpose(1, 2))).transpose(1, 2)
        spans = self.span(local).masked_fill(~chains.real[..., None], -torch.inf).log_softmax(1)
        return Readings(
            start=spans[..., 0],
            end=spans[..., 1],
            kind=pooled[:, 1:].log_softmax(-1),
            rank=pooled[:, 0],
            support=self.support(sentences)[..., 0].masked_fill(~pool.filled, -torch.inf),
        )


class Pool:
    """Means of tokens by the sentence they are in."""

    def __init__(self, chains: Chains) -> None:
        batch = torch.arange(len(chains.sentence), device=chains.sentence.device)[:, None]
        self._shape = (len(chains.sentence), chains.sentences)
        self._slot = (batch * chains.sentences + chains.sentence).flatten()
        self._real = chains.real
        self._count = torch.zeros(self._shape, device=chains.real.device).flatten()
        self._count = self._count.index_add(0, self._slot, chains.real.flatten().float()).view(self._shape)
        self.filled = self._count > 0

    def means(self, tokens: Tensor) -> Tensor:
        """[B, T, width] → [B, sentences, width]; zero where a slot has no token."""
        kept = (tokens * self._real[..., None]).flatten(0, 1)
        sums = torch.zeros(self._count.numel(), kept.shape[-1], device=kept.device).index_add(0, self._slot, kept)
        return sums.view(*self._shape, -1) / self._count.clamp(min=1)[..., None]


class Targets(NamedTuple):
    """What a reader should say: `starts` and `ends` [B, T] true where an occurrence of the answer begins and ends,
    `kind` [B], `gold` [B] whether the chain is the right one, `support` [B, sentences]."""

    starts: Tensor
    ends: Tensor
    kind: Tensor
    gold: Tensor
    support: Tensor


def reader_loss(readings: Readings, targets: Targets, support_weight: float) -> Tensor:
    """BCE of the chain's rank, and on right chains the span's likelihood, the kind's and the supporting sentences' BCE.

    The likelihood of a span sums over the answer's occurrences in the gold passages (Clark & Gardner 2018).
    """
    loss = F.binary_cross_entropy_with_logits(readings.rank, targets.gold.float())
    right = targets.gold
    if not right.any():
        return loss
    loss = loss + F.nll_loss(readings.kind[right], targets.kind[right])
    spans = right & targets.starts.any(1) & (targets.kind == SPAN)
    if spans.any():
        for found, wanted in ((readings.start, targets.starts), (readings.end, targets.ends)):
            likely = found[spans].masked_fill(~wanted[spans], -torch.inf)
            loss = loss - torch.logsumexp(likely, 1).mean()
    shown = right[:, None] & readings.support.isfinite()
    wanted_support = targets.support[shown].float()
    return loss + support_weight * F.binary_cross_entropy_with_logits(readings.support[shown], wanted_support)


def answers(readings: Readings, chains: Chains, longest: int) -> Answers:
    """The most likely answer of each chain: yes, no, or a span of at most `longest` tokens of one passage."""
    padded = F.pad(readings.end, (0, longest - 1), value=-torch.inf).unfold(1, longest, 1)
    same = F.pad(chains.hop, (0, longest - 1), value=-1).unfold(1, longest, 1) == chains.hop[..., None]
    joint = (readings.start[..., None] + padded).masked_fill(~same, -torch.inf)
    best, place = joint.flatten(1).max(1)
    kind = readings.kind.argmax(-1)
    score = torch.where(kind == SPAN, best, torch.zeros_like(best)) + readings.kind.amax(-1)
    first = place // longest
    return Answers(kind, first, first + place % longest, score)


def mixed(rank: Tensor, span: Tensor, factor: float) -> Tensor:
    """The score by which chains compete: `factor` of the chain's log-probability, the rest the answer's."""
    return factor * F.logsigmoid(rank) + (1 - factor) * span
