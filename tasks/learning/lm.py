"""Language models: pre-training from random weights, and training on a mix of domains."""

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from models.config import Index, Mixture, Optimisation, Transformer, config
from models.flops import training_flops
from tasks.base.errors import UserError
from tasks.learning.bits import bits_per_byte, cut_windows, log_probabilities
from tasks.learning.stored import save_model
from tasks.learning.tokens import Text
from tasks.learning.train import Plateau, Training, train

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from models.transformer import Decoder


@config
class Pretraining:
    """The seed model: trained on all domains in equal shares until its validation stops improving."""

    architecture: Transformer
    optimisation: Optimisation
    plateau: Plateau
    seed: Index


def pretrain(*, tokens: Path, config: Pretraining, out: Path) -> None:
    """Train a dense model from random weights on all domains in equal shares, to a plateau or the limit."""
    import torch

    from models.transformer import Decoder

    text = Text.load(tokens)
    if config.architecture.vocabulary < len(text.token_bytes):
        raise UserError(f"The tokenizer has {len(text.token_bytes)} tokens; the architecture allows fewer.")
    torch.manual_seed(config.seed)
    model = Decoder(config.architecture)
    shares = dict.fromkeys(text.domains, 1.0)
    done = fit(model, text, shares, config.optimisation, ("seed", config.seed), plateau=config.plateau)
    save_model(model, config.optimisation, done, out)


def fit(
    model: "Decoder",
    text: Text,
    shares: Mapping[str, float],
    optimisation: Optimisation,
    key: tuple[str, int],
    *,
    balance: float = 0.0,
    plateau: Plateau | None = None,
) -> Training:
    """Train a dense or mixture decoder on the training text, domains drawn by their `shares`.

    `key`, a name and a seed, decides the order of the data. `balance` weighs the load-balancing loss
    of each mixture layer (BTX, section 3.2).
    """
    from models.moe import balance_loss, expert_layers
    from models.transformer import next_token_loss

    layers = expert_layers(model)
    mixture = Mixture(experts=layers[0].router.out_features, top_k=layers[0].top_k) if layers else None
    context = model.config.context

    def loss(trained: "nn.Module", batch: "Tensor") -> "Tensor":
        total = next_token_loss(trained(batch[:, :-1]), batch[:, 1:])
        if balance:
            total = total + balance * sum(balance_loss(layer.routing) for layer in layers if layer.routing)
        return total

    def validate(trained: "nn.Module") -> float:
        values = []
        for domain in text.domains:
            windows = cut_windows(text, f"validation/{domain}", context, 32)
            values.append(bits_per_byte(log_probabilities(trained, windows), windows))
        return sum(values) / len(values)

    per_step = optimisation.batch * context
    return train(
        model,
        batch=sampler(text, shares, optimisation.batch, context, key),
        loss=loss,
        config=optimisation,
        tokens_per_step=per_step,
        flops_per_step=per_step * training_flops(model.config, mixture),
        validate=validate if plateau else None,
        plateau=plateau,
    )


def sampler(
    text: Text, shares: Mapping[str, float], batch: int, context: int, key: tuple[str, int]
) -> "Callable[[int], torch.Tensor]":
    """A function from the step to (batch, context + 1) token ids: random windows of the training streams.

    Each row draws its domain by `shares` and its place uniformly, from a generator made of the key and
    the step alone.
    """
    import numpy as np
    import torch

    streams = [text.streams[f"train/{domain}"] for domain in shares]
    room = np.array([len(stream) - context for stream in streams])
    if room.min() < 1:
        raise UserError(f"A domain has fewer training tokens than the context of {context}.")
    base = np.cumsum([0, *map(len, streams)])[:-1]
    everything = np.concatenate(streams)
    weights = np.array(list(shares.values()))
    weights = weights / weights.sum()
    name, seed = zlib.crc32(key[0].encode()), key[1]

    def batch_of(step: int) -> torch.Tensor:
        random = np.random.default_rng([name, seed, step])
        domain = random.choice(len(streams), size=batch, p=weights)
        start = base[domain] + (random.random(batch) * room[domain]).astype(np.int64)
        return torch.from_numpy(everything[start[:, None] + np.arange(context + 1)].astype(np.int64))

    return batch_of
