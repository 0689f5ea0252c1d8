"""Captions for one's own pictures: each alt-text re-aligned with what its picture shows (Altogether)."""

from tools.caption.cli import caption as command

__all__ = ["command"]
