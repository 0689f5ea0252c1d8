"""The stages in the order of the experiment: what runtimes read is built once, then all that is against the clock."""

from typing import Any

from flows.engine.paper import Handle, Profiles, Source, Stage
from tasks.framework_tax import building, counting, curves, measuring, points, summary, taxing
from tasks.framework_tax.measuring import Measuring, Part

ALL = ("torchscript", "compile", "aotinductor", "onnxruntime", "openvino", "jax")
THREE = ("torchscript", "onnxruntime")
ORDER = ("eager", "torchscript", "onnxruntime")

ZOO = (
    "bert-tiny",
    "bert-mini",
    "distilbert-like",
    "squeezebert-like",
    "gpt2-like",
    "minilm",
    "resnet18",
    "mobilenet_v2",
    "efficientnet-lite0",
    "wav2vec2-like",
    "lstm-256-2",
    "encoder-64-4",
)
PACKAGED = {"minilm": Source("minilm"), "efficientnet-lite0": Source("efficientnet-lite0")}
TRAINED: Profiles[Handle] = Profiles({}, PACKAGED, PACKAGED)

# 1. The paper's regimes, fitted to its published curves.
fitted = Stage(curves.fit_curves, inputs={"curves": Source("framework-tax-curves")}, config=curves.Curves())

# 2. What runtimes read, made once.
built = Stage(
    building.build,
    inputs={"trained": TRAINED},
    config=Profiles(
        quick=building.Building(networks="", runtimes=THREE),
        cpu=building.Building(networks="", runtimes=ALL),
        gpu=building.Building(networks="", runtimes=ALL),
    ),
    each={"networks": Profiles(("few",), (*ZOO, "templates"), (*ZOO, "templates"))},
    kind="measure",
)
# 3. Operations, which need no clock.
counted = Stage(
    counting.count_operations,
    inputs={"trained": TRAINED},
    config=Profiles(
        quick=counting.Counting(networks="few encoder-16-4 encoder-256-4 encoder-512-4"),
        cpu=counting.Counting(networks=" ".join((*ZOO, "templates"))),
        gpu=counting.Counting(networks=" ".join((*ZOO, "templates"))),
    ),
)

# 4. Every network on every runtime at every batch: a stage a network, alone on the machine.
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
BRIEF: dict[str, Any] = {"blocks": 8, "settle": 0.02, "least": 0.005}
measured = Stage(
    measuring.measure_latency,
    inputs={"built": built, "trained": TRAINED},
    config=Profiles(
        quick=Measuring(parts=(Part(networks="encoder-64-4 conv-32-4", arms=ORDER, batches=(1, 4, 16, 64)),), **BRIEF),
        cpu=Measuring(parts=(Part(networks="", arms=("eager", *ALL), batches=BATCHES),), blocks=10, most=20),
        gpu=Measuring(parts=(Part(networks="", arms=("eager", *ALL), batches=BATCHES),), blocks=10, most=20),
    ),
    each={"networks": Profiles(("few",), ZOO, ZOO)},
    kind="measure",
)

# 5. Templates of the paper over widths and depths, fewer bits, and controls.
SMALL = points.SMALL
PLANTED = ("eager", "eager, again", "eager, hooked", "eager, delayed")
AGAIN = tuple(f"encoder-64-4, batch {batch}" for batch in SMALL)
"""Where eager is timed in two processes, at every profile."""
PROBES = (
    Part(networks="widths", arms=ORDER, batches=(1,)),
    Part(networks="ffn-4096-4", arms=("eager",), batches=(1,)),
    Part(networks="depths", arms=ORDER, batches=(1,)),
    Part(networks="lengths", arms=ORDER, batches=(1,)),
    Part(networks="encoder-512-4", arms=("eager", "onnxruntime"), batches=(64,)),
    Part(networks="encoder-512-4", arms=("eager", "openvino", "openvino, static"), batches=(1, 4)),
    Part(networks="encoder-64-4 conv-64-4", arms=(*PLANTED, "eager, little delayed"), batches=SMALL),
    Part(networks="encoder-64-4 conv-64-4", arms=("eager", "onnxruntime", "onnxruntime, again"), batches=SMALL),
    Part(networks="encoder-256-4", arms=("eager", "eager, int8", "eager, bfloat16"), batches=SMALL),
    Part(networks="encoder-256-4 conv-64-4", arms=("eager", "eager, two threads"), batches=(1, 32, 64)),
    Part(networks="encoder-512-4", arms=("eager", "eager, Intel's kernels"), batches=(1, 64)),
)
QUICK_PROBES = (
    Part(networks="encoder-16-4 encoder-256-4 encoder-512-4 depths", arms=("eager",), batches=(1,)),
    Part(networks="encoder-64-4", arms=("eager", "onnxruntime"), batches=(1,)),
    Part(networks="encoder-64-4", arms=PLANTED, batches=SMALL),
)
probed = Stage(
    measuring.measure_latency,
    inputs={"built": built, "trained": TRAINED},
    config=Profiles(
        quick=Measuring(parts=QUICK_PROBES, **BRIEF),
        cpu=Measuring(parts=PROBES),
        gpu=Measuring(parts=PROBES),
    ),
    each={"networks": Profiles(("few",), ("templates",), ("templates",))},
    kind="measure",
)

# 6. The framework's share, by two methods and a third.
TAXED = (
    "encoder-64-4",
    "bert-tiny",
    "bert-mini",
    "distilbert-like",
    "gpt2-like",
    "minilm",
    "resnet18",
    "mobilenet_v2",
    "lstm-256-2",
)
taxed = Stage(
    taxing.tax,
    inputs={"trained": TRAINED},
    config=Profiles(
        quick=taxing.Taxing(
            networks="", batches=(1, 4, 16), blocks=3, calls=5, rounds=2, kernel=0.0005, settle=0.02, least=0.005
        ),
        cpu=taxing.Taxing(networks="", blocks=5),
        gpu=taxing.Taxing(networks="", blocks=5),
    ),
    each={"networks": Profiles(("encoder-64-4",), TAXED, TAXED)},
    kind="measure",
)
SHAPES = Profiles[tuple[str, ...]]((), ("widths ffn-4096-4",), ("widths ffn-4096-4",))
"""Templates over widths, for a figure on which no claim rests: quick has none."""
width_taxed = Stage(
    taxing.tax,
    inputs={"trained": TRAINED},
    config=taxing.Taxing(networks="", batches=(1,), fitted=False, blocks=3),
    each={"networks": SHAPES},
    kind="measure",
)

# 7. What all of it says together.
summed = Stage(
    summary.summarise,
    inputs={"measured": measured, "probed": probed, "taxed": taxed, "counted": counted},
    config=summary.Summary(),
)
