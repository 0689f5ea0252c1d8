"""What the stages of ConcurrentQA have encoded already: the encyclopedia's vectors need not be computed again."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from flows.engine.trained import is_here, made
from tools.ask.passage_index import Encoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PROFILES = ("cpu", "gpu", "quick")
"""Where vectors are looked for, first where all articles are."""


class Known:
    """An encoder that looks up what is known, and encodes the rest."""

    def __init__(self, encoder: Encoder, known: "Mapping[bytes, NDArray[np.float32]]") -> None:
        self._encoder, self._known = encoder, known

    @property
    def width(self) -> int:
        """The length of a vector."""
        return self._encoder.width

    def unknown(self, texts: Sequence[str]) -> int:
        """How many of the texts would have to be encoded."""
        return sum(digest_of(text) not in self._known for text in texts)

    def encode(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """One vector a text, (texts, width)."""
        import numpy as np

        vectors = np.zeros((len(texts), self.width), np.float32)
        new = []
        for place, text in enumerate(texts):
            if (vector := self._known.get(digest_of(text))) is not None:
                vectors[place] = vector
            else:
                new.append(place)
        if new:
            vectors[new] = self._encoder.encode([texts[place] for place in new])
        return vectors


def of_the_stages() -> "dict[bytes, NDArray[np.float32]]":
    """The vectors of public passages that a reproduction made here, by the digest of the passage's text."""
    from flows.concurrentqa import stages

    for profile in PROFILES:
        if is_here(stages.corpora, profile) and all(is_here(stages.features, profile, shard=n) for n in (0, 1)):
            shards = {str(number): made(stages.features, profile, shard=number).folder for number in (0, 1)}
            return vectors_in(made(stages.corpora, profile).folder, shards)
    return {}


def vectors_in(corpora: Path, shards: Mapping[str, Path]) -> "dict[bytes, NDArray[np.float32]]":
    """The vectors of the public passages of one corpus, which was encoded in shards."""
    from tasks.encyclopedia.passages import read_passages
    from tasks.language.encoded import Encoded

    passages = read_passages(corpora / "passages.parquet")
    vectors = Encoded.load_shards(shards).vectors
    if len(passages) != len(vectors):
        return {}  # a run that is being made anew
    pairs = zip(passages, vectors, strict=True)
    return {digest_of(passage.rendered): vector for passage, vector in pairs if passage.scope == "public"}


def digest_of(text: str) -> bytes:
    """By what a text's vector is known."""
    return sha256(text.encode(errors="replace")).digest()
