"""Training of the whole encoder with the loss of MDR, as in the paper: for machines with a GPU."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Index, Optimisation, Positive, config
from tasks.concurrentqa.benchmark.questions import read_questions
from tasks.concurrentqa.retrieval.retriever_training import Data, fit, read_negatives
from tasks.encyclopedia.passages import read_passages
from tasks.language.minilm import LONGEST
from tasks.learning.train import Plateau

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Integers = NDArray[np.int64]

AT_ONCE = 512
"""Texts that are encoded at once."""


@config
class EncoderTraining:
    """The MDR loss on questions of all chains ("mixed") or of public ones alone, all weights of the encoder trained.

    `hard_negatives` of each question's BM25 passages join a step; a text has at most `longest` tokens.
    """

    seed: Index
    data: Data
    optimisation: Optimisation
    plateau: Plateau
    hard_negatives: Index = 2
    temperature: Positive = 0.05
    longest: Count = LONGEST


def train_encoder(
    *,
    corpora: Path,
    benchmark: Path,
    candidates: Path,
    negatives: Path,
    minilm: Path,
    config: EncoderTraining,
    out: Path,
) -> None:
    """Train MiniLM whole and write it in the files it came in, so that `MiniLM` reads it as it reads the original."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModel, AutoTokenizer

    from models.retrieval.mdr import WholeEncoder

    passages = read_passages(corpora / "passages.parquet")
    questions = read_questions(benchmark, candidates)
    torch.manual_seed(config.seed)
    encoder: Any = AutoModel.from_pretrained(minilm, local_files_only=True, use_safetensors=True, dtype=torch.float32)
    model = WholeEncoder(encoder, config.temperature)
    reads = Texts(
        AutoTokenizer.from_pretrained(minilm, local_files_only=True),
        [question.question for question in questions.questions],
        [passage.rendered for passage in passages],
        config.longest,
    )
    wrong = read_negatives(negatives, config.data)
    fit(
        model, reads, questions, passages, wrong, config.data, config.hard_negatives, config.seed,
        config.optimisation, config.plateau,
    )  # fmt: skip
    for file in sorted(minilm.iterdir()):
        if file.is_file() and file.suffix != ".safetensors":
            shutil.copyfile(file, out / file.name)
    state = {name: weight.cpu().contiguous() for name, weight in model.encoder.state_dict().items()}
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})


class Texts:
    """Questions and passages as a whole encoder reads them: as texts, anew each time."""

    def __init__(self, tokenizer: Any, questions: Sequence[str], passages: Sequence[str], longest: int) -> None:
        self._tokenizer, self._longest = tokenizer, longest
        self._questions, self._passages = questions, passages

    def first_query(self, model: Any, rows: "Integers") -> "Tensor":
        """The vectors of these questions."""
        return self._vectors(model, [self._questions[row] for row in rows.tolist()])

    def second_query(self, model: Any, rows: "Integers", places: "Integers") -> "Tensor":
        """The vectors of q∘d1: each question with its first passage after it, in one text."""
        pairs = zip(rows.tolist(), places.tolist(), strict=True)
        return self._vectors(model, [f"{self._questions[row]} {self._passages[place]}" for row, place in pairs])

    def passages(self, model: Any, places: "Integers | Tensor") -> "Tensor":
        """The vectors of these passages, of the shape of `places` and one axis more."""
        texts = [self._passages[place] for place in places.reshape(-1).tolist()]
        return self._vectors(model, texts).view(*places.shape, -1)

    def _vectors(self, model: Any, texts: Sequence[str]) -> "Tensor":
        import torch

        made = []
        for start in range(0, len(texts), AT_ONCE):
            tokens = self._tokenizer(
                list(texts[start : start + AT_ONCE]),
                truncation=True,
                max_length=self._longest,
                padding=True,
                return_tensors="pt",
            ).to(model.log_scale.device)
            made.append(model(tokens["input_ids"], tokens["attention_mask"]))
        width = model.encoder.config.hidden_size
        return torch.cat(made) if made else torch.zeros(0, width, device=model.log_scale.device)
