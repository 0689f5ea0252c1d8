"""Graphs of very many tiny nodes: microseconds a node here and in torch, and what pruning a beam saves."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.config import Count, Index, config
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.timing.machine import alone

Row = dict[str, Any]


@config
class Walking:
    """How long the chain is, how often each is walked after a warm-up, and the size of the beam's lattice."""

    nodes: Count = 1_000_000
    repetitions: Count = 8
    steps: Count = 200
    beam: Count = 8
    seed: Index = 0


@measures(
    forward_us="median microseconds a node to make a chain of products of 4 values",
    backward_us="median microseconds a node to walk it back",
    walk_ratio="our seconds to walk the chain back over torch's, turn by turn",
    walked="nodes of the beam's lattice that are walked, by variant",
    pruned_share="share of the lattice's nodes that pruning walks",
    pruning_ratio="seconds to walk the lattice with pruning over those without, turn by turn",
    unequal_gradients="gradients of the lattice that pruning changes",
    gradient_error="largest difference of the lattice's gradients from torch's",
)
def walk(*, config: Walking, out: Path) -> None:
    """Write metrics.json; libraries and variants take turns in random order."""

    import numpy as np
    import torch

    from models import tensor as ft

    torch.set_num_threads(1)
    rows: list[Row] = []
    times: dict[str, list[tuple[float, float]]] = {"models/tensor": [], "torch": []}
    pruning: list[tuple[float, float]] = []
    values = np.ones(4, np.float32)
    order = np.random.default_rng(config.seed)
    with alone() as busy:
        for turn in range(1 + config.repetitions):
            for library in order.permutation(list(times)):
                make: Any = torch.tensor if library == "torch" else ft.tensor
                taken = _chain(make(values, requires_grad=True), config.nodes)
                if turn:
                    times[library].append(taken)
            seconds = [0.0, 0.0]
            for prune in order.permutation(2):
                final, _ = lattice(ft, config, lambda x: ft.tensor(x, requires_grad=True))
                began = time.perf_counter()
                final.backward(prune=bool(prune))
                seconds[prune] = time.perf_counter() - began
            if turn:
                pruning.append((seconds[0], seconds[1]))
    for turn in range(config.repetitions):
        ratio = times["models/tensor"][turn][1] / times["torch"][turn][1]
        rows.append({"arm": "a chain", "turn": turn, "walk_ratio": ratio} | busy)
        rows.append({"arm": "a beam", "turn": turn, "pruning_ratio": pruning[turn][1] / pruning[turn][0]} | busy)
    for library, pairs in times.items():
        forward, backward = (1e6 * float(np.median([p[i] for p in pairs])) / config.nodes for i in (0, 1))
        rows.append({"library": library, "forward_us": forward, "backward_us": backward} | busy)
    write_json(out / "metrics.json", rows + _beams(config))


def _chain(leaf: Any, nodes: int) -> tuple[float, float]:
    began = time.perf_counter()
    y = leaf
    for _ in range(nodes):
        y = y * leaf
    total = y.sum()
    middle = time.perf_counter()
    total.backward()
    return middle - began, time.perf_counter() - middle


def lattice(library: Any, config: Walking, leaf: Callable[[Any], Any]) -> tuple[Any, list[Any]]:
    """The best score of a path through a lattice, as a beam search grows it, and the scores that it is made of.

    At each step the best of all hypotheses reaches each state; of most hypotheses nothing is left in the end.
    """

    import numpy as np

    draw = np.random.default_rng(config.seed).standard_normal((config.steps, config.beam))
    scores = [[leaf(np.array(value)) for value in row] for row in draw]
    kept = list(scores[0])
    for row in scores[1:]:
        grown = []
        for score in row:
            best = kept[0]
            for other in kept[1:]:
                best = library.maximum(best, other * 0.9)
            grown.append(best + score)
        kept = grown
    final = kept[0]
    for other in kept[1:]:
        final = library.maximum(final, other)
    return final, [score for row in scores for score in row]


def _beams(config: Walking) -> list[Row]:
    """The gradients of the lattice with pruning, without, and torch's."""

    import torch

    from models import tensor as ft

    found: list[tuple[int, list[float]]] = []
    for prune in (False, True):
        final, scores = lattice(ft, config, lambda x: ft.tensor(x, requires_grad=True))
        walked = final.backward(prune=prune)
        found.append((walked, [0.0 if s.grad is None else s.grad.item() for s in scores]))
    final, leaves = lattice(torch, config, lambda x: torch.tensor(x, requires_grad=True))
    final.backward()
    theirs = [0.0 if s.grad is None else s.grad.item() for s in leaves]
    unequal = sum(a != b for a, b in zip(found[0][1], found[1][1], strict=True))
    error = max(abs(a - b) for a, b in zip(found[1][1], theirs, strict=True))
    rows: list[Row] = [{"variant": name, "walked": n} for name, (n, _) in zip(("whole", "pruned"), found, strict=True)]
    whole = {"pruned_share": found[1][0] / found[0][0], "unequal_gradients": unequal, "gradient_error": error}
    return [*rows, {"over": "the lattice", **whole}]
