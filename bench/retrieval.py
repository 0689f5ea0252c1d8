"""Embedding against sentence-transformers alone, and searching against plain FAISS, side by side.

OMP_NUM_THREADS=1 python -m bench.retrieval MINILM PASSAGES [--texts 300] [--sizes 10000 500000] [--searches 200]

MINILM is the folder of the source minilm, PASSAGES the passages.parquet of a stage. sentence-transformers is nothing
that Tenfold needs: where it is not installed, its column is left out.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import faiss
import numpy as np

from models.retrieval.index import DenseIndex
from tasks.encyclopedia.passages import read_passages
from tasks.language.minilm import MiniLM

TOP = 10
JITTER = 0.02
"""Standard deviation of what is added to each number of a replicated vector; the numbers' own is about 0.05."""


def main() -> None:
    """Print ratios: above 1 is in favour of Tenfold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("minilm", type=Path)
    parser.add_argument("passages", type=Path)
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 500_000])
    parser.add_argument("--searches", type=int, default=200)
    asked = parser.parse_args()
    texts = [passage.rendered for passage in read_passages(asked.passages)]
    texts = texts[:: max(1, len(texts) // asked.texts)][: asked.texts]
    vectors = embedding(asked.minilm, texts)
    for size in asked.sizes:
        searching(vectors, size, asked.searches)
    print(f"load average {os.getloadavg()[0]:.2f}")


def embedding(folder: Path, texts: Sequence[str]) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    """Texts a CPU second, in turns; returns the vectors."""
    ours = MiniLM(folder)
    vectors = ours.encode(texts)
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        (seconds,) = measured([lambda: ours.encode(texts)], 3, time.process_time)
        speed = len(texts) / statistics.median(seconds)
        print(f"embedding {len(texts)} texts: {speed:.1f} a CPU second; there is no sentence-transformers here")
        return vectors
    theirs = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    furthest = float(np.abs(vectors - theirs.encode(list(texts), normalize_embeddings=True)).max())
    both = [lambda: ours.encode(texts), lambda: theirs.encode(list(texts), normalize_embeddings=True)]
    speeds = [len(texts) / statistics.median(seconds) for seconds in measured(both, 3, time.process_time)]
    print(
        f"embedding {len(texts)} texts: {speeds[0]:.1f} a CPU second, sentence-transformers {speeds[1]:.1f}, "
        f"ratio {speeds[0] / speeds[1]:.2f}; no number differs by more than {furthest:.1e}"
    )
    return vectors


def searching(vectors: "np.ndarray[tuple[int, int], np.dtype[np.float32]]", size: int, searches: int) -> None:
    """Latency of single searches and speed of batches, over `size` passages, in turns with plain FAISS."""
    rng = np.random.default_rng(0)
    passages = vectors[np.arange(size) % len(vectors)]
    passages += rng.normal(scale=JITTER, size=passages.shape).astype(np.float32)
    passages /= np.linalg.norm(passages, axis=1, keepdims=True)
    queries = passages[rng.integers(0, size, searches)]
    queries += rng.normal(scale=JITTER, size=queries.shape).astype(np.float32)
    plain = faiss.IndexFlatIP(passages.shape[1])
    plain.add(passages)
    ours = DenseIndex([f"p{at}" for at in range(size)], passages)
    same = np.mean(plain.search(queries, TOP)[1] == ours.search(queries, TOP).positions)
    mine, theirs = [], []
    for row in range(searches):
        one = queries[row : row + 1]
        pair = [lambda one=one: ours.search(one, TOP), lambda one=one: plain.search(one, TOP)]
        seconds = measured(pair, 1, time.perf_counter)
        mine += seconds[0]
        theirs += seconds[1]
    for name, share in (("p50", 50), ("p99", 99)):
        a, b = (1000 * float(np.percentile(seconds, share)) for seconds in (mine, theirs))
        print(f"search, {size} passages, {name}: {a:.2f} ms, plain FAISS {b:.2f} ms, ratio {b / a:.2f}")
    both = measured([lambda: ours.search(queries, TOP), lambda: plain.search(queries, TOP)], 3, time.process_time)
    a, b = (searches / statistics.median(seconds) for seconds in both)
    print(
        f"search, {size} passages, {searches} at once: {a:.0f} a CPU second, plain FAISS {b:.0f}, ratio {a / b:.2f}; "
        f"{100 * same:.2f} % of the places are the same"
    )


def measured(calls: Sequence[Callable[[], object]], rounds: int, clock: Callable[[], float]) -> list[list[float]]:
    """Seconds of each call in each round; a round runs all calls, in an order that turns with the rounds."""
    seconds: list[list[float]] = [[] for _ in calls]
    for turn in range(rounds):
        for at in sorted(range(len(calls)), reverse=turn % 2 == 1):
            start = clock()
            calls[at]()
            seconds[at].append(clock() - start)
    return seconds


if __name__ == "__main__":
    main()
