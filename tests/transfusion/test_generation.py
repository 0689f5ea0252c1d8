"""Reading and writing with a cache and in batches is the plain loop, and an image is denoised in place."""

import math
from itertools import pairwise

import pytest
import torch
from small_generator import TEXT, generator, images
from torch import Tensor

from models.transfusion import generation
from models.transfusion.generation import begun, describe, foretell, go_on, imagine, imagine_codes, write_text
from models.transfusion.model import Transfusion
from models.transfusion.noising import Diffusion, Flow, Noising, times
from models.transfusion.rows import Patches, check, write_rows
from models.transfusion.settings import TIMES, Sampling, Vocabulary

PROMPTS = [[5, 6, 7], [8], [9, 10]]


def plain_image(
    model: Transfusion, way: Noising, prompt: list[int], sampling: Sampling, noise: Tensor, drawn: list[Tensor]
) -> Tensor:
    """One prompt at a time, the whole sequence anew at each step, both with and without the prompt."""
    x, moments = noise, times(sampling.steps)
    for step, time in enumerate(moments[:-1]):
        found = []
        for each in (prompt, []):
            rows = write_rows([[each, Patches(model.sizes.patches)]], model.sizes.vocabulary, 24)
            found.append(model(rows, x, torch.tensor([time])).foretold)
        foretold = found[1] + sampling.guidance * (found[0] - found[1])
        x = way.back(x, foretold, (time, moments[step + 1]), drawn[step], sampling.fresh, sampling.bound)
    return x


@pytest.mark.parametrize("adapter", ["linear", "unet"])
@pytest.mark.parametrize("attention", ["bidirectional", "causal"])
@pytest.mark.parametrize("way", [Diffusion(), Flow()])
@torch.inference_mode()
def test_batched_images_with_a_cache_are_those_of_the_plain_loop(adapter: str, attention: str, way: Noising) -> None:
    model = generator(adapter=adapter, attention=attention)
    sampling = Sampling(steps=4, guidance=2.0, fresh=0.0 if isinstance(way, Flow) else 1.0, bound=2.0)
    noise = images(3)
    made = imagine(model, way, PROMPTS, sampling, noise, torch.Generator().manual_seed(5))
    fresh = torch.Generator().manual_seed(5)
    drawn = [torch.randn(3, 1, 4, 4, generator=fresh) if sampling.fresh else torch.zeros(3, 1, 4, 4) for _ in range(3)]
    drawn.append(torch.zeros(3, 1, 4, 4))
    for row, prompt in enumerate(PROMPTS):
        alone = plain_image(model, way, prompt, sampling, noise[row : row + 1], [each[row : row + 1] for each in drawn])
        assert torch.allclose(made[row : row + 1], alone, atol=2e-4), row


@torch.inference_mode()
def test_the_cache_does_not_grow_while_an_image_is_denoised() -> None:
    """Earlier noise left in the cache would be seen by later steps."""
    seen: list[tuple[int, int]] = []
    imagine(
        generator(),
        Diffusion(),
        PROMPTS,
        Sampling(steps=5),
        images(3),
        torch.Generator(),
        lambda time, _, length: seen.append((time, length)),
    )
    assert [time for time, _ in seen] == [1000, 800, 600, 400, 200, 0]
    assert {length for _, length in seen} == {5}  # END, the longest prompt, BOI


@torch.inference_mode()
def test_without_guidance_nothing_is_taken_of_the_empty_prompt() -> None:
    """Guidance 1 is the model as it is, 0 the model without a prompt."""
    model = generator()
    none, plain = Sampling(steps=3, guidance=0.0, fresh=0.0), Sampling(steps=3, guidance=1.0, fresh=0.0)
    noise = images(2)
    made = [imagine(model, Diffusion(), [[5], [6]], each, noise, torch.Generator()) for each in (none, plain)]
    free = imagine(model, Diffusion(), [[], []], plain, noise, torch.Generator())
    assert torch.allclose(made[0], free, atol=1e-5)
    assert not torch.allclose(made[1], free, atol=1e-3)


