"""An index of passages that grows: shards on disk, each put in place whole, so that an interruption costs one shard."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tasks.base.errors import UserError
from tasks.encyclopedia.passages import Passage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from models.retrieval.index import Hits
    from models.retrieval.scopes import Floats, Mask, Query

SHARD = 256
"""Passages in a shard, or a few more: those of one item stay together."""


class Encoder(Protocol):
    """Texts to vectors of length 1."""

    @property
    def width(self) -> int:
        """The length of a vector."""

    def encode(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """One vector a text, (texts, width)."""


@dataclass(frozen=True)
class Item:
    """Something to index: what identifies it, and how its passages are made if they are needed."""

    identity: str
    passages: Callable[[], list[Passage]]


@dataclass
class Progress:
    """What an update has done so far, in items and passages."""

    items: int = 0
    known: int = 0
    repeated: int = 0
    added: int = 0
    gone: int = 0
    passages: int = 0


class PassageIndex:
    """Passages with their vectors, in the shards of a folder, searched one shard at a time.

    Memory holds the ids of all passages and the vectors of one shard. A `Searcher` that may be asked anything, for it
    is on the user's own machine.
    """

    def __init__(self, folder: Path, model: str) -> None:
        """Open or begin the index in `folder`, with vectors of `model`; one of another model is begun anew."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # it holds somebody's mails
        about = folder / "about.json"
        wanted = {"model": model, "format": 1}
        if not about.exists() or json.loads(about.read_text()) != wanted:
            for old in folder.glob("shard-*.parquet"):
                old.unlink()
            about.write_text(json.dumps(wanted))
        self._ids: list[str] | None = None

    def update(
        self, items: Iterable[Item], encoder: Encoder, watch: Callable[[Progress], None] = lambda _: None
    ) -> Progress:
        """Add the items that are new, and drop those of before that no longer come.

        What is already indexed is neither read nor encoded again. Each shard is renamed into place; an update that was
        interrupted goes on where it stopped, and drops nothing before it has seen every item.
        """
        with self._locked():
            done = Progress()
            before = self.identities()
            seen: set[str] = set()
            waiting: list[tuple[str, Passage | None]] = []
            for item in items:
                done.items += 1
                if item.identity in seen:
                    done.repeated += 1
                elif item.identity in before:
                    done.known += 1
                else:
                    done.added += 1
                    made = item.passages()
                    waiting += [(item.identity, passage) for passage in made] or [(item.identity, None)]
                    done.passages += len(made)
                seen.add(item.identity)
                if len(waiting) >= SHARD:
                    self._write(waiting, encoder)
                    waiting = []
                watch(done)
            if waiting:
                self._write(waiting, encoder)
            done.gone = len(before - seen)
            if done.gone:
                self._drop(before - seen)
            self._ids = None
            watch(done)
            return done

    @property
    def ids(self) -> list[str]:
        """The passages' ids, by position."""
        if self._ids is None:
            self._ids = [name for shard in self._shards() for name in _column(shard, "id") if name]
        return self._ids

    def identities(self) -> set[str]:
        """The identities of all that is indexed."""
        return {identity for shard in self._shards() for identity in _column(shard, "identity")}

    def without_passages(self) -> list[str]:
        """The identities of the items that gave no passage."""
        rows = (zip(_column(shard, "identity"), _column(shard, "id"), strict=True) for shard in self._shards())
        return [identity for shard in rows for identity, name in shard if not name]

    def permits(self, query: "Query") -> "Mask":
        """Every row."""
        import numpy as np

        return np.ones(len(query), bool)

    def search(self, query: "Query", k: int) -> "Hits":
        """The best k passages for each row; equal scores in the order of ids."""
        import numpy as np

        from models.retrieval.index import DenseIndex, Hits, id_order

        values = query.values
        assert not isinstance(values, tuple)
        rows, k = len(query), min(k, len(self.ids))
        scores, positions = np.zeros((rows, 0), np.float32), np.zeros((rows, 0), np.int64)
        start = 0
        for names, vectors in self.vectors():
            hits = DenseIndex(names, vectors).search(values, k)
            scores = np.concatenate([scores, hits.scores], 1)
            positions = np.concatenate([positions, hits.positions + start], 1)
            start += len(names)
        ties = id_order(self.ids)[positions] if rows and positions.size else positions
        order = np.lexsort((ties, -scores), axis=1)[:, :k]
        return Hits(np.take_along_axis(scores, order, 1), np.take_along_axis(positions, order, 1))

    def vectors(self) -> "Iterator[tuple[list[str], Floats]]":
        """Ids and vectors of each shard that has passages."""
        import numpy as np
        import pyarrow.parquet

        for shard in self._shards():
            table = pyarrow.parquet.read_table(shard, columns=["id", "vector"])
            names = table["id"].to_pylist()
            flat = table["vector"].combine_chunks().flatten().to_numpy().reshape(len(names), -1)
            has = np.array([bool(name) for name in names])
            if has.any():
                yield [name for name in names if name], flat[has].astype(np.float32)

    def passages(self, positions: Iterable[int]) -> dict[int, Passage]:
        """The passages at some positions."""
        import pyarrow.parquet

        wanted = set(positions)
        found: dict[int, Passage] = {}
        start = 0
        for shard in self._shards():
            rows = [row for row, name in enumerate(_column(shard, "id")) if name]
            here = [at for at in sorted(wanted) if start <= at < start + len(rows)]
            if here:
                columns = [field.name for field in fields(Passage)]
                table = pyarrow.parquet.read_table(shard, columns=columns).take([rows[at - start] for at in here])
                for at, row in zip(here, table.to_pylist(), strict=True):
                    found[at] = Passage(**{**row, "sentences": tuple(row["sentences"])})
            start += len(rows)
        return found

    def texts(self, positions: Sequence[int]) -> list[str]:
        """What a retriever and a reader see of the passages at some positions."""
        found = self.passages(positions)
        return [found[at].rendered for at in positions]

    def _shards(self) -> list[Path]:
        return sorted(self.folder.glob("shard-*.parquet"))

    def _write(self, waiting: Sequence[tuple[str, Passage | None]], encoder: Encoder) -> None:
        """Encode and store a shard; an item without passages is stored as well, so that it is not read again."""
        import numpy as np
        import pyarrow

        texts = [passage.rendered for _, passage in waiting if passage]
        vectors = np.zeros((len(waiting), encoder.width), np.float32)
        vectors[[place for place, (_, passage) in enumerate(waiting) if passage]] = encoder.encode(texts)
        nothing = Passage(id="", scope="private", title="", text="", sentences=())
        rows = [{"identity": identity, **asdict(passage or nothing)} for identity, passage in waiting]
        table = pyarrow.Table.from_pylist([{**row, "sentences": list(row["sentences"])} for row in rows])
        flat = pyarrow.array(vectors.reshape(-1))
        table = table.append_column("vector", pyarrow.FixedSizeListArray.from_arrays(flat, encoder.width))
        last = max((int(shard.stem.split("-")[1]) for shard in self._shards()), default=0)
        _put(table, self.folder / f"shard-{last + 1:06}.parquet")

    def _drop(self, gone: set[str]) -> None:
        """Rewrite the shards that hold something of `gone` without it."""
        import pyarrow.parquet

        for shard in self._shards():
            stays = [identity not in gone for identity in _column(shard, "identity")]
            if not any(stays):
                shard.unlink()
            elif not all(stays):
                _put(pyarrow.parquet.read_table(shard).filter(stays), shard)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time changes the index; what an interrupted one left half written is removed."""
        with open(self.folder / "lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as problem:
                raise UserError(
                    "Another process is indexing the same files: wait until it has finished, then try again."
                ) from problem
            for left in self.folder.glob("*.part"):
                left.unlink()
            free = shutil.disk_usage(self.folder).free
            if free < 50 << 20:
                raise UserError(f"Only {free >> 20} MB are free where the index lies: make room, then try again.")
            yield


def _column(shard: Path, name: str) -> list[Any]:
    import pyarrow.parquet

    values: list[Any] = pyarrow.parquet.read_table(shard, columns=[name])[name].to_pylist()
    return values


def _put(table: Any, path: Path) -> None:
    import pyarrow.parquet

    part = path.with_suffix(".part")
    pyarrow.parquet.write_table(table, part)
    os.replace(part, path)
