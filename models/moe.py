"""Mixture of experts as Branch-Train-MiX builds it (Sukhbaatar et al. 2024, arXiv 2403.07816, section 3)."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from models.config import Mixture, Transformer
from models.transformer import Decoder, swiglu


class Routing(NamedTuple):
    """Where a layer sent its tokens: both are (tokens, experts), each row sums to one.

    `gates` weighs the experts that ran (zero for the others); `probabilities` is the softmax over all.
    """

    gates: Tensor
    probabilities: Tensor


class Experts(nn.Module):
    """FF(x) = sum over experts of g_i(W x) FF_i(x), with g = softmax(top-k(W x)) (section 3.2).

    The softmax comes after the selection, so the chosen gates sum to one. With top_k equal to the
    number of experts this is soft routing. After each forward `routing` holds what was decided.
    """

    def __init__(self, transformer: Transformer, mixture: Mixture) -> None:
        super().__init__()
        self.top_k = mixture.top_k
        self.router = nn.Linear(transformer.width, mixture.experts, bias=False)
        hidden, width = transformer.feed_forward, transformer.width
        self.gate_up = nn.Parameter(torch.empty(mixture.experts, 2 * hidden, width))
        self.down = nn.Parameter(torch.empty(mixture.experts, width, hidden))
        self.routing: Routing | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to the same shape; each expert runs only on the tokens sent to it."""
        tokens = x.flatten(0, -2)
        scores = self.router(tokens).float()
        top, chosen = scores.topk(self.top_k, dim=-1)
        weights = top.softmax(-1)
        gates = torch.zeros_like(scores).scatter(1, chosen, weights)
        self.routing = Routing(gates, scores.softmax(-1))

        # Sort the (token, choice) pairs by expert, run each expert on its run of rows, and sort back.
        expert = chosen.flatten()
        order = expert.argsort(stable=True)
        counts = expert.bincount(minlength=self.router.out_features).tolist()
        rows = torch.split(tokens.index_select(0, order // self.top_k), counts)
        weights_of = zip(self.gate_up.unbind(), self.down.unbind(), strict=True)
        done = torch.cat([swiglu(row, *pair) for row, pair in zip(rows, weights_of, strict=True)])
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        outputs = done.index_select(0, back).view(-1, self.top_k, x.shape[-1])
        return cast(Tensor, (outputs * weights[..., None].to(outputs.dtype)).sum(1).view_as(x))


def mixture_decoder(transformer: Transformer, mixture: Mixture) -> Decoder:
    """A decoder with experts in every layer, randomly initialised."""
    return Decoder(transformer, partial(Experts, mixture=mixture))


def expert_layers(model: nn.Module) -> list[Experts]:
    """The mixture layers of a model, from the first to the last; none in a dense model."""
    return [module for module in model.modules() if isinstance(module, Experts)]


def balance_loss(routing: Routing) -> Tensor:
    """N * sum_i u_i p_i (section 3.2), to be multiplied by the paper's alpha = 0.01 for each layer.

    u_i is the batch mean of the gate of expert i after top-k, not a count as in Switch Transformers,
    and carries gradient; p_i is the batch mean of its softmax over all experts. Uniform routing gives
    exactly 1, all tokens on one expert give N.
    """
    experts = routing.gates.shape[-1]
    return experts * (routing.gates.mean(0) * routing.probabilities.mean(0)).sum()


State = Mapping[str, Tensor]


def average(states: Sequence[State]) -> dict[str, Tensor]:
    """The plain mean of every weight: the weight soup of the models."""
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}


def mix(states: Sequence[State], transformer: Transformer, mixture: Mixture) -> Decoder:
    """Merge dense models of one architecture into a mixture, one expert a model (section 3.2, MiX).

    Feed-forwards are copied byte for byte and become the experts, in order; every other weight is the
    plain mean; the routers are new, drawn from torch's global generator.

    Raises ValueError when the number of models is not the number of experts.
    """
    if len(states) != mixture.experts:
        raise ValueError(f"{len(states)} models cannot become {mixture.experts} experts")
    model = mixture_decoder(transformer, mixture)
    merged = {name: weight for name, weight in model.state_dict().items() if name.endswith("router.weight")}
    for name, mean in average(states).items():
        is_expert = ".feed_forward." in name
        merged[name] = torch.stack([state[name] for state in states]) if is_expert else mean
    model.load_state_dict(merged)
    return model


def upcycle(state: State, transformer: Transformer, mixture: Mixture) -> Decoder:
    """Sparse upcycling (Komatsuzaki et al. 2022): every expert starts as a copy of the same dense model."""
    return mix([state] * mixture.experts, transformer, mixture)


def expert_distances(model: nn.Module) -> Tensor:
    """How far apart the experts are: |a - b| / (|a| + |b|) over all their weights, (experts, experts)."""
    layers = expert_layers(model)
    flat = torch.cat([w.detach().flatten(1) for layer in layers for w in (layer.gate_up, layer.down)], 1)
    norm = flat.norm(dim=1)
    return cast(Tensor, torch.cdist(flat[None], flat[None])[0] / (norm[:, None] + norm[None]))
