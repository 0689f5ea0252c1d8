"""Multi-hop dense retrieval on frozen features: adapters and the loss that trains them (Xiong et al. 2021).

MDR trains a whole encoder, which learns by itself which words of a question, and of a passage that it has found, the
next passage must have. Here E(·) is frozen, so that passages are encoded once, and one vector of all that a text means
cannot say that. So vectors have two parts: meaning, which is E(·) after a small adapter, and words, a dense bag of
words (see `lexical`) in which a small network weighs each word of a query by its frozen token features. It reads q for
the first hop and q∘d1, attending from d1 to q, for the second.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHARES = (0.7, 0.7, 0.5, 0.5)
"""Before training: the share of the words in the first and in the second query, and in the second query's meaning and
words the share of the first passage."""

MARKS = 4
"""Marks of a token, see `Terms`."""


class Terms(NamedTuple):
    """Tokens of B texts, padded: `features` [B, T, features]; `real` [B, T], which are no padding.

    `marks` [B, T, MARKS] are 1 for words of the question, for what stands before the first sentence, such as a mail's
    header, for what begins with a capital, and for the first few tokens, which name a sender or an article. `places`
    and `signs` [B, T, nonzero] are those of the token's word, and `rarity` [B, T] is its weight before any learning, 0
    for all parts of a word but the first.
    """

    features: Tensor
    real: Tensor
    marks: Tensor
    places: Tensor
    signs: Tensor
    rarity: Tensor


class Adapter(nn.Module):
    """x + f(x), f with one hidden layer, made of length 1.

    f begins as zero, so an untrained adapter passes its input on and the search begins as the frozen encoder's.
    """

    def __init__(self, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
        )
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, vectors: Tensor) -> Tensor:
        """[n, width] → the same shape."""
        return F.normalize(vectors + self.layers(vectors), dim=-1)


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
    """Tokens attend to a memory, then pass a feed-forward block; both residual, normalised before."""

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


class TermWeights(nn.Module):
    """How much each word of a text counts in a query, above zero: its rarity times what a small network says.

    The text's tokens, which may be the question's own, attend to the question's. `prior` [MARKS] is where the network
    begins, added up for the marks of a token.
    """

    def __init__(self, features: int, width: int, dropout: float, prior: Sequence[float]) -> None:
        super().__init__()
        self.projected = nn.Linear(features, width)
        self.marked = nn.Linear(MARKS, width)
        self.dropout = Dropout(dropout)
        self.layer = Layer(width, 2, dropout)
        self.neighbours = nn.Conv1d(width, width, 5, padding=2, groups=width)
        self.last = nn.Linear(width, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.prior = nn.Parameter(torch.tensor(prior))

    def forward(self, terms: Terms, question: Terms) -> Tensor:
        """The weight of each term, [B, T]."""
        asked = self._read(question)
        tokens = asked if terms is question else self._read(terms)
        read = self.layer(tokens, asked, question.real) * terms.real[..., None]
        read = read + F.gelu(self.neighbours(read.transpose(1, 2))).transpose(1, 2)
        return F.softplus(self.last(read)[..., 0] + terms.marks @ self.prior) * terms.rarity

    def _read(self, terms: Terms) -> Tensor:
        read: Tensor = self.dropout(self.projected(terms.features)) + self.marked(terms.marks)
        return read


class Retriever(nn.Module):
    """Both hops' queries and the passages, all vectors [n, width + words] of length 1.

    `width` is that of E(·), `words` that of the bags of words. A passage's vector has both parts in equal shares; a
    query's shares are learned. The second hop adds, in both parts, what is asked and what the first passage says:
    untrained, roughly what the frozen encoder would give for q∘d1, and the names that the passage has and the question
    has not.
    """

    def __init__(self, sizes: "Sizes", temperature: float = 0.05, dropout: float = 0.0) -> None:
        super().__init__()
        self.sizes = sizes
        self.first = Adapter(sizes.width, sizes.hidden, dropout)
        self.passage = Adapter(sizes.width, sizes.hidden, dropout)
        self.first_terms = TermWeights(sizes.features, sizes.terms, dropout, (0.0, 0.0, 0.0, 0.0))
        self.second_terms = TermWeights(sizes.features, sizes.terms, dropout, (0.0, 0.0, 0.0, 0.0))
        self.found_terms = TermWeights(sizes.features, sizes.terms, dropout, (-3.0, 0.0, 3.0, 0.0))
        self.shares = nn.Parameter(torch.tensor(SHARES).logit())
        self.log_scale = nn.Parameter(torch.tensor(1 / temperature).log())

    def first_query(self, vector: Tensor, question: Terms) -> Tensor:
        """What asks for the first passage: `vector` is E(q), `question` the question's tokens."""
        words = self.shares.sigmoid()[0]
        return _shared(words, self.first(vector), self._bag(question, self.first_terms(question, question)))

    def second_query(self, vector: Tensor, found: Tensor, question: Terms, passage: Terms) -> Tensor:
        """What asks for the second passage, given E(d1) and the tokens of the first."""
        _, words, in_meaning, in_words = self.shares.sigmoid()
        meaning = _added(in_meaning, self.first(vector), self.passage(found))
        asked = self._bag(question, self.second_terms(question, question))
        named = self._bag(passage, self.found_terms(passage, question))
        return _shared(words, meaning, _added(in_words, asked, named))

    def passages(self, vectors: Tensor, bags: Tensor) -> Tensor:
        """Where passages lie in the space of the queries: `vectors` are E(d), `bags` their words."""
        return torch.cat([self.passage(vectors), bags], -1) / 2**0.5

    def _bag(self, terms: Terms, weights: Tensor) -> Tensor:
        values = (weights[..., None] * terms.signs).flatten(1)
        empty = torch.zeros(len(values), self.sizes.words, device=values.device)
        return F.normalize(empty.scatter_add(1, terms.places.flatten(1), values), dim=-1)


class Sizes(NamedTuple):
    """A retriever's: `width` of E(·), `words` of the bags, `features` of a token, and inner ones: `hidden` of adapters
    and `terms` of the networks that weigh terms."""

    width: int
    words: int
    features: int
    hidden: int
    terms: int


def _shared(words: Tensor, meaning: Tensor, bag: Tensor) -> Tensor:
    """Both parts of a query one after the other, the squares of their lengths being the shares."""
    return torch.cat([(1 - words).sqrt() * meaning, words.sqrt() * bag], -1)


def _added(share: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Their sum, of length 1, `share` being that of the second."""
    return F.normalize((1 - share).sqrt() * first + share.sqrt() * second, dim=-1)


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


class WholeEncoder(nn.Module):
    """A text encoder that is trained whole and shared by questions, q∘d1 and passages, as in MDR.

    `encoder` is a Hugging Face model; a text's vector is the mean of its last layer, made of length 1, as MiniLM was
    trained (Reimers & Gurevych 2019).
    """

    def __init__(self, encoder: nn.Module, temperature: float = 0.05) -> None:
        super().__init__()
        self.encoder = encoder
        self.log_scale = nn.Parameter(torch.tensor(1 / temperature).log())

    def forward(self, tokens: Tensor, real: Tensor) -> Tensor:
        """Vectors [texts, width] of padded tokens [texts, T], of which `real` are no padding."""
        states = self.encoder(input_ids=tokens, attention_mask=real).last_hidden_state
        return F.normalize((states * real[..., None]).sum(1).float(), dim=-1)
