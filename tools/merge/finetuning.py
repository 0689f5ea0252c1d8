"""A mixture trained on texts of one's own: routers, LoRA or all weights, with the loss that balances experts (BTX)."""

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from models.config import Count, Index, NotNegative, Optimisation, config
from tasks.base.errors import UserError
from tasks.base.files import write_json
from tasks.learning.checkpoints import checkpoints
from tasks.mail.mailbox import Skipped
from tools.merge.checking import load_mixture
from tools.merge.merging import ABOUT, BESIDE
from tools.merge.texts import Held, held_windows, read_domains, split, stream, training_text

if TYPE_CHECKING:
    from torch import Tensor

    from models.moe import Routing

RATES = {"router": 1e-3, "lora": 2e-4, "all": 5e-5}
"""Peak learning rates by what is trained."""
RANK, SCALE = 8, 16
"""Of LoRA (Hu et al. 2022): its rank and alpha."""
MATRICES = ["q_proj", "k_proj", "v_proj", "o_proj"]
"""What LoRA is added to: the attention, which is the average of the experts' and so the part to be healed."""
SPARE = 64 << 20
MOST_NAMED = 5
CHECKPOINT, CHECKPOINT_SECONDS = "train.safetensors", 60.0

Tell = Callable[[str], None]


@config
class Finetuning:
    """What is trained, for how long and on windows of how many tokens; a rate of zero is the one of `RATES`."""

    trained: Literal["router", "lora", "all"]
    steps: Count
    batch: Count
    context: Count
    learning_rate: NotNegative
    balance: NotNegative
    windows: Count
    seed: Index


@dataclass(frozen=True)
class Finetuned:
    """Held-out bits per byte of each domain before and after, and the share of the gates that each expert has there."""

    before: dict[str, float]
    after: dict[str, float]
    gates: dict[str, list[float]]
    experts: list[str]
    parameters: int
    """Those that were trained."""


