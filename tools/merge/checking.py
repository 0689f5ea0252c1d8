"""Whether a merged folder computes what Branch-Train-MiX says: `transformers` against our own implementation."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError
from tools.merge.checkpoints import opened_file
from tools.merge.recipe import Recipe
from tools.merge.sources import Sources
from tools.merge.texts import beginning

if TYPE_CHECKING:
    from torch import Tensor

CLOSE = 1e-4
"""The largest difference of two logits that is rounding."""
LONGEST = 128
"""Tokens of the text that are compared."""


def furthest(recipe: Recipe, sources: Sources, mixture: Path, text: str) -> float:
    """The largest difference between a folder's logits and those of the checkpoints merged by the paper's code.

    All checkpoints are in memory here, and both sides compute in float32, from weights rounded as they are stored.

    Raises:
        UserError: our own implementation has no such architecture, or the folder no such mixture.
    """
    import torch
    from transformers import AutoTokenizer

    model = load_mixture(mixture)
    tokenizer = AutoTokenizer.from_pretrained(mixture, local_files_only=True)
    ids = torch.tensor([[beginning(tokenizer), *tokenizer(text, add_special_tokens=False)["input_ids"]][:LONGEST]])
    with torch.inference_mode():
        theirs = model(input_ids=ids).logits
    gates = [layer.mlp.gate.weight.clone() for layer in model.model.layers]
    del model  # the checkpoints take as much memory again, and more
    ours = own_mixture(recipe, sources, gates, ids.shape[1])
    with torch.inference_mode():
        return float((theirs - ours(ids)).abs().max())


def load_mixture(folder: Path) -> Any:
    """A mixture in Mixtral's layout, in float32.

    Raises:
        UserError: the folder has none, or is damaged.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} has no config.json: give a folder that tenfold merge wrote.")
    logging.disable_progress_bar()
    try:
        kind = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
    except (OSError, ValueError) as problem:
        raise UserError(f"{folder / 'config.json'} cannot be read ({' '.join(str(problem).split())}).") from problem
    if kind != "mixtral":
        raise UserError(f"{folder} is a model of the type {kind}: give a folder that tenfold merge wrote.")
    for path in sorted(folder.glob("*.safetensors")):
        with opened_file(path):
            pass
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError) as problem:
        raise UserError(f"{folder} cannot be loaded ({' '.join(str(problem).split())}): merge it again.") from problem
    return model.eval()


def own_mixture(recipe: Recipe, sources: Sources, gates: "list[Tensor]", context: int) -> Any:
    """The same checkpoints merged in memory by `models.moe`, with these gates."""
    import torch

    from models.config import Transformer
    from models.mixtral import Rotary, mixtral

    config = sources.first.config
    head = config.head_dim or config.hidden_size // config.num_attention_heads
    kind = config.rope_parameters.get("rope_type", "default")
    if head * config.num_attention_heads != config.hidden_size or kind != "default" or head % 2:
        raise UserError(
            "Our own implementation has no heads of another width and no scaled rotations: nothing to compare."
        )
    sizes = Transformer(
        vocabulary=config.vocab_size, width=config.hidden_size, layers=config.num_hidden_layers,
        heads=config.num_attention_heads, feed_forward=config.intermediate_size, context=context,
        tied_embeddings=config.tie_word_embeddings,
    )  # fmt: skip
    rotary = Rotary(
        key_value_heads=config.num_key_value_heads,
        base=float(config.rope_parameters["rope_theta"]),
        epsilon=config.rms_norm_eps,
    )

    def states() -> "Iterator[dict[str, Tensor]]":
        for expert in sources.experts:
            rest = expert if recipe.rest == "average" else sources.first
            own = {name: expert if ".mlp." in name else rest for name in expert.files}
            yield {name: torch.cat(list(each.pieces(name))) for name, each in own.items()}

    model = mixtral(states(), gates, sizes, rotary, recipe.experts_per_token)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.to(getattr(torch, sources.dtype)))
    return model.eval()
