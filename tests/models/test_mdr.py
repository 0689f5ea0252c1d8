"""The adapters and the MDR loss, against a loop that follows the paper word by word."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from models.retrieval.lexical import places_and_signs
from models.retrieval.mdr import MARKS, SHARES, Dropout, Retriever, Sizes, Terms, mdr_loss

WIDTH = 8


def vectors(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(*shape, WIDTH, generator=torch.Generator().manual_seed(seed)), dim=-1)


def brute_force(first: Tensor, second: Tensor, hops: list[Tensor], negatives: Tensor, scale: float) -> Tensor:
    """CE_1 + CE_2, one example and one candidate at a time."""
    total = torch.zeros(())
    for hop, queries in enumerate((first, second)):
        for i, query in enumerate(queries):
            candidates = [hops[0][j] for j in range(len(queries))]
            candidates += [hops[1][j] for j in range(len(queries)) if not (hop == 0 and j == i)]
            candidates += list(negatives[i])
            scores = [scale * query @ candidate for candidate in candidates]
            right = scale * query @ hops[hop][i]
            total = total + torch.logsumexp(torch.stack(scores), 0) - right
    return total / len(first)


@given(st.integers(1, 6), st.integers(0, 3), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_the_loss_is_the_papers(batch: int, hard: int, seed: int) -> None:
    first, second = vectors(batch, seed=seed), vectors(batch, seed=seed + 1)
    hops, negatives = (
        [vectors(batch, seed=seed + 2), vectors(batch, seed=seed + 3)],
        vectors(batch, hard, seed=seed + 4),
    )
    loss = mdr_loss(first, second, hops, negatives, torch.tensor(20.0))
    torch.testing.assert_close(loss, brute_force(first, second, hops, negatives, 20.0))


def test_the_own_second_passage_is_masked_in_the_first_hop() -> None:
    """Unmasked, the loss would push the second passage away from the question that needs it."""
    queries, seconds = vectors(3, seed=1), vectors(3, seed=2).requires_grad_()
    loss = mdr_loss(
        queries, torch.zeros(3, WIDTH), [vectors(3, seed=3), seconds], torch.zeros(3, 0, WIDTH), torch.tensor(5.0)
    )
    gradient = torch.autograd.grad(loss, seconds)[0]
    # The second hop's queries are zero, so that only the first hop's can pull: those of the two other examples.
    for i in range(3):
        others = torch.stack([queries[j] for j in range(3) if j != i])
        coefficients = torch.linalg.lstsq(others.T, gradient[i][:, None]).solution
        torch.testing.assert_close((others.T @ coefficients)[:, 0], gradient[i], atol=1e-6, rtol=0)
        assert coefficients.min() > 0
    alone = mdr_loss(
        queries[:1], torch.zeros(1, WIDTH), [vectors(1), seconds[:1]], torch.zeros(1, 0, WIDTH), torch.tensor(5.0)
    )
    assert torch.autograd.grad(alone, seconds)[0].abs().max() == 0


def test_negatives_come_from_every_example_and_hard_ones_from_the_own() -> None:
    queries = vectors(4, seed=1).requires_grad_()
    hops = [vectors(4, seed=2).requires_grad_(), vectors(4, seed=3).requires_grad_()]
    hard = vectors(4, 2, seed=4).requires_grad_()
    scores = []
    for row in range(4):
        one = torch.zeros(4, WIDTH).index_add(0, torch.tensor([row]), queries[row : row + 1])
        loss = mdr_loss(one, torch.zeros(4, WIDTH), hops, hard, torch.tensor(1.0))
        scores.append([torch.autograd.grad(loss, each, retain_graph=True)[0] for each in (*hops, hard)])
    for row, (ones, twos, hards) in enumerate(scores):
        assert (ones.abs().amax(1) > 0).all()
        assert [bool(moved) for moved in twos.abs().amax(1) > 0] == [other != row for other in range(4)]
        assert [bool(moved) for moved in hards.abs().amax((1, 2)) > 0] == [other == row for other in range(4)]


SIZES = Sizes(width=WIDTH, words=64, features=6, hidden=16, terms=8)


def terms(words: list[list[int]], marks: list[list[list[float]]] | None = None, seed: int = 0) -> Terms:
    """Texts of these words (0 is padding), each of rarity 1, with random features."""
    numbers = np.array(words, np.uint32)
    places, signs = places_and_signs(numbers, SIZES.words)
    real = torch.from_numpy(numbers > 0)
    return Terms(
        features=torch.randn(*numbers.shape, SIZES.features, generator=torch.Generator().manual_seed(seed)),
        real=real,
        marks=torch.zeros(*numbers.shape, MARKS) if marks is None else torch.tensor(marks),
        places=torch.from_numpy(places),
        signs=torch.from_numpy(signs),
        rarity=real.float(),
    )


def bag(*words: int) -> Tensor:
    """The dense bag of these words, length 1."""
    places, signs = places_and_signs(np.array(words, np.uint32), SIZES.words)
    made = torch.zeros(SIZES.words).index_add(0, torch.from_numpy(places.ravel()), torch.from_numpy(signs.ravel()))
    return F.normalize(made, dim=0)


def test_an_untrained_retriever_searches_by_the_frozen_encoder_and_all_words() -> None:
    retriever = Retriever(SIZES).eval()
    question, passage = vectors(2, seed=1), vectors(2, seed=2)
    with torch.no_grad():
        query = retriever.first_query(question, terms([[5, 6, 7], [8, 9, 0]]))
        index = retriever.passages(passage, torch.stack([bag(5, 6), bag(1)]))
    share = SHARES[0]
    expected = torch.stack([bag(5, 6, 7), bag(8, 9)])
    torch.testing.assert_close(query[:, :WIDTH], question * (1 - share) ** 0.5)
    torch.testing.assert_close(query[:, WIDTH:], expected * share**0.5)
    torch.testing.assert_close(query.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(index, torch.cat([passage, torch.stack([bag(5, 6), bag(1)])], 1) / 2**0.5)
    assert retriever.log_scale.exp().item() == pytest.approx(20)


def test_the_second_query_looks_for_names_that_the_question_has_not() -> None:
    """Capitals and no words of the question: how a bridge is found before anything is learned."""
    retriever = Retriever(SIZES).eval()
    plain, known, named = [0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0]
    with torch.no_grad():
        query = retriever.second_query(
            vectors(1), vectors(1, seed=1), terms([[1, 2]]), terms([[3, 2, 4]], [[plain, known, named]])
        )
    found = query[0, WIDTH:]
    assert found @ bag(4) > 2 * found @ bag(3) > 0
    assert query.norm().item() == pytest.approx(1)


def test_padding_changes_no_query() -> None:
    torch.manual_seed(1)
    retriever = Retriever(SIZES).eval()
    for weight in retriever.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    short, long = terms([[1, 2, 3]]), terms([[1, 2, 3, 0, 0]])
    long = long._replace(features=torch.cat([short.features, torch.full((1, 2, SIZES.features), 9.0)], 1))
    with torch.no_grad():
        torch.testing.assert_close(retriever.first_query(vectors(1), short), retriever.first_query(vectors(1), long))
        queries = [
            retriever.second_query(vectors(1), vectors(1, seed=1), one, two)
            for one in (short, long)
            for two in (short, long)
        ]
    for query in queries:
        torch.testing.assert_close(query, queries[0], atol=1e-5, rtol=1e-4)


def test_training_finds_the_word_that_bridges() -> None:
    """Each first passage has four words; which of them names the second only its features tell."""
    count, random = 64, np.random.default_rng(0)
    words = random.permutation(np.arange(1, 5 * count + 1)).reshape(count, 5)
    right = random.integers(0, 4, count)
    questions, firsts = terms([[int(word)] for word in words[:, 4]]), terms(words[:, :4].tolist(), seed=1)
    firsts.features[torch.arange(count), torch.from_numpy(right), 0] = 4.0
    bags = torch.stack([bag(int(words[row, right[row]])) for row in range(count)])
    nothing, zeros = torch.zeros(count, 0, WIDTH + SIZES.words), torch.zeros(count, WIDTH)
    torch.manual_seed(0)
    retriever = Retriever(SIZES)
    optimizer = torch.optim.AdamW(retriever.parameters(), lr=1e-2)

    def step() -> float:
        """One step of training; the share of seconds that are found before it."""
        seconds = retriever.passages(zeros, bags)
        one = retriever.first_query(zeros, questions)
        two = retriever.second_query(zeros, zeros, questions, firsts)
        loss = mdr_loss(
            one, two, [retriever.passages(zeros, torch.zeros_like(bags)), seconds], nothing, torch.tensor(20.0)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # Wrong words of the same passage compete, too.
        rivals = torch.stack([bag(int(word)) for word in words[:, :4].ravel()])
        scores = two[:, WIDTH:] @ rivals.T
        return float((scores.argmax(1) == 4 * torch.arange(count) + torch.from_numpy(right)).float().mean())

    before = step()
    for _ in range(80):
        after = step()
    assert before < 0.6 < 0.9 < after


def test_all_that_is_to_be_trained_has_a_gradient() -> None:
    torch.manual_seed(0)
    retriever = Retriever(SIZES)
    for layer in (retriever.first, retriever.passage):
        torch.nn.init.normal_(layer.layers[-1].weight, std=0.1)
    for weigher in (retriever.first_terms, retriever.second_terms, retriever.found_terms):
        torch.nn.init.normal_(weigher.last.weight, std=0.1)
    asked, found = terms([[1, 2], [3, 4]]), terms([[5, 6], [7, 8]], [[[0.0, 1.0, 1.0, 1.0]] * 2] * 2)
    hops = [retriever.passages(vectors(2, seed=seed), torch.stack([bag(5), bag(7)])) for seed in (2, 3)]
    loss = mdr_loss(
        retriever.first_query(vectors(2), asked),
        retriever.second_query(vectors(2), vectors(2, seed=2), asked, found),
        hops,
        torch.zeros(2, 0, WIDTH + SIZES.words),
        retriever.log_scale.exp(),
    )
    loss.backward()
    for name, weight in retriever.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name


def test_dropout_drops_whole_dimensions_of_an_example() -> None:
    torch.manual_seed(0)
    dropout, ones = Dropout(0.5), torch.ones(3, 7, 40)
    dropped = dropout.train()(ones)
    assert (dropped == dropped[:, :1]).all()
    assert 0.3 < float((dropped == 0).float().mean()) < 0.7
    assert not torch.equal(dropped[0, 0], dropped[1, 0])
    torch.testing.assert_close(dropout.eval()(ones), ones)
