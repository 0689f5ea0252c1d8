"""A causal language model for many short prompts that begin alike.

Three things make it fast. Prompts of like length are run together, so that little is computed on padding. What all
prompts begin with, such as worked examples, is run once, and its keys and values are shared. And the matrix that turns
states into words, a fifth of a small model's work, is applied only where an answer's token is predicted.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

Tokens = Sequence[int]


class Decoder:
    """A model of `transformers` for causal language modelling, with its `head`: the tokens that all prompts begin with.

    Everything runs without gradients, in the model's own precision; log probabilities are float32.
    """

    def __init__(self, model: Any, head: Tokens = ()) -> None:
        self.model = model
        self.body = model.get_decoder()
        self.words = model.get_output_embeddings()
        self.head = list(head)
        self._keys_and_values: list[tuple[Tensor, Tensor]] = []
        if self.head:
            with torch.inference_mode():
                cache = self.body(input_ids=self._tensor([self.head]), use_cache=True).cache
            self._keys_and_values = [(layer.keys, layer.values) for layer in cache.layers]

    def answers(self, prompts: Sequence[Tokens], answers: Sequence[Tokens], batch_tokens: int = 2048) -> list[Tensor]:
        """The log probabilities of each answer's tokens after its prompt, [tokens] each, in the order of `prompts`.

        Prompts are without the head. `batch_tokens` bounds the tokens that are run at once, padding included.
        Raises ValueError where a prompt has no token at all, head included, or an answer none.
        """
        texts = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
        for prompt, answer in zip(prompts, answers, strict=True):
            if not answer or not (self.head or prompt):
                raise ValueError("a token cannot be predicted from nothing, and an empty answer has no probability")
        found: list[Tensor] = [torch.empty(0)] * len(texts)
        for rows in by_length([len(text) for text in texts], batch_tokens):
            longest = len(texts[rows[-1]])
            # Padding stands on the right, where no real token sees it.
            ids = self._tensor([[*texts[row], *[0] * (longest - len(texts[row]))] for row in rows])
            at = [len(self.head) + len(prompts[row]) - 1 for row in rows]
            logs = self._logs(ids, at, [answers[row] for row in rows])
            for row, each in zip(rows, logs, strict=True):
                found[row] = each
        return found

    def cache(self, rows: int) -> Any:
        """A cache that holds the head for so many prompts; none where there is no head."""
        from transformers import DynamicCache

        if not self.head:
            return DynamicCache()
        # Expanded without copying: the cache copies when it grows.
        return DynamicCache(
            [(k.expand(rows, -1, -1, -1), v.expand(rows, -1, -1, -1)) for k, v in self._keys_and_values]
        )

    def log_probabilities(self, states: Tensor) -> Tensor:
        """What the model says after states of its last layer: float32 log probabilities over the vocabulary."""
        logs: Tensor = self.words(states).float().log_softmax(-1)
        return logs

    def _logs(self, ids: Tensor, at: Sequence[int], answers: Sequence[Tokens]) -> list[Tensor]:
        """The log probabilities of `answers`, whose first tokens are predicted at positions `at`, head included."""
        with torch.inference_mode():
            before = len(self.head)
            states = self.body(input_ids=ids, cache=self.cache(len(ids)), use_cache=True).last_hidden_state
            if min(at) < before:
                states = torch.cat([self._last_of_head().expand(len(ids), 1, -1), states], 1)
                before -= 1
            picked = torch.cat(
                [states[row, at[row] - before : at[row] - before + len(answer)] for row, answer in enumerate(answers)]
            )
            wanted = torch.tensor([token for answer in answers for token in answer], device=ids.device)
            logs = self.log_probabilities(picked).gather(1, wanted[:, None])[:, 0].cpu()
        return list(torch.split(logs, [len(answer) for answer in answers]))

    def _last_of_head(self) -> Tensor:
        """The state after the head, which predicts the first token of an answer without a prompt of its own."""
        state: Tensor = self.body(input_ids=self._tensor([self.head])).last_hidden_state[:, -1:]
        return state

    def _tensor(self, rows: Sequence[Tokens]) -> Tensor:
        return torch.tensor([list(row) for row in rows], device=self.model.device)


def by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Rows in batches of like length, shortest first, each of at most `batch_tokens` with padding, or of one row."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: (lengths[row], row)):
        if batch and (len(batch) + 1) * lengths[row] > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
