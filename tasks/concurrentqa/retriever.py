"""The trained retriever as a file."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.retrieval.mdr import Retriever


def save_retriever(retriever: "Retriever", folder: Path) -> None:
    """Write retriever.safetensors."""
    from safetensors.torch import save_file

    save_file(dict(retriever.state_dict()), folder / "retriever.safetensors")


def load_retriever(folder: Path) -> "Retriever":
    """Read what `save_retriever` wrote, without dropout."""
    from safetensors.torch import load_file

    from models.retrieval.mdr import Retriever

    state = load_file(folder / "retriever.safetensors")
    hidden, width = state["first.layers.0.weight"].shape
    retriever = Retriever(width, hidden, temperature=1.0)
    retriever.load_state_dict(state)
    return retriever.eval()
