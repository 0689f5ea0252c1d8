"""Operations that torch's counter calls nothing on a CPU are counted."""

import pytest

torch = pytest.importorskip("torch")

from models.framework_tax.flops import attention, count, linear, recurrent  # noqa: E402
from models.framework_tax.templates import Attention, EncoderLayer, Recurrent  # noqa: E402


def test_a_layer_of_attention_has_its_projections_and_its_scores() -> None:
    """The counter alone says nothing of the scores, by a fused kernel."""
    batch, tokens, width = 3, 16, 64
    expected = linear(batch * tokens, width, 4 * width) + attention(*([(batch, 2, tokens, 32)] * 3))
    assert count(Attention(width).eval(), [torch.randn(batch, tokens, width)]) == expected
    assert attention((1, 1, 2, 3), (1, 1, 5, 3), (1, 1, 5, 7)) == 2 * 2 * 5 * 3 + 2 * 2 * 5 * 7


def test_an_encoder_grows_with_the_batch() -> None:
    one, two = (count(EncoderLayer(32).eval(), [torch.randn(b, 16, 32)]) for b in (1, 2))
    assert two == 2 * one


def test_an_lstm_counts_both_products_of_all_gates() -> None:
    expected = sum(recurrent(2, 16, 24, 24) for _ in range(2))
    assert count(Recurrent(24, 2).eval(), [torch.randn(2, 16, 24)]) == expected
    assert recurrent(1, 1, 3, 5) == 2 * 4 * 5 * (3 + 5)


def test_int8_products_count_as_those_in_float32() -> None:
    plain = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4)).eval()
    x = torch.randn(5, 8)
    quantised = torch.ao.quantization.quantize_dynamic(plain, {torch.nn.Linear}, dtype=torch.qint8)
    assert count(quantised, [x]) == count(plain, [x]) == linear(5, 8, 16) + linear(5, 16, 4)
