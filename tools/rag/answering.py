"""An answer from one's own documents: an ensemble over the passages that were found, and where it comes from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.encyclopedia.passages import Passage
from tasks.language.minilm import MiniLM
from tasks.radit.prompts import END, Words, prompt
from tools.rag.store import Library, Opened

LONGEST = 32
"""Tokens of an answer."""
SCALE = 20.0
"""What makes scores of cosines, as in the paper's stages."""

EXAMPLES = (
    ("Lake Constance lies between Germany, Switzerland and Austria. It is 63 kilometres long.",
     "How long is Lake Constance?", "63 kilometres"),
    ("The meeting of the garden club was moved to the library. Paul Meyer will bring the ladder.",
     "Who brings the ladder?", "Paul Meyer"),
)  # fmt: skip
"""Worked examples before every question, so that a model that was not tuned answers in a few words."""


@dataclass(frozen=True)
class Used:
    """A passage that an answer was made from, with its weight in the ensemble."""

    name: str
    text: str
    weight: float


@dataclass(frozen=True)
class Reply:
    """An answer and its passages, best first."""

    answer: str
    passages: tuple[Used, ...]


def ask(question: str, index: Opened, encoder: Path, lm: Any, words: Words, k: int) -> Reply:
    """The answer of the language model averaged over the `k` passages that the encoder finds first."""
    import torch

    from models.radit.decoder import Decoder
    from models.radit.ensemble import passage_weights
    from models.radit.generation import Asked, generate

    hits = index.dense.search(MiniLM(encoder).encode([question]), k)
    places = [place for place in hits.positions[0].tolist() if place >= 0]
    weights = passage_weights(torch.from_numpy(SCALE * hits.scores[0, : len(places)])).tolist()
    passages = [index.passages[place] for place in places]
    decoder = Decoder(lm, words.tokens(_head()))
    prompts = words.prompts([prompt(question, passage.rendered) for passage in passages])
    (said,) = generate(
        decoder, prompts, [Asked(tuple(range(len(prompts))), tuple(weights))], words.end, LONGEST, shortest=1
    )
    return Reply(words.text(said), _used(passages, weights))


def encoders(library: Library, untuned: Path) -> list[Path]:
    """The encoder to ask with, and the untuned one beside it where they differ."""
    return [library.tuned, untuned] if library.tuned.is_dir() else [untuned]


def _head() -> str:
    return "".join(f"{prompt(question, passage)} {answer}{END}\n" for passage, question, answer in EXAMPLES)


def _used(passages: Sequence[Passage], weights: Sequence[float]) -> tuple[Used, ...]:
    return tuple(Used(p.id, p.text, w) for p, w in zip(passages, weights, strict=True))
