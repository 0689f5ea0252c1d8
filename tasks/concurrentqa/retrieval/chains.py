"""From questions and passages with features to what the reader reads, and from what it finds to answers in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.language.encoded import Encoded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from models.retrieval.reader import Chains, Reader

BATCH = 48
"""Chains that are read at once."""


@dataclass(frozen=True)
class Reading:
    """What the reader says of one chain: its answer, the log-probability of that, the logit of the chain's rank, and
    for each hop the sentences (by index) that are more likely needed than not."""

    answer: str
    span: float
    rank: float
    support: tuple[tuple[int, ...], tuple[int, ...]]


def make_batch(questions: Encoded, passages: Encoded, rows: "NDArray[np.int64]") -> "Chains":
    """A batch of chains, `rows` [B, 3] being indices of question, first and second passage.

    The slots of the second passage's sentences follow those of the first, see `second_slots`. Nothing but texts goes
    in: which passages or sentences are gold cannot be seen.
    """
    import numpy as np
    import torch

    from models.retrieval.reader import MARKS, Chains

    asked = [slice(*questions.starts[row : row + 2]) for row in rows[:, 0]]
    hops = [[slice(*passages.starts[row : row + 2]) for row in rows[:, hop]] for hop in (1, 2)]
    width = len(passages.scale)
    lengths = _lengths(passages, rows)
    size, longest = len(rows), int(lengths.max())
    longest_question = max(each.stop - each.start for each in asked)
    question = np.zeros((size, longest_question, width), np.int8)
    is_question = np.zeros((size, longest_question), bool)
    tokens = np.zeros((size, longest, width), np.int8)
    real, hop = np.zeros((size, longest), bool), np.zeros((size, longest), np.int64)
    marks = np.zeros((size, longest, MARKS), np.float32)
    offsets = second_slots(passages, rows[:, 1])
    sentences = int((offsets + second_slots(passages, rows[:, 2])).max())
    sentence = np.full((size, longest), sentences - 1)
    for place, (of_question, first, second) in enumerate(zip(asked, *hops, strict=True)):
        length = of_question.stop - of_question.start
        question[place, :length], is_question[place, :length] = questions.tokens[of_question], True
        words = questions.words[of_question]
        begin = 0
        for number, (own, other) in enumerate(((first, second), (second, first))):
            put = slice(begin, begin + own.stop - own.start)
            tokens[place, put], real[place, put], hop[place, put] = passages.tokens[own], True, number
            marks[place, put, 0] = np.isin(passages.words[own], words) & (passages.words[own] != 0)
            marks[place, put, 1] = np.isin(passages.words[own], passages.words[other]) & (passages.words[own] != 0)
            sentence[place, put] = passages.sentence[own].astype(np.int64) + number * offsets[place]
            begin = put.stop
    scale = torch.from_numpy(passages.scale)
    return Chains(
        question=torch.from_numpy(question) * torch.from_numpy(questions.scale),
        asked=torch.from_numpy(is_question),
        tokens=torch.from_numpy(tokens) * scale,
        real=torch.from_numpy(real),
        hop=torch.from_numpy(hop),
        marks=torch.from_numpy(marks),
        sentence=torch.from_numpy(sentence),
        sentences=sentences,
    )


def second_slots(passages: Encoded, rows: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """How many sentence slots each of these passages has: where those of a passage that follows it begin."""
    import numpy as np

    ends = passages.starts[rows + 1] - 1
    filled = passages.starts[rows] <= ends
    return np.where(filled, passages.sentence[np.maximum(ends, 0)].astype(np.int64) + 1, 1)


def batches(passages: Encoded, rows: "NDArray[np.int64]", most: int = BATCH) -> "list[NDArray[np.int64]]":
    """Indices into `rows` [n, 3], those of like length together, at most `most` at once."""
    import numpy as np

    order = np.argsort(_lengths(passages, rows), kind="stable")
    return [order[start : start + most] for start in range(0, len(order), most)]


def read_chains(
    reader: "Reader",
    questions: Encoded,
    passages: Encoded,
    texts: Sequence[str],
    rows: "NDArray[np.int64]",
    longest_answer: int,
) -> list[Reading]:
    """Read the chains `rows` [n, 3] (question, first passage, second passage), `texts` being the passages' own."""
    import torch

    from models.retrieval.reader import NO, SPAN, YES, answers

    read: dict[int, Reading] = {}
    reader.eval()
    with torch.inference_mode():
        for chosen in batches(passages, rows):
            batch = make_batch(questions, passages, rows[chosen])
            readings = reader(batch)
            found = answers(readings, batch, longest_answer)
            offsets = second_slots(passages, rows[chosen][:, 1])
            shown = (readings.support > 0).numpy()
            columns = (found.kind, found.first, found.last, found.score, readings.rank)
            for place, (kind, first, last, score, rank) in enumerate(
                zip(*(column.tolist() for column in columns), strict=True)
            ):
                _, *hops = rows[chosen[place]].tolist()
                answer = {YES: "yes", NO: "no"}.get(kind, "")
                if kind == SPAN:
                    answer = _words(passages, texts, hops, first, last)
                slots = shown[place].nonzero()[0].tolist()
                offset = int(offsets[place])
                support = (
                    tuple(slot - 1 for slot in slots if 0 < slot < offset),
                    tuple(slot - offset - 1 for slot in slots if slot > offset),
                )
                read[int(chosen[place])] = Reading(answer, score, rank, support)
    return [read[index] for index in range(len(rows))]


def save_reader(reader: "Reader", folder: Path) -> None:
    """Write reader.safetensors."""
    from safetensors.torch import save_file

    save_file(dict(reader.state_dict()), folder / "reader.safetensors", metadata={"heads": str(reader.heads)})


def load_reader(folder: Path) -> "Reader":
    """Read what `save_reader` wrote, without dropout."""
    from safetensors import safe_open

    from models.retrieval.reader import Reader

    with safe_open(folder / "reader.safetensors", "pt") as file:
        heads = int(file.metadata()["heads"])
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    width, features = state["projected.weight"].shape
    layers = sum(name.endswith(".joined.weight") for name in state)
    reader = Reader(features, width, layers, heads, dropout=0.0)
    reader.load_state_dict(state)
    return reader.eval()


def _lengths(passages: Encoded, rows: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """How many tokens the two passages of each chain have together."""
    import numpy as np

    counts = np.diff(passages.starts)
    lengths: NDArray[np.int64] = counts[rows[:, 1]] + counts[rows[:, 2]]
    return lengths


def _words(passages: Encoded, texts: Sequence[str], hops: Sequence[int], first: int, last: int) -> str:
    """The characters from token `first` to token `last` of a chain, both in one passage."""
    passage, begin = hops[0], int(passages.starts[hops[0]])
    length = int(passages.starts[hops[0] + 1]) - begin
    if first >= length:
        passage, begin = hops[1], int(passages.starts[hops[1]]) - length
    return texts[passage][int(passages.spans[begin + first, 0]) : int(passages.spans[begin + last, 1])]
