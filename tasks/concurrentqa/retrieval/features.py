"""The frozen encoder's features of all passages and questions: computed once, for every retriever and reader."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.config import Count, Index, config
from tasks.base import spool
from tasks.concurrentqa.benchmark.questions import read_questions
from tasks.encyclopedia.passages import read_passages
from tasks.language.encoded import Encoded, capitals, sentence_slots, word_checksums
from tasks.language.minilm import MiniLM

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHUNK = 256
"""Texts that are encoded before their features are made small: bounds the memory."""


@config
class Projection:
    """`dimensions` of token features that are kept; fitted on at most `passages` public passages."""

    dimensions: Count = 128
    passages: Count = 400


@config
class Features:
    """One of `shards` parts of the corpus: passages `shard`, `shard` + `shards`, …"""

    shard: Index = 0
    shards: Count = 1

    def __post_init__(self) -> None:
        if self.shard >= self.shards:
            raise ValueError(f"shard {self.shard} is not below the number of shards, {self.shards}")


@config
class QuestionFeatures:
    """The questions' features have no settings of their own."""


def fit_projection(*, corpora: Path, minilm: Path, config: Projection, out: Path) -> None:
    """Principal components of token features, fitted on public passages alone, as projection.safetensors.

    `mean` [width], `components` [dimensions, width] and `scale` [dimensions], by which a projection is divided before
    it is rounded to int8; the few values beyond are clipped.
    """
    import numpy as np
    from safetensors.numpy import save_file

    public = [passage for passage in read_passages(corpora / "passages.parquet") if passage.scope == "public"]
    sample = public[:: max(1, len(public) // config.passages)][: config.passages]
    encoder = MiniLM(minilm)
    states = np.concatenate([each.vectors for each in encoder.token_features([p.rendered for p in sample])])
    mean = states.mean(0, dtype=np.float64)
    values, vectors = np.linalg.eigh(np.cov((states - mean).T))
    components = vectors[:, ::-1][:, : config.dimensions].T
    # The sign of an eigenvector is arbitrary, so it is chosen.
    largest = components[np.arange(len(components)), np.abs(components).argmax(1)]
    components = components * np.sign(largest)[:, None]
    projected = (states - mean) @ components.T
    scale = np.quantile(np.abs(projected), 0.9999, axis=0) / 127
    kept = float(values[::-1][: config.dimensions].sum() / values.sum())
    spool.metric("variance_kept", kept)
    tensors = {"mean": mean, "components": components, "scale": scale}
    save_file(
        {name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()},
        out / "projection.safetensors",
    )


def encode_passages(*, corpora: Path, projection: Path, minilm: Path, config: Features, out: Path) -> None:
    """Vectors and token features of the passages of one shard, in the order of passages.parquet."""
    passages = read_passages(corpora / "passages.parquet")[config.shard :: config.shards]
    texts = [passage.rendered for passage in passages]
    encode(texts, [passage.sentences for passage in passages], projection, MiniLM(minilm)).save(out)


def encode_questions(
    *, benchmark: Path, candidates: Path, projection: Path, minilm: Path, config: QuestionFeatures, out: Path
) -> None:
    """The same of all questions, in the order of `read_questions`."""
    texts = [question.question for question in read_questions(benchmark, candidates).questions]
    encode(texts, [()] * len(texts), projection, MiniLM(minilm)).save(out)


@dataclass(frozen=True)
class _Small:
    """The token features of one text, projected and rounded."""

    tokens: "NDArray[np.int8]"
    spans: "NDArray[np.uint16]"
    words: "NDArray[np.uint32]"
    capital: "NDArray[np.uint8]"
    sentence: "NDArray[np.uint8]"


def encode(texts: Sequence[str], sentences: Sequence[Sequence[str]], projection: Path, encoder: MiniLM) -> Encoded:
    """Encode each text once: its vector and, made small by what `fit_projection` wrote, the features of its tokens.

    `sentences` are those of each text, which stand in it in order; a text may have none.
    """
    import numpy as np
    from safetensors.numpy import load_file

    project = load_file(projection / "projection.safetensors")
    vectors = np.zeros((len(texts), encoder.width), np.float32)
    small: dict[int, _Small] = {}
    # Texts of like length go together, which saves the encoder the padding.
    order = sorted(range(len(texts)), key=lambda row: (len(texts[row]), row))
    for start in range(0, len(order), CHUNK):
        rows = order[start : start + CHUNK]
        for place, vector, found in encoder.encode_with_tokens([texts[row] for row in rows]):
            row = rows[place]
            vectors[row] = vector
            projected = (found.vectors - project["mean"]) @ project["components"].T / project["scale"]
            small[row] = _Small(
                tokens=np.clip(np.rint(projected), -127, 127).astype(np.int8),
                spans=found.spans.astype(np.uint16),
                words=word_checksums(texts[row], found.spans.tolist()),
                capital=capitals(texts[row], found.spans.tolist()),
                sentence=sentence_slots(texts[row], sentences[row], found.spans),
            )
    ordered = [small[row] for row in range(len(texts))]
    return Encoded(
        vectors=vectors,
        starts=np.cumsum([0, *(len(each.tokens) for each in ordered)]),
        tokens=np.concatenate([each.tokens for each in ordered]),
        scale=project["scale"],
        spans=np.concatenate([each.spans for each in ordered]),
        words=np.concatenate([each.words for each in ordered]),
        capital=np.concatenate([each.capital for each in ordered]),
        sentence=np.concatenate([each.sentence for each in ordered]),
    )
