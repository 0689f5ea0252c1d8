"""Settings of the method, importable without torch."""

from typing import Literal

Direction = Literal["retriever to model", "model to retriever"]
"""Which distribution the KL divergence takes its mean under: the retriever's, as in the paper, or the model's."""
