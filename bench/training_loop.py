"""Our training loop against a bare hand-written one: the same model, batches and optimiser, in turn A B A B.

    python -m bench.training_loop [--rounds 12] [--steps 100]

Prints the tokens a second of each round and the ratio of the medians, in wall and in CPU
seconds (ours over bare; the aim is 0.95).
"""

import argparse
import contextlib
import io
import os
import statistics
import tempfile
import time

import torch
from torch import nn

from models.config import Optimisation, Transformer
from models.transformer import Decoder, next_token_loss
from tasks.learning.train import keep_freed_memory, learning_rate, train

ARCHITECTURE = Transformer(vocabulary=512, width=64, layers=2, heads=2, feed_forward=512, context=128)
BATCH = 8


def batch(step: int) -> torch.Tensor:
    """Random tokens, a function of the step."""
    random = torch.Generator().manual_seed(step)
    return torch.randint(0, ARCHITECTURE.vocabulary, (BATCH, ARCHITECTURE.context + 1), generator=random)


def loss(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    return next_token_loss(model(tokens[:, :-1]), tokens[:, 1:])


def bare(config: Optimisation) -> nn.Module:
    """What one would write by hand: no checkpoint, no checks, no counting."""
    torch.manual_seed(0)
    model = Decoder(ARCHITECTURE)
    matrices = [w for w in model.parameters() if w.dim() > 1]
    norms = [w for w in model.parameters() if w.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": norms, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.95), fused=True)
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step)
        optimizer.zero_grad()
        loss(model, batch(step)).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
    return model


def ours(config: Optimisation) -> nn.Module:
    """The same through `tasks.learning.train`, with checkpoints and the spool on, as a stage runs it."""
    torch.manual_seed(0)
    model = Decoder(ARCHITECTURE)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        os.environ |= {"TENFOLD_CHECKPOINTS": folder, "TENFOLD_SPOOL": os.path.join(folder, "spool.jsonl")}
        train(model, batch=batch, loss=loss, config=config, tokens_per_step=0, flops_per_step=0)
    return model


def main() -> None:
    """Time both loops in turn, check that they train the same model, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=100)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    config = Optimisation(steps=asked.steps, batch=BATCH, learning_rate=1e-3)
    tokens = asked.steps * BATCH * ARCHITECTURE.context
    wall: dict[str, list[float]] = {"bare": [], "ours": []}
    cpu: dict[str, list[float]] = {"bare": [], "ours": []}
    weights = {}
    for loop in (bare, ours):
        loop(Optimisation(steps=10, batch=BATCH, learning_rate=1e-3))
    for number in range(asked.rounds):
        for loop in (bare, ours) if number % 2 == 0 else (ours, bare):
            start, start_cpu = time.perf_counter(), time.process_time()
            weights[loop.__name__] = loop(config).state_dict()
            wall[loop.__name__].append(tokens / (time.perf_counter() - start))
            cpu[loop.__name__].append(tokens / (time.process_time() - start_cpu))
        print(f"round {number}: " + ", ".join(f"{name} {speed[-1]:,.0f}" for name, speed in wall.items()))
    same = all(torch.equal(weights["bare"][name], value) for name, value in weights["ours"].items())
    print(f"the same weights bit for bit: {same}")
    print(f"load average {os.getloadavg()[0]:.2f}; tokens a second, ours over bare:")
    for kind, speeds in (("wall", wall), ("CPU", cpu)):
        ratio = statistics.median(speeds["ours"]) / statistics.median(speeds["bare"])
        print(f"  {kind} {ratio:.3f}")


if __name__ == "__main__":
    main()
