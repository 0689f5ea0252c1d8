"""Who reads the passages that were found for a user's question: the trained reader, or else a small language model."""

import contextlib
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tasks.mail.sentences import sentences
from tasks.minilm import MiniLM
from tasks.smollm2 import SmolLM2

LONGEST_ANSWER = 30
"""Tokens of an answer."""

CONTEXT_PASSAGES, CONTEXT_WORDS = 4, 110
"""How many passages the language model reads, and how many words of each."""

PROMPT = """Read the passages and answer the question in a few words, copied from them.

{passages}

Question: {question}
Answer in a few words:"""


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


class TrainedReader:
    """The extractive reader that the reproduction trained on public questions."""

    name = "the reader trained on public questions"
    least = 0.3
    factor = 0.8
    """The share of the chain's rank in the score by which chains compete; the rest is the answer's (MDR)."""

    def __init__(self, reader: Path, projection: Path, encoder: MiniLM) -> None:
        """Load the weights in the folder `reader`, trained on features made by `projection`."""
        from tasks.concurrentqa.chains import load_reader

        self._reader = load_reader(reader)
        self._projection, self._encoder = projection, encoder

    def read(self, question: str, chains: Sequence[Sequence[str]]) -> Read:
        """The answer of the chain with the best mixed score; of a chain of one hop or many, its first two passages."""
        import numpy as np
        import torch

        from models.retrieval.reader import mixed
        from tasks.concurrentqa.chains import read_chains
        from tasks.concurrentqa.features import encode

        texts = list(dict.fromkeys(text for chain in chains for text in chain))
        place = {text: at for at, text in enumerate(texts)}
        asked = encode([question], [()], self._projection, self._encoder)
        passages = encode(texts, [sentences(text) for text in texts], self._projection, self._encoder)
        rows = np.array([[0, place[chain[0]], place[chain[min(1, len(chain) - 1)]]] for chain in chains], np.int64)
        read = read_chains(self._reader, asked, passages, texts, rows, LONGEST_ANSWER)
        rank, span = (torch.tensor([getattr(each, score) for each in read]) for score in ("rank", "span"))
        scores = mixed(rank, span, self.factor)
        best = int(scores.argmax())
        return Read(read[best].answer, math.exp(float(scores[best])), best)


class LanguageModel:
    """SmolLM2, which was trained for conversation: it reads the best passages of all chains together."""

    name = "SmolLM2-135M (the trained reader is not here: tenfold reproduce concurrentqa makes it)"
    least = 0.1

    def __init__(self, folder: Path) -> None:
        with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that has no switch
            self._model = SmolLM2(folder)

    def read(self, question: str, chains: Sequence[Sequence[str]]) -> Read:
        """What the model says, if a passage says it as well; how likely it found that is the confidence."""
        texts = list(dict.fromkeys(text for chain in chains for text in chain))[:CONTEXT_PASSAGES]
        shown = "\n\n".join(f"[{number}] {_beginning(text)}" for number, text in enumerate(texts, 1))
        prompt = PROMPT.format(passages=shown, question=question)
        (said,) = self._model.answer([prompt], max_new_tokens=LONGEST_ANSWER)
        answer = re.sub(r"^(?:the )?answer(?: is)?:?\s+|^\[\d\]\s*", "", said.split("\n")[0], flags=re.IGNORECASE)
        answer = answer.strip(" .\"'")
        source = next((text for text in texts if answer and _words(answer) in _words(_beginning(text))), None)
        if source is None:
            return Read(answer, 0.0, 0)
        chain = next(place for place, chain in enumerate(chains) if source in chain)
        return Read(answer, math.exp(self._model.log_likelihood(prompt, answer)), chain)


def _beginning(text: str) -> str:
    return " ".join(text.split()[:CONTEXT_WORDS])


def _words(text: str) -> str:
    """Lower-case words between single spaces, so that one text's words can be looked for in another's."""
    return " ".join(("", *re.findall(r"[^\W_]+", text.lower()), ""))
