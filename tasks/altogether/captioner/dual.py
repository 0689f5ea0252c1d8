"""The dual encoder: trained on pictures with alt-texts, or with a share of captions in their place."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from models.config import Count, Fraction, Index, Optimisation, config
from models.config import field as config_field
from tasks.altogether.captioner.encoder import Features, read_features
from tasks.altogether.captioner.subwords import Subwords, left_padded, load_subwords
from tasks.altogether.records import Record, read_records
from tasks.altogether.texts.splits import draw
from tasks.base.errors import UserError
from tasks.learning.train import train

if TYPE_CHECKING:
    from torch import Tensor

    from models.dual_encoder import DualEncoder

FILE = "dual.safetensors"
CAPTIONS = "captions.json"

LONGEST = 24
"""Subwords of a text that the dual encoder reads."""


@config
class DualTraining:
    """Training of a dual encoder.

    Each time a picture is drawn, its text is its caption with probability `synthetic` (the paper's p), else one of its
    alt-texts. `half` takes only the training concepts of one half, 0 or 1; -1 takes all. The split "style" is of
    training concepts in the style that is held out: a dual encoder trained there has seen no picture that captioners
    have.
    """

    seed: Index
    optimisation: Optimisation = config_field(
        default_factory=lambda: Optimisation(steps=300, batch=128, learning_rate=2e-3, warmup=40)
    )
    synthetic: Fraction = 0.0
    half: int = -1
    split: Literal["train", "style"] = "train"
    shared: Count = 96


def train_dual(*, features: Path, levels: Path, subwords: Path, config: DualTraining, out: Path) -> None:
    """Train on the training pictures with their alt-texts as people wrote them, and write `dual.safetensors`."""
    _train(features, levels, subwords, None, config, out)


def train_mixed(
    *, features: Path, levels: Path, subwords: Path, captions: Path, config: DualTraining, out: Path
) -> None:
    """As `train_dual`, with the captions of `captions.json` in the place of some alt-texts (section on CLIP).

    Arms that differ in `synthetic` alone draw the same pictures and the same alt-texts in the same order, and take
    equally many steps. Raises UserError where a training picture has no caption, for then that arm would see fewer.
    """
    _train(features, levels, subwords, json.loads((captions / CAPTIONS).read_text()), config, out)


def half_of(concept: str) -> int:
    """Which half of the concepts it belongs to, 0 or 1, whatever else there is."""
    return int(draw(0, "half", concept), 16) % 2


def written_alts(records: Sequence[Record], half: int = -1) -> dict[str, list[Record]]:
    """The records of each picture whose alt-text is as somebody wrote it, errors included, by `img_path`."""
    found: dict[str, list[Record]] = {}
    for record in records:
        if record.condition in ("as written", "natural error") and half in (-1, half_of(record.concept)):
            found.setdefault(record.img_path, []).append(record)
    return found


def _train(
    features: Path, levels: Path, subwords: Path, captions: dict[str, str] | None, config: DualTraining, out: Path
) -> None:
    import numpy as np
    import torch

    from models.dual_encoder import DualEncoder, DualSizes, contrastive_loss

    stored, index = read_features(features)
    words = load_subwords(subwords)
    place = {row["img_path"]: number for number, row in enumerate(index)}
    alts = written_alts(read_records(levels / f"{config.split}.json"), config.half)
    if captions is not None and (missing := [path for path in alts if path not in captions]):
        raise UserError(f"{len(missing)} training pictures have no caption, the first {missing[0]}: caption them all.")
    paths = sorted(alts)
    rows = torch.tensor([place[path] for path in paths])
    texts: list[list[int]] = []
    groups: dict[str, int] = {}
    starts = [0]
    for path in paths:
        said = [record.alt for record in alts[path]]
        texts += [words.encode(text) for text in [*said, (captions or {}).get(path, "")]]
        starts.append(len(texts))
    ids = left_padded(texts, LONGEST)
    # Pictures of one emoji share texts, and so do those whose attributes no alt-text tells apart: one concept is one
    # group, or the loss would call a right text wrong.
    concepts = [alts[path][0].concept for path in paths]
    for concept in concepts:
        groups.setdefault(concept, len(groups))
    group = torch.tensor([groups[concept] for concept in concepts])

    def batch(step: int) -> dict[str, "Tensor"]:
        drawn = np.random.default_rng((config.seed, step))
        chosen = torch.from_numpy(drawn.integers(len(paths), size=config.optimisation.batch))
        which, mixed = drawn.random(config.optimisation.batch), drawn.random(config.optimisation.batch)
        spoken = [
            starts[picture + 1] - 1
            if coin < config.synthetic
            else starts[picture] + int(share * (starts[picture + 1] - 1 - starts[picture]))
            for picture, share, coin in zip(chosen.tolist(), which.tolist(), mixed.tolist(), strict=True)
        ]
        return {
            "tokens": stored.tokens[rows[chosen]],
            "palette": stored.palette[rows[chosen]],
            "texts": ids[spoken],
            "group": group[chosen],
        }

    def loss(model: Any, drawn: dict[str, "Tensor"]) -> "Tensor":
        same = drawn["group"][:, None] == drawn["group"][None]
        pictures = model.pictures(drawn["tokens"], drawn["palette"])
        return contrastive_loss(pictures, model.texts(drawn["texts"]), same, model.log_scale)

    torch.manual_seed(config.seed)
    sizes = DualSizes(
        vocabulary=words.size,
        channels=stored.tokens.shape[2],
        palette=stored.palette.shape[1],
        shared=config.shared,
    )
    model = DualEncoder(sizes)
    model.token_scale.fit(stored.tokens[rows[::4]].flatten(0, 1))
    model.palette_scale.fit(stored.palette[rows])
    tokens = config.optimisation.batch * (LONGEST + stored.tokens.shape[1])
    train(
        model,
        batch=batch,
        loss=loss,
        config=config.optimisation,
        tokens_per_step=tokens,
        flops_per_step=6 * tokens * sizes.width * max(sizes.width, sizes.channels),
    )
    save_dual(model.cpu(), out)


def save_dual(model: "DualEncoder", out: Path) -> None:
    """Write `dual.safetensors`, with the sizes as metadata."""
    from dataclasses import asdict

    from safetensors.torch import save_file

    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, out / FILE, metadata={"sizes": json.dumps(asdict(model.sizes), sort_keys=True)})


def load_dual(folder: Path) -> "DualEncoder":
    """The dual encoder that was written to the folder, ready to use."""
    from safetensors import safe_open

    from models.dual_encoder import DualEncoder, DualSizes

    with safe_open(folder / FILE, framework="pt") as file:
        model = DualEncoder(DualSizes(**json.loads(file.metadata()["sizes"])))
        model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    return model.eval().requires_grad_(False)


def picture_vectors(model: "DualEncoder", features: Features) -> "Tensor":
    """The vectors of all pictures [n, shared]."""
    import torch

    with torch.inference_mode():
        starts = range(0, len(features.tokens), 512)
        parts = [model.pictures(features.tokens[s : s + 512], features.palette[s : s + 512]) for s in starts]
    return torch.cat(parts)


def text_vectors(model: "DualEncoder", words: Subwords, texts: Sequence[str]) -> "Tensor":
    """The vectors of texts [n, shared]."""
    import torch

    with torch.inference_mode():
        return model.texts(left_padded([words.encode(text) for text in texts], LONGEST))
