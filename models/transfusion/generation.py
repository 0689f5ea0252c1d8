"""Reading and writing in both directions: text by next token, an image by denoising it in place (section 3.3).

What was said and shown is kept as keys and values. While an image is denoised nothing is added to them: x_t takes the
place of x_{t+1}, and no patch ever sees an earlier state. Only the finished image is read into the cache, at time 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from models.transfusion.model import Cache, Transfusion
from models.transfusion.noising import Noising, times
from models.transfusion.settings import Sampling

Watch = Callable[[int, Tensor, int], None]
"""Told while denoising: the time, the images at that time, and the length of the cache."""


@dataclass
class Context:
    """What was read so far by rows side by side: the cache, which of its places count, and the last states."""

    model: Transfusion
    cache: Cache = field(default_factory=list)
    real: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.bool))
    last: Tensor = field(default_factory=lambda: torch.zeros(0, 0))

    @property
    def length(self) -> int:
        """Positions in the cache."""
        return self.cache[0][0].shape[2] if self.cache else 0

    def read(self, embedded: Tensor, real: Tensor, together: bool = False) -> Tensor:
        """Add positions (rows, length, width) to the cache, and return their states; `real` are those that count.

        With `together` they are an image's patches, and see each other as the model's patches do.
        """
        hidden, self.cache = self.model.trunk.run(embedded, self._may(real, together), self.cache or None)
        self.real = torch.cat([self.real, real], 1) if self.real.numel() else real
        self.last = hidden[:, -1]
        return hidden

    def glance(self, embedded: Tensor) -> Tensor:
        """The states of an image's patches after what was read; nothing is kept of them."""
        real = torch.ones(embedded.shape[:2], dtype=torch.bool, device=embedded.device)
        return self.model.trunk.run(embedded, self._may(real, True), self.cache or None)[0]

    def read_tokens(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """Read ids (rows, length)."""
        real = torch.ones_like(tokens, dtype=torch.bool) if real is None else real
        return self.read(self.model.trunk.embedding(tokens), real)

    def read_images(self, images: Tensor) -> None:
        """Read clean images (rows, channels, side, side) between BOI and EOI."""
        marks = self.model.sizes.vocabulary
        rows = len(images)
        device = images.device
        self.read_tokens(torch.full((rows, 1), marks.boi, device=device))
        embedded, _ = self.model.patches.into(images, torch.zeros(rows, dtype=torch.long, device=device))
        self.read(embedded, torch.ones(embedded.shape[:2], dtype=torch.bool, device=device), together=True)
        self.read_tokens(torch.full((rows, 1), marks.eoi, device=device))

    def _may(self, real: Tensor, together: bool) -> Tensor:
        length = real.shape[1]
        own = torch.ones(length, length, dtype=torch.bool, device=real.device)
        if not (together and self.model.bidirectional):
            own = own.tril()
        # A position that does not count sees itself, so that its softmax is over something.
        own = own & real[:, None] | torch.eye(length, dtype=torch.bool, device=real.device)
        if not self.real.numel():
            return own
        return torch.cat([self.real[:, None].expand(-1, length, -1), own], 2)


def begun(model: Transfusion, prompts: Sequence[Sequence[int]]) -> Context:
    """A context that has read END and these ids; shorter prompts are padded at the left, which nothing sees."""
    longest = 1 + max(map(len, prompts), default=0)
    device = model.trunk.embedding.weight.device
    tokens = torch.zeros(len(prompts), longest, dtype=torch.long)
    real = torch.zeros(len(prompts), longest, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        tokens[row, longest - len(prompt) :] = torch.tensor(prompt, dtype=torch.long)
        real[row, longest - len(prompt) - 1 :] = True
    context = Context(model)
    context.read_tokens(tokens.to(device), real.to(device))
    return context


def write_text(context: Context, most: int) -> list[list[int]]:
    """What each row goes on to say, greedily, until END or BOI (which is the last id then), `most` ids at most.

    Marks that cannot come in text (EOI, a slot, a code) are not said.
    """
    marks = context.model.sizes.vocabulary
    said: list[list[int]] = [[] for _ in range(len(context.last))]
    done = torch.zeros(len(said), dtype=torch.bool, device=context.last.device)
    for _ in range(most):
        scores = context.model.logits(context.last)
        scores[:, marks.eoi :] = -torch.inf
        token = scores.argmax(-1)
        for row, each in enumerate(token.tolist()):
            if not done[row]:
                said[row].append(each)
        done |= (token == 0) | (token == marks.boi)
        if done.all():
            break
        context.read_tokens(token[:, None])
    return said


@torch.inference_mode()
def describe(model: Transfusion, images: Tensor, most: int) -> list[list[int]]:
    """A caption of each clean image (rows, channels, side, side), as ids, END included where it came."""
    context = begun(model, [[]] * len(images))
    context.read_images(images)
    return write_text(context, most)


@torch.inference_mode()
def describe_codes(model: Transfusion, codes: Tensor, most: int) -> list[list[int]]:
    """The same for the discrete twin: images are (rows, codes), numbered from 0."""
    marks = model.sizes.vocabulary
    context = begun(model, [[]] * len(codes))
    edge = torch.ones_like(codes[:, :1])
    context.read_tokens(torch.cat([edge * marks.boi, codes + marks.first_code, edge * marks.eoi], 1))
    return write_text(context, most)


@torch.inference_mode()
def imagine(
    model: Transfusion,
    noising: Noising,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    noise: Tensor,
    generator: torch.Generator,
    watch: Watch | None = None,
) -> Tensor:
    """An image after each prompt (ids without END), denoised from `noise` (rows, channels, side, side).

    Guided by classifier-free guidance: foretold = without + guidance × (with − without), where without is the empty
    prompt (Ho & Salimans 2022). `generator` draws what noise is fresh.
    """
    boi = model.sizes.vocabulary.boi
    guided = sampling.guidance != 1.0
    asked = [[*prompt, boi] for prompt in prompts]
    context = begun(model, [*asked, *([[boi]] * len(prompts) if guided else [])])
    x = noise.clone()
    for time, to in pairwise(times(sampling.steps)):
        if watch is not None:
            watch(time, x, context.length)
        both = torch.cat([x, x]) if guided else x
        foretold = _foretold(context, both, time)
        if guided:
            conditioned, free = foretold.chunk(2)
            foretold = free + sampling.guidance * (conditioned - free)
        drawn = torch.zeros_like(x)
        if sampling.fresh and to:
            drawn = torch.randn(x.shape, generator=generator).to(x.device)
        x = noising.back(x, foretold, (time, to), drawn, sampling.fresh, sampling.bound)
    if watch is not None:
        watch(0, x, context.length)
    return x


@torch.inference_mode()
def imagine_codes(
    model: Transfusion, prompts: Sequence[Sequence[int]], count: int, sampling: Sampling, generator: torch.Generator
) -> Tensor:
    """The discrete twin's image after each prompt: `count` codes (rows, count), one after the other.

    Guidance is on logits, as for tokens of images elsewhere (Gafni et al. 2022, section 3.5); then temperature and
    top-k.
    """
    marks = model.sizes.vocabulary
    guided = sampling.guidance != 1.0
    asked = [[*prompt, marks.boi] for prompt in prompts]
    context = begun(model, [*asked, *([[marks.boi]] * len(prompts) if guided else [])])
    said = []
    for place in range(count):
        scores = model.logits(context.last)[:, marks.first_code :].float()
        if guided:
            conditioned, free = scores.log_softmax(-1).chunk(2)
            scores = free + sampling.guidance * (conditioned - free)
        scores = scores / sampling.temperature
        if sampling.top_k:
            least = scores.topk(min(sampling.top_k, scores.shape[1])).values[:, -1:]
            scores = scores.masked_fill(scores < least, -torch.inf)
        code = torch.multinomial(scores.softmax(-1).cpu(), 1, generator=generator).to(scores.device)
        said.append(code)
        if place + 1 < count:
            context.read_tokens(marks.first_code + (torch.cat([code, code]) if guided else code))
    return torch.cat(said, 1)


@torch.inference_mode()
def foretell(
    model: Transfusion, prompts: Sequence[Sequence[int]], images: Tensor, time: int, context: Context | None = None
) -> Tensor:
    """What is foretold of noised images at one time after these prompts; a context that has read them saves that."""
    boi = model.sizes.vocabulary.boi
    return _foretold(context or begun(model, [[*prompt, boi] for prompt in prompts]), images, time)


@dataclass(frozen=True)
class Said:
    """Text as ids, or an image (channels, side, side)."""

    text: tuple[int, ...] = ()
    image: Tensor | None = None


@torch.inference_mode()
def go_on(
    model: Transfusion,
    noising: Noising,
    prompt: Sequence[int],
    sampling: Sampling,
    generator: torch.Generator,
    most: int,
    images: int = 1,
) -> list[Said]:
    """A document in both modes: text until BOI, then an image in place, then text again, until END (section 3.3).

    At most `most` ids a piece of text, and so many `images`; a further BOI ends the document. Without guidance, since
    the whole document is the condition.
    """
    sizes = model.sizes
    context = begun(model, [prompt])
    said: list[Said] = []
    while True:
        (ids,) = write_text(context, most)
        ended = not ids or ids[-1] != sizes.vocabulary.boi
        text = tuple(each for each in ids if each not in (0, sizes.vocabulary.boi))
        said += [Said(text)] if text else []
        if ended or sum(each.image is not None for each in said) == images:
            return said
        context.read_tokens(torch.tensor([[sizes.vocabulary.boi]]))
        x = torch.randn(1, sizes.channels, sizes.side, sizes.side, generator=generator)
        for time, to in pairwise(times(sampling.steps)):
            drawn = torch.randn(x.shape, generator=generator) if to else torch.zeros_like(x)
            x = noising.back(x, _foretold(context, x, time), (time, to), drawn, sampling.fresh, sampling.bound)
        embedded, _ = model.patches.into(x, torch.zeros(1, dtype=torch.long))
        context.read(embedded, torch.ones(embedded.shape[:2], dtype=torch.bool), together=True)
        context.read_tokens(torch.tensor([[sizes.vocabulary.eoi]]))
        said.append(Said(image=x[0]))


def _foretold(context: Context, images: Tensor, time: int) -> Tensor:
    model = context.model
    moment = torch.full((len(images),), time, device=images.device)
    embedded, skips = model.patches.into(images, moment)
    return model.patches.out_of(context.glance(embedded), moment, skips)
