"""Training of the reader, on features that the frozen encoder computed once."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Fraction, Index, NotNegative, Optimisation, config
from tasks.base.errors import UserError
from tasks.concurrentqa.benchmark.questions import Questions, read_questions
from tasks.concurrentqa.retrieval.chains import batches, make_batch, save_reader, second_slots
from tasks.encyclopedia.passages import read_passages
from tasks.language.encoded import Encoded
from tasks.learning.train import Plateau, train

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from models.retrieval.reader import Chains, Targets


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
    if not (len(rows) and len(dev)):
        raise UserError("Train or dev has no public question for the reader: build the benchmark from more articles.")
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
