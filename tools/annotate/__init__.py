"""Re-aligning alt-texts to their pictures in rounds, by people (Altogether, section 3)."""

from tools.annotate.cli import annotate as command

__all__ = ["command"]
