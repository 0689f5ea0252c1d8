"""Texts with their frozen features: what the encoder said once, stored, and read by every training and evaluation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILE = "encoded.safetensors"
SENTENCES = 32
"""Sentence slots of a text; the last takes all that follow."""


@dataclass(frozen=True)
class Encoded:
    """`texts` many texts: a vector of length 1 for each, and features of their tokens one after the other.

    `vectors` float32 [texts, width]; `starts` int64 [texts + 1], where the tokens of each text begin. Of the tokens:
    `tokens` int8 [tokens, features], to be multiplied by `scale` float32 [features]; `spans` uint16 [tokens, 2], the
    characters that a token stands for; `words` uint32, a checksum of the word that it is a part of, 0 for none;
    `capital` uint8, 1 where it begins with a capital; `sentence` uint8, the slot of its sentence, 0 for what stands
    before the first.
    """

    vectors: "NDArray[np.float32]"
    starts: "NDArray[np.int64]"
    tokens: "NDArray[np.int8]"
    scale: "NDArray[np.float32]"
    spans: "NDArray[np.uint16]"
    words: "NDArray[np.uint32]"
    capital: "NDArray[np.uint8]"
    sentence: "NDArray[np.uint8]"

    def __len__(self) -> int:
        return len(self.vectors)

    def save(self, folder: Path) -> None:
        """Write encoded.safetensors; the vectors lose what float16 cannot hold."""
        import numpy as np
        from safetensors.numpy import save_file

        tensors = {field.name: np.ascontiguousarray(getattr(self, field.name)) for field in fields(self)}
        save_file({**tensors, "vectors": self.vectors.astype(np.float16)}, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; the vectors have length 1 again."""
        import numpy as np
        from safetensors.numpy import load_file

        tensors = load_file(folder / FILE)
        vectors = tensors["vectors"].astype(np.float32)
        return cls(**{**tensors, "vectors": vectors / np.linalg.norm(vectors, axis=1, keepdims=True)})

    @classmethod
    def load_shards(cls, folders: Mapping[str, Path]) -> Self:
        """Read the shards of one corpus, by shard number; text i is the next of shard i mod (number of shards)."""
        import numpy as np

        shards = [cls.load(folders[label]) for label in sorted(folders, key=int)]
        texts = sum(map(len, shards))
        counts = np.zeros(texts, np.int64)
        vectors = np.zeros((texts, shards[0].vectors.shape[1]), np.float32)
        for number, shard in enumerate(shards):
            counts[number :: len(shards)] = np.diff(shard.starts)
            vectors[number :: len(shards)] = shard.vectors
        starts = np.concatenate([[0], np.cumsum(counts)])
        total = int(starts[-1])
        ragged = {
            name: np.empty((total, *getattr(shards[0], name).shape[1:]), getattr(shards[0], name).dtype)
            for name in ("tokens", "spans", "words", "capital", "sentence")
        }
        for number, shard in enumerate(shards):
            shift = np.repeat(starts[:-1][number :: len(shards)] - shard.starts[:-1], np.diff(shard.starts))
            places = shift + np.arange(len(shard.tokens))
            for name, column in ragged.items():
                column[places] = getattr(shard, name)
        return cls(vectors=vectors, starts=starts, scale=shards[0].scale, **ragged)


def read_vectors(folders: Mapping[str, Path]) -> "NDArray[np.float32]":
    """The vectors [texts, width] alone, of length 1, out of the shards of one corpus by shard number."""
    import numpy as np
    from safetensors import safe_open

    parts = []
    for label in sorted(folders, key=int):
        with safe_open(folders[label] / FILE, framework="np") as file:
            parts.append(file.get_tensor("vectors").astype(np.float32))
    vectors = np.empty((sum(map(len, parts)), parts[0].shape[1]), np.float32)
    for number, part in enumerate(parts):
        vectors[number :: len(parts)] = part
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def sentence_slots(text: str, sentences: Sequence[str], spans: "NDArray[np.int64]") -> "NDArray[np.uint8]":
    """The sentence slot of each token of `text`: 0 before the first of `sentences`, which stand in it in order."""
    import numpy as np

    begins, after = [], 0
    for sentence in sentences:
        found = text.find(sentence, after)
        begins.append(found if found >= 0 else after)
        after = found + len(sentence) if found >= 0 else after
    slots = np.searchsorted(np.array(begins, np.int64), spans[:, 0], side="right")
    return np.minimum(slots, SENTENCES - 1).astype(np.uint8)


def word_checksums(text: str, spans: Iterable[Sequence[int]]) -> "NDArray[np.uint32]":
    """One number for each token: a checksum of the word that it is a part of, in lower case, or 0 outside words."""
    import re
    from bisect import bisect_right
    from zlib import crc32

    import numpy as np

    words = [(match.start(), match.end()) for match in re.finditer(r"\w+", text)]
    begins = [begin for begin, _ in words]
    checksums = [0]
    checksums += [crc32(text[begin:end].lower().encode()) for begin, end in words]
    places = [(bisect_right(begins, begin), end) for begin, end in spans]
    return np.array([checksums[at] if at and end <= words[at - 1][1] else 0 for at, end in places], np.uint32)


def capitals(text: str, spans: Iterable[Sequence[int]]) -> "NDArray[np.uint8]":
    """1 for each token that begins with a capital letter."""
    import numpy as np

    return np.array([text[begin : begin + 1].isupper() for begin, _ in spans], np.uint8)
