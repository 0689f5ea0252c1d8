"""The one training loop of every paper: AdamW, cosine schedule, clipping, bit-equal resume."""

import ctypes
import json
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Optimisation, Positive, config
from tasks.base import spool
from tasks.base.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

Batch = Any
"""What a loss function reads: a tensor, or a tuple, list or dict of them."""

POINTS = 50
"""How many points of each curve are kept, however long the training."""


@config
class Plateau:
    """Stop when `steps` more steps lower the validation figure by less than `gain`."""

    gain: Positive
    steps: int


@dataclass
class Training:
    """What a training did. Everything here is a function of the config and data, never of time."""

    steps: int = 0
    tokens: int = 0
    flops: int = 0
    ended: str = "steps"
    losses: list[tuple[int, float]] = field(default_factory=list)
    validations: list[tuple[int, float]] = field(default_factory=list)
    pending: float = 0.0
    """Sum of the losses since the last point of the curve."""


def train(
    model: "nn.Module",
    *,
    batch: Callable[[int], Batch],
    loss: "Callable[[nn.Module, Batch], torch.Tensor]",
    config: Optimisation,
    tokens_per_step: int,
    flops_per_step: int,
    validate: "Callable[[nn.Module], float] | None" = None,
    plateau: Plateau | None = None,
    checkpoint_seconds: float = 5.0,
) -> Training:
    """Train `model` in place and return what was done.

    `batch(step)` must be a pure function of the step, so that a resumed training needs no sampler
    state. `loss(model, batch)` returns a scalar in nats. The folder in TENFOLD_CHECKPOINTS, if any,
    holds one checkpoint, renewed at most every `checkpoint_seconds`; a training that finds one
    continues from it to the same bits as if it had never stopped.

    Raises UserError when the loss or the gradient is not finite; the last checkpoint stays.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.utils import send_to_device
    from tqdm import tqdm

    keep_freed_memory()
    half = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    accelerator = Accelerator(mixed_precision="bf16" if half else "no")
    model.to(accelerator.device)
    optimizer = _optimizer(model, config)
    folder = os.environ.get("TENFOLD_CHECKPOINTS")
    checkpoint = Path(folder) / "train.safetensors" if folder else None
    done = Training()
    if checkpoint is not None and checkpoint.exists():
        done = _load(checkpoint, model, optimizer)
        print(f"resumed at step {done.steps} of {config.steps}", flush=True)
    prepared, prepared_optimizer = accelerator.prepare(model, optimizer)
    weights = [weight for weight in model.parameters() if weight.requires_grad]

    every = max(1, config.steps // POINTS)
    started, first, saved = time.perf_counter(), done.steps, time.monotonic()
    # Off a terminal a line every few seconds: `tenfold reproduce` shows the last one of each running stage.
    pause = 0.2 if sys.stderr.isatty() else 3
    bar = tqdm(total=config.steps, initial=first, unit="step", mininterval=pause, ncols=100)
    model.train()
    while done.steps < config.steps and done.ended != "plateau":
        rate = learning_rate(config, done.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        prepared_optimizer.zero_grad()
        value = loss(prepared, send_to_device(batch(done.steps), accelerator.device))
        accelerator.backward(value)
        norm = accelerator.clip_grad_norm_(weights, config.clip)
        value_now = value.item()
        if not (math.isfinite(value_now) and math.isfinite(float(norm))):
            raise UserError(
                f"Training stopped at step {done.steps}: the loss is {value_now} and the gradient norm is "
                f"{float(norm)}. Lower the learning rate of {config.learning_rate} or lengthen the warm-up."
            )
        prepared_optimizer.step()
        done.steps += 1
        done.tokens += tokens_per_step
        done.flops += flops_per_step
        done.pending += value_now
        bar.update()
        if done.steps % every == 0:
            mean = done.pending / every
            done.losses.append((done.steps, mean))
            done.pending = 0.0
            speed = (done.steps - first) * tokens_per_step / (time.perf_counter() - started)
            bar.set_postfix_str(f"loss {mean:.3f}, {speed:,.0f} tokens/s")
            spool.metric("loss", mean, done.steps)
            spool.metric("learning_rate", rate, done.steps)
            spool.metric("gradient_norm", float(norm), done.steps)
            spool.metric("tokens_per_second", speed, done.steps)
        if validate is not None and plateau is not None and done.steps % plateau.steps == 0:
            model.eval()
            done.validations.append((done.steps, validate(prepared)))
            model.train()
            spool.metric("validation", done.validations[-1][1], done.steps)
            if len(done.validations) > 1 and _gain(done.validations) < plateau.gain:
                done.ended = "plateau"
        if checkpoint is not None and time.monotonic() - saved >= checkpoint_seconds:
            _save(checkpoint, model, optimizer, done)
            saved = time.monotonic()
    bar.close()
    seconds = time.perf_counter() - started
    spool.metric("flops", float(done.flops), done.steps)
    print(f"{done.steps} steps, {done.tokens:,} tokens, {seconds:.1f} s, ended by {done.ended}", flush=True)
    return done


def learning_rate(config: Optimisation, step: int) -> float:
    """The rate of a step: up to the peak over the warm-up, then a cosine down to `floor` of the peak."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    cosine = (1 + math.cos(math.pi * min(1.0, progress))) / 2
    return config.learning_rate * (config.floor + (1 - config.floor) * cosine)


def keep_freed_memory() -> None:
    """Ask glibc to reuse freed memory instead of returning it to the kernel.

    A small model frees and allocates the same few megabytes at each step; without this a step spends
    about a tenth of its time in page faults. Does nothing where the C library is another.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3
        mallopt(mmap_threshold, 1 << 30)
        mallopt(trim_threshold, (1 << 31) - 1)


def _optimizer(model: "nn.Module", config: Optimisation) -> "torch.optim.Optimizer":
    """AdamW (Loshchilov & Hutter 2019); only matrices decay, norms do not."""
    import torch

    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in weights if w.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [w for w in weights if w.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.95), fused=True)


def _gain(validations: list[tuple[int, float]]) -> float:
    return validations[-2][1] - validations[-1][1]


def _save(path: Path, model: "nn.Module", optimizer: "torch.optim.Optimizer", done: Training) -> None:
    """Write model, optimiser, random state and progress to one file, which appears whole or not at all."""
    import torch
    from safetensors.torch import save_file

    tensors = {f"model.{name}": weight for name, weight in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata={"training": json.dumps(asdict(done))})
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    os.replace(part, path)


def _load(path: Path, model: "nn.Module", optimizer: "torch.optim.Optimizer") -> Training:
    """Put model, optimiser and random state back as they were saved, and return the progress."""
    import torch
    from safetensors import safe_open

    weights, states = {}, dict[int, dict[str, Any]]()
    with safe_open(path, framework="pt") as file:
        done = json.loads(file.metadata()["training"])
        for key in file.keys():  # noqa: SIM118
            kind, _, name = key.partition(".")
            if kind == "model":
                weights[name] = file.get_tensor(key)
            elif kind == "optimizer":
                index, _, name = name.partition(".")
                states.setdefault(int(index), {})[name] = file.get_tensor(key)
        torch.set_rng_state(file.get_tensor("random.cpu"))
        if torch.cuda.is_available():
            torch.cuda.set_rng_state(file.get_tensor("random.cuda"))
    model.load_state_dict(weights)
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    for curve in ("losses", "validations"):
        done[curve] = [(step, value) for step, value in done[curve]]
    return Training(**done)
