"""Low-rank adapters (LoRA, Hu et al. 2022) by which a language model learns what to say after a prompt."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Index, Optimisation, config
from tasks.base.errors import UserError
from tasks.language.smollm2 import END, SmolLM2
from tasks.learning.train import train

if TYPE_CHECKING:
    from torch import Tensor

AT_ONCE = {"cpu": 1536, "cuda": 16_384}
"""Tokens of a batch that are run together."""


@config
class Adapter:
    """Rank and scale, and the matrices of the layers from `first_layer` on that it is added to."""

    rank: Count = 8
    alpha: Count = 16
    matrices: tuple[str, ...] = ("q_proj", "v_proj", "o_proj")
    first_layer: Index = 12


def teach(
    lm: SmolLM2,
    examples: Sequence[tuple[str, str]],
    adapter: Adapter,
    optimisation: Optimisation,
    seed: int,
    out: Path,
) -> None:
    """Train an adapter on what to say after which prompt (equal weight to each token of what is said), and write it.

    The order of the examples is drawn by the seed.
    """
    import numpy as np
    import torch
    from peft import LoraConfig, get_peft_model
    from torch import nn

    from models.radit.instruction import Instance, answer_loss

    def tokens(text: str) -> tuple[int, ...]:
        return tuple(lm.tokenizer(text, add_special_tokens=False)["input_ids"])

    torch.manual_seed(seed)
    matrices = _named(lm.model, adapter)
    wanted = LoraConfig(
        r=adapter.rank, lora_alpha=adapter.alpha, target_modules=matrices, lora_dropout=0.0, bias="none"
    )
    tuned = get_peft_model(lm.model, wanted)
    inner: Any = tuned.get_base_model()
    instances = [Instance(tokens(prompt), tokens(f" {answer}{END}")) for prompt, answer in examples]
    size = min(optimisation.batch, len(instances))
    per_epoch = len(instances) // size

    class Weights(nn.Module):
        """The adapter's weights alone: what is checkpointed, since the model itself does not change."""

        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.ParameterList([weight for weight in tuned.parameters() if weight.requires_grad])

    def batch(step: int) -> list[int]:
        order = np.random.default_rng((seed, step // per_epoch)).permutation(len(instances))
        return [int(row) for row in order[(step % per_epoch) * size :][:size]]

    def loss(_: Any, rows: list[int]) -> "Tensor":
        return answer_loss(inner, [instances[row] for row in rows], AT_ONCE[inner.device.type])

    mean = sum(len(each.prompt) + len(each.answer) for each in instances) / len(instances)
    train(
        Weights(), batch=batch, loss=loss, config=optimisation, tokens_per_step=round(size * mean), flops_per_step=0,
        checkpoint_seconds=30.0,
    )  # fmt: skip
    tuned.save_pretrained(str(out))
    (out / "README.md").unlink(missing_ok=True)
    # Without where the base model lay, and with the set's order made one, which differs by process.
    path = out / "adapter_config.json"
    said = json.loads(path.read_text(encoding="utf-8"))
    said |= {"base_model_name_or_path": "", "target_modules": sorted(said["target_modules"])}
    path.write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")


def _named(model: Any, adapter: Adapter) -> list[str]:
    """The names of the matrices that get an adapter."""
    from torch import nn

    found = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and name.rpartition(".")[2] in adapter.matrices
        and _layer(name) >= adapter.first_layer
    ]
    if not found:
        raise UserError(f"The language model has no matrix called {' or '.join(adapter.matrices)}: name its own.")
    return found


def _layer(name: str) -> int:
    """The number of the layer that a module is in, -1 for none."""
    numbers = [part for part in name.split(".") if part.isdigit()]
    return int(numbers[0]) if numbers else -1
