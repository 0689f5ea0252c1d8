"""Who sees whom, by gradients: a mask that is right on paper and wrong in the code would pass any other test."""

import pytest
import torch
from small_generator import TEXT, generator, images, sizes
from torch import Tensor

from models.transfusion.model import Transfusion, image_loss
from models.transfusion.noising import Diffusion
from models.transfusion.rows import NOTHING, Patches, joined, may_attend, with_codes, write_rows
from models.transfusion.settings import Vocabulary

LENGTH = 20


def influence(model: Transfusion, image: Tensor) -> Tensor:
    """How strongly each position's state answers to each position's input, on the trunk: (length, length)."""
    length = len(image)
    embedded = torch.randn(1, length, 16, generator=torch.Generator().manual_seed(3)).requires_grad_()
    hidden, _ = model.trunk.run(embedded, may_attend(image[None], model.bidirectional))
    rows = []
    for place in range(length):
        (gradient,) = torch.autograd.grad(hidden[0, place].sum(), embedded, retain_graph=True)
        rows.append(gradient[0].abs().sum(-1))
    return torch.stack(rows)


def two_images() -> Tensor:
    """Text, an image of four patches, text, an image of four, text."""
    return torch.tensor([NOTHING] * 3 + [0] * 4 + [NOTHING] * 2 + [1] * 4 + [NOTHING] * 2)


@pytest.mark.parametrize("attention", ["bidirectional", "causal"])
@pytest.mark.parametrize("adapter", ["linear", "unet"])
def test_a_position_answers_to_what_is_before_it_and_to_its_own_image(attention: str, adapter: str) -> None:
    """Exactly zero towards later text and later images; within an image both ways, or only back in the causal arm."""
    image = two_images()
    found = influence(generator(attention=attention, adapter=adapter), image)
    for place in range(len(image)):
        for other in range(len(image)):
            same = attention == "bidirectional" and image[place] == image[other] != NOTHING
            if other <= place or same:
                assert found[place, other] > 0, (place, other)
            else:
                assert found[place, other] == 0, (place, other)


def test_text_before_an_image_does_not_answer_to_it_in_the_whole_model() -> None:
    """Through the adapters too: a caption's loss must not see the image that follows it."""
    model = generator()
    rows = write_rows([[[5, 6, 7], Patches(4)], [Patches(4), [5, 6, 7]]], Vocabulary(TEXT), 12)
    shown = images(2).requires_grad_()
    hidden = model(rows, shown, torch.tensor([10, 10])).hidden
    (before,) = torch.autograd.grad(hidden[0, :5].sum(), shown, retain_graph=True)
    (after,) = torch.autograd.grad(hidden[1, 6:10].sum(), shown)
    assert torch.equal(before, torch.zeros_like(before))
    assert after[1].abs().sum() > 0
    assert torch.equal(after[0], torch.zeros_like(after[0]))


def test_noise_is_foretold_with_the_caption_before_and_never_with_the_one_behind() -> None:
    model = generator()
    rows = write_rows([[[5, 6, 7], Patches(4)], [Patches(4), [5, 6, 7]]], Vocabulary(TEXT), 12)
    shown, time = images(2), torch.tensor([10, 10])
    plain = model(rows, shown, time).foretold
    other = rows._replace(tokens=torch.where(rows.tokens == 6, 9, rows.tokens))
    changed = model(other, shown, time).foretold
    assert not torch.allclose(plain[0], changed[0])
    assert torch.equal(plain[1], changed[1])


def test_a_unets_skips_let_pixels_past_the_mask_and_linear_patches_do_not() -> None:
    """Why the mask is tested on the trunk: in the causal arm a later patch still reaches an earlier one's output."""
    for adapter, leaks in (("linear", False), ("unet", True)):
        model = generator(attention="causal", adapter=adapter)
        rows = write_rows([[[5], Patches(4)]], Vocabulary(TEXT), 10)
        shown = images(1).requires_grad_()
        foretold = model(rows, shown, torch.tensor([10])).foretold
        (gradient,) = torch.autograd.grad(foretold[0, 0, :2, :2].sum(), shown)
        assert (gradient[0, 0, 2:, 2:].abs().sum() > 0) == leaks, adapter


def test_a_unets_foretold_noise_answers_to_its_prompt_as_that_of_linear_patches_does() -> None:
    """As it is built, before any training: an up block that reads skips alone answers a twentieth as strongly."""
    answers = {"linear": 0.0, "unet": 0.0}
    for adapter in answers:
        for seed in range(4):
            torch.manual_seed(seed)
            model = Transfusion(sizes(adapter=adapter, side=8, patch=4, inner=8))
            rows = write_rows([[[5, 6], Patches(4)]], Vocabulary(TEXT), 10)
            foretold = model(rows, images(1, 8), torch.tensor([500])).foretold
            (gradient,) = torch.autograd.grad((foretold * images(1, 8, seed=7)).sum(), model.trunk.embedding.weight)
            answers[adapter] += float(gradient[[5, 6]].norm())
    assert answers["unet"] > 0.3 * answers["linear"] > 0


