"""A model of one's own that draws and reads pictures, trained on a folder of them with their texts (Transfusion)."""

from tools.transfusion.cli import app as command

__all__ = ["command"]
