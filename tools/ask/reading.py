"""Who reads the passages that were found for a user's question: a small language model."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

LONGEST_SAID = 14
"""Tokens of what the language model says, besides those of the question, which it likes to repeat."""

READ_PASSAGES, READ_WORDS = 3, 110
"""How many passages the language model reads, each by itself, and how many words of each."""

PROMPT = """Answer with a few words copied from the passage.

Passage: Lake Constance lies between Germany, Switzerland and Austria. It is 63 kilometres long.
Question: How long is Lake Constance?
Answer: 63 kilometres

Passage: From: Paul Meyer | Subject: Ladders I bought mine at Huber's in Kehl last spring, and it still holds.
Question: Who bought a ladder in Kehl?
Answer: Paul Meyer

Passage: {passage}
Question: {question}
Answer:"""


@dataclass(frozen=True)
class Read:
    """An answer, and how sure its reader is of it, 0 to 1; `chain` is the place of the chain that says it."""

    answer: str
    confidence: float
    chain: int


class Reader(Protocol):
    """Reads chains of passages, each passage one text."""

    @property
    def name(self) -> str:
        """What it is, in words for the user."""

    @property
    def least(self) -> float:
        """The confidence below which its answers are not shown."""

    def read(self, question: str, chains: Sequence[Sequence[str]]) -> Read:
        """The best answer to `question` from at least one chain, the best first."""


class LanguageModel:
    """SmolLM2, which was trained for conversation: it reads the best passages, each by itself."""

    name = "SmolLM2-135M, a weak reader"
    least = 0.35

    def __init__(self, folder: Path) -> None:
        """Load the model in `folder`, in Hugging Face's layout with a chat template."""
        from transformers import AutoTokenizer

        from models.radit.decoder import Decoder
        from tasks.radit.language_models import load_model

        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        message = [{"role": "user", "content": PROMPT}]
        chat = self._tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        head, _, self._tail = str(chat).partition(" {passage}")
        # What all prompts begin with is run once.
        self._decoder = Decoder(load_model(folder)[0].float(), self._tokens(head))

    def read(self, question: str, chains: Sequence[Sequence[str]]) -> Read:
        """Of what the model says to each passage, the likeliest that the passage says too and the question does not.

        The confidence is the likelihood of what it said, the geometric mean of the words.
        """
        texts = list(dict.fromkeys(text for chain in chains for text in chain))[:READ_PASSAGES]
        shown = [" ".join(text.split()[:READ_WORDS]) for text in texts]
        best = Read("", 0.0, 0)
        for text, passage, (said, log_likelihood) in zip(texts, shown, self.says(question, shown), strict=True):
            answer = news(said, question)
            if answer and _words(answer) in _words(passage):
                likelihood = math.exp(log_likelihood / len(said.split()))
                if likelihood > best.confidence:
                    chain = next(place for place, chain in enumerate(chains) if text in chain)
                    best = Read(answer, likelihood, chain)
        return best

    def says(self, question: str, passages: Sequence[str]) -> list[tuple[str, float]]:
        """What the model says to each passage, in one line, and the logarithm of its likelihood."""
        from models.radit.generation import answered

        def ends(token: int) -> bool:
            return token == self._tokenizer.eos_token_id or "\n" in self._tokenizer.decode([token])

        prompts = [self._tokens(f" {passage}{self._tail.replace('{question}', question)}") for passage in passages]
        made = answered(self._decoder, prompts, ends, LONGEST_SAID + len(self._tokens(question)))
        return [(self._tokenizer.decode(tokens, skip_special_tokens=True).strip(), log) for tokens, log in made]

    def _tokens(self, text: str) -> list[int]:
        found: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return found


def news(said: str, question: str) -> str:
    """The longest run of words in `said` that the question does not have: of a whole sentence, what answers it."""
    known = set(_words(question).split()) | {"is", "was", "are", "were", "the", "a", "an", "of", "in", "by"}
    runs: list[list[str]] = [[]]
    for word in said.split():
        if known >= set(_words(word).split()):
            runs.append([])
        else:
            runs[-1].append(word)
    longest = max(runs, key=lambda words: len(words))
    return " ".join(longest).strip(" .,;:\"'()")


def _words(text: str) -> str:
    """Lower-case words between single spaces, so that one text's words can be looked for in another's."""
    return " ".join(("", *re.findall(r"[^\W_]+", text.lower()), ""))
