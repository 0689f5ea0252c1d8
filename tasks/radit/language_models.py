"""The language model as a folder in Hugging Face's layout: as it came, and with an adapter of `peft`."""

from pathlib import Path
from typing import Any, Literal

from models.config import config
from tasks.base.errors import UserError
from tasks.radit.prompts import Words

Precision = Literal["bfloat16", "float32"]


@config
class Conversion:
    """In which numbers the weights are stored and computed with."""

    precision: Precision = "bfloat16"


def convert_model(*, smollm2: Path, config: Conversion, out: Path) -> None:
    """Write the one GGUF file of `smollm2` as model.safetensors with its tokenizer, in Hugging Face's layout."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    files = sorted(smollm2.glob("*.gguf"))
    if len(files) != 1:
        raise UserError(f"{smollm2} has {len(files)} .gguf files: point the source at a folder with exactly one.")
    logging.disable_progress_bar()
    name = files[0].name
    model: Any = AutoModelForCausalLM.from_pretrained(
        smollm2, gguf_file=name, local_files_only=True, dtype=torch.float32
    )
    # `transformers` writes no model that came from a GGUF file, though its weights are plain numbers by now.
    state = {name: weight.to(getattr(torch, config.precision)).contiguous() for name, weight in _own(model).items()}
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    model.config.dtype = config.precision
    del model.config.quantization_config
    model.config.save_pretrained(out)
    AutoTokenizer.from_pretrained(smollm2, gguf_file=name, local_files_only=True).save_pretrained(out)


def _own(model: Any) -> dict[str, Any]:
    """The model's weights without a matrix that is the embedding once more."""
    state: dict[str, Any] = model.state_dict()
    tied = model.config.tie_word_embeddings
    return {name: weight for name, weight in state.items() if not (tied and name == "lm_head.weight")}


def load_model(folder: Path, adapter: Path | None = None) -> tuple[Any, Words]:
    """The model of a folder and its words, with the adapter in the folder `adapter` merged into the weights.

    Raises:
        UserError: the folder has no model of `transformers`; the sentence says what it lacks.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise UserError(
            f"{folder} has no config.json with *.safetensors: give a folder with a causal language model in Hugging "
            "Face's layout."
        )
    logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype="auto")
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    return model.eval().to(device), Words(AutoTokenizer.from_pretrained(folder, local_files_only=True))


def digest(model: Any) -> str:
    """A hash of all weights: the same as long as not one bit changes."""
    from hashlib import sha256

    import torch

    found = sha256()
    for name, weight in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy())
    return found.hexdigest()
