"""A small generator with random weights large enough that everything depends on everything that it may depend on."""

from typing import Any

import torch
from torch import Tensor

from models.config import Transformer
from models.transfusion.model import Transfusion
from models.transfusion.settings import Sizes

TEXT = 20


def sizes(**given: Any) -> Sizes:
    codes = given.get("codes", 0)
    return Sizes(
        transformer=Transformer(vocabulary=TEXT + 3 + codes, width=16, layers=2, heads=2, feed_forward=24, context=96),
        text=TEXT,
        **{"side": 4, "patch": 2, "inner": 4} | given,
    )


def generator(seed: int = 0, **given: Any) -> Transfusion:
    torch.manual_seed(seed)
    model = Transfusion(sizes(**given))
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.4)
    return model.eval()


def images(count: int, side: int = 4, seed: int = 1) -> Tensor:
    return torch.randn(count, 1, side, side, generator=torch.Generator().manual_seed(seed))
