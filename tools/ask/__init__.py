"""Answers from one's own mail and the public encyclopedia, and what of the question left the machine (ConcurrentQA)."""

from tools.ask.cli import ask as command

__all__ = ["command"]
