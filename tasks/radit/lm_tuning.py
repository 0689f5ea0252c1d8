"""The language model's step: it learns to answer with passages as they are found, good and bad ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from models.config import Count, Index, Optimisation, config
from tasks.base.errors import UserError
from tasks.encyclopedia.passages import read_passages
from tasks.radit.examples import Example, read_examples
from tasks.radit.language_models import load_model
from tasks.radit.passages import shown
from tasks.radit.prompts import END, prompt
from tasks.radit.retrieval import read_found

if TYPE_CHECKING:
    from torch import Tensor

    from models.radit.instruction import Instance

Reads = Literal["nothing", "retrieved", "gold"]

AT_ONCE = {"cpu": 384, "cuda": 16_384}
"""Tokens of a batch that are run together."""

ARMS: dict[str, tuple[Reads, int]] = {
    "IT": ("nothing", 1),
    "RA-IT": ("retrieved", 3),
    "RA-IT with one passage": ("retrieved", 1),
    "IT with own passages": ("gold", 1),
}
"""What each arm reads, and in how many instances of an example (k̃). Steps and batches are the same in all."""


@config
class Adapter:
    """LoRA (Hu et al. 2022): rank, scale, and the matrices of the layers from `first_layer` on that it is added to."""

    rank: Count = 8
    alpha: Count = 16
    matrices: tuple[str, ...] = ("q_proj", "v_proj", "o_proj")
    first_layer: Index = 12


@config
class ModelTuning:
    """How the language model is tuned, as the arm `arm`.

    The arm says what it reads (`ARMS`): the first passages retrieved for each example, each an instance of its own;
    nothing, as in plain instruction tuning; or the passage that the example was made from.
    """

    seed: Index = 0
    arm: str = "RA-IT"
    words: Count = 60
    adapter: Adapter = Adapter()
    optimisation: Optimisation

    def __post_init__(self) -> None:
        if self.arm not in ARMS:
            raise ValueError(f"{self.arm} is none of {', '.join(ARMS)}")


def tune_model(*, corpus: Path, tasks: Path, retrieved: Path, model: Path, config: ModelTuning, out: Path) -> None:
    """Write an adapter that `peft` loads on top of the model."""
    import torch

    lm, words = load_model(model)
    torch.manual_seed(config.seed)
    passages = read_passages(corpus / "passages.parquet")
    found = read_found(retrieved)["minilm"]
    examples = read_examples(tasks, "train")

    def learned(example: Example) -> "list[Instance]":
        from models.radit.instruction import instances

        read, times = ARMS[config.arm]
        places = {
            "nothing": (),
            "retrieved": found[example.id].places[:times],
            "gold": tuple(place for place, passage in enumerate(passages) if passage.id in example.gold),
        }[read]
        texts = [prompt(example.asked, shown(passages[place], config.words)) for place in places]
        texts = texts or [prompt(example.asked)]
        return instances(words.prompts(texts), [*words.answer(example.answers[0]), *words.tokens(END)])

    tuned = adapted(lm, config.adapter)
    learn(tuned, [each for example in examples for each in learned(example)], config.optimisation, config.seed)
    tuned.save_pretrained(str(out))
    _settle(out / "adapter_config.json")
    (out / "README.md").unlink(missing_ok=True)


def adapted(model: Any, adapter: Adapter) -> Any:
    """The model with a fresh adapter, the only part that is trained."""
    from peft import LoraConfig, get_peft_model
    from torch import nn

    matrices = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and name.rpartition(".")[2] in adapter.matrices
        and _layer(name) >= adapter.first_layer
    ]
    if not matrices:
        raise UserError(f"The language model has no matrix called {' or '.join(adapter.matrices)}: name its own.")
    wanted = LoraConfig(
        r=adapter.rank, lora_alpha=adapter.alpha, target_modules=matrices, lora_dropout=0.0, bias="none"
    )
    return get_peft_model(model, wanted)


def learn(model: Any, instances: "Sequence[Instance]", optimisation: Optimisation, seed: int) -> None:
    """Train the adapter in place on the answers of the instances, in an order that the seed draws."""
    import numpy as np
    from torch import nn

    from models.radit.instruction import answer_loss
    from tasks.learning.train import train

    class Weights(nn.Module):
        """The adapter's weights alone: what is checkpointed, since the model itself does not change."""

        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.ParameterList([weight for weight in model.parameters() if weight.requires_grad])

    size = min(optimisation.batch, len(instances))
    per_epoch = len(instances) // size
    inner = model.get_base_model()

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


def _layer(name: str) -> int:
    """The number of the layer that a module is in, -1 for none."""
    numbers = [part for part in name.split(".") if part.isdigit()]
    return int(numbers[0]) if numbers else -1


def _settle(path: Path) -> None:
    """Leave out of peft's own note where the base model lay, and the order of a set, which differs by process."""
    import json

    said = json.loads(path.read_text(encoding="utf-8"))
    said |= {"base_model_name_or_path": "", "target_modules": sorted(said["target_modules"])}
    path.write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")