def finetune(mixture: Path, texts: Sequence[Path], out: Path, wanted: Finetuning, tell: Tell) -> Finetuned:
    """Train a mixture on the texts of some domains in equal shares and write it into the new folder `out`.

    Beside it `.NAME.training` holds the checkpoint of a training that was interrupted; it goes when `out` is there.

    Raises:
        UserError: the mixture or a text cannot be read, `out` is there already, or the training diverges.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoTokenizer

    if out.exists():
        raise UserError(f"{out} is there already: give another --out, or move it away.")
    model = load_mixture(mixture)
    if wanted.context > model.config.max_position_embeddings:
        raise UserError(
            f"{mixture} reads {model.config.max_position_embeddings} tokens at most: give a smaller --context."
        )
    tokenizer = AutoTokenizer.from_pretrained(mixture, local_files_only=True)
    skipped = Skipped()
    domains = {name: split(name, each, wanted.seed) for name, each in read_domains(texts, skipped).items()}
    for reason, names in sorted(skipped.names.items()):
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        tell(f"not read ({reason}): {', '.join(names[:MOST_NAMED])}{more}")
    held = {n: held_windows(aside, tokenizer, wanted.context, wanted.windows) for n, (_, aside) in domains.items()}
    streams = {name: stream(name, learned, tokenizer, wanted.context) for name, (learned, _) in domains.items()}

    work = out.with_name(f".{out.name}.training")
    try:
        work.mkdir(parents=True, exist_ok=True)
        _same_as_before(work, _digest(mixture, model, streams, held, wanted), out)
        _see_checkpoint(work)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model.to(device)
        before = _measured(work / "before.json", model, held, tell)
        torch.manual_seed(wanted.seed)
        tuned = prepared(model, wanted.trained)
        count = sum(weight.numel() for weight in tuned.parameters() if weight.requires_grad)
        tell(f"{count:,} weights learn, for {wanted.steps:,} steps")
        with checkpoints(work):
            learn(tuned, training_text(streams), wanted)
        model = tuned.merge_and_unload() if wanted.trained == "lora" else tuned
        round_to(model, stored_in(mixture))
        after, gates = measure(model, held)
        done = Finetuned(before, after, gates, _names(mixture, model), count)
        _save(model, mixture, out, done)
        shutil.rmtree(work)
    except (OSError, SafetensorError) as problem:
        raise UserError(
            f"{out} cannot be written ({' '.join(str(problem).split())}): make room, and the same command goes on "
            "where it stopped."
        ) from problem
    return done


def prepared(model: Any, trained: str) -> Any:
    """The model of which only what is to be trained has gradients."""
    if trained == "lora":
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(r=RANK, lora_alpha=SCALE, target_modules=MATRICES, lora_dropout=0.0, bias="none")
        model = get_peft_model(model, lora)
    for name, weight in model.named_parameters():
        weight.requires_grad = trained == "all" or name.endswith("mlp.gate.weight") or ".lora_" in name
    return model


def learn(model: Any, text: Any, wanted: Finetuning) -> None:
    """Train in place what has gradients, on all domains in equal shares; what is checkpointed is that alone."""
    from torch import nn

    from models.moe import balance_loss
    from models.transformer import next_token_loss
    from tasks.learning.lm import sampler
    from tasks.learning.train import train

    rate = wanted.learning_rate or RATES[wanted.trained]
    optimisation = Optimisation(
        steps=wanted.steps, batch=wanted.batch, learning_rate=rate, warmup=min(100, wanted.steps // 10),
        weight_decay=0.1 if wanted.trained == "all" else 0.0,
    )  # fmt: skip

    class Weights(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.ParameterList([weight for weight in model.parameters() if weight.requires_grad])

    def loss(_: Any, batch: "Tensor") -> "Tensor":
        with routings(model) as layers:
            logits = model(input_ids=batch[:, :-1], use_cache=False).logits
        total = next_token_loss(logits, batch[:, 1:])
        return total + wanted.balance * sum(balance_loss(each) for each in layers)

    model.train()
    train(
        Weights(),
        batch=sampler(text, dict.fromkeys(text.domains, 1.0), wanted.batch, wanted.context, ("merge", wanted.seed)),
        loss=loss,
        config=optimisation,
        tokens_per_step=wanted.batch * wanted.context,
        flops_per_step=0,
        checkpoint_seconds=CHECKPOINT_SECONDS,
    )
    model.eval()


@contextmanager
def routings(model: Any) -> "Iterator[list[Routing]]":
    """A list to which each forward within adds where every layer's router sent its tokens."""
    import torch
    from transformers.models.mixtral.modeling_mixtral import MixtralTopKRouter

    from models.moe import Routing

    found: list[Routing] = []

    def note(_: Any, __: Any, made: Any) -> None:
        logits, weights, chosen = made
        scores = logits.float()
        gates = torch.zeros_like(scores).scatter(1, chosen, weights.to(scores.dtype))
        found.append(Routing(gates, scores.softmax(-1)))

    hooks = [each.register_forward_hook(note) for each in model.modules() if isinstance(each, MixtralTopKRouter)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def measure(model: Any, held: Mapping[str, Held]) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Bits per byte of each domain's held-out windows, and the mean share of each expert in all layers' gates there."""
    import torch
    from torch import nn

    from tasks.learning.bits import bits_per_byte, log_probabilities

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, tokens: "Tensor") -> "Tensor":
            logits: Tensor = model(input_ids=tokens, use_cache=False).logits
            return logits

    bits, shares = {}, {}
    for name, each in held.items():
        with routings(model) as layers:
            logs = log_probabilities(Logits(), each.windows, batch=4)
        # A real target counts as one byte in these windows, so this is bits a target.
        count = int(each.windows.bytes.sum())
        bits[name] = bits_per_byte(logs, each.windows) * count / each.size
        shares[name] = torch.stack([layer.gates.mean(0) for layer in layers]).mean(0).tolist()
    return bits, shares


def stored_in(mixture: Path) -> Any:
    """The numbers in which the weights of a folder are stored, as torch knows them."""
    import torch
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(mixture, local_files_only=True).dtype or torch.float32


def round_to(model: Any, dtype: Any) -> None:
    """Round all weights to numbers of this kind, so that what is measured is what will be stored."""
    import torch

    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.to(dtype))


def _measured(path: Path, model: Any, held: Mapping[str, Held], tell: Tell) -> dict[str, float]:
    """What the mixture was before; a training that goes on has measured it already."""
    if not path.is_file():
        tell("what is held out is foretold by the mixture as it is")
        bits, _ = measure(model, held)
        if not all(map(math.isfinite, bits.values())):
            raise UserError(
                "The mixture's predictions are no numbers: see by tenfold merge check what is wrong with it."
            )
        write_json(path, bits)
    found: dict[str, float] = json.loads(path.read_text())
    return found


def _names(mixture: Path, model: Any) -> list[str]:
    about = mixture / ABOUT
    if about.is_file():
        return [str(name) for name in json.loads(about.read_text())["experts"]]
    return [str(number) for number in range(model.config.num_local_experts)]


def _digest(mixture: Path, model: Any, streams: Mapping[str, Any], held: Mapping[str, Held], wanted: Finetuning) -> str:
    """What makes a training the same: the mixture, the texts and the settings."""
    found = sha256(json.dumps([asdict(wanted), list(streams), str(mixture.resolve())]).encode())
    for name in streams:
        found.update(streams[name].tobytes())
        found.update(held[name].windows.inputs.numpy().tobytes())
    for layer in model.model.layers:
        found.update(layer.mlp.gate.weight.detach().numpy().tobytes())
    return found.hexdigest()


def _same_as_before(work: Path, digest: str, out: Path) -> None:
    """Note what is trained on, or refuse to go on with something else."""
    note = work / "training.txt"
    if note.is_file() and note.read_text() != digest:
        raise UserError(
            f"{work} holds a training of another mixture, other texts or settings: remove it, or give another --out "
            f"than {out}."
        )
    note.write_text(digest)


def _see_checkpoint(work: Path) -> None:
    """See that what an interrupted training left can be read."""
    from safetensors import SafetensorError, safe_open

    path = work / CHECKPOINT
    if path.is_file():
        try:
            safe_open(path, framework="pt")
        except SafetensorError as problem:
            raise UserError(f"{path} is damaged: remove {work}, and the training begins anew.") from problem


def _save(model: Any, mixture: Path, out: Path, done: Finetuned) -> None:
    """Write the model as `transformers` does, in the numbers that the mixture had, whole or not at all."""
    stored = stored_in(mixture)
    size = sum(weight.numel() for weight in model.parameters()) * stored.itemsize
    free = shutil.disk_usage(out.parent).free
    if free < size + SPARE:
        raise UserError(
            f"{out.parent} has {free >> 20:,} MB left, and the mixture takes {(size + SPARE) >> 20:,}: make room, and "
            "the same command goes on where it stopped."
        )
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        model.to(stored).save_pretrained(partial)
        for name in (*BESIDE, ABOUT):
            if (mixture / name).is_file():
                shutil.copy(mixture / name, partial / name)
        write_json(partial / "finetuning.json", asdict(done))
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
