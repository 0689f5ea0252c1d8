"""The paper's networks in small (section 5.1), written once for any library that has torch.nn's names.

`network(name, nn)` with `models.tensor.nn` or with `torch.nn`: the same code, the same names of weights, so that both
libraries can be timed side by side and read each other's weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Sample:
    """A network, a batch of inputs, what they should give, and the loss of both."""

    model: Any
    inputs: Any
    targets: Any
    loss: Callable[[Any, Any], Any]


NETWORKS = ("mlp", "alexnet", "vgg16", "resnet50", "bert", "asr", "vit")
"""A multi-layer perceptron, and the six of the paper's table."""


def sample(name: str, nn: Any, tensor: Callable[[Any], Any], batch: int, width: int) -> Sample:
    """A network of a width with a random batch; `tensor` makes the library's tensors of numpy arrays.

    Raises:
        ValueError: there is no such network.
    """
    if name not in NETWORKS:
        raise ValueError(f"no network {name}; there are {', '.join(NETWORKS)}")
    draw = np.random.default_rng(0)
    F = nn.functional
    if name == "asr":
        frames, labels = 64, 8
        model = speech(nn, width)
        lengths = [frames // 4] * batch, [labels] * batch
        targets = draw.integers(1, 29, (batch, labels))

        def loss(output: Any, target: Any) -> Any:
            return F.ctc_loss(F.log_softmax(output, -1), target, *lengths)

        return Sample(model, tensor(_normal(draw, batch, 1, frames, 40)), tensor(targets), loss)
    if name == "bert":
        tokens = draw.integers(0, 1000, (batch, 64))
        return Sample(bert(nn, width), tensor(tokens), tensor(tokens.reshape(-1)), F.cross_entropy)
    if name == "mlp":
        model, inputs = mlp(nn, width), _normal(draw, batch, width)
    else:
        build = {"alexnet": alexnet, "vgg16": vgg16, "resnet50": resnet50, "vit": vit}[name]
        model, inputs = build(nn, width), _normal(draw, batch, 3, 32, 32)
    return Sample(model, tensor(inputs), tensor(draw.integers(0, 10, (batch,))), F.cross_entropy)


def _normal(draw: np.random.Generator, *shape: int) -> Any:
    return draw.standard_normal(shape).astype(np.float32)


def mlp(nn: Any, width: int) -> Any:
    """Three layers."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))


def alexnet(nn: Any, width: int) -> Any:
    """Five convolutions and three layers (Krizhevsky 2014), for images of 32 pixels."""

    class AlexNet(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            w = width
            self.features = nn.Sequential(
                nn.Conv2d(3, w, 5, stride=1, padding=2),
                nn.ReLU(),
                nn.MaxPool2d(3, 2),
                nn.Conv2d(w, 3 * w, 5, padding=2),
                nn.ReLU(),
                nn.MaxPool2d(3, 2),
                nn.Conv2d(3 * w, 6 * w, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(6 * w, 4 * w, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(4 * w, 4 * w, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(3, 2),
            )
            self.classifier = nn.Sequential(
                nn.Dropout(),
                nn.Linear(4 * w * 9, 16 * w),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(16 * w, 16 * w),
                nn.ReLU(),
                nn.Linear(16 * w, 10),
            )

        def forward(self, x: Any) -> Any:
            return self.classifier(self.features(x).flatten(1))

    return AlexNet()


def vgg16(nn: Any, width: int) -> Any:
    """Thirteen convolutions of 3 x 3 and three layers (Simonyan and Zisserman 2015)."""
    layers: list[Any] = []
    before = 3
    for times, factor in ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8)):
        for _ in range(times):
            layers += [nn.Conv2d(before, factor * width, 3, padding=1), nn.ReLU()]
            before = factor * width
        layers.append(nn.MaxPool2d(2, 2))

    class VGG16(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(*layers)
            top = 8 * width
            self.classifier = nn.Sequential(
                nn.Linear(top, top), nn.ReLU(), nn.Linear(top, top), nn.ReLU(), nn.Linear(top, 10)
            )

        def forward(self, x: Any) -> Any:
            return self.classifier(self.features(x).flatten(1))

    return VGG16()


def resnet50(nn: Any, width: int) -> Any:
    """Sixteen bottlenecks of three convolutions with batch norm (He et al. 2016)."""

    class Bottleneck(nn.Module):  # type: ignore[misc]
        def __init__(self, inputs: int, inner: int, stride: int) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner)
            self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(inner)
            self.conv3, self.bn3 = nn.Conv2d(inner, 4 * inner, 1, bias=False), nn.BatchNorm2d(4 * inner)
            self.shortcut = nn.Sequential()
            if stride > 1 or inputs != 4 * inner:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(inputs, 4 * inner, 1, stride=stride, bias=False), nn.BatchNorm2d(4 * inner)
                )

        def forward(self, x: Any) -> Any:
            F = nn.functional
            y = F.relu(self.bn1(self.conv1(x)))
            y = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(y)))))
            return F.relu(y + self.shortcut(x))

    class ResNet50(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
            blocks, before = [], width
            for stage, times in enumerate((3, 4, 6, 3)):
                for place in range(times):
                    inner = width * 2**stage
                    blocks.append(Bottleneck(before, inner, 2 if stage and not place else 1))
                    before = 4 * inner
            self.blocks = nn.Sequential(*blocks)
            self.classifier = nn.Linear(before, 10)

        def forward(self, x: Any) -> Any:
            x = self.blocks(nn.functional.relu(self.bn(self.conv(x))))
            return self.classifier(x.mean((2, 3)))

    return ResNet50()


def _block(nn: Any, width: int, causal: bool = False) -> Any:
    """A transformer's block with its norms first: attention of heads of 32, then two layers with GELU."""

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.heads = max(1, width // 32)
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.to_qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            F = nn.functional
            n, tokens, _ = x.shape
            parts = self.to_qkv(self.norm1(x)).reshape(n, tokens, 3, self.heads, width // self.heads)
            q, k, v = (parts[:, :, place].transpose(1, 2) for place in range(3))
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
            x = x + self.out(mixed.transpose(1, 2).reshape(n, tokens, width))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    return Block()


def bert(nn: Any, width: int, vocabulary: int = 1000, context: int = 64, layers: int = 2, causal: bool = False) -> Any:
    """Blocks over embedded tokens with a score for each word; with `causal`, a language model."""

    class Bert(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
            self.blocks = nn.Sequential(*(_block(nn, width, causal) for _ in range(layers)))
            self.norm, self.scores = nn.LayerNorm(width), nn.Linear(width, vocabulary)

        def forward(self, tokens: Any) -> Any:
            x = self.tokens(tokens) + self.places.weight[: tokens.shape[1]]
            return self.scores(self.norm(self.blocks(x))).reshape(-1, vocabulary)

    return Bert()


def vit(nn: Any, width: int, layers: int = 2) -> Any:
    """Patches of 4 x 4 pixels as tokens (Dosovitskiy et al. 2021), their mean classified."""

    class ViT(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, width, 4, stride=4)
            self.places = nn.Embedding(64, width)
            self.blocks = nn.Sequential(*(_block(nn, width) for _ in range(layers)))
            self.norm, self.scores = nn.LayerNorm(width), nn.Linear(width, 10)

        def forward(self, x: Any) -> Any:
            x = self.patches(x).flatten(2).transpose(1, 2) + self.places.weight
            return self.scores(self.norm(self.blocks(x)).mean(1))

    return ViT()


def speech(nn: Any, width: int, layers: int = 2, classes: int = 29) -> Any:
    """Two strided convolutions over a spectrogram (n, 1, time, 40), blocks, and scores of letters: (time/4, n, 29)."""

    class Speech(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, width // 4, 3, stride=2, padding=1)
            self.conv2 = nn.Conv2d(width // 4, width // 4, 3, stride=2, padding=1)
            self.enter = nn.Linear(width // 4 * 10, width)
            self.blocks = nn.Sequential(*(_block(nn, width) for _ in range(layers)))
            self.norm, self.scores = nn.LayerNorm(width), nn.Linear(width, classes)

        def forward(self, x: Any) -> Any:
            F = nn.functional
            x = F.relu(self.conv2(F.relu(self.conv1(x))))
            n, channels, time, bands = x.shape
            x = self.enter(x.transpose(1, 2).reshape(n, time, channels * bands))
            return self.scores(self.norm(self.blocks(x))).transpose(0, 1)

    return Speech()
