"""Training a generator: captions and images in one sequence, in either order, beside text alone (section 4.1)."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Fraction, Index, Optimisation, Positive, Transformer, config
from models.transfusion.settings import TIMES, Process, Sizes
from tasks.base.errors import UserError
from tasks.base.files import write_json
from tasks.learning.logged import Loaded, say_model
from tasks.learning.train import Training, train
from tasks.transfusion.arms import ARMS, Arm
from tasks.transfusion.autoencoders import CODEBOOK, CONTINUOUS, encoded, load_autoencoder
from tasks.transfusion.images import Images, read_images
from tasks.transfusion.texts import read_tokenizer, read_tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from models.transfusion.model import Transfusion
    from models.transfusion.rows import Rows

FILE, CONFIG = "model.safetensors", "config.json"


@config
class Generator:
    """How the generator of an arm is built and trained; `arm` says what is special to it (`ARMS`).

    A step reads `optimisation.batch` images with captions, and `texts` windows of `context` ids of text. In the share
    `caption_first` of the former the caption comes first (section 4.1), and of those the share `dropped` has no
    caption, for guidance. `budget` multiplies the steps and the warm-up.
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
        """The optimisation with the steps of the budget."""
        shared = {name: value for name, value in asdict(self.optimisation).items() if name not in ("steps", "warmup")}
        steps, warmup = (round(self.budget * each) for each in (self.optimisation.steps, self.optimisation.warmup))
        return Optimisation(steps=max(1, steps), warmup=warmup, **shared)


@dataclass(frozen=True)
class Shown:
    """Images as a generator gets them: `values` (n, channels, side, side), or `codes` (n, places) of a codebook."""

    values: "Tensor"
    codes: "Tensor"
    count: int = 0
    """Codes that there are; 0 where images are values."""


@dataclass(frozen=True)
class Captions:
    """Captions as rows: `rows[kind][n]` are numbers of rows with the n-th caption, by order; `empty` has none."""

    table: "Rows"
    first: "NDArray[np.int64]"
    """(kinds, captions): the row in which this caption comes before its image."""
    after: "NDArray[np.int64]"
    empty: int


def train_generator(*, images: Path, texts: Path, config: Generator, out: Path) -> None:
    """Train an arm on pixels, and write model.safetensors, config.json (sizes, and how it noises) and training.json.

    All arms of a seed draw the same images, captions, orders, times and texts at each step.
    """
    _train(images, texts, {}, config, out)


def train_twin(*, images: Path, texts: Path, autoencoders: dict[str, Path], config: Generator, out: Path) -> None:
    """The same for an arm that reads an autoencoder's latents or codes."""
    _train(images, texts, autoencoders, config, out)


def _train(images: Path, texts: Path, autoencoders: dict[str, Path], config: Generator, out: Path) -> None:
    import torch

    known = read_images(images)
    model, done = learn(known, as_read(known, config.settings, autoencoders), texts, config)
    save_generator(model, config, out)
    about = {"steps": done.steps, "tokens": done.tokens, "flops": done.flops, "losses": done.losses}
    write_json(out / "training.json", about)
    say_model(__name__, _speaks(model), {"tokens": torch.arange(8)[None]})


def as_read(images: Images, arm: Arm, autoencoders: dict[str, Path]) -> Shown:
    """All images as the arm reads them.

    Raises:
        UserError: the arm reads latents or codes, and there is no such autoencoder.
    """
    import numpy as np
    import torch

    every = np.arange(len(images.pixels))
    if arm.reads in ("pixels", "nothing"):
        return Shown(images.scaled(every), torch.zeros(len(every), 0, dtype=torch.long))
    model = load_autoencoder(autoencoder_of(arm, autoencoders))
    latents, codes = encoded(model, images, every)
    return Shown(latents, codes, model.sizes.codes)


def autoencoder_of(arm: Arm, autoencoders: dict[str, Path]) -> Path:
    """Where the arm's autoencoder lies."""
    kind = CODEBOOK if arm.reads == "codes" else CONTINUOUS
    if kind not in autoencoders:
        raise UserError(f"There is no {kind} autoencoder: give one.")
    return autoencoders[kind]