def test_a_unet_learns_what_its_prompt_asks_for_within_few_steps() -> None:
    """Two prompts, a light and a dark image: with the prompts exchanged, something else must be foretold."""
    rows = write_rows([[[5], Patches(4)], [[6], Patches(4)]] * 8, Vocabulary(TEXT), 10)
    clean = torch.tensor([1.0, -1.0]).repeat(8)[:, None, None, None].expand(16, 1, 8, 8)
    time, way = torch.full((16,), 800), Diffusion()
    changed = []
    for seed in range(3):
        torch.manual_seed(seed)
        model = Transfusion(sizes(adapter="unet", side=8, patch=4, inner=8))
        learning = torch.optim.Adam(model.parameters(), 3e-3)
        for step in range(60):
            noise = images(16, 8, seed=step)
            learning.zero_grad()
            image_loss(model(rows, way.mixed(clean, noise, time), time).foretold, noise).backward()
            learning.step()
        noised = way.mixed(clean, images(16, 8, seed=99), time)
        with torch.no_grad():
            asked, other = (model(r, noised, time).foretold for r in (rows, rows.take(torch.arange(16) ^ 1)))
        changed.append(float((asked - other).norm() / asked.norm()))
    assert sum(changed) / 3 > 0.08


def test_time_is_told() -> None:
    """Without it the error would be flat over t."""
    for adapter in ("linear", "unet"):
        model = generator(adapter=adapter)
        rows = write_rows([[[5], Patches(4)]], Vocabulary(TEXT), 10)
        early, late = (model(rows, images(1), torch.tensor([t])).foretold for t in (10, 900))
        assert not torch.allclose(early, late)


def test_nothing_is_foretold_at_slots_or_of_marks_that_are_put_there() -> None:
    """A loss on slots would teach a language model of slots; EOI is appended, not chosen."""
    marks = Vocabulary(TEXT)
    rows = write_rows([[[5, 6], Patches(4), [7]]], marks, LENGTH)
    tokens, targets = rows.tokens[0].tolist(), rows.targets[0].tolist()
    assert tokens[:10] == [0, 5, 6, marks.boi, *[marks.slot] * 4, marks.eoi, 7]
    assert targets[:10] == [5, 6, marks.boi, *[NOTHING] * 5, 7, 0]
    assert set(targets[10:]) == {NOTHING}
    assert rows.image[0].tolist()[:10] == [NOTHING] * 4 + [0] * 4 + [NOTHING] * 2


def test_rows_of_text_and_of_images_read_together_are_those_read_apart() -> None:
    """Padding must not be seen, nor foretold, nor may an image go to another row."""
    model, marks = generator(), Vocabulary(TEXT)
    text = write_rows([[[5, 6, 7, 8, 9, 10, 11, 5, 6, 7, 8]], [[5]]], marks, 12)
    seen = write_rows([[[5], Patches(4)], [Patches(4), [6]]], marks, 9)
    shown, time = images(2), torch.tensor([10, 900])
    none = torch.zeros(0, 1, 4, 4)
    apart = [model(text, none, time[:0]), model(seen, shown, time)]
    both = joined(text, seen)
    read = model(both, shown, time)
    assert both.tokens.shape == (4, 12)
    assert torch.allclose(read.foretold, apart[1].foretold, atol=1e-5)
    for mine, rows, hidden in ((slice(0, 2), text, apart[0].hidden), (slice(2, 4), seen, apart[1].hidden)):
        length = rows.tokens.shape[1]
        assert torch.equal(both.targets[mine, :length], rows.targets)
        assert (both.targets[mine, length:] == NOTHING).all()
        assert torch.allclose(read.hidden[mine, :length], hidden, atol=1e-5)


def test_codes_are_foretold_one_after_the_other_and_causally() -> None:
    marks = Vocabulary(TEXT, codes=8)
    rows = write_rows([[[5], Patches(4)], [Patches(4), [5]]], marks, 9)
    filled = with_codes(rows, torch.tensor([[1, 2, 3, 4], [5, 6, 7, 0]]), marks)
    first = marks.first_code
    assert filled.targets[0].tolist()[:8] == [5, marks.boi, first + 1, first + 2, first + 3, first + 4, NOTHING, 0]
    assert filled.tokens[1].tolist()[:6] == [0, marks.boi, first + 5, first + 6, first + 7, first]
    assert (filled.image == NOTHING).all()
    with pytest.raises(ValueError, match="has no patches"):
        _ = generator(codes=8).patches


def test_one_state_dict_serves_both_modes() -> None:
    """Two models glued together would pass every other test; here the trunk's weights answer to both losses."""
    model = generator()
    rows = write_rows([[[5, 6], Patches(4)]], Vocabulary(TEXT), 10)
    read = model(rows, images(1), torch.tensor([500]))
    spoken = model.logits(read.hidden[rows.targets != NOTHING]).logsumexp(-1).sum()
    trunk = dict(model.trunk.blocks.named_parameters())
    for loss in (spoken, (read.foretold**2).sum()):
        gradients = torch.autograd.grad(loss, list(trunk.values()), retain_graph=True)
        assert all(float(each.abs().sum()) > 0 for each in gradients)
    assert sizes().patches == 4
