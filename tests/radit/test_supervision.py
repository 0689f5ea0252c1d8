"""What the language model teaches: the loss by hand, its direction, its temperature, and where its gradient goes."""

import hashlib
import math

import pytest
import torch
from small_models import bert, llama, prompts

from models.radit.decoder import Decoder
from models.radit.query_encoder import QueryEncoder, pad
from models.radit.supervision import likelihoods, retriever_loss, supervised_distribution

SCORES, LIKELIHOOD = [1.0, 0.0, -1.0], [0.2, 0.5, 0.3]


def by_hand(temperature: float, swapped: bool) -> float:
    """The divergence of three documents in plain Python."""
    total = sum(math.exp(score) for score in SCORES)
    retriever = [math.exp(score) / total for score in SCORES]
    total = sum(math.exp(value / temperature) for value in LIKELIHOOD)
    model = [math.exp(value / temperature) / total for value in LIKELIHOOD]
    first, second = (model, retriever) if swapped else (retriever, model)
    return sum(p * math.log(p / q) for p, q in zip(first, second, strict=True))


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_three_documents_by_hand(temperature: float) -> None:
    """Swapped directions, a forgotten temperature or a mean over documents would each give another number."""
    scores, likelihood = torch.tensor([SCORES]), torch.tensor([LIKELIHOOD])
    found = retriever_loss(scores, likelihood, temperature)
    swapped = retriever_loss(scores, likelihood, temperature, "model to retriever")
    assert found.item() == pytest.approx(by_hand(temperature, swapped=False), rel=1e-5)
    assert swapped.item() == pytest.approx(by_hand(temperature, swapped=True), rel=1e-5)
    assert abs(found.item() - swapped.item()) > 0.01


def test_the_gradient_is_that_of_the_formula() -> None:
    """∂KL/∂s_i = p_i (log p_i/q_i − KL), of the retriever's probabilities p and the model's q."""
    scores = torch.tensor([SCORES], dtype=torch.float64, requires_grad=True)
    likelihood = torch.tensor([LIKELIHOOD], dtype=torch.float64)
    loss = retriever_loss(scores, likelihood, 0.1)
    loss.backward()
    p = scores.detach().softmax(-1)
    ratio = p.log() - supervised_distribution(likelihood, 0.1)
    assert scores.grad is not None
    assert torch.allclose(scores.grad, p * (ratio - loss.detach()), atol=1e-12)


def test_equal_distributions_have_no_loss_and_questions_are_averaged() -> None:
    likelihood = torch.rand(2, 4, generator=torch.Generator().manual_seed(0))
    assert retriever_loss(likelihood / 0.01, likelihood, 0.01).item() == pytest.approx(0, abs=1e-5)
    scores = torch.randn(2, 4, generator=torch.Generator().manual_seed(1))
    each = [retriever_loss(scores[[row]], likelihood[[row]], 0.2) for row in range(2)]
    assert retriever_loss(scores, likelihood, 0.2).item() == pytest.approx(sum(e.item() for e in each) / 2)


def test_a_likelihood_is_a_tokens() -> None:
    """Whole probabilities of long answers are zero after every passage, and would teach nothing."""
    logs = [[torch.log(torch.tensor([0.5, 0.125])), torch.log(torch.tensor([0.25]))]]
    assert likelihoods(logs).tolist() == [[pytest.approx(0.25), pytest.approx(0.25)]]


def test_the_query_encoder_moves_and_nothing_else_does() -> None:
    """Two public implementations of this step train nothing; and a passage encoder that moves needs another index."""
    passages_encoder, model = bert(), llama()
    encoder = QueryEncoder(passages_encoder, tuned=1)
    before = {name: weight.clone() for name, weight in passages_encoder.state_dict().items()}
    lm_before = digest(model)
    queries, passages = prompts(5, 3), [prompts(6, 4, 7, seed=row + 1) for row in range(2)]
    vectors = torch.stack(
        [
            torch.nn.functional.normalize(passages_encoder(pad(each)[0]).last_hidden_state.mean(1), dim=1)
            for each in passages
        ]
    ).detach()
    decoder = Decoder(model)
    logs = [decoder.answers([[*p, *q] for p in each], [[7, 9]] * 3) for q, each in zip(queries, passages, strict=True)]
    likelihood = likelihoods(logs)
    lower = encoder.lower(*pad(queries))
    optimiser = torch.optim.AdamW([w for w in encoder.parameters() if w.requires_grad], lr=1e-2)
    losses = []
    for _ in range(20):
        loss = retriever_loss(encoder.scores(lower, vectors), likelihood, 0.01)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1
    assert encoder.changes(passages_encoder) > 0.01
    for name, weight in passages_encoder.state_dict().items():
        assert torch.equal(weight, before[name]), name
    assert digest(model) == lm_before
    frozen = [name for name, weight in encoder.encoder.named_parameters() if not weight.requires_grad]
    own, other = dict(encoder.encoder.named_parameters()), dict(passages_encoder.named_parameters())
    assert all(torch.equal(own[name], other[name]) for name in frozen)
    assert {name.split(".")[2] for name in own if name not in frozen} == {"2"}


def digest(model: torch.nn.Module) -> str:
    return hashlib.sha256(b"".join(w.detach().numpy().tobytes() for w in model.state_dict().values())).hexdigest()


def test_the_frozen_layers_run_once_give_what_the_whole_encoder_gives() -> None:
    """Else what is trained is another network than the one that is saved."""
    encoder = QueryEncoder(bert(), tuned=2, scale=3.0)
    ids, mask = pad(prompts(5, 2, 9))
    whole = encoder.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    means = torch.stack([whole[row, : int(mask[row].sum())].mean(0) for row in range(3)])
    expected = torch.nn.functional.normalize(means, dim=1)
    lower = encoder.lower(ids, mask)
    assert torch.allclose(encoder(lower), expected, atol=1e-6)
    assert torch.allclose(encoder(lower.take(torch.tensor([1, 0]))), expected[[1, 0]], atol=1e-6)
    with pytest.raises(ValueError, match="4 layers"):
        QueryEncoder(bert(), tuned=4)
