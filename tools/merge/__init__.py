"""Checkpoints of one architecture merged into a mixture of experts, and the mixture finetuned (Branch-Train-MiX)."""

from tools.merge.cli import app as command

__all__ = ["command"]
