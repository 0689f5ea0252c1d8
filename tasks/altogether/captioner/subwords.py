"""Texts as subwords: byte-level BPE trained on the texts that training reads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, config
from tasks.altogether.records import PRETRAINING, read_records
from tasks.altogether.texts.attributes import plain
from tasks.base import spool

if TYPE_CHECKING:
    from torch import Tensor

FILE = "tokenizer.json"


@config
class Subwording:
    """How many subwords there are, special tokens and bytes included."""

    vocabulary: Count = 1500


@dataclass(frozen=True)
class Subwords:
    """A trained tokenizer; texts are taken in lower case and with single spaces."""

    tokenizer: Any

    @property
    def size(self) -> int:
        return int(self.tokenizer.get_vocab_size())

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without begin and end; none for an empty text."""
        text = plain(text)
        # A space before the first word makes it the same subword as elsewhere.
        return list(self.tokenizer.encode(f" {text}", add_special_tokens=False).ids) if text else []

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids up to the first END."""
        from models.captioner import BEGIN, END, PAD

        kept = []
        for number in ids:
            if number == END:
                break
            if number not in (PAD, BEGIN):
                kept.append(int(number))
        return plain(self.tokenizer.decode(kept))


def train_subwords(*, levels: Path, titled: Path, config: Subwording, out: Path) -> None:
    """Write `tokenizer.json`, trained on the texts of the training and pre-training records, and on nothing else."""
    from models.captioner import BEGIN, END, PAD

    records = [*read_records(levels / "train.json"), *read_records(titled / f"{PRETRAINING}.json")]
    texts = sorted({plain(text) for record in records for text in record.levels if text})
    subwords = trained(texts, config.vocabulary)
    special = [subwords.tokenizer.token_to_id(token) for token in ("<pad>", "<begin>", "<end>")]
    assert special == [PAD, BEGIN, END]
    subwords.tokenizer.save(str(out / FILE))
    lengths = [len(subwords.encode(text)) for text in texts]
    spool.note(f"{subwords.size} subwords; the longest of {len(texts)} texts has {max(lengths)} of them.")


def trained(texts: Sequence[str], vocabulary: int) -> Subwords:
    """A tokenizer trained on the texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "<begin>", "<end>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((f" {text}" for text in texts), trainer)
    return Subwords(tokenizer)


def load_subwords(folder: Path) -> Subwords:
    """The tokenizer that `train_subwords` wrote."""
    from tokenizers import Tokenizer

    return Subwords(Tokenizer.from_file(str(folder / FILE)))


def left_padded(texts: Sequence[Sequence[int]], longest: int) -> "Tensor":
    """Ids [n, T] padded on the left, each text cut to its first `longest` ids; T is the longest that is left."""
    import torch

    from models.captioner import PAD

    kept = [list(text[:longest]) for text in texts]
    width = max(map(len, kept), default=0)
    return torch.tensor([[PAD] * (width - len(text)) + text for text in kept], dtype=torch.long).view(len(kept), width)


def as_caption(texts: Sequence[Sequence[int]], longest: int) -> tuple["Tensor", "Tensor"]:
    """What the captioner reads, which begins with BEGIN, and what it should say, which ends with END; [n, T] each.

    Both are padded on the right; a text too long for `longest` ids, the end included, is cut and has no end.
    """
    import torch

    from models.captioner import BEGIN, END, PAD

    wanted = [[*text, END][:longest] for text in texts]
    width = max(map(len, wanted))
    said = [[*text, *[PAD] * (width - len(text))] for text in wanted]
    read = [[BEGIN, *row[:-1]] for row in said]
    # What follows END is never asked for, so END itself need not be read.
    return torch.tensor(read), torch.tensor(said)
