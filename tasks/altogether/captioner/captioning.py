"""Training of the captioner, and writing with it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from models.config import Count, Fraction, Index, Optimisation, Positive, config
from models.config import field as config_field
from tasks.altogether.captioner.dual import CAPTIONS, half_of, load_dual, picture_vectors, written_alts
from tasks.altogether.captioner.encoder import Features, read_features
from tasks.altogether.captioner.stored import Sizes, Writer, load_writer, new_writer, save_writer, say_final
from tasks.altogether.captioner.subwords import Subwords, as_caption, left_padded
from tasks.altogether.records import PRETRAINING, read_records
from tasks.altogether.texts.attributes import words as split_words
from tasks.altogether.texts.renaming import renamed
from tasks.base.errors import UserError
from tasks.base.files import write_json
from tasks.learning.train import Plateau, train

if TYPE_CHECKING:
    from torch import Tensor

    from models.captioner import Pictures


@config
class Training:
    """Training of a captioner towards one annotation level, which is 0 for the alt-texts themselves.

    `no_alt` is how often the alt-text is dropped, as in the paper; `blank` how often the picture is, so that writing
    from the alt-text alone is trained too. `renamed` is how often the names that alt-text and target share are replaced
    in both. `half` takes only the training concepts of one half, 0 or 1; -1 takes all.
    """

    seed: Index
    level: Literal[0, 1, 2, 3] = 3
    no_alt: Fraction = 0.5
    blank: Fraction = 0.15
    renamed: Fraction = 0.5
    half: int = -1
    sizes: Sizes = config_field(default_factory=Sizes)
    optimisation: Optimisation = config_field(
        default_factory=lambda: Optimisation(steps=400, batch=64, learning_rate=3e-3, warmup=50)
    )
    plateau: Plateau = config_field(default_factory=lambda: Plateau(gain=0.001, steps=400))


@config
class Writing:
    """Sampling of captions, by default with the paper's temperature and nucleus."""

    seed: Index
    temperature: Positive = 0.2
    top_p: Fraction = 0.7
    batch: Count = 256
    half: int = -1


def pretrain(
    *, features: Path, levels: Path, titled: Path, language: Path, dual: Path, config: Training, out: Path
) -> None:
    """Train on pictures with alt-texts alone, clip art with its titles among them; write the captioner.

    `language` holds the subwords of a decoder from scratch, or a pretrained language model that is tuned. As in the
    paper the longest alt-text of a picture is the target and another one, or none, the condition; where there is one
    alt-text, none.
    """
    import torch

    seen = Seen.load(features, dual)

    def pairs(*files: Path) -> list["Pair"]:
        found = []
        written = written_alts([record for file in files for record in read_records(file)], config.half)
        for path, records in sorted(written.items()):
            longest = max(records, key=lambda record: (len(record.alt), record.alt))
            others = [record.alt for record in records if record is not longest] or [""]
            found += [Pair(path, longest.concept, alt, longest.alt, longest.alt) for alt in others]
        return found

    training = pairs(levels / "train.json", titled / f"{PRETRAINING}.json")
    torch.manual_seed(config.seed)
    writer = new_writer(language, *seen.sizes, config.sizes)
    rows = sorted(set(seen.rows([pair.img_path for pair in training])))
    writer.model.mapping.token_scale.fit(seen.features.tokens[rows[::4]].flatten(0, 1))
    writer.model.mapping.palette_scale.fit(seen.features.palette[rows])
    _fit(writer, seen, training, pairs(levels / "validation.json"), config)
    save_writer(writer, out)


def tune(*, features: Path, levels: Path, dual: Path, pretrained: Path, config: Training, out: Path) -> None:
    """Train the pre-trained captioner towards a level of the training records; write the captioner."""
    import numpy as np

    seen = Seen.load(features, dual)

    def pairs(split: str) -> list["Pair"]:
        records = read_records(levels / f"{split}.json")
        kept = [record for record in records if split != "train" or config.half in (-1, half_of(record.concept))]
        return [
            Pair(r.img_path, r.concept, r.alt, r.levels[config.level], r.levels[min(2, config.level)]) for r in kept
        ]

    writer = load_writer(pretrained)
    writer.model.requires_grad_(True)
    heldout = pairs("validation")
    _fit(writer, seen, pairs("train"), heldout, config)
    save_writer(writer, out)
    kept = np.zeros(1, dtype=bool)
    pictures, alt, read, _ = _Draws(writer.model.sizes, seen, writer.words, heldout[:1]).take([0], kept, kept)
    say_final(writer, pictures, alt, read)


