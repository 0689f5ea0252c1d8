"""One's own documents: indexed, a retriever tuned on them by a language model, and questions answered (RA-DIT)."""

from tools.rag.cli import app as command

__all__ = ["command"]
