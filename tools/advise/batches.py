"""How many sequences a step has, when people ask for a round number of tokens.

"4M tokens" of 4,096 are 976.6 sequences. 976 = 16 × 61 divide over 16 data-parallel ranks at most, which holds back a
cluster of 1,024 GPUs as nobody who says "4M" means it. So the batch is moved a little, to what the cluster can divide.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING

from tasks.base.errors import UserError

if TYPE_CHECKING:
    from models.hardware.search import Answer

NEAR = 0.05
"""How far, as a share of what was asked, the batch may move: as far as 4M is from 2^22."""

TELLING = 0.01
"""A share of speed below which one batch is no better than another."""

Search = Callable[[int], "Answer"]


@dataclass(frozen=True)
class Batch:
    """The sequences of a step that were chosen, and the tokens that were asked for.

    `as_asked` is the fastest strategy's tokens a second at the whole number of sequences below what was asked, `chosen`
    at `sequences`, `doubled` at twice as many; each 0 where no strategy is possible.
    """

    sequences: int
    length: int
    asked_tokens: int
    chosen: float = 0.0
    as_asked: float = 0.0
    doubled: float = 0.0

    @property
    def tokens(self) -> int:
        """The tokens of a step."""
        return self.sequences * self.length

    @property
    def asked(self) -> int:
        """The whole sequences in what was asked."""
        return self.asked_tokens // self.length


def choose(
    asked_tokens: int,
    length: int,
    gpus: int,
    search: Search,
    exact: bool = False,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Batch:
    """The batch near what was asked that trains fastest; of those about as fast, the one nearest to it.

    Raises:
        UserError: what was asked is less than a sequence.
    """
    if asked_tokens < length:
        raise UserError(
            f"{asked_tokens:,} tokens are less than one sequence of {length:,}: give more --batch-tokens, or a model "
            "with a shorter sequence."
        )
    speeds: dict[int, float] = {}

    def speed(sequences: int) -> float:
        if sequences not in speeds:
            options = search(sequences).options
            speeds[sequences] = options[0].tokens_per_second if options else 0.0
        return speeds[sequences]

    asked = asked_tokens // length
    near = [asked] if exact else around(asked_tokens, length, gpus)
    for done, sequences in enumerate(near):
        tell(done, len(near))
        speed(sequences)
    best = max(speeds.values())
    fast = [sequences for sequences in near if speed(sequences) >= (1 - TELLING) * best]
    chosen = min(fast, key=lambda sequences: (abs(sequences * length - asked_tokens), sequences))
    return Batch(chosen, length, asked_tokens, speed(chosen), speed(asked), speed(2 * chosen))


def around(asked_tokens: int, length: int, gpus: int) -> list[int]:
    """Numbers of sequences within NEAR of what was asked: it, and the nearest multiple of each divisor of the GPUs."""
    asked = asked_tokens / length
    divisors = [divisor for divisor in range(1, gpus + 1) if gpus % divisor == 0]
    nearest = {max(round(asked / divisor), 1) * divisor for divisor in divisors} | {max(int(asked), 1)}
    return sorted(number for number in nearest if number == max(int(asked), 1) or abs(number - asked) <= NEAR * asked)


def said(batch: Batch, gpus: int) -> list[str]:
    """What was changed and what binds, in sentences."""
    sentences = [f"A step has {batch.sequences:,} sequences of {batch.length:,} tokens, {batch.tokens:,} in all."]
    if batch.sequences != batch.asked:
        sentences[0] = sentences[0].removesuffix(".") + (
            f": {batch.tokens / batch.asked_tokens - 1:+.1%} on the {batch.asked_tokens:,} that were asked for, so "
            "that the batch divides."
        )
        loss = (
            f"would train {1 - batch.as_asked / batch.chosen:.0%} slower" if batch.as_asked else "cannot be trained on"
        )
        sentences.append(
            f"{batch.asked:,} sequences {loss}, an artefact of their divisors: of {gpus:,} GPUs no more than "
            f"{gcd(batch.asked, gpus)} could share them as data-parallel ranks. --exact keeps to them."
        )
    if batch.chosen and batch.doubled > (1 + TELLING) * batch.chosen:
        gain = batch.doubled / batch.chosen - 1
        sentences.append(f"The batch binds: twice as many tokens a step would train {gain:.0%} faster.")
    return sentences
