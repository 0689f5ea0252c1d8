"""Training of the captioner, and writing with it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from models.config import Count, Fraction, Index, Optimisation, Positive, config
from models.config import field as config_field
from tasks.altogether.captioner.dual import CAPTIONS, half_of, load_dual, picture_vectors, written_alts
from tasks.altogether.captioner.encoder import Features, read_features
from tasks.altogether.captioner.stored import (
    Sizes,
    Writer,
    load_writer,
    new_writer,
    pretrained_writer,
    save_writer,
    say_final,
)
from tasks.altogether.captioner.subwords import Subwords, as_caption, left_padded
from tasks.altogether.records import PRETRAINING, Record, read_records
from tasks.altogether.texts.attributes import words as split_words
from tasks.altogether.texts.renaming import renamed
from tasks.base.errors import UserError
from tasks.base.files import write_json
from tasks.language.lora import Adapter
from tasks.language.smollm2 import Precision
from tasks.learning.train import train

if TYPE_CHECKING:
    from torch import Tensor

    from models.captioner import Pictures

CHOSEN = "chosen.json"
"""What was chosen on validation concepts, by arm: `steps`, and how it writes (`temperature`, `top_p`, `ends`)."""

Arm = Literal["full", "text-only", "pretrained"]

DROPPED: dict[str, tuple[float, float]] = {"full": (0.5, 0.15), "text-only": (0.0, 1.0), "pretrained": (0.5, 0.15)}
"""How often an arm's training drops the alt-text, half of the time as in the paper, and how often the picture, so that
writing from the alt-text alone is trained too."""


@config
class Training:
    """Training of a captioner; `steps` is how long where nothing was chosen.

    `renamed` is how often the names that alt-text and target share are replaced in both, where there is one. `half`
    takes only the training concepts of one half, 0 or 1; -1 takes all.
    """

    seed: Index
    arm: Arm = "full"
    steps: Count = 400
    batch: Count = 64
    learning_rate: Positive = 3e-3
    warmup: Index = 50
    renamed: Fraction = 0.5
    half: int = -1
    sizes: Sizes = config_field(default_factory=Sizes)


@config
class Adapting:
    """Training of the mapping and of an adapter (LoRA) on a pretrained decoder, whose own weights stay as they are."""

    seed: Index
    steps: Count = 240
    batch: Count = 32
    learning_rate: Positive = 1e-3
    warmup: Index = 20
    adapter: Adapter = Adapter(rank=16, alpha=32, first_layer=0)
    precision: Precision = "bfloat16"
    sizes: Sizes = config_field(default_factory=Sizes)


@config
class Writing:
    """Sampling of captions, by default with the paper's temperature and nucleus.

    `ends` is added to what speaks for the end of a caption: below 0 it makes captions longer.
    """

    seed: Index
    temperature: Positive = 0.2
    top_p: Fraction = 0.7
    ends: float = 0.0
    batch: Count = 256
    half: int = -1


def pretrain(
    *, features: Path, levels: Path, titled: Path, subwords: Path, dual: Path, config: Training, out: Path
) -> None:
    """Train on pictures with alt-texts alone, clip art with its titles among them; write the captioner.

    As in the paper the longest alt-text of a picture is the target and another one, or none, the condition; where there
    is one alt-text, none.
    """
    import torch

    seen = Seen.load(features, dual)
    written = written_alts(
        [record for path in (levels / "train.json", titled / f"{PRETRAINING}.json") for record in read_records(path)],
        config.half,
    )
    pairs = []
    for path, records in sorted(written.items()):
        longest = max(records, key=lambda record: (len(record.alt), record.alt))
        others = [record.alt for record in records if record is not longest] or [""]
        pairs += [Pair(path, alt, longest.alt, longest.alt) for alt in others]
    torch.manual_seed(config.seed)
    writer = new_writer(subwords, *seen.sizes, config.sizes)
    _fit_scales(writer, seen, pairs)
    _fit(writer, seen, pairs, config, config.steps)
    save_writer(writer, out)


def rehearse(*, features: Path, levels: Path, dual: Path, pretrained: Path, config: Training, out: Path) -> None:
    """Train the pre-trained captioner for `steps` towards the training records; write the captioner.

    How long later captioners train, and how they write, is chosen by what comes of several of these.
    """
    writer = load_writer(pretrained)
    writer.model.requires_grad_(True)
    _fit(writer, Seen.load(features, dual), _training(levels, config.half), config, config.steps)
    save_writer(writer, out)


def tune(
    *, features: Path, levels: Path, dual: Path, pretrained: Path, chosen: Path, config: Training, out: Path
) -> None:
    """The same for as many steps as were chosen for the arm; the captioner is a final one."""
    seen = Seen.load(features, dual)
    writer = load_writer(pretrained)
    writer.model.requires_grad_(True)
    _fit(writer, seen, _training(levels, config.half), config, read_chosen(chosen)[config.arm]["steps"])
    save_writer(writer, out)
    _say_final(writer, seen, levels)


def adapt(*, features: Path, levels: Path, dual: Path, language: Path, config: Adapting, out: Path) -> None:
    """Put the mapping in front of a pretrained language model and train it with an adapter; write the captioner.

    The adapter is merged into the weights. Names are not replaced in its training: it can copy what it never met.
    """
    import torch

    from tasks.language.lora import adapted, trained_alone

    torch.manual_seed(config.seed)
    seen, pairs = Seen.load(features, dual), _training(levels)
    writer = pretrained_writer(language, *seen.sizes, config.sizes, config.precision)
    _fit_scales(writer, seen, pairs)
    model: Any = writer.model.to("cuda" if torch.cuda.is_available() else "cpu")
    model.decoder = adapted(model.decoder, config.adapter)
    training = Training(
        seed=config.seed,
        arm="pretrained",
        batch=config.batch,
        learning_rate=config.learning_rate,
        warmup=config.warmup,
        renamed=0.0,
    )
    _fit(writer, seen, pairs, training, config.steps, trained_alone(model))
    model.decoder = model.decoder.merge_and_unload()
    save_writer(writer, out)
    _say_final(writer, seen, levels)


def caption_training(
    *, features: Path, levels: Path, dual: Path, captioner: Path, chosen: Path, config: Writing, out: Path
) -> None:
    """Write `captions.json`: a caption of each training picture of one half, from the picture and one alt-text."""
    seen = Seen.load(features, dual)
    alts = written_alts(read_records(levels / "train.json"), config.half)
    paths = sorted(alts)
    # The paper joins the alt-texts of a picture; the first one stands for them here, as in training.
    texts = ["; ".join(dict.fromkeys(record.alt for record in alts[path][:1])) for path in paths]
    writing = as_chosen(read_chosen(chosen)["full"], config.seed)
    captions = captioned(load_writer(captioner), seen, seen.rows(paths), texts, writing)
    write_json(out / CAPTIONS, dict(zip(paths, captions, strict=True)))


def read_chosen(folder: Path) -> dict[str, dict[str, Any]]:
    """What was chosen for each arm."""
    found: dict[str, dict[str, Any]] = json.loads((folder / CHOSEN).read_text())
    return found


def as_chosen(chosen: Mapping[str, Any], seed: int) -> Writing:
    """How an arm writes."""
    return Writing(seed=seed, **{name: chosen[name] for name in ("temperature", "top_p", "ends")})


# ------------------------------------------------------------------ what the captioner sees


@dataclass(frozen=True)
class Pair:
    """A picture with the alt-text that is given and the text that is wanted, which begins with a `name`.

    Where `goes_on` the caption does not end there: what follows is not asked for, nor is the end.
    """

    img_path: str
    alt: str
    wanted: str
    name: str
    goes_on: bool = False


@dataclass(frozen=True)
class Seen:
    """All pictures as the two encoders see them, and the row of each by `img_path`."""

    features: Features
    vectors: "Tensor"
    place: dict[str, int]

    @classmethod
    def load(cls, features: Path, dual: Path) -> "Seen":
        """What `encode` wrote, and the dual encoder's vectors of it."""
        stored, index = read_features(features)
        place = {row["img_path"]: number for number, row in enumerate(index)}
        return cls(stored, picture_vectors(load_dual(dual), stored), place)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Channels of a token, colours of the palette, and numbers of a vector."""
        return self.features.tokens.shape[2], self.features.palette.shape[1], self.vectors.shape[1]

    def rows(self, paths: Sequence[str]) -> list[int]:
        """The row of each picture."""
        missing = [path for path in paths if path not in self.place]
        if missing:
            raise UserError(f"{len(missing)} pictures have no features, the first {missing[0]}: encode them too.")
        return [self.place[path] for path in paths]

    def pictures(self, rows: Any, blank: "Tensor") -> "Pictures":
        """These rows, of which some are blanked."""
        from models.captioner import Pictures

        tokens, palette = self.features.tokens[rows], self.features.palette[rows]
        return Pictures(tokens.float(), palette.float(), self.vectors[rows], blank)


# ------------------------------------------------------------------ training


def _training(levels: Path, half: int = -1) -> list["Pair"]:
    records = read_records(levels / "train.json")
    return pairs_of([record for record in records if half in (-1, half_of(record.concept))])


def pairs_of(records: Sequence[Record]) -> list[Pair]:
    """Each record's alt-text with its last level."""
    return [Pair(r.img_path, r.alt, r.round3, r.round2) for r in records]


