"""The dual encoder: what its loss counts as wrong, and that padding is not read."""

import pytest
import torch

from models.captioner import PAD
from models.dual_encoder import DualEncoder, DualSizes, contrastive_loss

SIZES = DualSizes(vocabulary=20, channels=5, palette=7, shared=8, width=16, dropout=0.0)


def test_padding_is_not_read_on_either_side() -> None:
    torch.manual_seed(0)
    model = DualEncoder(SIZES).eval()
    left, right = torch.tensor([[PAD, PAD, 4, 5]]), torch.tensor([[4, 5, PAD, PAD]])
    torch.testing.assert_close(model.texts(left), model.texts(right))
    assert model.texts(torch.full((1, 4), PAD)).isfinite().all()


def test_the_loss_is_clips_where_every_text_is_right_for_one_picture() -> None:
    generator = torch.Generator().manual_seed(0)
    pictures, texts = (torch.nn.functional.normalize(torch.randn(5, 8, generator=generator), dim=-1) for _ in range(2))
    scale = torch.tensor(10.0).log()
    scores, own = 10 * pictures @ texts.T, torch.arange(5)
    cross = torch.nn.functional.cross_entropy
    expected = (cross(scores, own) + cross(scores.T, own)) / 2
    torch.testing.assert_close(contrastive_loss(pictures, texts, torch.eye(5, dtype=torch.bool), scale), expected)


def test_another_rows_right_text_is_no_wrong_one() -> None:
    """Two drawings of one emoji: without this the loss would push one away from its own name."""
    pictures = torch.eye(4)[[0, 0, 1]]
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    loss = contrastive_loss(pictures, pictures, same, torch.tensor(50.0).log())
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert contrastive_loss(pictures, pictures, torch.eye(3, dtype=torch.bool), torch.tensor(50.0).log()) > 0.4


def test_it_learns_pairs() -> None:
    torch.manual_seed(0)
    model = DualEncoder(SIZES)
    tokens, palette = torch.randn(12, 4, 5), torch.rand(12, 7)
    texts = torch.arange(3, 15)[:, None]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(80):
        loss = contrastive_loss(
            model.pictures(tokens, palette), model.texts(texts), torch.eye(12, dtype=torch.bool), model.log_scale
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    found = (model.pictures(tokens, palette) @ model.texts(texts).T).argmax(1)
    assert (found == torch.arange(12)).float().mean() > 0.9
