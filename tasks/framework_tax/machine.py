"""How busy others kept the machine, and by which kernels it computes: the means that timing papers share."""

from tasks.flashlight.clock import alone, kernels

__all__ = ["alone", "kernels"]
