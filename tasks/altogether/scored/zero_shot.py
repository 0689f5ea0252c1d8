"""What captions do for the training of a dual encoder (section on CLIP): zero-shot classification and retrieval.

The captions come from a captioner that saw no concept of the dual encoder's half: a captioner that had been trained
towards the same pictures' references would hand those on.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.config import Index, config
from tasks.altogether.captioner.dual import half_of, load_dual, picture_vectors, text_vectors
from tasks.altogether.captioner.encoder import read_features
from tasks.altogether.captioner.subwords import load_subwords
from tasks.altogether.records import Record, read_records
from tasks.altogether.scored.measured import write_examples
from tasks.altogether.scored.scoring import Row
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures

if TYPE_CHECKING:
    from torch import Tensor


@config
class ZeroShot:
    """Which half of the training concepts the dual encoders were trained on."""

    seed: Index
    half: int = 1


@measures(
    zero_shot="share of the pictures whose nearest concept name is their own",
    retrieval="share of the concept names whose nearest picture is of that concept",
    chance="share that guessing a concept would have right",
)
def classify(
    *, features: Path, levels: Path, subwords: Path, duals: dict[str, Path], config: ZeroShot, out: Path
) -> None:
    """Write `metrics.json`: a row for each share of captions (`synthetic`, as the stage's label) and domain.

    `examples.parquet` has a row for each name, with how many `pictures` of it there are.

    Domains: the training concepts in the style that training does not have, and the test concepts in all styles.
    Classes are level-1 names, which are one voice's alt-texts too, so that no arm needs to have read captions.
    """
    stored, index = read_features(features)
    words_of = load_subwords(subwords)
    place = {row["img_path"]: number for number, row in enumerate(index)}
    style = [r for r in read_records(levels / "style.json") if half_of(r.concept) == config.half]
    domains = {"new style": style, "new concepts": read_records(levels / "test.json")}
    rows, examples = [], []
    for label, folder in sorted(duals.items()):
        model = load_dual(folder)
        vectors = picture_vectors(model, stored)
        for domain, records in domains.items():
            names, pictures = classes(records)
            texts = text_vectors(model, words_of, list(names))
            scores = vectors[[place[path] for path in pictures]] @ texts.T
            right = [list(names).index(name) for name in pictures.values()]
            arm = {"arm": f"p = {label.replace('_', '.')}", "domain": domain, "seed": config.seed}
            rows.append({**arm, "p": label.replace("_", "."), **zero_shot(scores, right), "chance": 1 / len(names)})
            examples += [{**arm, "name": name, **row} for name, row in zip(names, by_name(scores, right), strict=True)]
    write_json(out / "metrics.json", rows)
    write_examples(out / "examples.parquet", examples)
    spool.table("zero-shot", rows)


def classes(records: Sequence[Record]) -> tuple[dict[str, None], dict[str, str]]:
    """The names of the concepts, each once, and the name of each picture by `img_path`; flags and keycaps left out.

    Two concepts with one name are one class.
    """
    pictures = {r.img_path: r.round1 for r in records if r.kind == "picture"}
    return dict.fromkeys(sorted(set(pictures.values()))), pictures


def zero_shot(scores: "Tensor", right: Sequence[int]) -> dict[str, float]:
    """Shares from the similarities [pictures, names] and the number of each picture's name."""
    import torch

    own = torch.tensor(right)
    return {
        "zero_shot": float((scores.argmax(1) == own).float().mean()),
        "retrieval": float((own[scores.argmax(0)] == torch.arange(scores.shape[1])).float().mean()),
    }


def by_name(scores: "Tensor", right: Sequence[int]) -> list[Row]:
    """The same for each name: the share of its pictures, whether its nearest picture is its own, how many there are."""
    import torch

    own = torch.tensor(right)
    hit, found = scores.argmax(1) == own, own[scores.argmax(0)] == torch.arange(scores.shape[1])
    rows = []
    for name in range(scores.shape[1]):
        mine = hit[own == name]
        rows.append(
            {"zero_shot": float(mine.float().mean()), "retrieval": float(found[name]), "pictures": float(len(mine))}
        )
    return rows
