"""The captioner: what it may see, what it is trained on, and how it writes."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.captioner import BEGIN, END, PAD, Captioner, CaptionerSizes, Pictures, caption_loss, nucleus, write_captions

SIZES = CaptionerSizes(
    vocabulary=30, channels=5, palette=7, shared=4, width=16, heads=2, layers=2, prefix=3, pooled=8, alt=6, caption=8,
    dropout=0.0,
)  # fmt: skip
PLACES = 4


def model(seed: int = 0) -> Captioner:
    torch.manual_seed(seed)
    made = Captioner(SIZES).eval()
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return made


def pictures(count: int, seed: int = 0, blank: bool = False) -> Pictures:
    generator = torch.Generator().manual_seed(seed)
    return Pictures(
        torch.randn(count, PLACES, SIZES.channels, generator=generator),
        torch.rand(count, SIZES.palette, generator=generator),
        torch.rand(count, SIZES.shared, generator=generator),
        torch.full((count,), blank),
    )


ALT = torch.tensor([[PAD, PAD, PAD, 5, 6, 7], [PAD, PAD, PAD, PAD, PAD, PAD]])
CAPTION = torch.tensor([[BEGIN, 5, 9, 10], [BEGIN, 11, 12, PAD]])


def test_probabilities_sum_to_one_with_and_without_an_alt_text() -> None:
    said = model()(pictures(2), ALT, CAPTION)
    torch.testing.assert_close(said.exp().sum(-1), torch.ones(2, 4))


def test_more_padding_on_the_left_changes_nothing() -> None:
    """The released code attends to it: then the same alt-text beside a longer one in its batch is another one."""
    captioner = model()
    for columns in (3, 4):
        torch.testing.assert_close(
            captioner(pictures(2), ALT[:, -columns:], CAPTION), captioner(pictures(2), ALT, CAPTION)
        )
    alone = captioner(Pictures(*(part[1:] for part in pictures(2))), torch.zeros(1, 0, dtype=torch.long), CAPTION[1:])
    torch.testing.assert_close(alone, captioner(pictures(2), ALT, CAPTION)[1:])


def test_an_alt_text_without_padding_is_read_whole() -> None:
    """The released code's mask is empty where the padding has no length."""
    captioner = model()
    filled = torch.tensor([[3, 4, 5, 6, 7, 8]])
    picture = Pictures(*(part[:1] for part in pictures(2)))
    before = captioner(picture, filled, CAPTION[:1])
    for place in range(6):
        other = filled.clone()
        other[0, place] = 20
        assert (captioner(picture, other, CAPTION[:1]) - before).abs().max() > 1e-3


def test_writing_on_from_a_cache_says_what_reading_all_at_once_does() -> None:
    captioner = model()
    whole = captioner(pictures(2), ALT, CAPTION)
    given, past = captioner.given(pictures(2), ALT), None
    for at in range(CAPTION.shape[1]):
        said, past = captioner.following(given, CAPTION[:, at : at + 1], past)
        torch.testing.assert_close(said[:, 0], whole[:, at])


def test_no_caption_token_sees_those_after_it() -> None:
    captioner = model()
    other = CAPTION.clone()
    other[:, 2:] = 20
    torch.testing.assert_close(captioner(pictures(2), ALT, CAPTION)[:, :2], captioner(pictures(2), ALT, other)[:, :2])


def test_a_blanked_picture_is_not_seen_and_another_is() -> None:
    """An arm without pictures that still sees them would be no baseline."""
    captioner = model()
    one, two = (captioner(pictures(2, seed, blank=True), ALT, CAPTION) for seed in (1, 2))
    torch.testing.assert_close(one, two)
    seen, other = (captioner(pictures(2, seed), ALT, CAPTION) for seed in (1, 2))
    assert (seen - other).abs().max() > 0.01


def test_the_alt_text_is_seen() -> None:
    captioner = model()
    other = torch.where(ALT == 6, 8, ALT)
    before, after = (captioner(pictures(2), alt, CAPTION) for alt in (ALT, other))
    assert (before[0] - after[0]).abs().max() > 0.01
    torch.testing.assert_close(before[1], after[1])


