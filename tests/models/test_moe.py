"""The mixture: routing, the balance loss and the merge, against hand-made cases."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.config import Mixture, Transformer
from models.moe import (
    Experts,
    Routing,
    average,
    balance_loss,
    expert_distances,
    expert_layers,
    mix,
    mixture_decoder,
    upcycle,
)
from models.transformer import Decoder, next_token_loss, swiglu

SMALL = Transformer(vocabulary=50, width=16, layers=2, heads=2, feed_forward=24, context=12)
ALPHA = 0.01


def dense(seed: int) -> Decoder:
    torch.manual_seed(seed)
    return Decoder(SMALL)


def tokens() -> torch.Tensor:
    return torch.randint(0, 50, (3, 12), generator=torch.Generator().manual_seed(1))


def layer(experts: int, top_k: int, seed: int = 0) -> Experts:
    torch.manual_seed(seed)
    made = Experts(SMALL, Mixture(experts=experts, top_k=top_k))
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return made


@given(experts=st.integers(1, 6), data=st.data())
@settings(max_examples=30, deadline=None)
def test_dispatch_equals_the_sum_over_experts(experts: int, data: st.DataObject) -> None:
    """Sorting tokens by expert and back computes sum_i g_i FF_i(x), softmax after top-k."""
    top_k = data.draw(st.integers(1, experts))
    moe = layer(experts, top_k, data.draw(st.integers(0, 1000)))
    x = torch.randn(data.draw(st.integers(1, 9)), 16)
    scores = moe.router(x)
    kept = torch.full_like(scores, -torch.inf).scatter(1, scores.topk(top_k).indices, 0.0) + scores
    gates = kept.softmax(-1)
    outputs = torch.stack([swiglu(x, moe.gate_up[i], moe.down[i]) for i in range(experts)], 1)
    torch.testing.assert_close(moe(x), (gates[..., None] * outputs).sum(1), atol=1e-4, rtol=1e-4)
    assert moe.routing is not None
    torch.testing.assert_close(moe.routing.gates, gates)
    torch.testing.assert_close(moe.routing.probabilities, scores.softmax(-1))


def test_all_experts_chosen_is_soft_routing() -> None:
    moe = layer(4, 4)
    moe(torch.randn(20, 16))
    assert moe.routing is not None
    torch.testing.assert_close(moe.routing.gates, moe.routing.probabilities)


def test_a_mixture_of_one_is_the_dense_model() -> None:
    """megablocks once had a one-expert mixture that was worse than dense: another activation and init."""
    model = dense(0)
    mixture = mix([model.state_dict()], SMALL, Mixture(experts=1, top_k=1))
    with torch.no_grad():
        torch.testing.assert_close(mixture(tokens()), model(tokens()), atol=1e-5, rtol=0)


def test_copies_of_one_model_are_that_model() -> None:
    """Gates sum to one, so upcycling changes nothing before it trains."""
    model = dense(0)
    mixture = upcycle(model.state_dict(), SMALL, Mixture(experts=4))
    with torch.no_grad():
        torch.testing.assert_close(mixture(tokens()), model(tokens()), atol=1e-5, rtol=0)
    assert expert_distances(mixture).max() < 1e-6


def test_the_merge_copies_feed_forwards_and_averages_the_rest() -> None:
    states = [dense(seed).state_dict() for seed in range(3)]
    merged = mix(states, SMALL, Mixture(experts=3)).state_dict()
    means = average(states)
    for name in means:
        if ".feed_forward." in name:
            for index, state in enumerate(states):
                assert merged[name][index].numpy().tobytes() == state[name].numpy().tobytes()
        else:
            by_hand = (states[0][name].double() + states[1][name] + states[2][name]) / 3
            torch.testing.assert_close(merged[name].double(), by_hand, atol=1e-6, rtol=0)
    assert set(merged) - set(means) == {f"blocks.{i}.feed_forward.router.weight" for i in range(2)}


def test_routers_are_new_and_differ_by_seed() -> None:
    states = [dense(seed).state_dict() for seed in range(2)]
    routers = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        routers.append(expert_layers(mix(states, SMALL, Mixture(experts=2)))[0].router.weight)
    assert torch.equal(routers[0], routers[1])
    assert not torch.equal(routers[0], routers[2])
    assert routers[0].abs().min() > 0


def test_the_number_of_models_must_be_the_number_of_experts() -> None:
    with pytest.raises(ValueError, match="2 models cannot become 3 experts"):
        mix([dense(0).state_dict()] * 2, SMALL, Mixture(experts=3))
    with pytest.raises(ValidationError, match="only 2 experts"):
        Mixture(experts=2, top_k=3)


def test_uniform_routing_costs_exactly_alpha() -> None:
    uniform = Routing(torch.full((8, 4), 0.25), torch.full((8, 4), 0.25))
    assert ALPHA * balance_loss(uniform) == ALPHA
    # Top-2 of 4 in turn: each row on two experts, each expert as often.
    rows = torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5]])
    assert ALPHA * balance_loss(Routing(rows, torch.full((4, 4), 0.25))) == ALPHA


def test_collapse_costs_alpha_times_the_experts() -> None:
    one = torch.zeros(8, 4)
    one[:, 2] = 1.0
    assert balance_loss(Routing(one, one)) == 4.0


def test_the_balance_loss_pulls_through_gates_and_probabilities() -> None:
    """Switch counts hard assignments; here u is the mean gate and must carry gradient."""
    gates = torch.tensor([[0.7, 0.3], [0.9, 0.1]], requires_grad=True)
    probabilities = torch.tensor([[0.6, 0.4], [0.8, 0.2]], requires_grad=True)
    balance_loss(Routing(gates, probabilities)).backward()
    torch.testing.assert_close(gates.grad, torch.tensor([[0.7, 0.3]] * 2))
    torch.testing.assert_close(probabilities.grad, torch.tensor([[0.8, 0.2]] * 2))

    moe = layer(4, 2)
    moe(torch.randn(30, 16))
    assert moe.routing is not None
    balance_loss(Routing(moe.routing.gates, moe.routing.probabilities.detach())).backward()
    assert moe.router.weight.grad is not None
    assert moe.router.weight.grad.abs().max() > 1e-6


def test_descending_the_balance_loss_balances() -> None:
    """A wrong sign would collapse the routing instead."""
    moe, x = layer(4, 2), torch.rand(200, 16)
    moe.router.weight.data[0] += 0.3  # expert 0 begins with nearly every token
    optimizer = torch.optim.SGD(moe.router.parameters(), lr=1.0)
    values = []
    for _ in range(50):
        moe(x)
        assert moe.routing is not None
        values.append(balance_loss(moe.routing))
        optimizer.zero_grad()
        values[-1].backward()
        optimizer.step()
    assert values[-1] < 1.1 < 1.3 < values[0]


def test_training_reaches_router_and_parts_identical_experts() -> None:
    """Copies with equal gradients would stay equal for ever: top-2 routing must part them."""
    mixture = upcycle(dense(0).state_dict(), SMALL, Mixture(experts=4))
    optimizer = torch.optim.AdamW(mixture.parameters(), lr=1e-2)
    seen = tokens()
    next_token_loss(mixture(seen), seen.roll(1, 1)).backward()
    optimizer.step()
    next_token_loss(mixture(seen), seen.roll(1, 1)).backward()
    for each in expert_layers(mixture):
        assert each.router.weight.grad is not None
        assert each.router.weight.grad.norm() > 0
    distances = expert_distances(mixture)
    assert (distances + torch.eye(4)).min() > 1e-4


def test_an_expert_without_tokens_has_no_effect_and_no_gradient() -> None:
    moe = layer(3, 1)
    moe.router.weight.data.zero_()
    moe.router.weight.data[1] = 5.0
    x = torch.rand(7, 16)  # positive, so every token goes to expert 1
    out = moe(x)
    out.sum().backward()
    torch.testing.assert_close(out, swiglu(x, moe.gate_up[1], moe.down[1]))
    assert moe.gate_up.grad is not None
    assert moe.gate_up.grad[[0, 2]].abs().max() == 0
    assert moe.gate_up.grad[1].abs().max() > 0


def test_half_precision_where_the_device_has_it() -> None:
    """Autocast mixes 16 and 32 bits inside a layer; the result must stay close and keep its gradient."""
    model = mix([dense(seed).state_dict() for seed in range(2)], SMALL, Mixture(experts=2))
    seen = tokens()
    with torch.autocast("cpu", torch.bfloat16):
        loss = next_token_loss(model(seen), seen.roll(1, 1))
    loss.backward()
    torch.testing.assert_close(loss, next_token_loss(model(seen), seen.roll(1, 1)), atol=0.05, rtol=0)
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())


def test_a_mixture_decoder_has_experts_in_every_layer() -> None:
    assert len(expert_layers(mixture_decoder(SMALL, Mixture(experts=3)))) == SMALL.layers
