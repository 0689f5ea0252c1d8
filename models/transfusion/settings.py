"""The sizes and settings of the method, importable without torch."""

from dataclasses import dataclass
from typing import Literal

from models.config import Count, Fraction, Index, NotNegative, Positive, Transformer, config

Adapter = Literal["linear", "unet"]
Attention = Literal["bidirectional", "causal"]
Process = Literal["diffusion", "flow"]

TIMES = 1000
"""Steps of noising, T (section 2.2); 0 is the clean image and T is noise alone."""


@dataclass(frozen=True)
class Vocabulary:
    """Ids of a sequence: the `text` tokens of the tokenizer, whose token 0 is END, three marks, then the `codes`.

    BOI stands before an image and EOI after it (section 3.1); SLOT holds the place of a patch, and is never foretold.
    """

    text: int
    codes: int = 0

    @property
    def boi(self) -> int:
        return self.text

    @property
    def eoi(self) -> int:
        return self.text + 1

    @property
    def slot(self) -> int:
        return self.text + 2

    @property
    def first_code(self) -> int:
        return self.text + 3

    @property
    def size(self) -> int:
        return self.first_code + self.codes


@config
class Sizes:
    """A model's sizes: the transformer, and images of `channels` × `side` × `side` in patches of `patch` × `patch`.

    `adapter` is what stands between pixels and the transformer: one linear layer a patch, or the down and up blocks of
    a U-Net with `inner` channels (section 3.1). With `attention` "causal" a patch sees only patches before it.
    `codes` are the discrete image tokens of the twin, which has no patches; 0 for Transfusion.
    """

    transformer: Transformer
    text: Count
    codes: Index = 0
    channels: Count = 1
    side: Count = 8
    patch: Count = 2
    adapter: Adapter = "linear"
    attention: Attention = "bidirectional"
    inner: Count = 24

    def __post_init__(self) -> None:
        if self.side % self.patch:
            raise ValueError(f"images with sides of {self.side} do not divide into patches of {self.patch}")
        if self.adapter == "unet" and self.patch & (self.patch - 1):
            raise ValueError(f"a U-Net halves, so its patches have sides of 2, 4 or 8, not {self.patch}")
        if self.transformer.vocabulary != self.vocabulary.size:
            raise ValueError(f"the transformer must have {self.vocabulary.size} ids, text, marks and codes")

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.text, self.codes)

    @property
    def patches(self) -> int:
        """Positions that an image takes."""
        return (self.side // self.patch) ** 2


@config
class Sampling:
    """How images are sampled; the same in every arm of a comparison, and kept beside every score.

    `steps` denoising steps, of T, with classifier-free `guidance` (1: none). `fresh` is the share of a step's noise
    that is drawn anew: 1 is DDPM (Ho et al. 2020), as in the paper, 0 is DDIM (Song et al. 2021). `bound` clips what
    the clean image is taken to be (0: not): at T next to nothing of the image is left, and whatever the foretold noise
    is off by would be divided by √ᾱ_T = 5e-5. Discrete tokens have a `temperature`, and the `top_k` most probable ones
    (0: all).
    """

    steps: Count = 50
    guidance: NotNegative = 3.0
    fresh: Fraction = 1.0
    bound: NotNegative = 1.0
    temperature: Positive = 1.0
    top_k: Index = 0