def test_only_the_captions_tokens_are_trained_on() -> None:
    """Loss on the alt-text would teach copying; on padding, to end early."""
    said = model()(pictures(2), ALT, CAPTION).detach().requires_grad_()
    targets = torch.tensor([[5, 9, 10, END], [11, 12, END, PAD]])
    caption_loss(said, targets).backward()  # type: ignore[no-untyped-call]
    assert said.grad is not None
    counted = (said.grad != 0).nonzero().tolist()
    wanted = [[row, at, int(targets[row, at])] for row in range(2) for at in range(4) if targets[row, at] != PAD]
    assert counted == wanted


def test_the_pointer_can_copy_a_token_that_training_never_gave() -> None:
    captioner = model()
    with torch.no_grad():
        captioner.generates.weight.zero_()
        captioner.generates.bias.fill_(-20.0)
    said = captioner(pictures(2), ALT, CAPTION)[0].exp()
    torch.testing.assert_close(said[:, 5:8].sum(-1), torch.ones(4), atol=1e-4, rtol=1e-4)
    # Without an alt-text there is nothing to copy, whatever the gate says.
    assert captioner(pictures(2), ALT, CAPTION)[1].exp()[:, 5:8].sum(-1).max() < 0.9


def test_it_learns_to_add_what_the_picture_shows_to_what_the_alt_says() -> None:
    """A colour that only the picture has, and a name that only the alt-text has."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    captioner = Captioner(replace(SIZES, width=32))
    optimizer = torch.optim.AdamW(captioner.parameters(), lr=5e-3)

    def batch(names: range) -> tuple[Pictures, Tensor, Tensor]:
        colour = torch.randint(0, 3, (32,), generator=generator)
        name = torch.randint(names.start, names.stop, (32,), generator=generator)
        shown = torch.zeros(32, PLACES, SIZES.channels)
        shown[torch.arange(32), :, colour] = 2.0
        alt = torch.zeros(32, SIZES.alt, dtype=torch.long)
        alt[:, -1] = name
        blank = torch.zeros(32, dtype=torch.bool)
        return (
            Pictures(shown, torch.zeros(32, SIZES.palette), torch.zeros(32, SIZES.shared), blank),
            alt,
            torch.stack([3 + colour, name], 1),
        )

    for _ in range(200):
        seen, alt, said = batch(range(10, 20))
        begin, end = torch.full((32, 1), BEGIN), torch.full((32, 1), END)
        loss = caption_loss(captioner(seen, alt, torch.cat([begin, said], 1)), torch.cat([said, end], 1))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    seen, alt, said = batch(range(20, 30))  # names that were never said
    written = write_captions(captioner.eval(), seen, alt, 0.2, 0.7, torch.Generator().manual_seed(1))
    assert (written[:, 0] == said[:, 0]).float().mean() > 0.9
    assert (written[:, 1] == said[:, 1]).float().mean() > 0.9


def test_writing_repeats_itself_and_ends() -> None:
    captioner = model()
    one, two = (
        write_captions(captioner, pictures(2), ALT, 1.0, 0.9, torch.Generator().manual_seed(3)) for _ in range(2)
    )
    torch.testing.assert_close(one, two)
    assert one.shape == (2, SIZES.caption)
    for row in one.tolist():
        after = row[row.index(END) + 1 :] if END in row else []
        assert set(after) <= {PAD}
        assert BEGIN not in row


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=9), st.floats(0.05, 1))
def test_a_nucleus_is_the_smallest_that_reaches_its_share(weights: list[float], top_p: float) -> None:
    probabilities = torch.tensor(weights, dtype=torch.float64)[None] / sum(weights)
    chosen = nucleus(probabilities, top_p)
    assert chosen.sum().item() == pytest.approx(1)
    kept = chosen > 0
    mass = probabilities[kept].sum().item()
    assert mass >= top_p - 1e-9
    assert mass - probabilities[kept].min().item() < top_p + 1e-9
    assert probabilities[kept].min() >= probabilities[~kept].max() - 1e-12 if (~kept).any() else True
