"""Greedy answers, each from one or several prompts whose predictions are averaged token by token."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.radit.decoder import Decoder, Tokens
from models.radit.ensemble import mixtures

STEP = 32
"""Tokens by which prompts that are read together may differ in length."""


@dataclass(frozen=True)
class Asked:
    """One answer that is wanted: the rows of the prompts that it is made from, and their weights, which sum to 1.

    One prompt with the weight 1 is ordinary decoding: of the best passage, of several in one prompt, or of none.
    """

    prompts: tuple[int, ...]
    weights: tuple[float, ...]


def generate(
    decoder: Decoder,
    prompts: Sequence[Tokens],
    asked: Sequence[Asked],
    end: int,
    longest: int = 16,
    at_once: int = 64,
    shortest: int = 0,
) -> list[list[int]]:
    """The most likely token after the other for each of `asked`, up to the token `end` or `longest` tokens.

    No answer ends before it has `shortest` tokens.

    Each prompt, without the decoder's head, is read once whatever number of answers uses it; neighbours in `asked`
    should share prompts. Of equal answers one is made. `at_once` bounds the rows that are decoded together: answers
    from prompts of like length, so that little is computed on padding. Returns tokens without `end`, in the order of
    `asked`.
    """
    made: dict[Asked, list[int]] = {}
    for some in _chunks(_by_length(prompts, dict.fromkeys(asked)), at_once):
        made |= zip(some, _generate(decoder, prompts, some, end, longest, shortest), strict=True)
    return [made[each] for each in asked]


def _by_length(prompts: Sequence[Tokens], asked: Iterable[Asked]) -> list[Asked]:
    """By their longest prompts in steps of `STEP` tokens; neighbours stay neighbours within a step."""
    return sorted(asked, key=lambda each: max(len(prompts[row]) for row in each.prompts) // STEP)


def _chunks(asked: Sequence[Asked], at_once: int) -> Iterator[list[Asked]]:
    chunk: list[Asked] = []
    rows = 0
    for each in asked:
        if chunk and rows + len(each.prompts) > at_once:
            yield chunk
            chunk, rows = [], 0
        chunk.append(each)
        rows += len(each.prompts)
    if chunk:
        yield chunk


@torch.inference_mode()
def _generate(
    decoder: Decoder, prompts: Sequence[Tokens], asked: Sequence[Asked], end: int, longest: int, shortest: int
) -> list[list[int]]:
    used = sorted({row for each in asked for row in each.prompts})
    cache, states, mask = _read(decoder, [prompts[row] for row in used])
    place = {row: at for at, row in enumerate(used)}
    rows = torch.tensor([place[row] for each in asked for row in each.prompts])
    group = torch.tensor([number for number, each in enumerate(asked) for _ in each.prompts])
    weights = torch.tensor([weight for each in asked for weight in each.weights])
    group, weights = group.to(mask.device), weights.to(mask.device)
    cache.batch_select_indices(rows.to(mask.device))
    states, mask = states[rows], mask[rows]
    said: list[list[int]] = [[] for _ in asked]
    going, ended = list(range(len(asked))), [False] * len(asked)
    for length in range(longest):
        probabilities = mixtures(decoder.log_probabilities(states[:, -1]), weights, group, len(going))
        if length < shortest:
            probabilities[:, end] = 0.0
        chosen = probabilities.argmax(-1)
        for number, token in zip(going, chosen.tolist(), strict=True):
            ended[number] = ended[number] or token == end
            if not ended[number]:
                said[number].append(token)
        alive = torch.tensor([at for at, number in enumerate(going) if not ended[number]], device=mask.device)
        if not len(alive) or length + 1 == longest:
            break
        if 2 * len(alive) <= len(going):
            # Half of the answers have ended: their rows are left out from here on.
            kept = torch.isin(group, alive).nonzero()[:, 0]
            cache.batch_select_indices(kept)
            group = torch.searchsorted(alive, group[kept])
            mask, weights, chosen = mask[kept], weights[kept], chosen[alive]
            going = [going[at] for at in alive.tolist()]
        states, mask = _step(decoder, cache, chosen[group], mask)
    return said


def _read(decoder: Decoder, prompts: Sequence[Tokens]) -> tuple[Any, Tensor, Tensor]:
    """Prompts that end together, padded on the left: the cache, the last layer's states, and what is no padding."""
    longest = max(len(prompt) for prompt in prompts)
    if not longest:
        raise ValueError("a prompt has no token of its own")
    device = decoder.model.device
    ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    mask = torch.ones(len(prompts), len(decoder.head) + longest, dtype=torch.long, device=device)
    for row, prompt in enumerate(prompts):
        mask[row, len(decoder.head) : len(decoder.head) + longest - len(prompt)] = 0
    cache = decoder.cache(len(prompts))
    places = (mask.cumsum(1) - 1).clamp(min=0)[:, len(decoder.head) :]
    states = decoder.body(
        input_ids=ids, attention_mask=mask, position_ids=places, cache=cache, use_cache=True
    ).last_hidden_state
    return cache, states, mask


def _step(decoder: Decoder, cache: Any, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """One token more for each row: the states after it, and the mask with it."""
    mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
    states = decoder.body(
        input_ids=tokens[:, None],
        attention_mask=mask,
        position_ids=mask.sum(1, keepdim=True) - 1,
        cache=cache,
        use_cache=True,
    ).last_hidden_state
    return states, mask


@torch.inference_mode()
def answered(
    decoder: Decoder, prompts: Sequence[Tokens], ends: Callable[[int], bool], longest: int = 16
) -> list[tuple[list[int], float]]:
    """The most likely token after the other for each prompt by itself, and the logarithm of the answer's probability.

    An answer has at least one token and at most `longest`; it stops before a later token that `ends` it, whose
    probability is not counted.
    """
    cache, states, mask = _read(decoder, prompts)
    said: list[list[int]] = [[] for _ in prompts]
    logs, going = [0.0] * len(prompts), [True] * len(prompts)
    for length in range(longest):
        best, chosen = decoder.log_probabilities(states[:, -1]).max(-1)
        for row, (token, log) in enumerate(zip(chosen.tolist(), best.tolist(), strict=True)):
            going[row] = going[row] and (not length or not ends(token))
            if going[row]:
                said[row].append(token)
                logs[row] += log
        if not any(going) or length + 1 == longest:
            break
        states, mask = _step(decoder, cache, chosen, mask)
    return list(zip(said, logs, strict=True))
