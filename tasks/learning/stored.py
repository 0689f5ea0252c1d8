"""Language models as files: the weights, the architecture, and what training cost."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Mixture, Optimisation, Transformer
from tasks.base.files import write_json
from tasks.learning.logged import Loaded, say_model
from tasks.learning.tokens import Text
from tasks.learning.train import Training

if TYPE_CHECKING:
    from torch import Tensor

    from models.transformer import Decoder

EXAMPLE = 16
"""Tokens of an example."""


def save_model(model: "Decoder", optimisation: Optimisation | None, done: Training, out: Path) -> None:
    """Write model.safetensors, config.json (the architecture) and training.json (what it cost)."""
    from safetensors.torch import save_file

    from models.moe import expert_layers

    layers = expert_layers(model)
    mixture = {"experts": layers[0].router.out_features, "top_k": layers[0].top_k} if layers else None
    save_file({name: weight.contiguous() for name, weight in model.state_dict().items()}, out / "model.safetensors")
    write_json(out / "config.json", {"transformer": asdict(model.config), "mixture": mixture})
    write_json(
        out / "training.json",
        {
            "steps": done.steps,
            "tokens": done.tokens,
            "flops": done.flops,
            "learning_rate": optimisation.learning_rate if optimisation else 0.0,
            "ended": done.ended,
            "losses": done.losses,
            "validations": done.validations,
        },
    )


def say_final(model: "Decoder", text: Text) -> None:
    """Say that the saved model is a final one, with the beginning of a document as an example."""
    import torch

    tokens = text.streams[f"validation/{text.domains[0]}"][:EXAMPLE].astype("int64")
    say_model(__name__, model.cpu().eval(), {"tokens": torch.from_numpy(tokens)[None]})


def _load_pyfunc(path: str) -> Loaded:
    """The model as MLflow loads it: from token ids to the logits of the next one."""
    return Loaded(load_model(Path(path)).eval())


def load_architecture(folder: Path) -> tuple[Transformer, Mixture | None]:
    """The sizes of the model that `save_model` wrote; the second is None for a dense one."""
    settings: dict[str, Any] = json.loads((folder / "config.json").read_text())
    mixture = settings["mixture"]
    return Transformer(**settings["transformer"]), Mixture(**mixture) if mixture else None


def load_model(folder: Path) -> "Decoder":
    """The dense or mixture decoder that `save_model` wrote."""
    from models.moe import mixture_decoder
    from models.transformer import Decoder

    transformer, mixture = load_architecture(folder)
    model = mixture_decoder(transformer, mixture) if mixture else Decoder(transformer)
    model.load_state_dict(load_weights(folder))
    return model


def load_weights(folder: Path) -> "dict[str, Tensor]":
    """The weights that `save_model` wrote, by name."""
    from safetensors.torch import load_file

    weights: dict[str, Tensor] = load_file(folder / "model.safetensors")
    return weights
