"""Where the inference time of a model of one's own goes, by runtime and batch (Framework tax)."""

from tools.latency.cli import latency as command

__all__ = ["command"]
