"""MiniLM, the sentence encoder: texts to vectors, and to one vector a token.

The maths are sentence-transformers' for all-MiniLM-L6-v2: the mean of the last layer over the tokens that are not
padding, then divided by its length (Reimers & Gurevych 2019, section 3).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

LONGEST = 256
"""Tokens of a text that are read, [CLS] and [SEP] included: what all-MiniLM-L6-v2 was made for."""


@dataclass(frozen=True)
class TokenFeatures:
    """The last layer of one text without [CLS] and [SEP]: `vectors` float32 [tokens, width], `spans` int64 [tokens, 2].

    A span is the half-open range of the text's characters that the token stands for.
    """

    vectors: "NDArray[numpy.float32]"
    spans: "NDArray[numpy.int64]"


class MiniLM:
    """A BERT-family sentence encoder out of a local folder; the network is never asked.

    The same texts give the same bytes. A text among other texts gives the same vector up to about 1e-6, because
    matrix products round by their shape.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        """Load `folder`, which has a Hugging Face model with its tokenizer; a `UserError` says what it lacks."""
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        for wanted in ("config.json", "model.safetensors"):
            if not (folder / wanted).is_file():
                raise UserError(f"{folder} has no {wanted}: point the source at a BERT model in Hugging Face's format.")
        if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
            raise UserError(f"{folder} has no tokenizer: copy the model's tokenizer.json or vocab.txt into it.")
        logging.disable_progress_bar()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        loaded = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, attn_implementation="sdpa"
        )
        self._model: Any = loaded.eval().to(self._device)
        self._longest = min(LONGEST, int(self._model.config.max_position_embeddings))
        self._threads = threads

    @property
    def width(self) -> int:
        """The length of a vector: 384 for MiniLM."""
        return int(self._model.config.hidden_size)

    def encode(self, texts: Sequence[str], batch_tokens: int = 2048) -> "NDArray[numpy.float32]":
        """One vector of length 1 for each text, float32 [texts, width], in the order of `texts`."""
        import numpy

        vectors = numpy.zeros((len(texts), self.width), dtype=numpy.float32)
        for rows, means, _ in self._layers(self._tokens(texts)["input_ids"], batch_tokens):
            vectors[rows] = means
        return vectors

    def token_features(self, texts: Sequence[str], batch_tokens: int = 2048) -> list[TokenFeatures]:
        """The last layer of each text, token by token, with the characters that each token stands for."""
        found = {row: features for row, _, features in self.encode_with_tokens(texts, batch_tokens)}
        return [found[row] for row in range(len(texts))]

    def encode_with_tokens(
        self, texts: Sequence[str], batch_tokens: int = 2048
    ) -> Iterator[tuple[int, "NDArray[numpy.float32]", TokenFeatures]]:
        """Each text's row, vector and token features in one pass, the shortest text first.

        One batch is held at a time, so features of any number of texts can be written as they come.
        """
        import numpy

        tokens = self._tokens(texts)
        for rows, means, states in self._layers(tokens["input_ids"], batch_tokens):
            for row, mean, state in zip(rows, means, states, strict=True):
                end = len(tokens["input_ids"][row]) - 1
                spans = numpy.array(tokens["offset_mapping"][row][1:end], dtype=numpy.int64).reshape(-1, 2)
                yield row, mean, TokenFeatures(state[1:end].copy(), spans)

    def _tokens(self, texts: Sequence[str]) -> Any:
        if not texts:
            return {"input_ids": [], "offset_mapping": []}
        return self._tokenizer(list(texts), truncation=True, max_length=self._longest, return_offsets_mapping=True)

    def _layers(
        self, tokens: Sequence[Sequence[int]], batch_tokens: int
    ) -> Iterator[tuple[list[int], "NDArray[numpy.float32]", "NDArray[numpy.float32]"]]:
        """Rows of `tokens` with their vectors [rows, width] and last layer [rows, longest, width], shortest first."""
        import torch

        for rows in batches([len(ids) for ids in tokens], batch_tokens):
            longest = len(tokens[rows[-1]])
            ids = torch.full((len(rows), longest), self._tokenizer.pad_token_id)
            mask = torch.zeros((len(rows), longest))
            for place, row in enumerate(rows):
                ids[place, : len(tokens[row])] = torch.tensor(tokens[row])
                mask[place, : len(tokens[row])] = 1
            ids, mask = ids.to(self._device), mask.to(self._device)
            with _threads(self._threads), torch.inference_mode():
                # A mask of ones only is left out: attention is faster without.
                states = self._model(input_ids=ids, attention_mask=None if mask.all() else mask).last_hidden_state
                means = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
                means = torch.nn.functional.normalize(means, dim=1)
            yield rows, means.cpu().numpy(), states.cpu().numpy()


def batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Rows by length, shortest first, cut into batches of at most `batch_tokens` with padding, or of one row."""
    made: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: (lengths[row], row)):
        if made and (len(made[-1]) + 1) * lengths[row] <= batch_tokens:
            made[-1].append(row)
        else:
            made.append([row])
    return made


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """PyTorch with `count` threads; sums are split by thread, so the count is part of what makes the bytes."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