def _fit_scales(writer: Writer, seen: Seen, pairs: Sequence[Pair]) -> None:
    rows = sorted(set(seen.rows([pair.img_path for pair in pairs])))
    writer.model.mapping.token_scale.fit(seen.features.tokens[rows[::4]].flatten(0, 1))
    writer.model.mapping.palette_scale.fit(seen.features.palette[rows])


def _fit(writer: Writer, seen: Seen, pairs: Sequence[Pair], config: Training, steps: int, trained: Any = None) -> None:
    """Train the captioner, or what of it is `trained`."""
    import numpy as np
    import torch

    if not pairs:
        raise UserError("There is no record to train on: take more concepts.")
    model, words = writer.model, writer.words
    no_alt, blank = DROPPED[config.arm]
    draws = _Draws(model.sizes, seen, words, [*pairs, *(_renamed(pairs, config.seed) if config.renamed else ())])

    def batch(step: int) -> Any:
        drawn = np.random.default_rng((config.seed, step))
        chosen = drawn.integers(len(pairs), size=config.batch)
        alone, blanked, other = (drawn.random(config.batch) < share for share in (no_alt, blank, config.renamed))
        # A picture alone cannot tell a name that was replaced.
        return draws.take(chosen + len(pairs) * (other & ~alone), alone, blanked)

    torch.manual_seed(config.seed)
    tokens = config.batch * (model.sizes.prefix + 30)
    train(
        model if trained is None else trained,
        batch=batch,
        loss=_loss,
        config=Optimisation(
            steps=steps, batch=config.batch, learning_rate=config.learning_rate, warmup=min(config.warmup, steps // 4)
        ),
        tokens_per_step=tokens,
        flops_per_step=6 * tokens * sum(weight.numel() for weight in model.layers.parameters()),
        checkpoint_seconds=5.0 if trained is None else 30.0,
    )


def _loss(captioner: Any, drawn: Any) -> "Tensor":
    from models.captioner import caption_loss

    pictures, alt, read, said = drawn
    return caption_loss(captioner(pictures, alt, read, said), said)


def loss_on(writer: Writer, seen: Seen, pairs: Sequence[Pair], arm: Arm, batch: int = 64) -> float:
    """The loss a token on other pairs, in the condition that the arm is for: all is given that it is trained to
    read."""
    import numpy as np
    import torch

    from models.captioner import PAD

    every = _Draws(writer.model.sizes, seen, writer.words, pairs)
    without = DROPPED[arm][1] == 1.0
    device = next(writer.model.parameters()).device
    writer.model.eval()
    summed = tokens = 0.0
    with torch.inference_mode():
        for part in np.array_split(np.arange(len(pairs)), max(1, len(pairs) // batch)):
            drawn = every.take(part, np.zeros(len(part), dtype=bool), np.full(len(part), without))
            count = int((drawn[-1] != PAD).sum())
            summed += float(_loss(writer.model, _moved(drawn, device))) * count
            tokens += count
    return summed / tokens


def _say_final(writer: Writer, seen: Seen, levels: Path) -> None:
    import numpy as np

    kept = np.zeros(1, dtype=bool)
    some = pairs_of(read_records(levels / "validation.json")[:1])
    pictures, alt, read, _ = _Draws(writer.model.sizes, seen, writer.words, some).take([0], kept, kept)
    say_final(writer, pictures, alt, read)


def _renamed(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """Pairs with other names. What else a caption says belongs to the name that was, so it is not asked for."""
    pool = sorted({word for pair in pairs for word in split_words(pair.alt) if len(word) > 2})
    return [
        replace(pair, alt=alt, wanted=name, name=name, goes_on=pair.wanted != pair.name)
        for number, pair in enumerate(pairs)
        for alt, name in [renamed(pair.alt, pair.name, pool, seed, pair.img_path, str(number))]
    ]


class _Draws:
    """Pairs as tensors, and batches of them."""

    def __init__(self, sizes: Any, seen: Seen, words: Subwords, pairs: Sequence[Pair]) -> None:
        import numpy as np

        from models.captioner import END, PAD

        self._seen = seen
        self._rows = np.array(seen.rows([pair.img_path for pair in pairs]))
        known: dict[str, list[int]] = {}
        for pair in pairs:
            for text in (pair.alt, pair.wanted):
                if text not in known:
                    known[text] = words.encode(text)
        self._alt = left_padded([known[pair.alt] for pair in pairs], sizes.alt)
        self._read, self._said = as_caption([known[pair.wanted] for pair in pairs], sizes.caption)
        for row, pair in enumerate(pairs):
            if pair.goes_on:
                self._said[row].masked_fill_(self._said[row] == END, PAD)

    def take(self, chosen: Any, no_alt: Any, blank: Any) -> Any:
        """Pictures, alt-texts, and captions as they are read and said, cut to the longest of them."""
        import torch

        from models.captioner import PAD

        alt = self._alt[chosen].masked_fill(torch.from_numpy(no_alt)[:, None], PAD)
        longest = int((alt != PAD).sum(1).max()) if alt.shape[1] else 0
        said = self._said[chosen]
        width = int((said != PAD).sum(1).max())
        pictures = self._seen.pictures(self._rows[chosen], torch.from_numpy(blank))
        return pictures, alt[:, alt.shape[1] - longest :], self._read[chosen][:, :width], said[:, :width]


def _moved(drawn: Any, device: Any) -> Any:
    from accelerate.utils import send_to_device

    return send_to_device(drawn, device)


# ------------------------------------------------------------------ writing


def captioned(
    writer: Writer,
    seen: Seen,
    rows: Sequence[int],
    alts: Sequence[str],
    config: Writing,
    blank: bool = False,
    tell: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """The caption of each picture with its alt-text, which may be empty; the same for the same settings."""
    import torch

    from models.captioner import write_captions

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = writer.model.to(device)
    generator = torch.Generator(device).manual_seed(config.seed)
    captions: list[str] = []
    for start in range(0, len(rows), config.batch):
        part = rows[start : start + config.batch]
        texts = [writer.words.encode(text) for text in alts[start : start + config.batch]]
        given = seen.pictures(list(part), torch.full((len(part),), blank)), left_padded(texts, model.sizes.alt)
        pictures, alt = _moved(given, device)
        written = write_captions(model, pictures, alt, config.temperature, config.top_p, generator, config.ends)
        captions += [writer.words.decode(ids) for ids in written.tolist()]
        tell(len(captions))
    return captions
