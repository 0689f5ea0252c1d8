"""What is kept of a folder of documents: its index, and the retriever that was tuned on it."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.base.errors import UserError
from tasks.base.files import STATE, write_json
from tasks.encyclopedia.passages import Passage
from tasks.language.minilm import MiniLM
from tasks.mail.mailbox import Skipped
from tools.ask.passage_index import PassageIndex, Progress
from tools.rag.documents import items

if TYPE_CHECKING:
    from models.retrieval.index import DenseIndex

STORES = STATE / "rag"
LAST = "last.json"


@dataclass(frozen=True)
class Library:
    """The folder `documents`, and the folder in which its index and its tuned retriever lie."""

    documents: Path
    folder: Path

    @property
    def tuned(self) -> Path:
        """The tuned query encoder, a folder that sentence-transformers loads, too."""
        return self.folder / "encoder"

    @property
    def index_folder(self) -> Path:
        """Where the shards of passages lie."""
        return self.folder / "index"


def library(documents: Path | None) -> Library:
    """The library of a folder of documents, or the one that was indexed last.

    Raises:
        UserError: there is no such folder, or nothing has been indexed yet.
    """
    if documents is None:
        noted = STORES / LAST
        if not noted.is_file():
            raise UserError("Nothing has been indexed here: run tenfold rag index DOCS first.")
        documents = Path(json.loads(noted.read_text(encoding="utf-8"))["documents"])
    if not documents.is_dir():
        raise UserError(f"There is no folder {documents}: give one with text, Markdown, HTML or PDF files.")
    digest = sha256(os.fsencode(documents.resolve())).hexdigest()[:16]
    return Library(documents.resolve(), STORES / digest)


def bring_up_to_date(
    library: Library, encoder: Path, watch: Callable[[Progress], None] = lambda _: None
) -> tuple[Progress, Skipped, int]:
    """Index what is new or has changed, forget what is gone; also, what was not read, and how many passages there are.

    An index of another encoder is begun anew, and the retriever that was tuned on it is dropped.

    Raises:
        UserError: no document has a word in it.
    """
    if made_by_another(library, encoder):
        shutil.rmtree(library.tuned, ignore_errors=True)
    index = PassageIndex(library.index_folder, model_digest(encoder))
    skipped, names = Skipped(), dict[str, str]()
    done = index.update(items(library.documents, skipped, names), MiniLM(encoder), watch)
    told = {name for some in skipped.names.values() for name in some}
    for identity in index.without_passages():
        # Those of earlier runs are not read again, and told all the same.
        if identity in names and names[identity] not in told:
            skipped.add("gave no words when it was read", names[identity])
    passages = len(index.ids)
    if not passages:
        raise UserError(
            f"{library.documents} has no document with words in it ({_why(skipped)}): "
            "give a folder with text, Markdown, HTML or PDF files."
        )
    write_json(STORES / LAST, {"documents": str(library.documents)})
    return done, skipped, passages


def made_by_another(library: Library, encoder: Path) -> bool:
    """Whether there is an index here that another encoder made."""
    about = library.index_folder / "about.json"
    return about.is_file() and json.loads(about.read_text()).get("model") != model_digest(encoder)


@dataclass(frozen=True)
class Opened:
    """An index in memory: passages in its order, and their vectors behind a search."""

    passages: list[Passage]
    dense: "DenseIndex"


def opened(library: Library, encoder: Path) -> Opened:
    """The index of a library.

    Raises:
        UserError: there is none yet, or another encoder made it.
    """
    import numpy as np

    from models.retrieval.index import DenseIndex

    if not (library.index_folder / "about.json").is_file():
        raise UserError(f"{library.documents} is not indexed yet: run tenfold rag index {library.documents} first.")
    if made_by_another(library, encoder):
        raise UserError(
            f"The index of {library.documents} was made by another encoder: give that one with --encoder, or run "
            f"tenfold rag index {library.documents} with this one."
        )
    index = PassageIndex(library.index_folder, model_digest(encoder))
    parts = list(index.vectors())
    if not parts:
        raise UserError(f"The index of {library.documents} is empty: run tenfold rag index {library.documents} first.")
    found = index.passages(range(len(index.ids)))
    dense = DenseIndex([name for names, _ in parts for name in names], np.concatenate([each for _, each in parts]))
    return Opened([found[at] for at in range(len(found))], dense)


def model_digest(encoder: Path) -> str:
    """What tells one encoder's vectors from another's: its weights and its tokenizer."""
    names = ("model.safetensors", "tokenizer.json", "vocab.txt")
    digest = sha256()
    for name in names:
        path = encoder / name
        if path.is_file():
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()[:16]


def _why(skipped: Skipped) -> str:
    counts = [f"{count} {reason}" for reason, count in skipped.counts().items()]
    return "; ".join(counts) or "it is empty"
