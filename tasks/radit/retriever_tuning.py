"""The retriever's step: the query encoder learns which passages help the untuned language model."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from models.config import Count, Fraction, Index, Optimisation, Positive, config
from models.radit.settings import Direction
from tasks.base.errors import UserError
from tasks.base.measures import measures
from tasks.encyclopedia.passages import read_passages
from tasks.radit.examples import Example, read_examples, searched
from tasks.radit.language_models import digest
from tasks.radit.passages import shown
from tasks.radit.retrieval import (
    QUANTITIES,
    PassageIndex,
    Retrieval,
    read_found,
    read_vectors,
    recall_rows,
    write_found,
    write_recall,
)
from tasks.radit.scoring import read_likelihoods

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from models.radit.query_encoder import QueryEncoder

    Floats = NDArray[np.float32]
    Vectors = Callable[[Tensor], Tensor]

AT_ONCE = 64
"""Queries that are encoded together."""

Teacher = Literal["language model", "gold passages", "shuffled"]


@config
class RetrieverTuning:
    """How the query encoder is tuned, as the arm `arm`.

    `teacher` is what the passages' target comes from: the language model's likelihoods, the gold passages (an upper
    bound), or the likelihoods shuffled among each example's passages (a control). Each seed draws `drawn` of the
    training examples; `texts` adds pieces of text. There are as many steps as `epochs` over the training examples
    take, in every arm. `layers` are tuned, with `both` those of a passage encoder beside them; `temperature` and
    `direction` are the loss's.
    """

    seed: Index = 0
    arm: str = "tuned"
    teacher: Teacher = "language model"
    temperature: Positive = 0.01
    direction: Direction = "retriever to model"
    texts: bool = False
    both: bool = False
    drawn: Fraction = 0.8
    layers: Count = 2
    epochs: Count = 6
    batch: Count = 16
    learning_rate: Positive = 1e-4
    retrieval: Retrieval = Retrieval()


@measures(
    moved="length of the change of the query encoder's weights",
    passages_moved="1 where the passage encoder's weights are not bit by bit what they were",
    divergence="KL(p_R ‖ p_LSR) at temperature .01 on validation examples, nats",
    **QUANTITIES,
)
def tune_retriever(
    *,
    corpus: Path,
    tasks: Path,
    vectors: dict[str, Path],
    retrieved: Path,
    minilm: Path,
    likelihoods: dict[str, Path],
    config: RetrieverTuning,
    out: Path,
) -> None:
    """Write the query encoder (`encoder`, a folder as it came), what it finds, and its recall beside the untuned ones.

    The passages' vectors are those of the untuned encoder, before and after: the index is not built anew. Where both
    encoders are tuned (Table 5 of the paper), all passages are encoded anew by their own, `passage_encoder`.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    from models.radit.query_encoder import QueryEncoder
    from tasks.language.minilm import MiniLM

    torch.manual_seed(config.seed)
    passages, examples = read_passages(corpus / "passages.parquet"), read_examples(tasks)
    tokenizer = AutoTokenizer.from_pretrained(minilm, local_files_only=True)
    untuned: Any = AutoModel.from_pretrained(minilm, local_files_only=True, use_safetensors=True, dtype=torch.float32)
    before = digest(untuned)
    encoder = QueryEncoder(untuned, config.layers, config.retrieval.scale)
    index = PassageIndex(passages, searched(tasks, passages), read_vectors(vectors))
    scored = read_likelihoods([likelihoods[label] for label in sorted(likelihoods)])
    right = [{place for place, p in enumerate(passages) if p.id in set(each.gold)} for each in examples]
    lessons = [
        Lesson(each, *scored[each.id], gold=gold)
        for each, gold in zip(examples, right, strict=True)
        if each.id in scored
    ]
    if config.both:
        texts = [shown(passage, config.retrieval.words) for passage in passages]
        beside = QueryEncoder(untuned, config.layers, config.retrieval.scale)
        vectors_of = as_encoded(beside, tokenizer, texts, lessons)
        divergence = learn(encoder, tokenizer, lessons, vectors_of, config, beside)
        save_encoder(beside, minilm, out / "passage_encoder")
        index = PassageIndex(passages, index.places, MiniLM(out / "passage_encoder").encode(texts))
        passages_are = digest(beside.encoder)
    else:
        divergence = learn(encoder, tokenizer, lessons, as_they_are(index.vectors), config)
        passages_are = digest(untuned)

    queries = encode_queries(encoder, tokenizer, [each.asked for each in examples])
    found = {config.arm: index.nearest(examples, queries, config.retrieval)}
    write_found(out / "found.parquet", examples, found)
    untuned_found = read_found(retrieved)
    for name in ("minilm", "bm25"):
        found[name] = [untuned_found[name][each.id] for each in examples]
    proof = {
        "retriever": config.arm,
        "seed": config.seed,
        "moved": encoder.changes(untuned),
        "passages_moved": float(passages_are != before),
        "divergence": divergence,
    }
    write_recall(out, recall_rows(passages, examples, found, seed=config.seed), proof)
    save_encoder(encoder, minilm, out / "encoder")


class Lesson:
    """One example with its passages' places, how likely they make its answer, and which of them state it."""

    def __init__(self, example: Example, places: Sequence[int], likelihood: Sequence[float], gold: "set[int]") -> None:
        self.example = example
        self.places, self.likelihood = list(places), list(likelihood)
        self.right = [float(place in gold) for place in places]

    def target(self, teacher: Teacher, chance: "np.random.Generator") -> Sequence[float]:
        """What the softmax of the target is taken of, by passage."""
        if teacher == "shuffled":
            shuffled: list[float] = chance.permutation(self.likelihood).tolist()
            return shuffled
        return self.right if teacher == "gold passages" else self.likelihood