@torch.inference_mode()
def test_captions_in_a_batch_are_those_of_whole_sequences() -> None:
    model = generator()
    shown = images(3)
    said = describe(model, shown, 6)
    marks = model.sizes.vocabulary
    for row, ids in enumerate(said):
        text: list[int] = []
        while len(text) < 6 and (not text or text[-1] not in (0, marks.boi)):
            rows = write_rows([[Patches(4), text]], marks, 20)
            place = 6 + len(text)
            scores = model.logits(model(rows, shown[row : row + 1], torch.zeros(1, dtype=torch.long)).hidden[0, place])
            scores[marks.eoi :] = -torch.inf
            text.append(int(scores.argmax()))
        assert ids == text


@torch.inference_mode()
def test_foretelling_after_a_prompt_is_the_training_forward() -> None:
    """What is measured is what was trained."""
    model = generator(adapter="unet")
    shown = images(3)
    found = foretell(model, PROMPTS, shown, 300)
    for row, prompt in enumerate(PROMPTS):
        rows = write_rows([[prompt, Patches(4)]], model.sizes.vocabulary, 16)
        alone = model(rows, shown[row : row + 1], torch.tensor([300])).foretold
        assert torch.allclose(found[row : row + 1], alone, atol=1e-4)


@torch.inference_mode()
def test_codes_are_drawn_as_the_plain_loop_draws_them() -> None:
    model = generator(codes=8, attention="causal")
    marks = model.sizes.vocabulary
    sampling = Sampling(guidance=1.5, temperature=0.7, top_k=3)
    made = imagine_codes(model, [[5, 6], [7]], 4, sampling, torch.Generator().manual_seed(2))
    assert made.shape == (2, 4)
    generator_ = torch.Generator().manual_seed(2)
    written: list[list[int]] = [[], []]
    for _ in range(4):
        scores = []
        for prompt, codes in zip([[5, 6], [7]], written, strict=True):
            both = []
            for asked in (prompt, []):
                context = begun(model, [[*asked, marks.boi, *(marks.first_code + code for code in codes)]])
                both.append(model.logits(context.last)[0, marks.first_code :].log_softmax(-1))
            mixed = (both[1] + 1.5 * (both[0] - both[1])) / 0.7
            scores.append(mixed.masked_fill(mixed < mixed.topk(3).values[-1], -torch.inf).softmax(-1))
        drawn = torch.multinomial(torch.stack(scores), 1, generator=generator_)[:, 0].tolist()
        for codes, code in zip(written, drawn, strict=True):
            codes.append(code)
    assert made.tolist() == written


@torch.inference_mode()
def test_a_document_goes_from_text_to_an_image_and_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """BOI turns to images; the finished image is read before the text goes on, and none of its noise is left."""
    model = generator()
    boi = model.sizes.vocabulary.boi
    answers, lengths = iter([[[6, boi]], [[7, 0]]]), []

    def says(context: generation.Context, most: int) -> list[list[int]]:
        lengths.append(context.length)
        return next(answers)

    monkeypatch.setattr(generation, "write_text", says)
    said = go_on(model, Diffusion(), [5], Sampling(steps=3), torch.Generator().manual_seed(0), most=3)
    assert [each.text for each in said] == [(6,), (), (7,)]
    assert said[1].image is not None
    assert said[1].image.shape == (1, 4, 4)
    assert lengths == [2, 2 + 1 + 4 + 1]  # BOI, four patches, EOI

    answers = iter([[[boi]], [[7, boi]]])
    twice = go_on(model, Diffusion(), [5], Sampling(steps=1), torch.Generator(), most=3)
    assert [each.text for each in twice] == [(), (7,)]  # no more images than were allowed


@torch.inference_mode()
def test_text_never_holds_marks_that_cannot_come() -> None:
    model = generator(codes=8, attention="causal")
    context = begun(model, [[5]] * 4)
    for ids in write_text(context, 8):
        assert all(each <= model.sizes.vocabulary.boi for each in ids)


