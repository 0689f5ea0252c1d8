"""The positive control: a probe on the frozen features reads skin tone and gender of concepts it has not seen.

Where the features do not hold an attribute, no captioner that is built on them can be blamed for not saying it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Index, Positive, config
from tasks.altogether.captioner.encoder import Features, read_features
from tasks.altogether.texts.splits import draw
from tasks.base import spool
from tasks.base.errors import UserError
from tasks.base.files import write_json
from tasks.base.measures import measures

if TYPE_CHECKING:
    from torch import Tensor

    Predict = Callable[["Features"], "Tensor"]


@config
class Probing:
    """The probe and its training; `folds` of the training and validation concepts are held out in turn."""

    seed: Index = 0
    attributes: tuple[str, ...] = ("skin", "gender")
    folds: Count = 10
    channels: Count = 64
    steps: Count = 500
    batch: Count = 64
    learning_rate: Positive = 3e-3
    decay: Positive = 0.1


@measures(
    accuracy="share of the pictures of concepts held out from the probe whose attribute it reads",
    chance="share that the commonest value of the attribute has among them",
    pictures="number of these pictures",
    concepts="number of their concepts",
)
def probe(*, features: Path, levels: Path, config: Probing, out: Path) -> None:
    """Write `metrics.json`: a row an attribute, features and style.

    `features` is `tokens`, `palette` or `both`; `palette` alone is read by a linear probe. Styles that the training
    does not have are in a row of their own: there the concept is new and the style too. The test concepts of the
    records are not looked at. Raises UserError where an attribute has too few concepts.
    """
    import pyarrow.parquet

    stored, index = read_features(features)
    table = {row["img_path"]: row for row in pyarrow.parquet.read_table(levels / "attributes.parquet").to_pylist()}
    known = [table.get(row["img_path"]) for row in index]
    rows: list[dict[str, Any]] = []
    for attribute in config.attributes:
        chosen = [n for n, row in enumerate(known) if row and row["split"] != "test" and row[attribute]]
        about = [row for n in chosen if (row := known[n])]
        if len({row["concept"] for row in about}) < config.folds:
            raise UserError(f"Too few concepts have the attribute {attribute} for a probe: take more concepts.")
        picked = _take(stored, chosen)
        for kind in ("tokens", "palette", "both"):
            read = held_out_predictions(only(picked, kind), about, attribute, config)
            rows += _rows(about, read, attribute, kind)
    write_json(out / "metrics.json", rows)
    spool.table("probe", rows)


def held_out_predictions(
    features: Features, about: Sequence[dict[str, Any]], attribute: str, config: Probing
) -> list[str]:
    """The value read from each picture by a probe that was not trained on its concept, nor on a held-out style."""
    import torch

    values = sorted({row[attribute] for row in about})
    labels = torch.tensor([values.index(row[attribute]) for row in about])
    concepts = sorted({row["concept"] for row in about}, key=lambda concept: draw(config.seed, "fold", concept))
    fold = {concept: place % config.folds for place, concept in enumerate(concepts)}
    read = [""] * len(about)
    for held in range(config.folds):
        train = [n for n, row in enumerate(about) if fold[row["concept"]] != held and row["split"] != "style"]
        asked = [n for n, row in enumerate(about) if fold[row["concept"]] == held]
        predict = fit_probe(_take(features, train), labels[train], len(values), config)
        for n, value in zip(asked, predict(_take(features, asked)).tolist(), strict=True):
            read[n] = values[value]
    return read


def fit_probe(features: Features, labels: "Tensor", classes: int, config: Probing) -> "Predict":
    """Train a probe: projections of the tokens, their soft maximum and mean over the places, the palette, one layer.

    The maximum over places finds a small thing wherever it is; beyond it the probe is linear.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    torch.manual_seed(config.seed)
    scales = [_scale(features.tokens.flatten(0, 1)), _scale(features.palette)]
    width = features.tokens.shape[2]
    project = nn.Linear(width, config.channels) if width else None
    layer = nn.Linear(2 * config.channels * bool(width) + features.palette.shape[1], classes)
    parameters = [*layer.parameters(), *(project.parameters() if project else ())]
    optimiser = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, 2 * (1 - step / config.steps)))

    def logits(tokens: "Tensor", colours: "Tensor") -> "Tensor":
        parts = [(colours.float() - scales[1][0]) / scales[1][1]]
        if project:
            projected = project((tokens.float() - scales[0][0]) / scales[0][1])
            parts += [projected.logsumexp(1), projected.mean(1)]
        return layer(torch.cat(parts, 1))  # type: ignore[no-any-return]

    chooser = torch.Generator().manual_seed(config.seed)
    for _ in range(config.steps):
        batch = torch.randint(len(labels), (config.batch,), generator=chooser)
        loss = functional.cross_entropy(logits(features.tokens[batch], features.palette[batch]), labels[batch])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()

    def predict(asked: Features) -> "Tensor":
        with torch.inference_mode():
            starts = range(0, len(asked.tokens), 256)
            parts = [logits(asked.tokens[s : s + 256], asked.palette[s : s + 256]) for s in starts]
            return torch.cat(parts).argmax(1)

    return predict


def only(features: Features, kind: str) -> Features:
    """The features with one part alone, the other having no channels; `both` leaves them as they are."""
    if kind == "tokens":
        return replace(features, palette=features.palette[:, :0])
    return replace(features, tokens=features.tokens[:, :, :0]) if kind == "palette" else features


def _take(features: Features, places: Sequence[int]) -> Features:
    return Features(features.tokens[list(places)], features.palette[list(places)])


def _scale(values: "Tensor") -> tuple["Tensor", "Tensor"]:
    if not values.shape[1]:
        return values.new_zeros(0).float(), values.new_ones(0).float()
    sample = values[:: max(1, len(values) // 20_000)].float()
    return sample.mean(0), sample.std(0, correction=0) + 1e-3


def _rows(about: Sequence[dict[str, Any]], read: Sequence[str], attribute: str, kind: str) -> Iterator[dict[str, Any]]:
    for style in sorted({row["style"] for row in about}):
        pairs = [(row, value) for row, value in zip(about, read, strict=True) if row["style"] == style]
        counts = Counter(row[attribute] for row, _ in pairs)
        yield {
            "arm": kind,
            "probe": f"{kind}, {style}",
            "attribute": attribute,
            "style": style,
            "accuracy": sum(row[attribute] == value for row, value in pairs) / len(pairs),
            "chance": max(counts.values()) / len(pairs),
            "pictures": len(pairs),
            "concepts": len({row["concept"] for row, _ in pairs}),
        }
