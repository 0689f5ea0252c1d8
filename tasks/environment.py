"""What a stage's bytes may depend on besides code, settings and inputs: versions and device class."""

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from models.config import config

LIBRARIES = ("torch", "numpy", "scipy", "datasets", "tokenizers", "safetensors", "accelerate")


@config
class Environment:
    """The part of the machine to describe; `processor` for stages that measure time."""

    processor: bool = False


def describe(*, config: Environment, out: Path) -> None:
    """Write `environment.json`: the versions and the device class (no machine name, path or time)."""
    text = json.dumps(environment(config.processor), indent=1, sort_keys=True)
    (out / "environment.json").write_text(text + "\n")


def environment(processor: bool = False) -> dict[str, Any]:
    """Versions of Python and of the numerical libraries, and the class of device in use."""
    found: dict[str, Any] = {"python": platform.python_version(), "device": device_class()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "absent"
    if processor:
        found["processor"] = processor_model()
    return found


def device_class() -> str:
    """`cuda` where an NVIDIA driver is loaded, else `cpu`; read without importing torch."""
    return "cuda" if Path("/proc/driver/nvidia/version").exists() else "cpu"


def processor_model() -> str:
    """The processor's model as the kernel names it, and how many cores this process may use."""
    import os

    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    cores = len(os.sched_getaffinity(0))
    return f"{names[0] if names else platform.machine()} × {cores}"
