"""Claims about passes, steps and calls beside torch's, rings of processes, and what putting off saves."""

from typing import Any

from flows.engine.paper import Claim, Measurement, NotTested, all_of, greater, less
from flows.flashlight.stages import compared, fused, reduced

TRIALS = "short trials beside others' work, while the library was written"
SINGLE: dict[str, Any] = {"paired": ""}


def passes(network: str, backend: str) -> Measurement:
    """Seconds forward and backward, over torch's."""
    return compared["passes_ratio"].where(network=network, backend=backend)


def steps(network: str, backend: str) -> Measurement:
    """Seconds with the update, over torch's."""
    return compared["step_ratio"].where(network=network, backend=backend)


TIMED = [
    # 6. Speed
    Claim(
        "competitive-in-most-networks",
        says="On most of the paper's six networks, in small, passes take no longer than torch's on our better backend",
        source="Table 3: seconds for 100 passes forward and backward",
        evidence="WEB",
        paper_value="competitive or best in most cells, on V100s; cells from memory",
        whose="paper, direction only",
        test=greater(compared["not_slower"].where(over="the paper's networks"), 0.5, **SINGLE),
        expected="does not hold at this scale",
        seen="with the update 0.9 for bert, 1.0 for vit, 1.2 to 2 for the others, in " + TRIALS,
    ),
    Claim(
        "wide-layers-ahead",
        says="A step of three layers of 1,024 is faster than torch's, on the lazy backend",
        source="our goal",
        evidence="MEM-H",
        paper_value="not in its table",
        whose="ours",
        test=less(steps("mlp", "lazy"), 1.0, paired="turn"),
        expected="does not hold at this scale",
        seen="0.8 at width 512 against an Adam of torch's that is not fused, in " + TRIALS,
    ),
    Claim(
        "wide-transformers-ahead",
        says="Steps of both transformers of width 512, BERT's and ViT's, are faster than torch's, on the lazy backend",
        source="our goal",
        evidence="MEM-H",
        paper_value="BERT-like, close to PyTorch",
        whose="ours",
        test=all_of(less(steps(name, "lazy"), 1.0, paired="turn") for name in ("bert", "vit")),
        expected="does not hold at this scale",
        seen="0.91 and 1.0 against an Adam of torch's that is not fused, in " + TRIALS,
    ),
    Claim(
        "convolutions-keep-up",
        says="Passes of the three convolutional networks take no longer than torch's in its better layout, on the lazy "
        "backend",
        source="our goal; the paper's networks run on cuDNN",
        evidence="MEM-H",
        paper_value="close to PyTorch",
        whose="ours",
        test=all_of(less(passes(name, "lazy"), 1.0, paired="turn") for name in ("alexnet", "vgg16", "resnet50")),
        expected="does not hold at this scale",
        seen="1.1 to 2.7, in " + TRIALS + "; at cpu 1.5 to 2.1 with Winograd's tiles, which were then taken out",
    ),
    Claim(
        "dispatch-is-light",
        says="Operations on four values take at most 0.6 of torch's time, on average over seven of them",
        source="our goal",
        evidence="MEM-H",
        paper_value="low overhead",
        whose="ours",
        test=less(compared["call_ratio"].where(arm="operations"), 0.6, paired="turn", margin_of="ours"),
        expected="does not hold at this scale",
        seen="0.75 for a sum and 0.8 for a product, in " + TRIALS,
    ),
    Claim(
        "table-3-on-gpus",
        says="100 passes of the six networks at their size, on one and on eight GPUs, take no longer than PyTorch's",
        source="Table 3",
        evidence="WEB",
        paper_value="cells from memory",
        whose="paper, with a number",
        test=NotTested("The networks are small, and no GPU was at hand for the backend on CuPy."),
        expected="not tested",
    ),
    # 7. Processes
    Claim(
        "rings-give-the-whole-batch",
        says="Gradients of all rings are those of the whole batch to 1e-6",
        source="our sheet; the interface of its distributed package",
        evidence="SRC",
        paper_value="not printed",
        whose="ours",
        test=less(reduced["gradient_error"].where(over="all rings"), 1e-6, **SINGLE),
        expected="holds",
        seen="gradients of another network, in a test",
    ),
    Claim(
        "rings-send-what-the-formula-says",
        says="Bytes sent by each process are 2 (n - 1) / n of the gradients'",
        source="Patarasuk and Yuan 2009",
        evidence="MEM-H",
        paper_value="not printed",
        whose="foregone",
        test=less(reduced["bytes_error"].where(over="all rings"), 1e-9, **SINGLE),
        expected="holds",
        seen="bytes of another network, in a test",
    ),
    Claim(
        "buckets-save-time",
        says="With 25 small layers, two processes over sockets are faster with buckets and overlap than with a "
        "reduction for each weight",
        source="the released code's coalescing reducer",
        evidence="SRC",
        paper_value="not printed",
        whose="paper, direction only",
        test=less(reduced["bucket_ratio"].where(ring="sockets"), 1.0, paired="turn"),
        expected="holds",
    ),
    # 8. Putting off
    Claim(
        "fewer-kernels",
        says="Ten operations in a chain run in at least half as few kernels, and half of the bytes are never made",
        source="our sheet; the paper's lazy backend is ArrayFire's",
        evidence="MEM-H",
        paper_value="not verified",
        whose="foregone",
        test=all_of(
            [
                greater(fused["fewer_launches"].where(chain="ten products and sums"), 2.0, **SINGLE),
                greater(fused["less_made"].where(chain="ten products and sums"), 0.5, **SINGLE),
            ]
        ),
        expected="holds",
        seen="one kernel and one array, in a test",
    ),
    Claim(
        "the-same-results",
        says="Losses and gradients of the lazy backend are numpy's to a ten-thousandth of the largest value",
        source="our sheet",
        evidence="MEM-H",
        paper_value="not printed",
        whose="foregone",
        test=less(fused["apart"].where(over="chains and networks"), 1e-4, **SINGLE),
        expected="holds",
        seen="losses of bert, in a test; at cpu 0.09 on ResNet-50, whose batch normalisation made much of the "
        "rounding of Winograd's convolutions, which were then taken out",
    ),
    Claim(
        "long-chains-are-fast",
        says="Ten operations on a million values take at most 0.3 of torch eager's time, on the lazy backend",
        source="our goal",
        evidence="MEM-H",
        paper_value="not printed",
        whose="ours",
        test=less(
            compared["chain_ratio"].where(values="1000000", backend="lazy"), 0.3, paired="turn", margin_of="ours"
        ),
        expected="holds",
        seen="0.09, in " + TRIALS,
    ),
]
