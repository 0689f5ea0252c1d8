"""The passages' vectors in shards: put together, they are those of the whole."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tiny_models import save_bert

from tasks.concurrentqa.passages import Passage, write_passages
from tasks.concurrentqa.vectors import Vectors, encode, read_vectors


def test_shards_are_put_together_in_turn(tmp_path: Path) -> None:
    """Shards laid end to end would judge every question by another passage's vector."""
    vectors = np.eye(7, dtype=np.float32)
    for shard in range(3):
        (tmp_path / str(shard)).mkdir()
        save_file(
            {"vectors": 2 * np.ascontiguousarray(vectors[shard::3])}, tmp_path / str(shard) / "vectors.safetensors"
        )
    np.testing.assert_allclose(read_vectors({str(shard): tmp_path / str(shard) for shard in (2, 0, 1)}), vectors)


def test_two_shards_hold_what_one_does(tmp_path: Path) -> None:
    """A passage left out or encoded twice between the shards would shift all that follow it."""
    for name in ("bert", "corpora", "0", "1", "whole"):
        (tmp_path / name).mkdir()
    texts = ["the cat sat on a mat", "who wrote about red", "blue", "the capital of france", "a dog from the list"]
    passages = [Passage(f"w{at}", "public", "cat", text, (text,)) for at, text in enumerate(texts)]
    write_passages(tmp_path / "corpora" / "passages.parquet", passages)
    inputs = {"corpora": tmp_path / "corpora", "minilm": save_bert(tmp_path / "bert")}
    for shard in (0, 1):
        encode(**inputs, config=Vectors(shard=shard, shards=2), out=tmp_path / str(shard))
    encode(**inputs, config=Vectors(), out=tmp_path / "whole")
    whole = read_vectors({"0": tmp_path / "whole"})
    np.testing.assert_allclose(read_vectors({each: tmp_path / each for each in "01"}), whole, atol=1e-3)
    assert np.linalg.norm(whole, axis=1) == pytest.approx(1)
    assert (whole @ whole.T - np.eye(5)).max() < 0.9999  # no text has another's vector
