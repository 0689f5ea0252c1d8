"""The frozen encoder's vectors of all passages: computed once, in parts that run side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from models.config import Count, Index, config
from tasks.concurrentqa.passages import read_passages
from tasks.minilm import MiniLM

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILE = "vectors.safetensors"


@config
class Vectors:
    """One of `shards` parts of the corpus: passages `shard`, `shard` + `shards`, …"""

    shard: Index = 0
    shards: Count = 1

    def __post_init__(self) -> None:
        if self.shard >= self.shards:
            raise ValueError(f"shard {self.shard} is not below the number of shards, {self.shards}")


def encode(*, corpora: Path, minilm: Path, config: Vectors, out: Path) -> None:
    """Write the vectors [passages, width] of one shard, in the order of passages.parquet, as float16."""
    import numpy as np
    from safetensors.numpy import save_file

    passages = read_passages(corpora / "passages.parquet")[config.shard :: config.shards]
    vectors = MiniLM(minilm).encode([passage.rendered for passage in passages])
    save_file({"vectors": vectors.astype(np.float16)}, out / FILE)


def read_vectors(shards: Mapping[str, Path]) -> "NDArray[np.float32]":
    """The vectors [passages, width] of all passages, of length 1, out of all shards by their number."""
    import numpy as np
    from safetensors.numpy import load_file

    parts = [load_file(shards[label] / FILE)["vectors"].astype(np.float32) for label in sorted(shards, key=int)]
    vectors = np.empty((sum(map(len, parts)), parts[0].shape[1]), np.float32)
    for shard, part in enumerate(parts):
        vectors[shard :: len(parts)] = part
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
