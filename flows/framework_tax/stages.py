"""The stages in the order of the experiment: what runtimes read is built once, then all that is against the clock."""

from flows.engine.paper import Handle, Profiles, Source, Stage, profiles
from tasks.framework_tax import building, counting, curves, measuring, summary, taxing
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
GROUPS = Profiles(("encoder-64-4 conv-32-4",), ZOO, ZOO)
"""Networks that are built and timed together."""
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
    each={"networks": GROUPS},
    kind="measure",
)
WIDTHS = {
    "encoder": (16, 32, 64, 128, 256, 512),
    "attention": (16, 64, 256),
    "ffn": (1, 16, 64, 256, 1024),
    "conv": (1, 16, 64, 256),
    "norm": (1, 16, 64, 256, 1024, 4096),
}
WIDENED = " ".join(f"{kind}-{width}-4" for kind, widths in WIDTHS.items() for width in widths)
DEPTHS = "ffn-64-16 ffn-256-1"
PROBED = Profiles(
    quick=f"encoder-16-4 encoder-64-4 encoder-256-4 encoder-512-4 {DEPTHS}",
    cpu=f"{WIDENED} {DEPTHS}",
    gpu=f"{WIDENED} {DEPTHS}",
)
probes_built = Stage(
    building.build,
    inputs={"trained": TRAINED},
    config=profiles(lambda profile: building.Building(networks=PROBED.at(profile), runtimes=THREE)),
    kind="measure",
)

# 3. Operations, which need no clock.
counted = Stage(
    counting.count_operations,
    inputs={"trained": TRAINED},
    config=profiles(
        lambda profile: counting.Counting(
            networks=" ".join(dict.fromkeys(f"{' '.join(GROUPS.at(profile))} {PROBED.at(profile)}".split()))
        )
    ),
)

# 4. Every network on every runtime at every batch: a stage a network, alone on the machine.
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
measured = Stage(
    measuring.measure_latency,
    inputs={"built": built, "trained": TRAINED},
    config=Profiles(
        quick=Measuring(parts=(Part(networks="", arms=ORDER, batches=(1, 4, 16, 64)),), blocks=8, settle=0.05),
        cpu=Measuring(parts=(Part(networks="", arms=("eager", *ALL), batches=BATCHES),)),
        gpu=Measuring(parts=(Part(networks="", arms=("eager", *ALL), batches=BATCHES),)),
    ),
    each={"networks": GROUPS},
    kind="measure",
)

# 5. Templates of the paper over widths and depths, fewer bits, and controls.
SMALL = summary.SMALL
PLANTED = ("eager", "eager, again", "eager, delayed")
PROBES = (
    Part(networks=WIDENED, arms=ORDER, batches=(1,)),
    Part(networks="ffn-4096-4", arms=("eager",), batches=(1,)),
    Part(networks=DEPTHS, arms=ORDER, batches=(1,)),
    Part(networks="encoder-512-4", arms=("eager", "onnxruntime"), batches=(64,)),
    Part(networks="encoder-512-4", arms=("eager", "openvino", "openvino, static"), batches=(1, 4)),
    Part(networks="encoder-64-4 conv-64-4", arms=PLANTED, batches=SMALL),
    Part(networks="encoder-256-4", arms=("eager", "eager, int8", "eager, bfloat16"), batches=SMALL),
)
QUICK_PROBES = (
    Part(networks="encoder-16-4 encoder-64-4 encoder-256-4 encoder-512-4", arms=("eager", "onnxruntime"), batches=(1,)),
    Part(networks=DEPTHS, arms=ORDER, batches=(1,)),
    Part(networks="encoder-64-4", arms=PLANTED, batches=SMALL),
)
probed = Stage(
    measuring.measure_latency,
    inputs={"built": probes_built, "trained": TRAINED},
    config=Profiles(
        quick=Measuring(parts=QUICK_PROBES, blocks=8, settle=0.05),
        cpu=Measuring(parts=PROBES),
        gpu=Measuring(parts=PROBES),
    ),
    kind="measure",
)

# 6. One thread and two, by the wall clock.
LARGE = (1, 32, 64)
threaded = Stage(
    measuring.measure_latency,
    inputs={"built": probes_built, "trained": TRAINED},
    config=Profiles(
        quick=Measuring(parts=(Part(networks="encoder-64-4", arms=("eager",), batches=LARGE),), blocks=8, settle=0.05),
        cpu=Measuring(parts=(Part(networks="encoder-256-4 conv-64-4", arms=("eager",), batches=LARGE),)),
        gpu=Measuring(parts=(Part(networks="encoder-256-4 conv-64-4", arms=("eager",), batches=LARGE),)),
    ),
    each={"threads": (1, 2)},
    kind="measure",
)

# 7. The framework's share, by two methods and a third.
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
        quick=taxing.Taxing(networks="encoder-64-4", batches=(1, 4, 16), blocks=8, calls=10),
        cpu=taxing.Taxing(networks="", batches=(1, 2, 4, 8, 16, 64)),
        gpu=taxing.Taxing(networks="", batches=(1, 2, 4, 8, 16, 64)),
    ),
    each={"networks": Profiles(("encoder-64-4",), TAXED, TAXED)},
    kind="measure",
)
width_taxed = Stage(
    taxing.tax,
    inputs={"trained": TRAINED},
    config=Profiles(
        quick=taxing.Taxing(networks="encoder-16-4 encoder-256-4", batches=(1,), fitted=False, blocks=8, calls=10),
        cpu=taxing.Taxing(networks=f"{WIDENED} ffn-4096-4", batches=(1,), fitted=False),
        gpu=taxing.Taxing(networks=f"{WIDENED} ffn-4096-4", batches=(1,), fitted=False),
    ),
    kind="measure",
)

# 8. What all of it says together.
summed = Stage(
    summary.summarise,
    inputs={"measured": measured, "probed": probed, "threaded": threaded, "taxed": taxed, "counted": counted},
    config=summary.Summary(),
)
