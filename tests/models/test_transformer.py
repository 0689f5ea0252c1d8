"""The decoder: what it may see, what it is invariant to, and what its arithmetic costs."""

import inspect

import pytest
import torch
from pydantic import ValidationError
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from models.config import Mixture, Transformer
from models.flops import training_flops
from models.moe import mixture_decoder
from models.transformer import Decoder, next_token_loss, rotations

SMALL = Transformer(vocabulary=50, width=32, layers=2, heads=4, feed_forward=48, context=16)


def tokens(batch: int = 3, length: int = 16) -> torch.Tensor:
    return torch.randint(0, 50, (batch, length), generator=torch.Generator().manual_seed(1))


def test_forward_takes_tokens_only() -> None:
    """A domain label cannot be handed to the model."""
    assert list(inspect.signature(Decoder.forward).parameters) == ["self", "tokens"]


@pytest.mark.parametrize("mixture", [None, Mixture(experts=3)])
def test_the_future_does_not_change_the_past(mixture: Mixture | None) -> None:
    torch.manual_seed(0)
    model = Decoder(SMALL) if mixture is None else mixture_decoder(SMALL, mixture)
    seen = tokens()
    changed = seen.clone()
    changed[:, 9:] = (changed[:, 9:] + 7) % 50
    with torch.no_grad():
        before, after = model(seen), model(changed)
    torch.testing.assert_close(before[:, :9], after[:, :9], atol=1e-6, rtol=0)
    assert (before[:, 9:] - after[:, 9:]).abs().max() > 1e-3


def test_rotary_attention_sees_relative_positions_only() -> None:
    """A rotation by position leaves products of queries and keys a function of their distance."""
    turn = rotations(SMALL)
    query, key = torch.randn(2, turn.shape[1], dtype=torch.complex64)
    products = ((query * turn[:, None]) * (key * turn[:, None]).conj().transpose(0, 1)).sum(-1).real
    torch.testing.assert_close(products.diag(2), products.diag(2)[:1].expand(14), atol=1e-5, rtol=1e-4)
    assert (products.diag(2)[0] - products.diag(3)[0]).abs() > 1e-3


def test_order_matters() -> None:
    """Without positions a decoder of one layer would not tell permuted pasts apart."""
    torch.manual_seed(0)
    model = Decoder(Transformer(vocabulary=50, width=32, layers=1, heads=4, feed_forward=48, context=16))
    for weight in model.parameters():
        weight.data.mul_(10) if weight.dim() > 1 else None
    seen = tokens(1)
    permuted = torch.cat([seen[:, :15].flip(1), seen[:, 15:]], 1)
    with torch.no_grad():
        assert (model(seen)[:, -1] - model(permuted)[:, -1]).abs().max() > 1e-3


@pytest.mark.parametrize("mixture", [None, Mixture(experts=4), Mixture(experts=3, top_k=3)])
@pytest.mark.parametrize("tied", [True, False])
def test_the_formula_counts_what_torch_counts(mixture: Mixture | None, tied: bool) -> None:
    config = Transformer(vocabulary=50, width=32, layers=2, heads=4, feed_forward=48, context=16, tied_embeddings=tied)
    model = Decoder(config) if mixture is None else mixture_decoder(config, mixture)
    seen = tokens()
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        next_token_loss(model(seen), seen).backward()
    assert counter.get_total_flops() == seen.numel() * training_flops(config, mixture)


@pytest.mark.parametrize("wrong", [{"width": 30}, {"width": -32}, {"layers": 0}, {"vocabulary": 50.0}, {"width": "32"}])
def test_impossible_sizes_are_refused(wrong: dict[str, object]) -> None:
    sizes = {"vocabulary": 50, "width": 32, "layers": 2, "heads": 4, "feed_forward": 48, "context": 16}
    with pytest.raises(ValidationError):
        Transformer(**(sizes | wrong))
