"""Branch-Train-MiX (Sukhbaatar et al. 2024, arXiv 2403.07816): experts, mixture and baselines."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from models.config import Count, Fraction, Index, Mixture, NotNegative, Optimisation, config
from models.flops import training_flops
from tasks.base.errors import UserError
from tasks.learning.lm import fit
from tasks.learning.stored import load_model, load_weights, save_model, say_final
from tasks.learning.tokens import Text
from tasks.learning.train import Training

if TYPE_CHECKING:
    from models.config import Transformer

STAND_INS = {"mathematics": "conversation"}
"""Where Debian's Metamath package cannot be had, the third domain is chats, and the run says so."""

GENERALIST = "seed"
"""The name of the last expert: the seed model itself (section 4.1)."""


@config
class Expert:
    """A copy of the seed trained on one domain, with a little text of all domains, as the paper does."""

    domain: str
    seed: Index
    optimisation: Optimisation
    general: Fraction = 0.1


@config
class Mix:
    """The merge: `mixture.experts` counts the domains and the generalist."""

    seed: Index
    mixture: Mixture


@config
class Finetuning:
    """The last stage: all weights of the mixture on all domains; `balance` is the paper's alpha."""

    seed: Index
    optimisation: Optimisation
    balance: NotNegative = 0.01


@config
class Baseline:
    """What a baseline may spend, in terms of the BTX run that it is compared with.

    `flops`: the same operations as all experts and the finetuning together (the paper's compute
    matching, Table 3); `data`: the same number of sequences in the same two phases; `path`: the same
    number of serial steps, each with the batches of all the workers together; `worker`: the same number of
    serial steps with one worker's batch, which is what one worker can do in the same time.
    """

    seed: Index
    workers: Count
    expert: Optimisation
    finetune: Optimisation
    mixture: Mixture
    match: Literal["flops", "data", "path", "worker"] = "flops"
    balance: NotNegative = 0.01


def train_expert(*, tokens: Path, seed_model: Path, config: Expert, out: Path) -> None:
    """Branch and train: continue from the seed model on one domain, talking to no other expert."""
    text = Text.load(tokens)
    domain = domain_in(text, config.domain)
    shares = {d: config.general / len(text.domains) for d in text.domains}
    shares[domain] += 1 - config.general
    model = load_model(seed_model)
    done = fit(model, text, shares, config.optimisation, (domain, config.seed))
    save_model(model, config.optimisation, done, out)


def domain_in(text: Text, domain: str) -> str:
    """The domain itself, or the one that stands in for it where its source could not be had.

    Raises:
        UserError: the text has neither.
    """
    for name in (domain, STAND_INS.get(domain)):
        if name in text.domains:
            return str(name)
    raise UserError(f"There is no domain {domain!r}; the text has {', '.join(text.domains)}.")


def mix(*, experts: dict[str, Path], seed_model: Path, config: Mix, out: Path) -> None:
    """Mix: feed-forwards become experts in order of their names, the seed last; the rest is averaged."""
    import torch

    from models.moe import mix as merge

    states = [load_weights(folder) for _, folder in sorted(experts.items())] + [load_weights(seed_model)]
    if len(states) != config.mixture.experts:
        raise UserError(
            f"{len(states)} models are merged, so mixture.experts must be {len(states)}, not {config.mixture.experts}."
        )
    torch.manual_seed(config.seed)
    save_model(merge(states, load_model(seed_model).config, config.mixture), None, Training(), out)


def finetune(*, tokens: Path, mixture: Path, config: Finetuning, out: Path) -> None:
    """Train all weights of the mixture on all domains in equal shares (section 3.2)."""
    text = Text.load(tokens)
    model = load_model(mixture)
    shares = dict.fromkeys(text.domains, 1.0)
    key = ("finetune", config.seed)
    done = fit(model, text, shares, config.optimisation, key, balance=config.balance)
    save_model(model, config.optimisation, done, out)
    say_final(model, text)


def train_dense(*, tokens: Path, seed_model: Path, config: Baseline, out: Path) -> None:
    """The dense baseline: the seed model goes on as one model, on all domains in equal shares."""
    text = Text.load(tokens)
    model = load_model(seed_model)
    budget = baseline_optimisation(config, training_flops(model.config), model.config)
    done = fit(model, text, dict.fromkeys(text.domains, 1.0), budget, ("baseline", config.seed))
    save_model(model, budget, done, out)
    say_final(model, text)


def train_upcycled(*, tokens: Path, seed_model: Path, config: Baseline, out: Path) -> None:
    """Sparse upcycling (Komatsuzaki et al. 2022): every expert starts as a copy of the seed model."""
    import torch

    from models.moe import upcycle

    text = Text.load(tokens)
    architecture = load_model(seed_model).config
    torch.manual_seed(config.seed)
    model = upcycle(load_weights(seed_model), architecture, config.mixture)
    budget = baseline_optimisation(config, training_flops(architecture, config.mixture), architecture)
    shares = dict.fromkeys(text.domains, 1.0)
    done = fit(model, text, shares, budget, ("baseline", config.seed), balance=config.balance)
    save_model(model, budget, done, out)
    say_final(model, text)


def baseline_optimisation(config: Baseline, flops: int, architecture: "Transformer") -> Optimisation:
    """The steps and batch of a baseline whose training costs `flops` a token.

    Learning rate, warm-up and schedule are the experts' own, so only the budget differs.
    """
    experts = config.workers * config.expert.steps * config.expert.batch
    finetuning = config.finetune.steps * config.finetune.batch
    batch = config.expert.batch
    if config.match == "flops":
        spent = experts * training_flops(architecture)
        spent += finetuning * training_flops(architecture, config.mixture)
        steps = round(spent / (flops * batch))
    elif config.match == "data":
        steps = round((experts + finetuning) / batch)
    else:
        batch *= config.workers if config.match == "path" else 1
        steps = config.expert.steps + config.finetune.steps
    return replace(config.expert, steps=steps, batch=batch)
