"""Networks of convolutions for images and videos, in plain torch, as their papers and torchvision shape them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.olla.zoo import Sample

CLASSES = 1000


def alexnet() -> nn.Module:
    """Krizhevsky 2014 ("one weird trick"), as torchvision has it."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2),
        nn.ReLU(True),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(True),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(True),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(True),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(True),
        nn.MaxPool2d(3, 2),
        nn.AdaptiveAvgPool2d((6, 6)),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(256 * 36, 4096),
        nn.ReLU(True),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(True),
        nn.Linear(4096, CLASSES),
    )


VGG = {
    11: (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0),
    16: (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0),
    19: (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512, 0),
}
"""Widths of the convolutions; 0 is a pooling (Simonyan and Zisserman 2015, table 1)."""


def vgg(depth: int) -> nn.Module:
    layers: list[nn.Module] = []
    width = 3
    for wide in VGG[depth]:
        if wide:
            layers += [nn.Conv2d(width, wide, 3, padding=1), nn.ReLU(True)]
            width = wide
        else:
            layers.append(nn.MaxPool2d(2))
    layers += [nn.AdaptiveAvgPool2d((7, 7)), nn.Flatten(), nn.Linear(512 * 49, 4096), nn.ReLU(True), nn.Dropout()]
    layers += [nn.Linear(4096, 4096), nn.ReLU(True), nn.Dropout(), nn.Linear(4096, CLASSES)]
    return nn.Sequential(*layers)


