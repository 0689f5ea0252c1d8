"""Documents as tokens: a byte-level BPE tokenizer, and the streams of ids that training and evaluation read."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Fraction, config
from tasks.base import spool
from tasks.base.errors import UserError
from tasks.base.files import write_json

if TYPE_CHECKING:
    import numpy as np

END = "<|end|>"
"""The token that begins every document and so separates it from the one before."""


@config
class Tokenization:
    """A byte-level BPE tokenizer, trained on the same number of bytes of each domain.

    `train_bytes` is the most text a domain brings to training, `validation` the share of its training
    documents that is kept aside for the plateau rule.
    """

    vocabulary: Count = 1024
    sample_bytes: Count = 500_000
    train_bytes: Count = 100_000_000
    validation: Fraction = 0.02


def tokenize(*, corpus: Path, config: Tokenization, out: Path) -> None:
    """Train the tokenizer and write every split as token ids.

    Writes tokenizer.json; tokens.safetensors with, for each split/domain (train, validation, heldout)
    and for `mixed`, the stream of ids (uint16, each document after END) and where its documents start,
    for mixed documents also the token at which they switch; token_bytes, the length of each token, so
    that bits per byte are exact; domains.json, in order; sizes.json.
    """
    import numpy as np
    from pyarrow import parquet
    from safetensors.numpy import save_file

    rows = parquet.read_table(corpus / "train.parquet").to_pylist()
    heldout = parquet.read_table(corpus / "heldout.parquet").to_pylist()
    mixed = parquet.read_table(corpus / "mixed.parquet").to_pylist()
    domains = sorted({row["domain"] for row in rows})
    splits: dict[str, list[str]] = {}
    for domain in domains:
        texts = _up_to([row["text"] for row in rows if row["domain"] == domain], config.train_bytes)
        aside = max(1, round(len(texts) * config.validation))
        splits[f"train/{domain}"] = texts[aside:]
        splits[f"validation/{domain}"] = texts[:aside]
        splits[f"heldout/{domain}"] = [row["text"] for row in heldout if row["domain"] == domain]
    sample = [t for d in domains for t in _up_to(splits[f"train/{d}"], config.sample_bytes)]
    tokenizer = train_tokenizer(sample, config.vocabulary)
    tokenizer.save(str(out / "tokenizer.json"))
    lengths = _token_bytes(tokenizer)

    tensors: dict[str, np.ndarray] = {"token_bytes": lengths}
    sizes = []
    for name, texts in (*splits.items(), ("mixed", [row["text"] for row in mixed])):
        documents = [[0, *encoding.ids] for encoding in tokenizer.encode_batch_fast(texts)]
        ids = np.concatenate([np.array(document, np.uint16) for document in documents])
        tensors[name] = ids
        tensors[f"{name}.starts"] = np.cumsum([0, *map(len, documents)])[:-1]
        count = sum(len(text.encode()) for text in texts)
        if count != int(lengths[ids].sum()):
            raise UserError(f"The tokens of {name} do not spell its text; the tokenizer lost bytes.")
        sizes.append({"split": name, "documents": len(texts), "bytes": count, "tokens": len(ids)})
    switches = [row["switch_byte"] for row in mixed]
    tensors["mixed.switches"] = _positions(tensors["mixed"], tensors["mixed.starts"], switches, lengths)
    save_file(tensors, out / "tokens.safetensors")
    write_json(out / "domains.json", domains)
    write_json(out / "mixed.json", [{"first": row["first"], "second": row["second"]} for row in mixed])
    write_json(out / "sizes.json", sizes)
    spool.table("tokens", sizes)


@dataclass(frozen=True)
class Text:
    """The output of `tokenize`, in memory: streams by split/domain, and the bytes of each token."""

    streams: "dict[str, np.ndarray]"
    domains: list[str]
    token_bytes: "np.ndarray"

    @classmethod
    def load(cls, folder: Path) -> "Text":
        """Read the output folder of `tokenize`."""
        from safetensors.numpy import load_file

        streams = load_file(folder / "tokens.safetensors")
        return cls(streams, json.loads((folder / "domains.json").read_text()), streams.pop("token_bytes"))


def train_tokenizer(texts: list[str], vocabulary: int) -> Any:
    """A byte-level BPE tokenizer (Sennrich et al. 2016) whose token 0 is END; it can spell any text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.encode_special_tokens = True  # text that spells END is text
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
        ),
    )
    return tokenizer


def _token_bytes(tokenizer: Any) -> "np.ndarray":
    """The bytes of each token: byte-level tokens are written with one character a byte. END has none."""
    import numpy as np

    names = [tokenizer.id_to_token(index) for index in range(tokenizer.get_vocab_size())]
    return np.array([0 if name == END else len(name) for name in names], np.uint16)


def _positions(stream: "np.ndarray", starts: "np.ndarray", offsets: list[int], lengths: "np.ndarray") -> "np.ndarray":
    """The place in the stream of the first token that ends after each document's byte offset."""
    import numpy as np

    total = np.cumsum(lengths[stream].astype(np.int64))
    return np.asarray(np.searchsorted(total, total[starts] + np.array(offsets), side="right"))


def _up_to(texts: list[str], size: int) -> list[str]:
    """The first documents, until they have brought `size` bytes."""
    kept: list[str] = []
    for text in texts:
        if size <= 0:
            break
        kept.append(text)
        size -= len(text.encode())
    return kept
