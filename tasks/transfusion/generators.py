"""Training a generator by its lessons, at a rate of its own or at that which was chosen for its family."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from models.config import Count, Fraction, Index, NotNegative, Optimisation, Positive, Transformer, config
from models.transfusion.settings import Process, Sizes
from tasks.base import spool
from tasks.base.errors import UserError
from tasks.base.files import write_json
from tasks.learning.logged import Loaded, say_model
from tasks.learning.train import Training, train
from tasks.transfusion.arms import ARMS, Arm
from tasks.transfusion.images import Images, read_images
from tasks.transfusion.lessons import Lessons, Shown, as_read, longest_caption
from tasks.transfusion.passed import read_passed
from tasks.transfusion.texts import read_tokens

if TYPE_CHECKING:
    from torch import Tensor

    from models.transfusion.model import Transfusion

FILE, CONFIG, VALIDATION = "model.safetensors", "config.json", "validation.json"
VALIDATED = 40
"""Batches of a validation: as many images, 1,280, as are more than the split has, each with noise of its own."""


@config
class Generator:
    """How the generator of an arm is built and trained; `arm` says what is special to it (`ARMS`).

    A step reads `optimisation.batch` images with captions, and `texts` windows of `context` ids of text. In the share
    `caption_first` of the former the caption comes first (section 4.1), and of those the share `dropped` has no
    caption, for guidance. `budget` multiplies the steps and the warm-up, and a `rate` other than 0 takes the place of
    the optimisation's.
    """

    seed: Index = 0
    arm: str = "linear"
    width: Count = 64
    layers: Count = 4
    heads: Count = 4
    feed_forward: Count = 176
    inner: Count = 24
    texts: Count = 16
    context: Count = 24
    caption_first: Fraction = 0.8
    dropped: Fraction = 0.1
    budget: Positive = 1.0
    rate: NotNegative = 0.0
    optimisation: Optimisation

    def __post_init__(self) -> None:
        if self.arm not in ARMS:
            raise ValueError(f"{self.arm} is none of {', '.join(ARMS)}")

    @property
    def settings(self) -> Arm:
        """What is special to the arm."""
        return ARMS[self.arm]

    @property
    def budgeted(self) -> Optimisation:
        """The optimisation at the rate, with the steps of the budget."""
        given = self.optimisation
        steps, warmup = (round(self.budget * each) for each in (given.steps, given.warmup))
        return replace(given, steps=max(1, steps), warmup=warmup, learning_rate=self.rate or given.learning_rate)


def train_generator(*, images: Path, texts: Path, gate: Path, config: Generator, out: Path) -> None:
    """Train an arm on pixels, and write model.safetensors, config.json (sizes, and how it noises) and training.json.

    At the learning rate that was chosen for the arm's family on validation images.

    Raises:
        UserError: the gate says that models trained so draw nothing of their prompts, so that none is trained.
    """
    _train(images, texts, {}, at_rate(config, gate), out)


def train_twin(
    *, images: Path, texts: Path, autoencoders: dict[str, Path], gate: Path, config: Generator, out: Path
) -> None:
    """The same for an arm that reads an autoencoder's latents or codes."""
    _train(images, texts, autoencoders, at_rate(config, gate), out)


def rehearse(*, images: Path, texts: Path, autoencoders: dict[str, Path], config: Generator, out: Path) -> None:
    """Train an arm at a rate of its own, and write validation.json: its loss on what is held out for choices."""
    import torch

    known, model, shown = _train(images, texts, autoencoders, config, out)
    lessons = Lessons(known, shown, texts, config, model.sizes, "validation")
    with torch.inference_mode():
        losses = [lessons.losses(model, lessons.batch(step)) for step in range(VALIDATED)]
    text = sum(float(each) for each, _ in losses) / VALIDATED
    image = sum(float(each) for _, each in losses if each is not None) / VALIDATED
    found = {"loss": text + lessons.arm.weight * image, "text": text, "image": image}
    write_json(out / "validation.json", found)
    spool.table("validation", [{"arm": config.arm, "rate": config.budgeted.learning_rate, **found}])


def at_rate(config: Generator, gate: Path) -> Generator:
    """The settings with the rate that was chosen for the arm's family, if the gate lets it be trained at all."""
    passed = read_passed(gate)
    if passed.stop:
        raise UserError(passed.stop)
    return replace(config, rate=passed.rates[config.settings.family])


