"""A captioner with a pretrained decoder: it keeps to what the small one keeps to, and is the model that was read."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import save_llama

from models.captioner import BEGIN, END, PAD, Pictures, caption_loss, write_captions
from models.pretrained_captioner import PretrainedCaptioner
from tasks.altogether.captioner.stored import Sizes, Writer, load_writer, new_writer, save_writer
from tasks.base.errors import UserError

SMOLLM2 = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
SIZES = Sizes(prefix=3, pooled=8, alt=6, caption=8, dropout=0.0)
CHANNELS, PALETTE, SHARED = 5, 7, 4
ALT = torch.tensor([[PAD, PAD, PAD, 5, 6, 7], [PAD, PAD, PAD, PAD, PAD, PAD]])
CAPTION = torch.tensor([[BEGIN, 5, 9, 10], [BEGIN, 11, 12, PAD]])


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("language"), SMOLLM2, tied=True)


@pytest.fixture(scope="module")
def writer(language: Path) -> Writer:
    torch.manual_seed(0)
    made = new_writer(language, CHANNELS, PALETTE, SHARED, SIZES)
    made.model.eval()
    return made


def pictures(count: int, seed: int = 0, blank: bool = False) -> Pictures:
    generator = torch.Generator().manual_seed(seed)
    return Pictures(
        torch.randn(count, 4, CHANNELS, generator=generator),
        torch.rand(count, PALETTE, generator=generator),
        torch.rand(count, SHARED, generator=generator),
        torch.full((count,), blank),
    )


def test_without_picture_and_alt_text_it_says_what_the_language_model_does(language: Path, writer: Writer) -> None:
    """With a prefix made of the embeddings of known tokens the decoder must continue them as the model itself would."""
    from transformers import AutoModelForCausalLM

    assert isinstance(writer.model, PretrainedCaptioner)
    whole: Any = AutoModelForCausalLM.from_pretrained(language, gguf_file="tiny.gguf", dtype=torch.float32)
    prefix, model = torch.tensor([[20, 30, 40]]), writer.model

    class Known(torch.nn.Module):
        def forward(self, seen: Pictures) -> torch.Tensor:
            return model.decoder.embed_tokens(prefix)  # type: ignore[no-any-return]

    mapping = model.mapping
    try:
        model.mapping = Known()  # type: ignore[assignment]
        said = model(pictures(1), ALT[:1], CAPTION[:1])
    finally:
        model.mapping = mapping
    wanted = whole(torch.cat([prefix, ALT[:1, 3:], CAPTION[:1]], 1)).logits[:, 6:].log_softmax(-1)
    torch.testing.assert_close(said, wanted, atol=1e-4, rtol=1e-4)


def test_more_padding_on_the_left_changes_nothing(writer: Writer) -> None:
    """Not even the positions, which rotate queries and keys."""
    whole = writer.model(pictures(2), ALT, CAPTION)
    for columns in (3, 4):
        torch.testing.assert_close(writer.model(pictures(2), ALT[:, -columns:], CAPTION), whole, atol=1e-4, rtol=1e-4)
    alone = Pictures(*(part[1:] for part in pictures(2)))
    none = torch.zeros(1, 0, dtype=torch.long)
    torch.testing.assert_close(writer.model(alone, none, CAPTION[1:]), whole[1:], atol=1e-4, rtol=1e-4)


def test_writing_on_from_a_cache_says_what_reading_all_at_once_does(writer: Writer) -> None:
    whole = writer.model(pictures(2), ALT, CAPTION)
    given, past = writer.model.given(pictures(2), ALT), None
    for at in range(CAPTION.shape[1]):
        said, past = writer.model.following(given, CAPTION[:, at : at + 1], past)
        torch.testing.assert_close(said[:, 0], whole[:, at], atol=1e-4, rtol=1e-4)
    # What was given is not changed by writing: a second caption starts where the first did.
    torch.testing.assert_close(writer.model.following(given, CAPTION)[0], whole, atol=1e-4, rtol=1e-4)


def test_no_caption_token_sees_those_after_it(writer: Writer) -> None:
    other = CAPTION.clone()
    other[:, 2:] = 20
    one, two = (writer.model(pictures(2), ALT, caption)[:, :2] for caption in (CAPTION, other))
    torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


def test_picture_and_alt_text_are_seen_and_a_blanked_picture_is_not(writer: Writer) -> None:
    one, two = (writer.model(pictures(2, seed, blank=True), ALT, CAPTION) for seed in (1, 2))
    torch.testing.assert_close(one, two)
    one, two = (writer.model(pictures(2, seed), ALT, CAPTION) for seed in (1, 2))
    assert (one - two).abs().max() > 1e-3
    other = writer.model(pictures(2, 1), torch.where(ALT == 6, 8, ALT), CAPTION)
    assert (one[0] - other[0]).abs().max() > 1e-3
    torch.testing.assert_close(one[1], other[1])


def test_all_of_it_is_trained_by_the_captions_loss(writer: Writer) -> None:
    targets = torch.tensor([[5, 9, 10, END], [11, 12, END, PAD]])
    blanked = pictures(2)._replace(blank=torch.tensor([True, False]))
    caption_loss(writer.model(blanked, ALT, CAPTION), targets).backward()  # type: ignore[no-untyped-call]
    still = [
        name for name, weight in writer.model.named_parameters() if weight.grad is None or not weight.grad.abs().sum()
    ]
    writer.model.zero_grad()
    assert not still


def test_it_is_read_as_it_was_written(writer: Writer, tmp_path: Path) -> None:
    save_writer(writer, tmp_path)
    read = load_writer(tmp_path)
    assert isinstance(read.model, PretrainedCaptioner)
    assert read.words.encode("Red  heart") == writer.words.encode("red heart")
    assert read.words.decode([*read.words.encode("red heart"), END, 50]) == "red heart"
    for name, weight in read.model.state_dict().items():
        torch.testing.assert_close(weight, writer.model.state_dict()[name], atol=2e-3, rtol=2e-3)
    draws = [torch.Generator().manual_seed(3) for _ in range(2)]
    one, two = (write_captions(read.model, pictures(2), ALT, 1.0, 0.9, draw) for draw in draws)
    torch.testing.assert_close(one, two)
    assert not {PAD, BEGIN} & {token for row in one.tolist() for token in row[: row.index(END) if END in row else 8]}


def test_other_models_are_told(tmp_path: Path) -> None:
    for name in ("none", "other", "untied"):
        (tmp_path / name).mkdir()
    save_llama(tmp_path / "other", ("<|end|>",), tied=True)
    save_llama(tmp_path / "untied", SMOLLM2)
    for name, said in (("none", "neither"), ("other", "does not begin with"), ("untied", "by their embeddings")):
        with pytest.raises(UserError, match=said):
            new_writer(tmp_path / name, CHANNELS, PALETTE, SHARED, SIZES)
