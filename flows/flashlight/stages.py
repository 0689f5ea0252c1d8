"""The stages in the order of the experiment: what holds for certain, memory, and then what is against the clock."""

from flows.engine.paper import Profiles, Stage
from tasks.flashlight import (
    allocating,
    conforming,
    footprint,
    fusing,
    reducing,
    speed,
    swapping,
    walking,
)

# Networks as they are run: name, batch, width (of the first convolution, or of tokens).
SMALL = ("mlp-16-64", "alexnet-2-8", "vgg16-2-8", "resnet50-2-8", "bert-2-32", "asr-2-32", "vit-2-32")
TRAINED = (
    "mlp-256-1024",
    "alexnet-32-32",
    "vgg16-16-32",
    "resnet50-16-16",
    "bert-16-256",
    "asr-16-128",
    "vit-16-256",
)
TIMED = (
    "mlp-128-1024",
    "alexnet-16-32",
    "vgg16-8-32",
    "resnet50-8-16",
    "asr-8-256",
    "vit-8-512",
    "bert-8-512",
)

PEERS = ("torch.compile", "JAX")
COMPILED = ("mlp-128-1024", "alexnet-16-32", "vit-8-512", "bert-8-512")

# 1. One primitive is swapped.
swapped = Stage(swapping.swap, config=swapping.Swapping(networks=SMALL))

# 2. Every backend against torch, and against finite differences.
conformed = Stage(
    conforming.conform,
    config=Profiles(
        quick=conforming.Conforming(every=90, places=3),
        cpu=conforming.Conforming(),
        gpu=conforming.Conforming(backends=("numpy", "counting", "cupy")),
    ),
)

# 3. What real trainings ask of their memory, under every manager.
FEW = ("mlp-64-256", "alexnet-4-16", "bert-4-64", "vit-4-64")
allocated = Stage(
    allocating.allocate, config=allocating.Allocating(), each={"network": Profiles(FEW, TRAINED, TRAINED)}
)
managed = Stage(allocating.summarise, inputs={"allocated": allocated}, config=allocating.Summary())

# 4. What putting off saves.
fused = Stage(
    fusing.fuse,
    config=Profiles(
        quick=fusing.Fusing(networks=("mlp-64-512",)),
        cpu=fusing.Fusing(networks=TIMED, values=1_000_000),
        gpu=fusing.Fusing(networks=TIMED, values=1_000_000),
    ),
)

# 5. Against the clock: sizes and imports, deep graphs, rings of processes, passes and single operations.
counted = Stage(
    footprint.count,
    config=Profiles(
        quick=footprint.Counting(repetitions=1),
        cpu=footprint.Counting(repetitions=9),
        gpu=footprint.Counting(repetitions=9),
    ),
    kind="measure",
)
walked = Stage(
    walking.walk,
    config=Profiles(
        quick=walking.Walking(nodes=10_000, steps=20),
        cpu=walking.Walking(),
        gpu=walking.Walking(),
    ),
    kind="measure",
)
reduced = Stage(
    reducing.reduce,
    config=Profiles(
        quick=reducing.Reducing(processes=(2,), repetitions=8),
        cpu=reducing.Reducing(repetitions=20),
        gpu=reducing.Reducing(repetitions=20),
    ),
    kind="measure",
)
compared = Stage(
    speed.compare,
    config=Profiles(
        quick=speed.Speed(
            networks=("mlp-32-256", "alexnet-2-8", "vgg16-2-8", "resnet50-2-8", "vit-2-64", "bert-2-64"),
            peers=PEERS,
            lengths=(100, 1_000_000),
            repetitions=8,
            calls=200,
        ),
        cpu=speed.Speed(networks=TIMED, peers=PEERS, compiled=COMPILED),
        gpu=speed.Speed(networks=TIMED, peers=PEERS, compiled=COMPILED),
    ),
    kind="measure",
)
