"""A sentence encoder of which the queries' side alone is tuned: passages keep their vectors, and the index stands."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Lower:
    """What frozen layers make of some queries: `states` [queries, longest, width] and `mask` [queries, longest]."""

    states: Tensor
    mask: Tensor

    def take(self, rows: Tensor) -> "Lower":
        """These queries alone, without columns that are padding in all of them."""
        mask = self.mask[rows]
        longest = int(mask.sum(1).max())
        return Lower(self.states[rows, :longest], mask[:, :longest])


class QueryEncoder(nn.Module):
    """A copy of a BERT-family encoder, its last `tuned` layers trained; vectors are means over tokens, of length 1.

    `scale` multiplies cosines into scores: s(x, c) = scale · cos(E_q(x), E_d(c)). The frozen layers have no dropout and
    always give the same, so they need to run once a query (`lower`); neither have the tuned ones, for a few hundred
    queries are learned in a few hundred steps.
    """

    def __init__(self, encoder: Any, tuned: int = 2, scale: float = 20.0) -> None:
        super().__init__()
        layers = encoder.encoder.layer
        if not 0 < tuned <= len(layers):
            raise ValueError(f"{tuned} layers cannot be tuned: the encoder has {len(layers)}")
        self.encoder = copy.deepcopy(encoder).eval()
        self.tuned, self.scale = tuned, scale
        self.encoder.requires_grad_(False)
        self._tuned_layers().requires_grad_(True)

    def train(self, mode: bool = True) -> "QueryEncoder":
        """Training changes nothing but weights: no layer drops anything."""
        return super().train(False)

    def lower(self, ids: Tensor, mask: Tensor) -> Lower:
        """Run the frozen layers on tokens [queries, longest], of which `mask` says which are no padding.

        What they make lies in main memory, wherever the encoder is.
        """
        device = self.encoder.device
        with torch.no_grad():
            made = self.encoder(input_ids=ids.to(device), attention_mask=mask.to(device), output_hidden_states=True)
        return Lower(made.hidden_states[-1 - self.tuned].cpu(), mask)

    def forward(self, lower: Lower) -> Tensor:
        """The queries' vectors, [queries, width]."""
        states, mask = lower.states.to(self.encoder.device), lower.mask.to(self.encoder.device)
        hidden = (1.0 - mask[:, None, None, :].to(states.dtype)) * torch.finfo(states.dtype).min
        for layer in self._tuned_layers():
            states = layer(states, hidden)
        weights = mask[..., None].to(states.dtype)
        return F.normalize((states * weights).sum(1) / weights.sum(1), dim=1)

    def scores(self, lower: Lower, passages: Tensor) -> Tensor:
        """s(x, c), [queries, passages each], for each query's own passages [queries, passages each, width]."""
        return self.scale * torch.einsum("qw,qpw->qp", self(lower), passages.to(self.encoder.device))

    def changes(self, before: Any) -> float:
        """‖Δθ‖: how far all weights are from those of the encoder `before`, as one Euclidean length."""
        own, other = self.encoder.state_dict(), before.state_dict()
        squares = [
            (own[name].cpu().double() - other[name].cpu().double()).square().sum()
            for name in own
            if other[name].is_floating_point()
        ]
        return float(torch.stack(squares).sum().sqrt())

    def _tuned_layers(self) -> nn.ModuleList:
        layers: nn.ModuleList = self.encoder.encoder.layer[-self.tuned :]
        return layers


def pad(tokens: Sequence[Sequence[int]], padding: int = 0) -> tuple[Tensor, Tensor]:
    """Token ids [texts, longest] and their mask, of texts of any length."""
    longest = max((len(each) for each in tokens), default=0)
    ids = torch.full((len(tokens), longest), padding)
    mask = torch.zeros(len(tokens), longest, dtype=torch.long)
    for row, each in enumerate(tokens):
        ids[row, : len(each)] = torch.tensor(list(each))
        mask[row, : len(each)] = 1
    return ids, mask
