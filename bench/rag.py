"""Scoring answers against a plain loop of `transformers`, and indexing against sentence-transformers, side by side.

OMP_NUM_THREADS=1 python -m bench.rag MODEL MINILM PASSAGES [--pairs 24] [--texts 200]

MODEL is the folder of radit's stage `model`, MINILM that of the source minilm, PASSAGES the passages.parquet of its
stage `corpus`. sentence-transformers is nothing that Tenfold needs: where it is not installed, its column is left out.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from bench.retrieval import embedding
from models.radit.decoder import Decoder
from tasks.encyclopedia.passages import Passage, read_passages
from tasks.radit.language_models import load_model
from tasks.radit.passages import shown
from tasks.radit.prompts import END, Words, prompt

SHOTS, WORDS = 5, 60
ROUNDS = 2


def main() -> None:
    """Print speeds and ratios: above 1 is in favour of Tenfold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("minilm", type=Path)
    parser.add_argument("passages", type=Path)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--texts", type=int, default=200)
    asked = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    passages = read_passages(asked.passages)
    scoring(asked.model, passages[:: max(1, len(passages) // asked.pairs)][: asked.pairs])
    embedding(asked.minilm, [shown(each, WORDS) for each in passages[: asked.texts]])
    print(f"load average {os.getloadavg()[0]:.2f}")


def scoring(folder: Path, passages: Sequence[Passage]) -> None:
    """Pairs of question and passage a CPU second, in turns, in the precision in which the model is stored."""
    model, words = load_model(folder)
    head, prompts, answers = _asked(passages, words)
    decoder = Decoder(model, head)
    whole = [[*head, *each] for each in prompts]
    arms: dict[str, Callable[[], list[float]]] = {
        "ours": lambda: [float(logs.sum()) for logs in decoder.answers(prompts, answers)],
        "a loop over prompts": lambda: plain(model, whole, answers),
    }
    scores = {name: run() for name, run in arms.items()}
    furthest = max(abs(a - b) for a, b in zip(*scores.values(), strict=True))
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(ROUNDS):
        for name, run in arms.items():
            began = time.process_time()
            run()
            seconds[name].append(time.process_time() - began)
    speeds = {name: len(passages) / statistics.median(each) for name, each in seconds.items()}
    ours, loop = speeds.values()
    print(
        f"scoring {len(passages)} pairs in {model.dtype}: ours {ours:.2f} a CPU second, a plain loop {loop:.2f}: "
        f"{ours / loop:.2f}; log probabilities differ by at most {furthest:.3f}"
    )


def plain(model: Any, prompts: Sequence[list[int]], answers: Sequence[list[int]]) -> list[float]:
    """Log probabilities of answers as one writes it first: one prompt after the other, whole, with all its logits."""
    found = []
    for before, answer in zip(prompts, answers, strict=True):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[*before, *answer]])).logits[0, len(before) - 1 : -1]
        logs = logits.float().log_softmax(-1)
        found.append(float(logs.gather(1, torch.tensor(answer)[:, None]).sum()))
    return found


def _asked(passages: Sequence[Passage], words: Words) -> tuple[list[int], list[list[int]], list[list[int]]]:
    """Five worked examples, and a question on each passage whose answer is its title."""
    question = "What is this about?"
    texts = [prompt(question, shown(each, WORDS)) for each in passages]
    examples = zip(texts[:SHOTS], passages, strict=False)
    head = "".join(f"{text} {each.title}{END}\n" for text, each in examples)
    return words.tokens(head), words.prompts(texts), [words.answer(each.title) for each in passages]


if __name__ == "__main__":
    main()