def normed(
    width: int, wide: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: Callable[[], nn.Module] | None = None
) -> nn.Sequential:
    """Convolution, batch norm, activation."""
    layers = [
        nn.Conv2d(width, wide, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(wide),
        *([act()] if act else []),
    ]
    return nn.Sequential(*layers)


def relu() -> nn.Module:
    return nn.ReLU(True)


def relu6() -> nn.Module:
    return nn.ReLU6(True)


def silu() -> nn.Module:
    return nn.SiLU(True)


class Residual(nn.Module):
    """A block whose input is added to its output; `shortcut` fits the input where its shape changes."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None, after: bool = True) -> None:
        super().__init__()
        self.body, self.shortcut, self.after = body, shortcut, after

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        y = y + (x if self.shortcut is None else self.shortcut(x))
        return functional.relu(y, inplace=True) if self.after else y


def resnet(blocks: Sequence[int], bottleneck: bool) -> nn.Module:
    """He et al. 2016, table 1."""
    layers: list[nn.Module] = [normed(3, 64, 7, 2, act=relu), nn.MaxPool2d(3, 2, 1)]
    width, factor = 64, 4 if bottleneck else 1
    for stage, count in enumerate(blocks):
        inner = 64 * 2**stage
        for block in range(count):
            stride = 2 if stage and not block else 1
            if bottleneck:
                parts = [normed(width, inner, 1, act=relu), normed(inner, inner, 3, stride, act=relu)]
                body = nn.Sequential(*parts, normed(inner, 4 * inner, 1))
            else:
                body = nn.Sequential(normed(width, inner, 3, stride, act=relu), normed(inner, inner))
            fits = stride == 1 and width == factor * inner
            layers.append(Residual(body, None if fits else normed(width, factor * inner, 1, stride)))
            width = factor * inner
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES))


def inverted(width: int, wide: int, kernel: int, stride: int, expand: int, act: Callable[[], nn.Module]) -> nn.Module:
    """Expand, convolve each channel, project (Sandler et al. 2018, section 3.3)."""
    inner = width * expand
    layers = [normed(width, inner, 1, act=act)] if expand > 1 else []
    layers += [normed(inner, inner, kernel, stride, inner, act), normed(inner, wide, 1)]
    body = nn.Sequential(*layers)
    return Residual(body, after=False) if stride == 1 and width == wide else body


def mobilenet_v2() -> nn.Module:
    """Sandler et al. 2018, table 2."""
    layers: list[nn.Module] = [normed(3, 32, 3, 2, act=relu6)]
    width = 32
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expand, wide, count, stride in rows:
        for block in range(count):
            layers.append(inverted(width, wide, 3, stride if not block else 1, expand, relu6))
            width = wide
    layers += [normed(width, 1280, 1, act=relu6), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Dropout(0.2), nn.Linear(1280, CLASSES))


def mnasnet() -> nn.Module:
    """MNASNet at width 1.0, as torchvision has it (Tan et al. 2019)."""
    layers: list[nn.Module] = [normed(3, 32, 3, 2, act=relu), normed(32, 32, 3, 1, 32, relu), normed(32, 16, 1)]
    width = 16
    rows = (
        (3, 24, 3, 2, 3),
        (3, 40, 3, 2, 5),
        (6, 80, 3, 2, 5),
        (6, 96, 2, 1, 3),
        (6, 192, 4, 2, 5),
        (6, 320, 1, 1, 3),
    )
    for expand, wide, count, stride, kernel in rows:
        for block in range(count):
            layers.append(inverted(width, wide, kernel, stride if not block else 1, expand, relu))
            width = wide
    layers += [normed(width, 1280, 1, act=relu), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Dropout(0.2), nn.Linear(1280, CLASSES))


class Squeezed(nn.Module):
    """Channels weighed by a glance at all of them (squeeze and excitation)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = functional.adaptive_avg_pool2d(x, 1)
        return torch.sigmoid(self.up(functional.silu(self.down(scale), inplace=True))) * x


def efficientnet_b0() -> nn.Module:
    """Tan and Le 2019, table 1; without stochastic depth, whose coin would change the graph from step to step."""
    layers: list[nn.Module] = [normed(3, 32, 3, 2, act=silu)]
    width = 32
    rows = (
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 40, 2, 2, 5),
        (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5),
        (6, 192, 4, 2, 5),
        (6, 320, 1, 1, 3),
    )
    for expand, wide, count, stride, kernel in rows:
        for block in range(count):
            step = stride if not block else 1
            inner = width * expand
            parts = [normed(width, inner, 1, act=silu)] if expand > 1 else []
            parts += [normed(inner, inner, kernel, step, inner, silu), nn.Sequential(Squeezed(inner, width // 4))]
            body = nn.Sequential(*parts, normed(inner, wide, 1))
            layers.append(Residual(body, after=False) if step == 1 and width == wide else body)
            width = wide
    layers += [normed(width, 1280, 1, act=silu), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Dropout(0.2), nn.Linear(1280, CLASSES))


class Parallel(nn.Module):
    """Branches side by side, their channels put together."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


def fire(width: int, squeeze: int, wide: int) -> nn.Module:
    """Squeeze, then expand by kernels of 1 and of 3 side by side (Iandola et al. 2016)."""
    one = nn.Sequential(nn.Conv2d(squeeze, wide, 1), nn.ReLU(True))
    three = nn.Sequential(nn.Conv2d(squeeze, wide, 3, padding=1), nn.ReLU(True))
    return nn.Sequential(nn.Conv2d(width, squeeze, 1), nn.ReLU(True), Parallel(one, three))


def squeezenet() -> nn.Module:
    """SqueezeNet 1.0."""

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    return nn.Sequential(
        nn.Conv2d(3, 96, 7, 2),
        nn.ReLU(True),
        pool(),
        fire(96, 16, 64),
        fire(128, 16, 64),
        fire(128, 32, 128),
        pool(),
        fire(256, 32, 128),
        fire(256, 48, 192),
        fire(384, 48, 192),
        fire(384, 64, 256),
        pool(),
        fire(512, 64, 256),
        nn.Dropout(),
        nn.Conv2d(512, CLASSES, 1),
        nn.ReLU(True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


INCEPTIONS = (
    (192, 64, 96, 128, 16, 32, 32),
    (256, 128, 128, 192, 32, 96, 64),
    (),
    (480, 192, 96, 208, 16, 48, 64),
    (512, 160, 112, 224, 24, 64, 64),
    (512, 128, 128, 256, 24, 64, 64),
    (512, 112, 144, 288, 32, 64, 64),
    (528, 256, 160, 320, 32, 128, 128),
    (),
    (832, 256, 160, 320, 32, 128, 128),
    (832, 384, 192, 384, 48, 128, 128),
)
"""Szegedy et al. 2015, table 1: channels in, then of each branch; () is a pooling."""


class GoogLeNet(nn.Module):
    """With both auxiliary classifiers, whose losses weigh 0.3 (section 5), and batch norm, as torchvision has it."""

    def __init__(self) -> None:
        super().__init__()
        pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.stem = nn.Sequential(
            normed(3, 64, 7, 2, act=relu), pool, normed(64, 64, 1, act=relu), normed(64, 192, 3, act=relu), pool
        )
        blocks = [self.inception(*row) if row else nn.MaxPool2d(3, 2, ceil_mode=True) for row in INCEPTIONS]
        self.first, self.second = nn.Sequential(*blocks[:4]), nn.Sequential(*blocks[4:7])
        self.third = nn.Sequential(*blocks[7:])
        self.helper, self.helper2 = self.auxiliary(512), self.auxiliary(528)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(1024, CLASSES))

    @staticmethod
    def inception(width: int, one: int, a: int, three: int, b: int, five: int, pooled: int) -> nn.Module:
        return Parallel(
            normed(width, one, 1, act=relu),
            nn.Sequential(normed(width, a, 1, act=relu), normed(a, three, 3, act=relu)),
            nn.Sequential(normed(width, b, 1, act=relu), normed(b, five, 3, act=relu)),
            nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), normed(width, pooled, 1, act=relu)),
        )

    @staticmethod
    def auxiliary(width: int) -> nn.Module:
        return nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            normed(width, 128, 1, act=relu),
            nn.Flatten(),
            nn.Linear(2048, 1024),
            nn.ReLU(True),
            nn.Dropout(0.7),
            nn.Linear(1024, CLASSES),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.first(self.stem(x))
        helped = self.helper(x)
        x = self.second(x)
        helped2 = self.helper2(x)
        return self.head(self.third(x)), helped, helped2


def normed3d(width: int, wide: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(width, wide, kernel, stride, kernel // 2, bias=False), nn.BatchNorm3d(wide))


def r3d_18() -> nn.Module:
    """ResNet-18 in three dimensions (Tran et al. 2018), 400 classes."""
    layers: list[nn.Module] = [
        nn.Conv3d(3, 64, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False),
        nn.BatchNorm3d(64),
        nn.ReLU(True),
    ]
    width = 64
    for stage in range(4):
        wide = 64 * 2**stage
        for block in range(2):
            stride = 2 if stage and not block else 1
            body = nn.Sequential(normed3d(width, wide, stride), nn.ReLU(True), normed3d(wide, wide))
            layers.append(Residual(body, normed3d(width, wide, stride, 1) if stride > 1 else None))
            width = wide
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(512, 400))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "alexnet": alexnet,
    "vgg11": lambda: vgg(11),
    "vgg16": lambda: vgg(16),
    "vgg19": lambda: vgg(19),
    "resnet18": lambda: resnet((2, 2, 2, 2), False),
    "resnet50": lambda: resnet((3, 4, 6, 3), True),
    "mobilenet_v2": mobilenet_v2,
    "efficientnet_b0": efficientnet_b0,
    "googlenet": GoogLeNet,
    "squeezenet": squeezenet,
    "mnasnet": mnasnet,
    "r3d_18": r3d_18,
}


def classified(model: nn.Module, batch: Sequence[Tensor]) -> Tensor:
    """Cross-entropy of the classes; that of auxiliary classifiers weighs 0.3."""
    pictures, classes = batch
    made = model(pictures)
    if isinstance(made, Tensor):
        return functional.cross_entropy(made, classes)
    main, *others = (functional.cross_entropy(one, classes) for one in made)
    return main + 0.3 * sum(others)


def sample(name: str, batch: int, size: int) -> Sample:
    """A network and a batch of pictures of `size` pixels a side, or of videos of 16 such pictures."""
    video = name == "r3d_18"
    side = size or (112 if video else 224)
    pictures = torch.randn(batch, 3, 16, side, side) if video else torch.randn(batch, 3, side, side)
    return Sample(MODELS[name](), (pictures, torch.randint(400 if video else CLASSES, (batch,))), classified)