def learn(images: Images, shown: Shown, texts: Path, config: Generator) -> "tuple[Transfusion, Training]":
    """Train a generator on the training images of these, as shown, and on the training texts."""
    import numpy as np
    import torch

    from models.transfusion.model import Transfusion, image_loss, text_loss
    from models.transfusion.noising import noising
    from models.transfusion.rows import NOTHING, Rows, with_codes

    arm, optimisation = config.settings, config.budgeted
    tokens = read_tokens(texts)
    sizes = sizes_of(shown, len(tokens["token_bytes"]), longest_caption(images, texts), config)
    captions = caption_rows(images, texts, sizes)
    stream = tokens["train"].astype(np.int64)
    if len(stream) <= config.context:
        raise UserError(f"There are {len(stream)} ids of text, and a window has {config.context}: give more text.")
    learned = images.of("train")
    kinds = images.kind[learned]
    if arm.shuffled:
        kinds = np.random.default_rng(config.seed).permutation(kinds)
    way = noising(arm.process)
    count = optimisation.batch

    def batch(step: int) -> "dict[str, Any]":
        drawn = np.random.default_rng((config.seed, step))
        chosen = drawn.integers(len(learned), size=count)
        which, order, dropped, time = (drawn.random(count) for _ in range(4))
        starts = drawn.integers(len(stream) - config.context, size=config.texts)
        window = torch.from_numpy(stream[starts[:, None] + np.arange(config.context + 1)])
        text = Rows(
            window[:, :-1],
            window[:, 1:],
            torch.full_like(window[:, 1:], NOTHING),
            torch.full((len(window),), NOTHING),
        )
        if arm.reads == "nothing":
            return {"text": text}
        said = (which * captions.first.shape[1]).astype(np.int64)
        before = order < config.caption_first
        rows = np.where(before, captions.first[kinds[chosen], said], captions.after[kinds[chosen], said])
        rows = np.where(before & (dropped < config.dropped), captions.empty, rows)
        # An image before its caption is noised up to the cap, uniformly, any other up to T.
        moment = 1 + (time * np.where(before, TIMES, arm.cap)).astype(np.int64)
        seen = captions.table.take(torch.from_numpy(rows))
        numbers = torch.from_numpy(learned[chosen])
        if shown.count:
            return {"text": text, "rows": with_codes(seen, shown.codes[numbers], sizes.vocabulary)}
        values = shown.values[numbers]
        noise = torch.from_numpy(drawn.standard_normal(values.shape, np.float32))
        return {
            "text": text,
            "rows": seen,
            "noised": way.mixed(values, noise, torch.from_numpy(moment)),
            "time": torch.from_numpy(moment),
            "target": way.target(values, noise),
        }

    def loss(trained: Any, read: "dict[str, Any]") -> "Tensor":
        none = shown.values[:0].to(read["text"].tokens.device)
        now = read["text"].tokens[:0, 0]
        hidden, targets = [trained(read["text"], none, now).hidden.flatten(0, 1)], [read["text"].targets.flatten()]
        weighed: Tensor | float = 0.0
        if "rows" in read:
            with_image = trained(read["rows"], read.get("noised", none), read.get("time", now))
            hidden.append(with_image.hidden.flatten(0, 1))
            targets.append(read["rows"].targets.flatten())
            if "noised" in read:
                weighed = arm.weight * image_loss(with_image.foretold, read["target"])
        return text_loss(model, torch.cat(hidden), torch.cat(targets)) + weighed

    torch.manual_seed(config.seed)
    model = Transfusion(sizes)
    positions = foretelling = config.texts * config.context
    if arm.reads != "nothing":
        positions += count * captions.table.tokens.shape[1]
        asked = (captions.table.targets != NOTHING).sum(1).float().mean() + shown.codes.shape[1]
        foretelling += round(count * float(asked))
    # 6 operations a parameter and position, as the paper counts (6ND). Look-ups are none, but where a token is
    # foretold the embedding is a matrix like any other.
    parameters = sum(each.numel() for name, each in model.named_parameters() if "embedding" not in name)
    head = model.trunk.embedding.weight.numel()
    done = train(
        model,
        batch=batch,
        loss=loss,
        config=optimisation,
        tokens_per_step=positions,
        flops_per_step=6 * (parameters * positions + head * foretelling),
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


def longest_caption(images: Images, texts: Path) -> int:
    """Ids of the longest caption."""
    tokenizer = read_tokenizer(texts)
    return max(len(tokenizer.encode(caption).ids) for captions in images.captions for caption in captions)


def caption_rows(images: Images, texts: Path, sizes: Sizes) -> Captions:
    """Every caption before an image and after one, as rows."""
    import numpy as np

    from models.transfusion.rows import Patches, write_rows

    tokenizer = read_tokenizer(texts)
    image = Patches(sizes.patches)
    documents: list[list[Any]] = [[image]]
    first, after = [], []
    most = max(map(len, images.captions))
    for captions in images.captions:
        ids = [tokenizer.encode(caption).ids for caption in captions]
        ids = [ids[turn % len(ids)] for turn in range(most)]
        first.append(range(len(documents), len(documents) + most))
        after.append(range(len(documents) + most, len(documents) + 2 * most))
        documents += [[each, image] for each in ids] + [[image, each] for each in ids]
    length = 3 + sizes.patches + max(len(each) for document in documents for each in document if each is not image)
    table = write_rows(documents, sizes.vocabulary, length)
    return Captions(table, np.array(first, np.int64), np.array(after, np.int64), 0)


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
