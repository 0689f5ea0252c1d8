"""How little memory a training step of one's own needs, in which order and at which addresses (OLLA)."""

from tools.plan_memory.cli import plan_memory as command

__all__ = ["command"]
