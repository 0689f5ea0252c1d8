"""Texts of several domains: read from files, some held out by document, as tokens to learn from and to be judged by."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError
from tasks.language.documents import split_paragraphs
from tasks.mail.mailbox import Skipped

if TYPE_CHECKING:
    from tasks.learning.bits import Windows
    from tasks.learning.tokens import Text

LARGEST = 256 << 20
"""Bytes of a file that is read at once."""
HELD_OUT = 0.1
FEW, PIECE = 20, 4000
"""Of fewer documents, pieces of so many characters are held out instead."""
FEWEST = 4
"""Documents or pieces that a domain needs."""


def read_domains(paths: Sequence[Path], skipped: Skipped) -> dict[str, list[str]]:
    """The documents of each path, a domain that is called as the file or folder is; `skipped` takes what is not read.

    A file is a document, a file of JSON lines has one a line, in `text`. The same document counts once.

    Raises:
        UserError: a path is not there, two are called the same, or one has no text.
    """
    domains: dict[str, list[str]] = {}
    for path in paths:
        name = path.resolve().name if path.is_dir() else path.stem
        if not path.exists():
            raise UserError(f"There is no {path}: give a file or a folder of text for each domain.")
        if name in domains:
            raise UserError(f"Two domains are called {name}: give one of them another name.")
        documents = dict.fromkeys(text for file in _files(path) for text in _documents(file, skipped))
        if not documents:
            why = "; ".join(f"{count} {reason}" for reason, count in skipped.counts().items()) or "it is empty"
            raise UserError(f"{path} has no text ({why}): give files of text in UTF-8, or JSON lines with text.")
        domains[name] = list(documents)
    return domains


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder) / name for name in sorted(names) if not name.startswith(".")]
    return found


def _documents(path: Path, skipped: Skipped) -> list[str]:
    try:
        if path.stat().st_size > LARGEST:
            skipped.add(f"larger than {LARGEST >> 20} MB", path.name)
            return []
        text = path.read_text(encoding="utf-8-sig")
    except OSError:
        skipped.add("cannot be opened", path.name)
        return []
    except UnicodeDecodeError:
        skipped.add("no text in UTF-8", path.name)
        return []
    if "\0" in text:
        skipped.add("no text in UTF-8", path.name)
        return []
    if path.suffix.lower() not in (".jsonl", ".ndjson"):
        return [text] if text.strip() else []
    documents = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            record = json.loads(line) if line.strip() else {"text": ""}
        except ValueError:
            record = None
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            skipped.add("no JSON object with text", f"{path.name}, line {number}")
        elif record["text"].strip():
            documents.append(record["text"])
    return documents


def split(name: str, documents: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Documents to learn from, and a tenth of them to be judged by; of few documents, pieces at paragraphs.

    Raises:
        UserError: there is too little text for both.
    """
    pieces = list(documents) if len(documents) >= FEW else list(dict.fromkeys(p for d in documents for p in cut(d)))
    if len(pieces) < FEWEST:
        raise UserError(
            f"The domain {name} has {len(pieces)} documents or pieces of {PIECE:,} characters, and {FEWEST} are the "
            "fewest: give more text."
        )
    order = Random(seed).sample(range(len(pieces)), len(pieces))
    held = max(1, round(HELD_OUT * len(pieces)))
    return [pieces[at] for at in sorted(order[held:])], [pieces[at] for at in sorted(order[:held])]


def cut(text: str) -> list[str]:
    """The text in pieces of about PIECE characters that end where a paragraph does."""
    pieces = [""]
    for paragraph in split_paragraphs(text):
        if pieces[-1] and len(pieces[-1]) + len(paragraph) > PIECE:
            pieces.append("")
        pieces[-1] += ("\n\n" if pieces[-1] else "") + paragraph
    return [piece for piece in pieces if piece]


@dataclass(frozen=True)
class Held:
    """Held-out windows whose `bytes` count one for each real target; `size` are the bytes that all of them spell."""

    windows: "Windows"
    size: int


def stream(name: str, documents: Sequence[str], tokenizer: Any, context: int) -> "Any":
    """All documents of a domain as ids, one after the other, each after the token that begins a text.

    Raises:
        UserError: they are shorter than the context.
    """
    import numpy as np

    begin = beginning(tokenizer)
    ids = [token for ids, _ in _encoded(documents, tokenizer) for token in (begin, *ids)]
    if len(ids) <= context:
        raise UserError(
            f"The domain {name} has {len(ids)} tokens to learn from, fewer than the context of {context}: give more "
            "text, or a smaller --context."
        )
    return np.array(ids, np.int64)


def training_text(streams: Mapping[str, Any]) -> "Text":
    """The streams of the domains as the shared sampler reads them."""
    import numpy as np

    from tasks.learning.tokens import Text

    return Text({f"train/{name}": ids for name, ids in streams.items()}, list(streams), np.zeros(0, np.uint16))


def held_windows(documents: Sequence[str], tokenizer: Any, context: int, limit: int) -> Held:
    """At most `limit` windows of `context` tokens, evenly spread over the documents, none crossing a document's end.

    How many bytes a window spells is told by where its tokens end in the text, so that bits a byte are exact for any
    tokenizer: a character of several tokens counts where its first one stands.
    """
    import numpy as np
    import torch

    from tasks.learning.bits import Windows

    begin = beginning(tokenizer)
    found = []
    for number, (text, (ids, ends)) in enumerate(zip(documents, _encoded(documents, tokenizer), strict=True)):
        whole, until = [begin, *ids], [0, *ends]
        for start in range(0, len(ids), context):
            piece = whole[start : start + context + 1]
            last = start + len(piece) - 1
            found.append((piece, len(text[until[start] : until[last]].encode()), number, start))
    chosen = [found[at] for at in np.linspace(0, len(found) - 1, min(limit, len(found))).round().astype(int)]
    rows = torch.full((len(chosen), context + 1), begin)
    inside = torch.zeros((len(chosen), context), dtype=torch.int64)
    for at, (piece, *_) in enumerate(chosen):
        rows[at, : len(piece)] = torch.tensor(piece)
        inside[at, : len(piece) - 1] = 1
    document, starts = (torch.tensor([each[place] for each in chosen]) for place in (2, 3))
    windows = Windows(rows[:, :-1].contiguous(), rows[:, 1:].contiguous(), inside, document, starts)
    return Held(windows, sum(size for _, size, *_ in chosen))


def beginning(tokenizer: Any) -> int:
    """The token that begins every text, as the tokenizer says, or else the one that ends it.

    Raises:
        UserError: it has neither.
    """
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise UserError(
        "The tokenizer has no token that begins or ends a text: name a bos_token in its tokenizer_config.json."
    )


def _encoded(documents: Sequence[str], tokenizer: Any) -> list[tuple[list[int], list[int]]]:
    """The ids of each document, and up to which character each of them reaches."""
    if not tokenizer.is_fast:
        raise UserError("The tokenizer tells no places in the text: give a model with a tokenizer.json.")
    if not documents:
        return []
    made = tokenizer(list(documents), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ends = [[end for _, end in offsets] for offsets in made["offset_mapping"]]
    return list(zip(made["input_ids"], ends, strict=True))
