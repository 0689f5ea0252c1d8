"""When each word of a transcript is said in a recording of any length (TorchAudio 2.1)."""

from tools.align.cli import align as command

__all__ = ["command"]
