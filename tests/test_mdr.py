"""The adapters and the MDR loss, against a loop that follows the paper word by word."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from models.retrieval.mdr import Retriever, mdr_loss

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


def test_an_untrained_retriever_searches_as_the_frozen_encoder() -> None:
    retriever = Retriever(WIDTH, 16, 0.05).eval()
    question, passage = vectors(5, seed=1), vectors(5, seed=2)
    torch.testing.assert_close(retriever.first_query(question), question)
    torch.testing.assert_close(retriever.passages(passage), passage)
    torch.testing.assert_close(retriever.second_query(question, passage), F.normalize(question + passage, dim=-1))
    assert retriever.log_scale.exp().item() == pytest.approx(20)


def test_training_finds_what_the_frozen_encoder_cannot() -> None:
    """A hidden rotation joins questions to passages: descending the loss must find it, in both hops."""
    torch.manual_seed(0)
    count, negatives = 64, torch.zeros(64, 0, WIDTH)
    rotation = torch.linalg.qr(torch.randn(WIDTH, WIDTH))[0]
    question, link = vectors(count, seed=1), vectors(count, seed=2)
    hops = [question @ rotation, link]
    first = F.normalize(hops[0] + link, dim=-1)
    retriever = Retriever(WIDTH, 64, 0.05)
    optimizer = torch.optim.AdamW(retriever.parameters(), lr=1e-2)

    def state() -> tuple[float, float, float]:
        passages = [retriever.passages(each) for each in (first, link)]
        ones, twos = retriever.first_query(question), retriever.second_query(question, first)
        loss = mdr_loss(ones, twos, passages, negatives, retriever.log_scale.exp())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        right = torch.arange(count)
        found = [
            float(((query @ each.T).argmax(1) == right).float().mean())
            for query, each in zip((ones, twos), passages, strict=True)
        ]
        return loss.item(), *found

    before = state()
    for _ in range(150):
        after = state()
    assert after[0] < before[0] / 3
    assert before[1] < 0.5 < 0.9 < after[1]
    assert after[2] > 0.9


def test_the_temperature_learns() -> None:
    retriever = Retriever(WIDTH, 16, 0.1)
    loss = mdr_loss(
        vectors(3), vectors(3, seed=1), [vectors(3), vectors(3, seed=2)], vectors(3, 1), retriever.log_scale.exp()
    )
    loss.backward()
    assert retriever.log_scale.grad is not None
    assert math.isfinite(float(retriever.log_scale.grad))
    assert float(retriever.log_scale.grad) != 0
