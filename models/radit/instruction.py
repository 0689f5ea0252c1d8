"""Retrieval-augmented instruction tuning of the language model: the loss on answers alone (equation 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.radit.decoder import Tokens, by_length


@dataclass(frozen=True)
class Instance:
    """A prompt and the answer that is to be learned, in tokens."""

    prompt: Tokens
    answer: Tokens


def instances(prompts: Sequence[Tokens], answer: Tokens) -> list[Instance]:
    """Instances of one example: k̃ prompts, each with another passage, make k̃ of them, never one long one."""
    return [Instance(tuple(prompt), tuple(answer)) for prompt in prompts]


def answer_loss(model: Any, batch: Sequence[Instance], batch_tokens: int) -> Tensor:
    """−log p(y | c∘x), the mean over the answers' tokens of the batch, in nats.

    Prompts take no part in the loss: words are predicted only where an answer's token comes next. Instances of like
    length are run together, at most `batch_tokens` at once, so that little is computed on padding.
    """
    device, picked, targets = model.device, [], []
    for some in by_length([len(each.prompt) + len(each.answer) for each in batch], batch_tokens):
        alike = [batch[row] for row in some]
        texts = [[*each.prompt, *each.answer] for each in alike]
        longest = len(texts[-1])
        ids = torch.tensor([[*text, *[0] * (longest - len(text))] for text in texts], device=device)
        states = model.get_decoder()(input_ids=ids).last_hidden_state
        rows, places, wanted = answer_places(alike)
        picked.append(states[rows, places])
        targets += wanted
    logits = model.get_output_embeddings()(torch.cat(picked)).float()
    return F.cross_entropy(logits, torch.tensor(targets, device=device))


def answer_places(batch: Sequence[Instance]) -> tuple[list[int], list[int], list[int]]:
    """Rows, positions and wanted tokens: at each of these positions the next token is one of an answer."""
    rows, places, wanted = [], [], []
    for row, each in enumerate(batch):
        if not each.prompt or not each.answer:
            raise ValueError("an instance needs a prompt and an answer")
        for at, token in enumerate(each.answer):
            rows.append(row)
            places.append(len(each.prompt) - 1 + at)
            wanted.append(token)
    return rows, places, wanted
