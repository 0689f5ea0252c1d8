"""What is compared, by name: a runtime, the precision of its products, and a delay that was put in on purpose."""

from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bfloat16", "int8"]


@dataclass(frozen=True)
class Arm:
    """A runtime as it is timed.

    `delay_us` is how long each leaf module spins before it runs, in a hook that is there with 0, too, and not with
    None; `static` fixes the shapes of inputs beforehand; `threads` is how many it has where it has others than the
    rest; with `intel` MKL takes the kernels that it has for Intel's processors, whoever made this one.
    """

    runtime: str
    precision: Precision = "float32"
    delay_us: int | None = None
    static: bool = False
    threads: int | None = None
    intel: bool = False

    def threads_of(self, planned: int) -> int:
        """Its own, or those of the plan."""
        return self.threads or planned


DELAY_US = 200
"""A leaf's planted delay: the pilot lost 20 microseconds in the noise and found 200."""
LITTLE_US = 20
"""One whose sum over a small network is about what the framework takes."""

ARMS = {
    "eager": Arm("eager"),
    "torchscript": Arm("torchscript"),
    "compile": Arm("compile"),
    "aotinductor": Arm("aotinductor"),
    "onnxruntime": Arm("onnxruntime"),
    "openvino": Arm("openvino"),
    "jax": Arm("jax"),
    "eager, again": Arm("eager"),
    "eager, hooked": Arm("eager", delay_us=0),
    "eager, delayed": Arm("eager", delay_us=DELAY_US),
    "eager, little delayed": Arm("eager", delay_us=LITTLE_US),
    "eager, bfloat16": Arm("eager", precision="bfloat16"),
    "eager, int8": Arm("eager", precision="int8"),
    "eager, two threads": Arm("eager", threads=2),
    "eager, Intel's kernels": Arm("eager", intel=True),
    "onnxruntime, again": Arm("onnxruntime"),
    "openvino, static": Arm("openvino", static=True),
}

RUNTIMES = tuple(name for name in ARMS if "," not in name)

REFERENCE = "eager"
"""Whose inputs and outputs all others are held against."""

TOLERANCE = 1e-4
"""How far an output in float32 may be from the reference's, relative to the root of their mean square."""
LOW_TOLERANCE = 0.3
"""The same in fewer bits: products that are wrong are off by their own size."""

LEAST_WARM_UP = 3
"""Calls before any that counts, beside those that last until `settle` seconds have passed."""