def test_documents_keep_the_contract_of_marks() -> None:
    marks = Vocabulary(TEXT, codes=4)
    boi, eoi, slot = marks.boi, marks.eoi, marks.slot
    check([0, 5, boi, slot, slot, eoi, 6, 0], marks)
    check([boi, marks.first_code, eoi], marks)
    for ids, said in (
        ([boi, boi], "second image begins within an image"),
        ([5, eoi], "ends that never began"),
        ([boi, eoi], "has no patches"),
        ([slot], "stands outside of an image"),
        ([boi, slot, 5, eoi], "text or END stands within an image"),
        ([boi, slot, 0], "text or END stands within an image"),
        ([boi, slot], "never ends"),
        ([marks.size], "there is no token"),
    ):
        with pytest.raises(ValueError, match=said):
            check(ids, marks)
    with pytest.raises(ValueError, match="one image at most"):
        write_rows([[Patches(1), Patches(1)]], marks, 12)
    with pytest.raises(ValueError, match="does not fit"):
        write_rows([[[5] * 9]], marks, 5)


def test_the_cosine_schedule_is_the_papers() -> None:
    """√ᾱ_t ≈ cos(t/T · π/2), from a clean image to noise alone."""
    way = Diffusion()
    assert float(way.kept[0]) == 1.0
    for time in (100, 300, 500, 900):
        assert float(way.kept[time]) ** 0.5 == pytest.approx(math.cos(time / TIMES * math.pi / 2), abs=0.02)
    assert float(way.kept[TIMES]) < 1e-4
    assert (way.kept.diff() < 0).all()


@pytest.mark.parametrize("way", [Diffusion(), Flow()])
def test_who_knows_the_noise_walks_straight_back(way: Noising) -> None:
    """A wrong step formula would still look like denoising."""
    clean, noise = images(2).clamp(-1, 1), images(2, seed=9)
    x = way.mixed(clean, noise, torch.tensor([TIMES, TIMES]))
    for time, to in pairwise(times(20)):
        now = torch.full((2,), time)
        foretold = noise if isinstance(way, Diffusion) else noise - clean
        assert torch.allclose(x, way.mixed(clean, noise, now), atol=1e-2), time
        x = way.back(x, foretold, (time, to), torch.zeros_like(x), 0.0, 0.0)
    assert torch.allclose(x, clean, atol=5e-2)


@pytest.mark.parametrize(("bound", "ends"), [(3.5, True), (0.0, False)])
def test_a_bound_forgives_an_error_in_the_first_step(bound: float, ends: bool) -> None:
    """A network foretells with errors, and no noise larger than it has seen: unbounded, it never comes back."""
    way, random = Diffusion(), torch.Generator().manual_seed(0)
    clean = torch.randn(4, 4, 4, 4, generator=random).clamp(-3.5, 3.5)
    x = torch.randn(clean.shape, generator=random)
    for time, to in pairwise(times(25)):
        kept = float(way.kept[time])
        noise = ((x - kept**0.5 * clean) / (1 - kept) ** 0.5).clamp(-4, 4)
        foretold = noise + 0.03 * torch.randn(x.shape, generator=random)
        x = way.back(x, foretold, (time, to), torch.randn(x.shape, generator=random), 1.0, bound)
    furthest = float((x - clean).abs().max())
    assert (furthest < 0.3) == ends
    assert ends or furthest > 3


def test_a_ddpm_step_has_the_posteriors_variance() -> None:
    """With all noise fresh, x_s of a known clean image has the variance that noising to s gives it."""
    way = Diffusion()
    draws = torch.Generator().manual_seed(0)
    clean = torch.full((20_000, 1, 1, 1), 0.5)
    noise = torch.randn(clean.shape, generator=draws)
    x = way.mixed(clean, noise, torch.full((len(clean),), 700))
    back = way.back(x, noise, (700, 400), torch.randn(clean.shape, generator=draws), 1.0, 0.0)
    kept = float(way.kept[400])
    assert float(back.mean()) == pytest.approx(0.5 * kept**0.5, abs=0.02)
    assert float(back.std()) == pytest.approx((1 - kept) ** 0.5, rel=0.02)


def test_there_are_not_more_steps_than_times() -> None:
    assert times(4) == [1000, 750, 500, 250, 0]
    with pytest.raises(ValueError, match="1 to 1000"):
        times(1001)
