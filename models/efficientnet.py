"""EfficientNet-lite0, frozen: the feature maps of its eight stages (Tan and Le, arXiv 1905.11946, table 1).

The lite variant has ReLU6 and no squeeze-and-excitation. Batch normalisation is folded into the
convolutions, since nothing here is trained.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCKS = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))  # fmt: skip
"""A stage a line of the paper's table 1: blocks, kernel, stride of the first, expansion, channels out."""

CHANNELS = (*(stage[-1] for stage in BLOCKS), 1280)
"""Channels of the feature maps that the model returns: seven stages, then the last 1 × 1 convolution."""

STRIDES = (2, 4, 8, 16, 16, 32, 32, 32)
"""Pixels of the picture to a step of each feature map."""

EPSILON = 1e-3
"""What TensorFlow's batch normalisation adds to the variance."""


class Convolution(nn.Module):
    """A convolution with bias, padded as TensorFlow does: the odd pixel at the right and the bottom."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs // groups, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.kernel, self.stride, self.groups = kernel, stride, groups

    def forward(self, x: Tensor) -> Tensor:
        height, width = (max(self.kernel - (side - 1) % self.stride - 1, 0) for side in x.shape[2:])
        x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, groups=self.groups)


class Block(nn.Module):
    """An inverted residual: expand, filter each channel, project; added to its input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = Convolution(inputs, inner) if expansion > 1 else None
        self.filter = Convolution(inner, inner, kernel, stride, groups=inner)
        self.project = Convolution(inner, outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu6(self.expand(x)) if self.expand else x
        projected: Tensor = self.project(F.relu6(self.filter(inner)))
        return x + projected if self.residual else projected


class EfficientNetLite0(nn.Module):
    """Feature maps of pictures. The weights come from `folded`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, 32, kernel=3, stride=2)
        self.stages = nn.ModuleList()
        inputs = 32
        for blocks, kernel, stride, expansion, outputs in BLOCKS:
            stage = [Block(inputs, outputs, kernel, stride, expansion)]
            stage += [Block(outputs, outputs, kernel, 1, expansion) for _ in range(blocks - 1)]
            self.stages.append(nn.Sequential(*stage))
            inputs = outputs
        self.head = Convolution(inputs, CHANNELS[-1])

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Return eight maps of uint8 pictures (n, 3, size, size): CHANNELS[i] channels, size / STRIDES[i] a side."""
        x = F.relu6(self.stem((pictures.float() - 127) / 128))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return [*maps, F.relu6(self.head(x))]


def folded(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of `EfficientNetLite0` from the released weights, each normalisation folded into its convolution.

    Raises KeyError where a weight is missing.
    """
    state: dict[str, Tensor] = {}

    def fold(target: str, convolution: str, normalisation: str) -> None:
        scale = weights[f"{normalisation}.weight"] / (weights[f"{normalisation}.running_var"] + EPSILON).sqrt()
        state[f"{target}.weight"] = weights[f"{convolution}.weight"] * scale[:, None, None, None]
        state[f"{target}.bias"] = weights[f"{normalisation}.bias"] - weights[f"{normalisation}.running_mean"] * scale

    fold("stem", "_conv_stem", "_bn0")
    number = 0
    for stage, (blocks, _, _, expansion, _) in enumerate(BLOCKS):
        for block in range(blocks):
            here, there = f"stages.{stage}.{block}", f"_blocks.{number}"
            if expansion > 1:
                fold(f"{here}.expand", f"{there}._expand_conv", f"{there}._bn0")
            fold(f"{here}.filter", f"{there}._depthwise_conv", f"{there}._bn1")
            fold(f"{here}.project", f"{there}._project_conv", f"{there}._bn2")
            number += 1
    fold("head", "_conv_head", "_bn1")
    return state
