"""Prompts: a passage, a question, and where the answer begins; every model and every arm reads the same ones."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.radit.examples import UNKNOWN

if TYPE_CHECKING:
    from models.radit.decoder import Tokens

END = "\n"
"""What ends an answer."""


def prompt(question: str, *passages: str) -> str:
    """The prompt for one answer: passages first, in their order; without any, the question alone."""
    background = "".join(f"Background: {passage}\n\n" for passage in passages)
    return f"{background}Q: {question}\nA:"


def head(folder: Path, shots: int, background: bool = True) -> str:
    """The first `shots` worked examples, each ended by a blank line.

    For a closed-book prompt they are without passages, and without those that are answered "unknown".
    """
    examples = json.loads((folder / "head.json").read_text(encoding="utf-8"))
    examples = [each for each in examples if background or each["answer"] != UNKNOWN][:shots]
    prompts = [prompt(each["question"], *([each["passage"]] if background else [])) for each in examples]
    return "".join(f"{text} {each['answer']}{END}\n" for text, each in zip(prompts, examples, strict=True))


class Words:
    """A tokenizer of `transformers`, seen as texts to tokens and back."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        (self.end,) = self.tokens(END)

    def tokens(self, text: str) -> list[int]:
        """Without any special token."""
        found: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    def answer(self, text: str) -> list[int]:
        """An answer's tokens as they follow a prompt."""
        return self.tokens(f" {text}")

    def text(self, tokens: "Tokens") -> str:
        """An answer without the white space around it."""
        found: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        return found.strip()

    def prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of many prompts."""
        return [self.tokens(text) for text in texts]