def caption_training(*, features: Path, levels: Path, dual: Path, captioner: Path, config: Writing, out: Path) -> None:
    """Write `captions.json`: a caption of each training picture of one half, from the picture and one alt-text."""
    seen = Seen.load(features, dual)
    alts = written_alts(read_records(levels / "train.json"), config.half)
    paths = sorted(alts)
    # The paper joins the alt-texts of a picture; the first one stands for them here, as in training.
    texts = ["; ".join(dict.fromkeys(record.alt for record in alts[path][:1])) for path in paths]
    captions = captioned(load_writer(captioner), seen, seen.rows(paths), texts, config)
    write_json(out / CAPTIONS, dict(zip(paths, captions, strict=True)))


# ------------------------------------------------------------------ what the captioner sees


@dataclass(frozen=True)
class Pair:
    """A picture with the alt-text that is given and the text that is wanted, of which `known` is what does not hang on
    the name."""

    img_path: str
    concept: str
    alt: str
    wanted: str
    known: str


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


def _fit(writer: Writer, seen: Seen, pairs: Sequence[Pair], heldout: Sequence[Pair], config: Training) -> None:
    """Train until the loss on held-out concepts, in the condition that the arm is for, no longer falls."""
    import numpy as np
    import torch

    from models.captioner import caption_loss

    if not pairs or not heldout:
        raise UserError("There is no record to train or to validate on: take more concepts.")
    model, words = writer.model, writer.words
    draws = _Draws(model.sizes, seen, words, pairs)
    renames = _Draws(model.sizes, seen, words, _renamed(pairs, config.seed))
    every = _Draws(model.sizes, seen, words, heldout)
    size = config.optimisation.batch

    def batch(step: int) -> Any:
        drawn = np.random.default_rng((config.seed, step))
        source = renames if drawn.random() < config.renamed else draws
        return source.take(
            drawn.integers(len(pairs), size=size),
            drawn.random(size) < config.no_alt,
            drawn.random(size) < config.blank,
        )

    # An arm that never sees an alt-text, or a picture, is stopped by how it does without.
    sample = np.random.default_rng(0).permutation(len(heldout))[:512]
    fixed = [
        every.take(part, np.full(len(part), config.no_alt == 1), np.full(len(part), config.blank == 1))
        for part in np.array_split(sample, max(1, len(sample) // 128))
    ]

    def loss(captioner: Any, drawn: Any) -> "Tensor":
        pictures, alt, read, said = drawn
        return caption_loss(captioner(pictures, alt, read), said)

    def validate(captioner: Any) -> float:
        device = next(captioner.parameters()).device
        with torch.inference_mode():
            losses = [float(loss(captioner, _moved(part, device))) for part in fixed]
        return sum(losses) / len(losses)

    torch.manual_seed(config.seed)
    tokens = size * (model.sizes.prefix + 30)
    train(
        model,
        batch=batch,
        loss=loss,
        config=config.optimisation,
        tokens_per_step=tokens,
        flops_per_step=6 * tokens * sum(weight.numel() for weight in model.layers.parameters()),
        validate=validate,
        plateau=config.plateau,
    )


def _renamed(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    pool = sorted({word for pair in pairs for word in split_words(pair.alt) if len(word) > 2})
    return [
        replace(pair, alt=alt, wanted=wanted)
        for number, pair in enumerate(pairs)
        for alt, wanted in [renamed(pair.alt, pair.known, pool, seed, pair.img_path, str(number))]
    ]


class _Draws:
    """Pairs as tensors, and batches of them."""

    def __init__(self, sizes: Any, seen: Seen, words: Subwords, pairs: Sequence[Pair]) -> None:
        import numpy as np

        self._seen = seen
        self._rows = np.array(seen.rows([pair.img_path for pair in pairs]))
        known: dict[str, list[int]] = {}
        for pair in pairs:
            for text in (pair.alt, pair.wanted):
                if text not in known:
                    known[text] = words.encode(text)
        self._alt = left_padded([known[pair.alt] for pair in pairs], sizes.alt)
        self._read, self._said = as_caption([known[pair.wanted] for pair in pairs], sizes.caption)

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
        written = write_captions(model, pictures, alt, config.temperature, config.top_p, generator)
        captions += [writer.words.decode(ids) for ids in written.tolist()]
        tell(len(captions))
    return captions
