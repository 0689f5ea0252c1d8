"""Training of the multi-hop retriever and of the reader, on features that the frozen encoder computed once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from models.config import Count, Fraction, Index, NotNegative, Optimisation, Positive, config
from tasks import spool
from tasks.concurrentqa.candidates import CHAINS
from tasks.concurrentqa.chains import batches, make_batch, save_reader, second_slots
from tasks.concurrentqa.encoded import Encoded
from tasks.concurrentqa.passages import read_passages
from tasks.concurrentqa.questions import Questions, read_questions
from tasks.concurrentqa.retriever import ROWS, Frozen, save_retriever
from tasks.train import Plateau, train

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from models.retrieval.mdr import Retriever
    from models.retrieval.reader import Chains, Targets

DEV_BEAM = 10
"""First hops that the recall on dev follows, and chains that it counts."""


@config
class Mining:
    """`passages` wrong ones that are kept a question."""

    passages: Count = 20


@config
class RetrieverTraining:
    """The MDR loss on questions of all chains ("mixed") or of public ones alone.

    `words` is the width of the dense bags of words, `hidden` and `terms` the inner widths of what is trained,
    `hard_negatives` how many of each question's BM25 passages join a step. Training stops where recall on dev no
    longer rises.
    """

    seed: Index
    data: Literal["mixed", "public"]
    optimisation: Optimisation
    plateau: Plateau
    hard_negatives: Index = 2
    words: Count = 1024
    hidden: Count = 64
    terms: Count = 16
    temperature: Positive = 0.05
    dropout: Fraction = 0.1


@config
class ReaderTraining:
    """The reader's size and training, on public chains alone.

    Each time a question is read it comes with its gold chain and `wrong` of the chains that are not; `optimisation`'s
    batch counts chains.
    """

    seed: Index
    optimisation: Optimisation
    plateau: Plateau
    wrong: Count = 1
    width: Count = 96
    layers: Count = 2
    heads: Count = 4
    dropout: Fraction = 0.1
    support_weight: NotNegative = 0.05


def mine_negatives(*, corpora: Path, benchmark: Path, candidates: Path, config: Mining, out: Path) -> None:
    """Wrong passages that BM25 ranks first, for each question of train and extra, as negatives.safetensors.

    `all` and `public` [questions, passages] are places in passages.parquet, of both corpora and of the public one;
    -1 where there are no more, and for the questions of dev and test.
    """
    import numpy as np
    from safetensors.numpy import save_file

    from models.retrieval.index import SparseIndex

    passages = read_passages(corpora / "passages.parquet")
    questions = read_questions(benchmark, candidates)
    gold = questions.gold({passage.id: row for row, passage in enumerate(passages)})
    rows = questions.rows("train", "extra")
    public = [row for row, passage in enumerate(passages) if passage.scope == "public"]
    found = {}
    for name, places in (("all", list(range(len(passages)))), ("public", public)):
        index = SparseIndex([passages[at].id for at in places], [passages[at].rendered for at in places])
        hits = index.search([questions.questions[row].question for row in rows], config.passages + 2)
        found[name] = np.full((len(gold), config.passages), -1, np.int64)
        for row, positions in zip(rows, hits.positions.tolist(), strict=True):
            wrong = [places[at] for at in positions if at >= 0 and places[at] not in gold[row]]
            found[name][row, : len(wrong)] = wrong[: config.passages]
    save_file(found, out / "negatives.safetensors")


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
    """Train the adapters with the MDR loss and write retriever.safetensors.

    Dev recall is that of a search through the whole corpus: the loss and the ranks within a batch look well long
    before the search finds anything.
    """
    import numpy as np
    import torch
    from safetensors.numpy import load_file

    from models.retrieval.mdr import Retriever, Sizes, mdr_loss

    passages = read_passages(corpora / "passages.parquet")
    questions = read_questions(benchmark, candidates)
    gold = questions.gold({passage.id: row for row, passage in enumerate(passages)})
    public = np.array([row for row, passage in enumerate(passages) if passage.scope == "public"])
    encoded = Encoded.load_shards(features)
    frozen = Frozen(Encoded.load(question_features), encoded, public, config.words)
    chains = CHAINS if config.data == "mixed" else ("WW",)
    wrong = load_file(negatives / "negatives.safetensors")["all" if config.data == "mixed" else "public"]
    rows = questions.rows("train", "extra", chains=chains)
    rows = [row for row in rows if (wrong[row] >= 0).sum() >= config.hard_negatives]
    size = min(config.optimisation.batch, len(rows))
    per_epoch = len(rows) // size

    def batch(step: int) -> "tuple[Tensor, Tensor]":
        order = np.random.default_rng((config.seed, 0, step // per_epoch)).permutation(rows)
        chosen = order[(step % per_epoch) * size :][:size]
        drawn = np.random.default_rng((config.seed, 1, step)).random((size, wrong.shape[1]))
        drawn[wrong[chosen] < 0] = 2.0
        picked = drawn.argsort(1)[:, : config.hard_negatives]
        return torch.from_numpy(chosen), torch.from_numpy(np.take_along_axis(wrong[chosen], picked, 1))

    def loss(model: "Any", drawn: "tuple[Tensor, Tensor]") -> "Tensor":
        chosen, hard = (each.cpu().numpy() for each in drawn)
        return mdr_loss(
            frozen.first_query(model, chosen),
            frozen.second_query(model, chosen, gold[chosen, 0]),
            [frozen.passages(model, gold[chosen, hop]) for hop in (0, 1)],
            frozen.passages(model, hard),
            model.log_scale.exp(),
        )

    # A retriever that knows public chains only is chosen by them, on the corpus that its maker has.
    searched = np.arange(len(passages)) if config.data == "mixed" else public

    def missed(model: "Any") -> float:
        by_chain = {}
        for chain in chains:
            dev = np.array(questions.rows("dev", chains=[chain]), np.int64)
            by_chain[chain] = _path_recall(model, frozen, dev, gold[dev], searched) if len(dev) else 0.0
            spool.metric(f"dev_path_recall_{chain}", by_chain[chain])
        return 1 - sum(by_chain.values()) / len(by_chain)

    torch.manual_seed(config.seed)
    sizes = Sizes(encoded.vectors.shape[1], config.words, len(encoded.scale), config.hidden, config.terms)
    retriever = Retriever(sizes, config.temperature, config.dropout)
    train(
        retriever,
        batch=batch,
        loss=loss,
        config=replace(config.optimisation, batch=size),
        tokens_per_step=size,
        flops_per_step=6 * size * sum(weight.numel() for weight in retriever.parameters()),
        validate=missed,
        plateau=config.plateau,
    )
    save_retriever(retriever.cpu(), out)


def _path_recall(
    retriever: "Retriever",
    frozen: Frozen,
    dev: "NDArray[np.int64]",
    gold: "NDArray[np.int64]",
    searched: "NDArray[np.int64]",
) -> float:
    """The share of questions one of whose best DEV_BEAM chains is the gold one, in either order."""
    import numpy as np
    import torch

    with torch.inference_mode():
        index = frozen.passages(retriever, searched).T
        first_scores, first = (frozen.first_query(retriever, dev) @ index).topk(DEV_BEAM)
        places = searched[first.cpu().flatten().numpy()]
        asked = np.repeat(dev, DEV_BEAM)
        queries = torch.cat(
            [
                frozen.second_query(retriever, asked[at : at + ROWS], places[at : at + ROWS])
                for at in range(0, len(asked), ROWS)
            ]
        )
        scores, second = (queries @ index).scatter(1, first.view(-1, 1), -torch.inf).topk(DEV_BEAM)
        total = (first_scores[..., None] + scores.view(len(dev), DEV_BEAM, DEV_BEAM)).flatten(1)
        best = total.topk(DEV_BEAM).indices
        found = torch.stack([first.gather(1, best // DEV_BEAM), second.view(len(dev), -1).gather(1, best)], -1)
    paths = np.sort(searched[found.cpu().numpy()], -1)
    return float((paths == np.sort(gold, -1)[:, None]).all(-1).any(1).mean())


def train_reader(
    *,
    corpora: Path,
    benchmark: Path,
    candidates: Path,
    features: dict[str, Path],
    question_features: Path,
    negatives: Path,
    config: ReaderTraining,
    out: Path,
) -> None:
    """Train the extractive reader on public chains and write reader.safetensors.

    As the paper's reader, which HotpotQA trained, it never sees a private passage. It stops where the loss on the
    public questions of dev no longer falls.
    """
    import numpy as np
    import torch
    from safetensors.numpy import load_file

    from models.retrieval.reader import Reader, reader_loss

    stored = read_passages(corpora / "passages.parquet")
    texts = [passage.rendered for passage in stored]
    questions = read_questions(benchmark, candidates)
    gold = questions.gold({passage.id: row for row, passage in enumerate(stored)})
    passages, asked = Encoded.load_shards(features), Encoded.load(question_features)
    wrong = load_file(negatives / "negatives.safetensors")["public"]
    rows = np.array([row for row in questions.rows("train", "extra", chains=["WW"]) if (wrong[row] >= 0).all()])
    dev = np.array(questions.rows("dev", chains=["WW"]))
    targets = _Answers(questions, gold, passages, texts)

    def chains(chosen: "NDArray[np.int64]", generator: "np.random.Generator") -> "NDArray[np.int64]":
        """The gold chain and wrong ones of each question, those of like length next to each other."""
        right = np.concatenate([chosen[:, None], gold[chosen]], 1)
        others = [_wrong_chains(chosen, gold[chosen], wrong[chosen], generator) for _ in range(config.wrong)]
        return np.concatenate([right, *others])

    def epoch(number: int) -> "list[NDArray[np.int64]]":
        generator = np.random.default_rng((config.seed, number))
        drawn = chains(generator.permutation(rows), generator)
        cut = [drawn[each] for each in batches(passages, drawn, config.optimisation.batch)]
        return [cut[at] for at in generator.permutation(len(cut))]

    made: dict[int, list[NDArray[np.int64]]] = {0: epoch(0)}
    per_epoch = len(made[0])

    def batch(step: int) -> "tuple[Chains, Targets]":
        number = step // per_epoch
        if number not in made:
            made.clear()
            made[number] = epoch(number)
        drawn = made[number][step % per_epoch]
        return make_batch(asked, passages, drawn), targets.of(drawn)

    def loss(model: "Any", drawn: "tuple[Chains, Targets]") -> "Tensor":
        return reader_loss(model(drawn[0]), drawn[1], config.support_weight)

    heldout = np.concatenate([dev[:, None], gold[dev]], 1)
    heldout_batches = [
        (make_batch(asked, passages, heldout[each]), targets.of(heldout[each]))
        for each in batches(passages, heldout, config.optimisation.batch)
    ]

    def validate(model: "Any") -> float:
        with torch.inference_mode():
            losses = [(float(loss(model, each)), len(each[1].gold)) for each in heldout_batches]
        return sum(value * count for value, count in losses) / sum(count for _, count in losses)

    torch.manual_seed(config.seed)
    reader = Reader(len(passages.scale), config.width, config.layers, config.heads, config.dropout)
    tokens = int(np.diff(passages.starts)[gold[rows]].sum(1).mean() * config.optimisation.batch)
    train(
        reader,
        batch=batch,
        loss=loss,
        config=config.optimisation,
        tokens_per_step=tokens,
        flops_per_step=6 * tokens * sum(weight.numel() for weight in reader.parameters()),
        validate=validate,
        plateau=config.plateau,
    )
    save_reader(reader.cpu(), out)


def _wrong_chains(
    questions: "NDArray[np.int64]",
    gold: "NDArray[np.int64]",
    wrong: "NDArray[np.int64]",
    generator: "np.random.Generator",
) -> "NDArray[np.int64]":
    """One wrong chain a question: half of them begin with the right passage, the others with a wrong one."""
    import numpy as np

    drawn = np.take_along_axis(wrong, generator.random(wrong.shape).argsort(1)[:, :2], 1)
    first = np.where(generator.random(len(gold)) < 0.5, gold[:, 0], drawn[:, 0])
    return np.stack([questions, first, drawn[:, 1]], 1)


class _Answers:
    """Where the answers to questions are, in tokens of their gold passages."""

    def __init__(
        self, questions: Questions, gold: "NDArray[np.int64]", passages: Encoded, texts: Sequence[str]
    ) -> None:
        self._questions, self._gold, self._passages, self._texts = questions.questions, gold, passages, texts

    def of(self, rows: "NDArray[np.int64]") -> "Targets":
        """What the reader should say of the chains `rows` [B, 3]."""
        import numpy as np
        import torch

        from models.retrieval.reader import NO, SPAN, YES, Targets

        counts = np.diff(self._passages.starts)
        longest = int(counts[rows[:, 1:]].sum(1).max())
        offsets = second_slots(self._passages, rows[:, 1])
        slots = int((offsets + second_slots(self._passages, rows[:, 2])).max())
        starts, ends = np.zeros((2, len(rows), longest), bool)
        support = np.zeros((len(rows), slots), bool)
        kind = np.full(len(rows), SPAN)
        right = (self._gold[rows[:, 0]] == rows[:, 1:]).all(1)
        for place in np.flatnonzero(right).tolist():
            question = self._questions[rows[place, 0]]
            kind[place] = {"yes": YES, "no": NO}.get(question.answer, SPAN)
            first, second = rows[place, 1:].tolist()
            # A bridge question's answer is in the second passage; a comparison's may be in either.
            hops = [(second, int(counts[first]))] + [(first, 0)] * (question.type == "comparison")
            for passage, begin in hops:
                for start, end in self._occurrences(passage, question.answer):
                    starts[place, begin + start] = ends[place, begin + end] = True
            for hop, offset in ((0, 0), (1, int(offsets[place]))):
                within = offsets[place] if hop == 0 else slots
                for sentence in question.support[hop]:
                    support[place, min(offset + sentence + 1, int(within) - 1)] = True
        arrays = (starts, ends, kind, right, support)
        return Targets(*(torch.from_numpy(each) for each in arrays))

    def _occurrences(self, passage: int, answer: str) -> list[tuple[int, int]]:
        """First and last token of each occurrence of the answer in what the encoder saw of the passage."""
        import re

        import numpy as np

        spans = self._passages.spans[self._passages.starts[passage] : self._passages.starts[passage + 1]]
        found = []
        for match in re.finditer(rf"(?<!\w){re.escape(answer)}(?!\w)", self._texts[passage]):
            start = int(np.searchsorted(spans[:, 1], match.start(), side="right"))
            end = int(np.searchsorted(spans[:, 0], match.end(), side="left")) - 1
            if start <= end < len(spans) and match.end() <= spans[-1, 1]:
                found.append((start, end))
        return found
