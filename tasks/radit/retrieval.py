"""What retrievers find for each example, and how well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Positive, config
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.encyclopedia.passages import Passage, read_passages
from tasks.radit.examples import Example, groups, read_examples, searched
from tasks.radit.passages import shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

CUTS = (1, 5, 10)
MEASURED = ("test", "validation", "outside", "planted", "elsewhere")


@config
class Retrieval:
    """The best `k` passages of each example; `scale` makes scores of cosines (MiniLM was made with 20)."""

    k: Count = 10
    scale: Positive = 20.0
    words: Count = 60


@dataclass(frozen=True)
class Found:
    """Passages of one example, best first: their places in the corpus and their scores."""

    places: tuple[int, ...]
    scores: tuple[float, ...]


QUANTITIES = {
    "recall": "share of examples with a passage that states the answer among the first k",
    "reciprocal_rank": "mean reciprocal rank of the first such passage within the passages found (MRR)",
}


@measures(**QUANTITIES)
def retrieve(
    *, corpus: Path, tasks: Path, vectors: dict[str, Path], minilm: Path, config: Retrieval, out: Path
) -> None:
    """Write found.parquet of BM25 and of MiniLM as it is, metrics.json and examples.parquet with their recall."""
    from models.retrieval.index import SparseIndex
    from tasks.language.minilm import MiniLM

    passages, examples = read_passages(corpus / "passages.parquet"), read_examples(tasks)
    index = PassageIndex(passages, searched(tasks, passages), read_vectors(vectors))
    queries = MiniLM(minilm).encode([each.asked for each in examples])
    found = {"minilm": index.nearest(examples, queries, config)}
    sparse = SparseIndex(
        [passages[place].id for place in index.places], [shown(p, config.words) for p in index.passages]
    )
    hits = sparse.search([each.asked for each in examples], config.k + 1)
    found["bm25"] = [index.found(each, s, at, config.k) for each, s, at in zip(examples, *hits, strict=True)]
    write_found(out / "found.parquet", examples, found)
    write_recall(out, recall_rows(passages, examples, found))


class PassageIndex:
    """The passages that are searched, with their vectors; exact, equal scores in the order of ids."""

    def __init__(self, passages: Sequence[Passage], places: Sequence[int], vectors: "Floats") -> None:
        from models.retrieval.index import DenseIndex

        self.places = list(places)
        self.passages = [passages[place] for place in places]
        self.ids = {passage.id: place for place, passage in enumerate(passages)}
        self.vectors = vectors
        self._dense = DenseIndex([passage.id for passage in self.passages], vectors[self.places])

    def nearest(self, examples: Sequence[Example], queries: "Floats", config: Retrieval) -> list[Found]:
        """The passages nearest to each query's vector."""
        hits = self._dense.search(queries, config.k + 1)
        return [
            self.found(each, config.scale * scores, positions, config.k)
            for each, scores, positions in zip(examples, *hits, strict=True)
        ]

    def found(self, example: Example, scores: "Floats", positions: "NDArray[np.int64]", k: int) -> Found:
        """Hits as places in the whole corpus; a piece of text does not find the article that it was cut from."""
        own = self.ids.get(example.source, -1)
        pairs = [(self.places[at], float(s)) for at, s in zip(positions, scores, strict=True) if at >= 0]
        pairs = [pair for pair in pairs if pair[0] != own][:k]
        return Found(tuple(place for place, _ in pairs), tuple(score for _, score in pairs))


def read_vectors(folders: Mapping[str, Path]) -> "Floats":
    """The vectors of all passages, out of their shards by number."""
    import numpy as np
    from safetensors.numpy import load_file

    shards = [load_file(folders[label] / "vectors.safetensors")["vectors"] for label in sorted(folders, key=int)]
    vectors = np.empty((sum(map(len, shards)), shards[0].shape[1]), np.float32)
    for number, shard in enumerate(shards):
        vectors[number :: len(shards)] = shard
    return vectors


def write_found(path: Path, examples: Sequence[Example], found: Mapping[str, Sequence[Found]]) -> None:
    """A row for each retriever and example."""
    import pyarrow
    import pyarrow.parquet

    rows = [
        {"retriever": name, "example": example.id, "places": list(each.places), "scores": list(each.scores)}
        for name, every in found.items()
        for example, each in zip(examples, every, strict=True)
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def read_found(folder: Path) -> dict[str, dict[str, Found]]:
    """What each retriever found, by the example's id."""
    import pyarrow.parquet

    found: dict[str, dict[str, Found]] = {}
    for row in pyarrow.parquet.read_table(folder / "found.parquet").to_pylist():
        found.setdefault(row["retriever"], {})[row["example"]] = Found(tuple(row["places"]), tuple(row["scores"]))
    return found


def recall_rows(
    passages: Sequence[Passage], examples: Sequence[Example], found: Mapping[str, Sequence[Found]], **labels: Any
) -> list[dict[str, Any]]:
    """Recall and reciprocal rank of what each retriever found, example by example, where a passage is known."""
    return [
        {"retriever": name, **example.labels, **labels, **row}
        for name, every in found.items()
        for example, each in zip(examples, every, strict=True)
        if example.gold and example.split in MEASURED
        for row in _ranked(each, passages, example)
    ]


def write_recall(out: Path, rows: Sequence[dict[str, Any]], *others: dict[str, Any]) -> None:
    """Write rows of `recall_rows` to examples.parquet, and their means, with other measurements, to metrics.json."""
    import pyarrow
    import pyarrow.parquet

    quantities = ("recall", "reciprocal_rank")
    means: dict[tuple[tuple[str, Any], ...], list[float]] = {}
    for row in rows:
        (quantity,) = (name for name in quantities if name in row)
        for group, labels in groups({name: value for name, value in row.items() if name not in ("question", quantity)}):
            shown_in = {"found by": f"{row['retriever']}, {row['among']}"}
            if group:
                # Parts are told of what is found first among test questions, and are not shown by more than that.
                if row["among"] != "test" or row.get("first") != "1":
                    continue
                shown_in = {"found first by": row["retriever"], "part": group}
            means.setdefault((*labels.items(), *shown_in.items(), ("", quantity)), []).append(row[quantity])
    metrics = [{**dict(key[:-1]), key[-1][1]: sum(values) / len(values)} for key, values in means.items()]
    write_json(out / "metrics.json", [*metrics, *others])
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), out / "examples.parquet")


def _ranked(found: Found, passages: Sequence[Passage], example: Example) -> list[dict[str, Any]]:
    right = [rank for rank, place in enumerate(found.places, 1) if passages[place].id in example.gold]
    rank = right[0] if right else 0
    cuts = [{"first": str(cut), "recall": float(0 < rank <= cut)} for cut in CUTS]
    return [*cuts, {"reciprocal_rank": 1 / rank if rank else 0.0}]
