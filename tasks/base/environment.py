"""What a stage's bytes may depend on besides code, settings and inputs: Python, the device, the instructions in use.

The versions of the libraries are in the manifest of the code that imports them.
"""

import os
import platform
from pathlib import Path

from models.config import config
from tasks.base.files import write_json
from tasks.base.instructions import allowed


@config
class Environment:
    """The part of the machine to describe; `hardware` for stages that measure time."""

    hardware: bool = False


def describe(*, config: Environment, out: Path) -> None:
    """Write `environment.json`, in which no machine name, path or time stands."""
    write_json(out / "environment.json", environment(config.hardware))


def environment(hardware: bool = False) -> dict[str, str]:
    """Python's version, the class of device, the level of instructions; with `hardware` what processor and GPU are."""
    found = {
        "python": platform.python_version(),
        "device": device_class(),
        "instructions": allowed(processor_model(), hardware),
    }
    if hardware:
        found |= {"processor": processor_model(), "gpu": gpu_model()}
    return found


def device_class() -> str:
    """`cuda` where an NVIDIA driver is loaded, else `cpu`; read without importing torch."""
    return "cuda" if Path("/proc/driver/nvidia/version").exists() else "cpu"


def processor_model() -> str:
    """The processor's model as the kernel names it, and how many cores this process may use."""
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    cores = len(os.sched_getaffinity(0))
    return f"{names[0] if names else platform.machine()} × {cores}"


def gpu_model() -> str:
    """The models of the GPUs as the NVIDIA driver names them, or "none"."""
    models = [
        line.split(":", 1)[1].strip()
        for card in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        for line in card.read_text().splitlines()
        if line.startswith("Model:")
    ]
    return ", ".join(models) or "none"
