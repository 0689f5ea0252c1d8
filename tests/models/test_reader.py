"""The extractive reader: spans, sentence means, losses and scores, against hand-made cases."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.retrieval.reader import (
    NO,
    SPAN,
    YES,
    Chains,
    Dropout,
    Pool,
    Reader,
    Readings,
    Targets,
    answers,
    mixed,
    reader_loss,
)

FEATURES, SENTENCES = 12, 4


def chains(batch: int = 2, question: int = 5, tokens: int = 14, seed: int = 0) -> Chains:
    random = torch.Generator().manual_seed(seed)
    hop = (torch.arange(tokens) >= tokens // 2).long().expand(batch, -1)
    return Chains(
        question=torch.randn(batch, question, FEATURES, generator=random),
        asked=torch.ones(batch, question, dtype=torch.bool),
        tokens=torch.randn(batch, tokens, FEATURES, generator=random),
        real=torch.ones(batch, tokens, dtype=torch.bool),
        hop=hop,
        marks=torch.randint(0, 2, (batch, tokens, 2), generator=random).float(),
        sentence=2 * hop + (torch.arange(tokens) % 7 > 3).long(),
        sentences=SENTENCES,
    )


def padded(original: Chains, more: int) -> Chains:
    """The same chains with `more` tokens of padding, in question and passages, full of noise."""
    batch = len(original.tokens)

    def noise(width: int) -> torch.Tensor:
        return torch.full((batch, more, width), 7.0)

    return Chains(
        question=torch.cat([original.question, noise(FEATURES)], 1),
        asked=torch.cat([original.asked, torch.zeros(batch, more, dtype=torch.bool)], 1),
        tokens=torch.cat([original.tokens, noise(FEATURES)], 1),
        real=torch.cat([original.real, torch.zeros(batch, more, dtype=torch.bool)], 1),
        hop=torch.cat([original.hop, torch.zeros(batch, more, dtype=torch.long)], 1),
        marks=torch.cat([original.marks, noise(2)], 1),
        sentence=torch.cat([original.sentence, torch.full((batch, more), original.sentences - 1)], 1),
        sentences=original.sentences,
    )


def reader(seed: int = 0) -> Reader:
    torch.manual_seed(seed)
    return Reader(FEATURES, width=16, layers=2, heads=2).eval()


@given(more=st.integers(1, 9), seed=st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_padding_changes_nothing(more: int, seed: int) -> None:
    """Chains are read in batches of like length: their answers must not depend on who else is in the batch."""
    original, model = chains(seed=seed), reader(seed)
    with torch.no_grad():
        plain, wide = model(original), model(padded(original, more))
    length = original.tokens.shape[1]
    torch.testing.assert_close(wide.start[:, :length], plain.start, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(wide.end[:, :length], plain.end, atol=1e-5, rtol=1e-5)
    assert wide.start[:, length:].isneginf().all()
    for name in ("rank", "kind", "support"):
        torch.testing.assert_close(getattr(wide, name), getattr(plain, name), atol=1e-5, rtol=1e-5)


def test_every_part_of_the_input_matters() -> None:
    original, model = chains(), reader()
    with torch.no_grad():
        plain = model(original)
        for field in ("question", "tokens", "marks"):
            other = model(original._replace(**{field: getattr(original, field) + 1}))
            assert (other.start - plain.start).abs().max() > 1e-4
        # The passages see each other: a changed second passage moves scores of the first.
        changed = original.tokens.clone()
        changed[:, 7:] += 1
        moved = model(original._replace(tokens=changed)).start[:, :5] - plain.start[:, :5]
    assert (moved - moved.mean(1, keepdim=True)).abs().max() > 1e-4


def test_means_of_sentences_by_hand() -> None:
    made = chains(batch=1, tokens=4)._replace(
        sentence=torch.tensor([[0, 0, 2, 2]]), real=torch.tensor([[True, True, True, False]])
    )
    pool = Pool(made)
    values = torch.tensor([[[1.0], [3.0], [5.0], [100.0]]])
    torch.testing.assert_close(pool.means(values), torch.tensor([[[2.0], [0.0], [5.0], [0.0]]]))
    assert pool.filled.tolist() == [[True, False, True, False]]


@given(st.integers(0, 10_000), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_the_best_span_is_found_by_brute_force(seed: int, longest: int) -> None:
    """No span over two passages, none that is too long, none that ends before it begins."""
    random = torch.Generator().manual_seed(seed)
    tokens = 9
    made = chains(batch=1, tokens=tokens)
    start = torch.randn(1, tokens, generator=random).log_softmax(1)
    end = torch.randn(1, tokens, generator=random).log_softmax(1)
    readings = Readings(start, end, torch.tensor([[-0.1, -3.0, -4.0]]), torch.zeros(1), torch.zeros(1, SENTENCES))
    allowed = {
        (i, j): float(start[0, i] + end[0, j])
        for i in range(tokens)
        for j in range(i, min(i + longest, tokens))
        if made.hop[0, i] == made.hop[0, j]
    }
    best = max(allowed, key=allowed.__getitem__)
    found = answers(readings, made, longest)
    assert (int(found.first), int(found.last)) == best
    assert int(found.kind) == SPAN
    assert float(found.score) == pytest.approx(allowed[best] - 0.1, abs=1e-5)


def test_yes_and_no_are_answers_without_a_span() -> None:
    made = chains(batch=2)
    flat = torch.full((2, 14), -math.log(14))
    kind = torch.tensor([[-3.0, -0.1, -4.0], [-3.0, -4.0, -0.2]])
    found = answers(Readings(flat, flat, kind, torch.zeros(2), torch.zeros(2, SENTENCES)), made, 30)
    assert found.kind.tolist() == [YES, NO]
    torch.testing.assert_close(found.score, torch.tensor([-0.1, -0.2]))


def test_loss_sums_over_occurrences_and_reads_no_answer_of_wrong_chains() -> None:
    flat = torch.full((2, 14), -math.log(14))
    readings = Readings(
        flat, flat, torch.tensor([[0.6, 0.2, 0.2]] * 2).log(), torch.tensor([2.0, -1.0]), torch.zeros(2, SENTENCES)
    )
    here = torch.zeros(2, 14, dtype=torch.bool)
    here[:, [3, 9]] = True
    targets = Targets(here, here, torch.tensor([SPAN, SPAN]), torch.tensor([True, False]), torch.zeros(2, SENTENCES))
    rank = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 2
    span = 2 * math.log(14 / 2)
    expected = rank + span - math.log(0.6) + 0.05 * math.log(2)
    assert float(reader_loss(readings, targets, 0.05)) == pytest.approx(expected, abs=1e-5)
    none_right = targets._replace(gold=torch.tensor([False, False]))
    expected = (math.log(1 + math.exp(2)) + math.log(1 + math.exp(-1))) / 2
    assert float(reader_loss(readings, none_right, 0.05)) == pytest.approx(expected, abs=1e-5)


def test_the_mixed_score_weighs_rank_and_answer() -> None:
    rank, span = torch.tensor([0.0, 3.0]), torch.tensor([-1.0, -5.0])
    torch.testing.assert_close(mixed(rank, span, 1.0), torch.nn.functional.logsigmoid(rank))
    torch.testing.assert_close(mixed(rank, span, 0.0), span)
    assert float(mixed(rank, span, 0.8)[0]) == pytest.approx(0.8 * math.log(0.5) - 0.2, abs=1e-6)


def test_dropout_drops_whole_dimensions_of_an_example() -> None:
    torch.manual_seed(0)
    dropout, ones = Dropout(0.5), torch.ones(3, 7, 40)
    dropped = dropout.train()(ones)
    assert (dropped == dropped[:, :1]).all()
    assert 0.3 < float((dropped == 0).float().mean()) < 0.7
    assert not torch.equal(dropped[0, 0], dropped[1, 0])
    torch.testing.assert_close(dropout.eval()(ones), ones)