def _train(
    images: Path, texts: Path, autoencoders: dict[str, Path], config: Generator, out: Path
) -> "tuple[Images, Transfusion, Shown]":
    import torch

    known = read_images(images)
    shown = as_read(known, config.settings, autoencoders)
    model, done = learn(known, shown, texts, config)
    save_generator(model, config, out)
    about = {
        "arm": config.arm,
        "seed": config.seed,
        "budget": config.budget,
        "rate": config.budgeted.learning_rate,
        "steps": done.steps,
        "tokens": done.tokens,
        "flops": done.flops,
        "losses": done.losses,
    }
    write_json(out / "training.json", about)
    say_model(__name__, _speaks(model), {"tokens": torch.arange(8)[None]})
    return known, model, shown


def learn(images: Images, shown: Shown, texts: Path, config: Generator) -> "tuple[Transfusion, Training]":
    """Train a generator on the training images of these, as shown, and on the training texts."""
    import torch

    from models.transfusion.model import Transfusion

    sizes = sizes_of(shown, len(read_tokens(texts)["token_bytes"]), longest_caption(images, texts), config)
    lessons = Lessons(images, shown, texts, config, sizes)
    torch.manual_seed(config.seed)
    model = Transfusion(sizes)
    # 6 operations a parameter and position, as the paper counts (6ND). Look-ups are none, but where a token is
    # foretold the embedding is a matrix like any other.
    parameters = sum(each.numel() for name, each in model.named_parameters() if "embedding" not in name)
    head = model.trunk.embedding.weight.numel()
    read, foretelling = lessons.positions
    done = train(
        model,
        batch=lessons.batch,
        loss=lambda trained, drawn: lessons.loss(model, drawn, trained),
        config=config.budgeted,
        tokens_per_step=read,
        flops_per_step=6 * (parameters * read + head * foretelling),
    )
    return model.cpu().eval(), done


def sizes_of(shown: Shown, text: int, caption: int, config: Generator) -> Sizes:
    """The model's sizes, for `text` ids and captions of at most so many."""
    arm = config.settings
    channels, side = shown.values.shape[1:3]
    patches = (side // arm.patch) ** 2
    return Sizes(
        transformer=Transformer(
            vocabulary=text + 3 + shown.count,
            width=config.width,
            layers=config.layers,
            heads=config.heads,
            feed_forward=config.feed_forward,
            context=max(config.context, patches + 2 * caption + 8),
        ),
        text=text,
        codes=shown.count,
        channels=channels,
        side=side,
        patch=arm.patch,
        adapter=arm.adapter,
        attention=arm.attention,
        inner=config.inner,
    )


def save_generator(model: "Transfusion", config: Generator, out: Path) -> None:
    """Write the weights, all of them in one file, and the sizes, with the arm and how it noises."""
    from safetensors.torch import save_file

    save_file({name: weight.contiguous() for name, weight in model.state_dict().items()}, out / FILE)
    about = {"sizes": asdict(model.sizes), "process": config.settings.process, "arm": config.arm}
    write_json(out / CONFIG, about)


def load_generator(folder: Path) -> "tuple[Transfusion, Process]":
    """The generator that was written to the folder, ready to use, and how it noises."""
    from safetensors.torch import load_file

    from models.transfusion.model import Transfusion

    about = json.loads((folder / CONFIG).read_text())
    sizes = about["sizes"]
    model = Transfusion(Sizes(**{**sizes, "transformer": Transformer(**sizes["transformer"])}))
    model.load_state_dict(load_file(folder / FILE))
    process: Process = about["process"]
    return model.eval().requires_grad_(False), process


def arm_of(folder: Path) -> str:
    """The arm of the generator that was written to the folder."""
    arm: str = json.loads((folder / CONFIG).read_text())["arm"]
    return arm


def _speaks(model: "Transfusion") -> "Callable[..., Tensor]":
    """The model from token ids of text to the logits of the next one."""

    def logits(tokens: "Tensor") -> "Tensor":
        import torch

        from models.transfusion.rows import NOTHING, Rows

        nowhere = torch.full_like(tokens, NOTHING)
        sizes = model.sizes
        none = torch.zeros(0, sizes.channels, sizes.side, sizes.side)
        return model.logits(model(Rows(tokens, nowhere, nowhere, nowhere[:, 0]), none, tokens[:0, 0]).hidden)

    return logits


def _load_pyfunc(path: str) -> Loaded:
    """The model as MLflow loads it: from token ids of text to the logits of the next one."""
    return Loaded(_speaks(load_generator(Path(path))[0]))
