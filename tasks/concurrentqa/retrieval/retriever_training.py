"""Training of the multi-hop retriever with the loss of MDR, on whatever makes the vectors of questions and passages."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from models.config import Count, Fraction, Index, Optimisation, Positive, config
from tasks.base import spool
from tasks.base.errors import UserError
from tasks.concurrentqa.benchmark.questions import Questions, read_questions
from tasks.concurrentqa.questions.candidates import CHAINS
from tasks.concurrentqa.retrieval.retriever import ROWS, Frozen, save_retriever, say_final
from tasks.encyclopedia.passages import Passage, read_passages
from tasks.language.encoded import Encoded
from tasks.learning.train import Plateau, train

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    Integers = NDArray[np.int64]

DEV_BEAM = 10
"""First hops that the recall on dev follows, and chains that it counts."""

Data = Literal["mixed", "public"]


@config
class RetrieverTraining:
    """The MDR loss on questions of all chains ("mixed") or of public ones alone.

    `words` is the width of the dense bags of words, `hidden` and `terms` the inner widths of what is trained,
    `hard_negatives` how many of each question's BM25 passages join a step. Training stops where recall on dev no
    longer rises.
    """

    seed: Index
    data: Data
    optimisation: Optimisation
    plateau: Plateau
    hard_negatives: Index = 2
    words: Count = 1024
    hidden: Count = 64
    terms: Count = 16
    temperature: Positive = 0.05
    dropout: Fraction = 0.1


class Reads(Protocol):
    """What makes vectors with a model that is trained: rows are of questions, places of passages."""

    def first_query(self, model: "Any", rows: "Integers") -> "Tensor":
        """What asks for the first hop of these questions."""

    def second_query(self, model: "Any", rows: "Integers", places: "Integers") -> "Tensor":
        """What asks for the second hop of these questions, each with its first passage."""

    def passages(self, model: "Any", places: "Integers | Tensor") -> "Tensor":
        """Vectors of these passages, of the shape of `places` and one axis more."""


def train_retriever(
    *,
    corpora: Path,
    benchmark: Path,
    candidates: Path,
    features: dict[str, Path],
    question_features: Path,
    negatives: Path,
    config: RetrieverTraining,
    out: Path,
) -> None:
    """Train the adapters with the MDR loss and write retriever.safetensors."""
    import numpy as np
    import torch

    from models.retrieval.mdr import Retriever, Sizes

    passages = read_passages(corpora / "passages.parquet")
    public = np.array([row for row, passage in enumerate(passages) if passage.scope == "public"])
    encoded = Encoded.load_shards(features)
    frozen = Frozen(Encoded.load(question_features), encoded, public, config.words)
    torch.manual_seed(config.seed)
    sizes = Sizes(encoded.vectors.shape[1], config.words, len(encoded.scale), config.hidden, config.terms)
    retriever = Retriever(sizes, config.temperature, config.dropout)
    questions = read_questions(benchmark, candidates)
    wrong = read_negatives(negatives, config.data)
    fit(
        retriever, frozen, questions, passages, wrong, config.data, config.hard_negatives, config.seed,
        config.optimisation, config.plateau,
    )  # fmt: skip
    save_retriever(retriever.cpu(), out)
    say_final(retriever, frozen)


def fit(
    model: "nn.Module",
    reads: Reads,
    questions: Questions,
    passages: Sequence[Passage],
    wrong: "Integers",
    data: Data,
    hard_negatives: int,
    seed: int,
    optimisation: Optimisation,
    plateau: Plateau,
) -> None:
    """Train `model`, which has a `log_scale`, with the MDR loss on the questions of train and extra.

    `wrong` [questions, n] are places of hard negatives, -1 for none, of which `hard_negatives` join a step. Training
    stops where recall on dev no longer rises: that of a search through the whole corpus, since the loss and the ranks
    within a batch look well long before the search finds anything.
    """
    import numpy as np
    import torch

    from models.retrieval.mdr import mdr_loss

    gold = questions.gold({passage.id: row for row, passage in enumerate(passages)})
    chains = CHAINS if data == "mixed" else ("WW",)
    rows = questions.rows("train", "extra", chains=chains)
    rows = [row for row in rows if (wrong[row] >= 0).sum() >= hard_negatives]
    if not rows:
        raise UserError(f"There is no {data} question to train on: build the benchmark from more mails and articles.")
    size = min(optimisation.batch, len(rows))
    per_epoch = len(rows) // size

    def batch(step: int) -> "tuple[Tensor, Tensor]":
        order = np.random.default_rng((seed, 0, step // per_epoch)).permutation(rows)
        chosen = order[(step % per_epoch) * size :][:size]
        drawn = np.random.default_rng((seed, 1, step)).random((size, wrong.shape[1]))
        drawn[wrong[chosen] < 0] = 2.0
        picked = drawn.argsort(1)[:, :hard_negatives]
        return torch.from_numpy(chosen), torch.from_numpy(np.take_along_axis(wrong[chosen], picked, 1))

    def loss(model: "Any", drawn: "tuple[Tensor, Tensor]") -> "Tensor":
        chosen, hard = (each.cpu().numpy() for each in drawn)
        return mdr_loss(
            reads.first_query(model, chosen),
            reads.second_query(model, chosen, gold[chosen, 0]),
            [reads.passages(model, gold[chosen, hop]) for hop in (0, 1)],
            reads.passages(model, hard),
            model.log_scale.exp(),
        )

    # A retriever that knows public chains only is chosen by them, on the corpus that its maker has.
    searched = np.array([row for row, passage in enumerate(passages) if data == "mixed" or passage.scope == "public"])

    def missed(model: "Any") -> float:
        by_chain = {}
        for chain in chains:
            dev = np.array(questions.rows("dev", chains=[chain]), np.int64)
            by_chain[chain] = _path_recall(model, reads, dev, gold[dev], searched) if len(dev) else 0.0
            spool.metric(f"dev_path_recall_{chain}", by_chain[chain])
        return 1 - sum(by_chain.values()) / len(by_chain)

    train(
        model,
        batch=batch,
        loss=loss,
        config=replace(optimisation, batch=size),
        tokens_per_step=size,
        flops_per_step=6 * size * sum(weight.numel() for weight in model.parameters()),
        validate=missed,
        plateau=plateau,
    )


def read_negatives(folder: Path, data: Data) -> "Integers":
    """The hard negatives that `mine_negatives` wrote, of both corpora or of the public one."""
    from safetensors.numpy import load_file

    found: Integers = load_file(folder / "negatives.safetensors")["all" if data == "mixed" else "public"]
    return found


def _path_recall(
    model: "Any",
    reads: Reads,
    dev: "Integers",
    gold: "Integers",
    searched: "Integers",
) -> float:
    """The share of questions one of whose best DEV_BEAM chains is the gold one, in either order."""
    import numpy as np
    import torch

    with torch.inference_mode():
        index = reads.passages(model, searched).T
        first_scores, first = (reads.first_query(model, dev) @ index).topk(DEV_BEAM)
        places = searched[first.cpu().flatten().numpy()]
        asked = np.repeat(dev, DEV_BEAM)
        queries = torch.cat(
            [
                reads.second_query(model, asked[at : at + ROWS], places[at : at + ROWS])
                for at in range(0, len(asked), ROWS)
            ]
        )
        scores, second = (queries @ index).scatter(1, first.view(-1, 1), -torch.inf).topk(DEV_BEAM)
        total = (first_scores[..., None] + scores.view(len(dev), DEV_BEAM, DEV_BEAM)).flatten(1)
        best = total.topk(DEV_BEAM).indices
        found = torch.stack([first.gather(1, best // DEV_BEAM), second.view(len(dev), -1).gather(1, best)], -1)
    paths = np.sort(searched[found.cpu().numpy()], -1)
    return float((paths == np.sort(gold, -1)[:, None]).all(-1).any(1).mean())
