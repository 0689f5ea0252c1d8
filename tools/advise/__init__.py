"""Which strategy to train with on a cluster of one's own (hardware scaling)."""

from tools.advise.cli import advise as command

__all__ = ["command"]
