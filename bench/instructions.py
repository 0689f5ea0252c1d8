"""What it costs to hold libraries to the instructions that all processors with AVX2 have: held / native, in turns.

    python -m bench.instructions MINILM PASSAGES [--rounds 5]

MINILM is the folder of the source minilm, PASSAGES the passages.parquet of a stage. Each time is measured in a process
of its own, for libraries choose their kernels when they are imported. Prints the CPU seconds of each round and the
ratio of the medians, by work: a small language model's training, MiniLM's encoding, FAISS's exact search.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tasks.base.determinism import seed, set_process_environment
from tasks.base.instructions import NATIVE, PORTABLE

STEPS, TEXTS, VECTORS, QUERIES = 150, 150, 20_000, 300


def training(minilm: Path, passages: Path) -> float:
    """Seconds of the steps of `bench.training_loop`."""
    from bench import training_loop
    from models.config import Optimisation

    training_loop.bare(Optimisation(steps=10, batch=8, learning_rate=1e-3))
    start = time.process_time()
    training_loop.bare(Optimisation(steps=STEPS, batch=8, learning_rate=1e-3))
    return time.process_time() - start


def encoding(minilm: Path, passages: Path) -> float:
    """Seconds in which MiniLM makes vectors of passages."""
    from tasks.encyclopedia.passages import read_passages
    from tasks.language.minilm import MiniLM

    texts = [passage.rendered for passage in read_passages(passages)][: TEXTS + 8]
    encoder = MiniLM(minilm)
    encoder.encode(texts[:8])
    start = time.process_time()
    encoder.encode(texts[8:])
    return time.process_time() - start


def searching(minilm: Path, passages: Path) -> float:
    """Seconds of exact searches by FAISS, one query at a time."""
    import faiss
    import numpy as np

    random = np.random.default_rng(0)
    index = faiss.IndexFlatIP(384)
    index.add(random.standard_normal((VECTORS, 384)).astype("f4"))
    queries = random.standard_normal((QUERIES, 384)).astype("f4")
    start = time.process_time()
    for query in queries:
        index.search(query[None], 10)
    return time.process_time() - start


WORK = {work.__name__: work for work in (training, encoding, searching)}


def main() -> None:
    """Measure in turns and print the ratios; called with --as LEVEL and --work NAME, measure once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("minilm", type=Path)
    parser.add_argument("passages", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--as", dest="level", choices=[NATIVE, PORTABLE])
    parser.add_argument("--work", choices=WORK)
    asked = parser.parse_args()
    if asked.level:
        set_process_environment(asked.level)
        seed(None, ["torch"], asked.level)
        print(WORK[asked.work](asked.minilm, asked.passages))
        return
    for work in WORK:
        seconds: dict[str, list[float]] = {PORTABLE: [], NATIVE: []}
        for number in range(asked.rounds):
            for level in sorted(seconds, reverse=bool(number % 2)):
                command = [sys.executable, "-m", "bench.instructions", *sys.argv[1:], "--as", level, "--work", work]
                seconds[level].append(float(subprocess.run(command, capture_output=True, check=True, text=True).stdout))
            print(f"{work}, round {number}: " + ", ".join(f"{level} {s[-1]:.2f} s" for level, s in seconds.items()))
        print(f"{work}: {statistics.median(seconds[PORTABLE]) / statistics.median(seconds[NATIVE]):.2f}")


if __name__ == "__main__":
    main()