def as_they_are(vectors: "Floats") -> "Vectors":
    """Passages keep their vectors [passages, width], as in the paper."""
    import torch

    kept = torch.from_numpy(vectors)
    return lambda places: kept[places]


def as_encoded(encoder: "QueryEncoder", tokenizer: Any, texts: Sequence[str], lessons: Sequence[Lesson]) -> "Vectors":
    """The lessons' passages have the vectors that this encoder gives their `texts` now, with gradients."""
    import torch

    used = sorted({place for lesson in lessons for place in lesson.places})
    lower = lower_of(encoder, tokenizer, [texts[place] for place in used])
    rows = torch.full((len(texts),), -1)
    rows[used] = torch.arange(len(used))

    def vectors(places: "Tensor") -> "Tensor":
        some, at = rows[places].unique(return_inverse=True)  # type: ignore[no-untyped-call]
        found: Tensor = encoder(lower.take(some))[at]
        return found

    return vectors


def learn(
    encoder: "QueryEncoder",
    tokenizer: Any,
    lessons: Sequence[Lesson],
    vectors: "Vectors",
    config: RetrieverTuning,
    *beside: "QueryEncoder",
) -> float:
    """Tune the encoder in place on lessons of train (and text), and return the divergence on those of validation.

    Encoders `beside` it, which `vectors` come from, are tuned with it. The divergence is from the language model as the
    paper defines it, whatever the encoder learned from.
    """
    import numpy as np
    import torch
    from torch import nn

    from models.radit.supervision import retriever_loss
    from tasks.learning.train import train

    chance = np.random.default_rng(config.seed)
    most = max((len(each.places) for each in lessons), default=0)
    whole = [each for each in lessons if len(each.places) == most]
    splits = ("train", "text") if config.texts else ("train",)
    learned = [each for each in whole if each.example.split in splits]
    if config.teacher == "gold passages":
        learned = [each for each in learned if any(each.right)]
    chosen = sorted(chance.permutation(len(learned))[: round(config.drawn * len(learned))].tolist())
    learned = [learned[at] for at in chosen]
    if len(learned) < 2:
        raise UserError("There is no scored training example to tune the retriever on: build more of them.")

    def prepared(some: Sequence[Lesson], teacher: Teacher) -> "tuple[Any, Tensor, Tensor]":
        targets = np.array([each.target(teacher, chance) for each in some], np.float32)
        places = torch.tensor([each.places for each in some])
        return lower_of(encoder, tokenizer, [each.example.asked for each in some]), places, torch.from_numpy(targets)

    lower, places, targets = prepared(learned, config.teacher)
    size = min(config.batch, len(learned))
    per_epoch = len(learned) // size

    def batch(step: int) -> "Tensor":
        order = np.random.default_rng((config.seed, step // per_epoch)).permutation(len(learned))
        return torch.from_numpy(order[(step % per_epoch) * size :][:size])

    def loss(_: Any, rows: "Tensor") -> "Tensor":
        rows = rows.cpu()
        scores = encoder.scores(lower.take(rows), vectors(places[rows]))
        return retriever_loss(scores, targets[rows].to(scores.device), config.temperature, config.direction)

    questions = sum(each.example.split == "train" for each in whole)
    steps = config.epochs * max(1, round(config.drawn * questions) // size)
    optimisation = Optimisation(
        steps=steps, batch=size, learning_rate=config.learning_rate, warmup=steps // 10, weight_decay=0.0
    )
    tokens = size * lower.mask.shape[1]
    train(
        nn.ModuleList([encoder, *beside]), batch=batch, loss=loss, config=optimisation, tokens_per_step=tokens,
        flops_per_step=0, checkpoint_seconds=60.0,
    )  # fmt: skip
    kept = [each for each in whole if each.example.split == "validation"]
    if not kept:
        return 0.0
    with torch.no_grad():
        lower, places, targets = prepared(kept, "language model")
        return float(retriever_loss(encoder.scores(lower, vectors(places)).cpu(), targets))


def lower_of(encoder: "QueryEncoder", tokenizer: Any, texts: Sequence[str]) -> Any:
    """What the frozen layers make of these texts, a batch at a time."""
    import torch

    from models.radit.query_encoder import Lower, pad

    tokens = tokenizer(list(texts), truncation=True, max_length=encoder.encoder.config.max_position_embeddings)
    ids, mask = pad(tokens["input_ids"], tokenizer.pad_token_id or 0)
    parts = [encoder.lower(*each) for each in zip(torch.split(ids, AT_ONCE), torch.split(mask, AT_ONCE), strict=True)]
    return Lower(torch.cat([each.states for each in parts]), mask)


def encode_queries(encoder: "QueryEncoder", tokenizer: Any, texts: Sequence[str]) -> "Floats":
    """The tuned encoder's vectors, float32 [texts, width]."""
    import torch

    lower = lower_of(encoder, tokenizer, texts)
    with torch.no_grad():
        rows = torch.split(torch.arange(len(texts)), AT_ONCE)
        made: Floats = torch.cat([encoder(lower.take(each)) for each in rows]).cpu().numpy()
    return made


def save_encoder(encoder: "QueryEncoder", original: Path, out: Path) -> None:
    """Write the encoder in the files that the original came in, so that whatever read that reads this."""
    from safetensors.torch import save_file

    shutil.copytree(original, out, ignore=shutil.ignore_patterns("*.safetensors", "source.json", "*.bin", "*.onnx"))
    state = {name: weight.cpu().contiguous() for name, weight in encoder.encoder.state_dict().items()}
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
