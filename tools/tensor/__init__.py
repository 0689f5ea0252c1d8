"""One's own backend or memory manager for the tensor library, tried and timed (Flashlight)."""

from tools.tensor.cli import tensor as command

__all__ = ["command"]
