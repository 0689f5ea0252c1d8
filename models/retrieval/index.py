"""Indexes over the passages of one scope: dense (FAISS, exact or HNSW) and sparse (BM25)."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import faiss
import numpy as np
import torch

from models.retrieval.scopes import Floats, Integers, Mask, Values

HNSW_LINKS, EF_CONSTRUCTION, EF_SEARCH = 32, 200, 128
MARGIN = 16
"""How many passages more than asked FAISS returns, to be scored again."""
MANY = 32
"""From how many queries on torch multiplies instead of FAISS."""
PRODUCTS = 2**22
"""How many inner products torch holds at once."""
ROWS = 64
"""How many queries are scored again at once: bounds memory at ROWS × (k + MARGIN) × width floats."""


class Hits(NamedTuple):
    """What an index found: scores (rows, k), best first, and positions (rows, k) of the passages in the index.

    There are no more columns than passages in the index; where fewer are found the rest of a row is -inf and -1.
    """

    scores: Floats
    positions: Integers


class DenseIndex:
    """Passages by the inner product of their vectors with a query's.

    `ids` are distinct, `vectors` (passages, width). With "flat" the search is exact, equal scores in the order of ids:
    FAISS proposes (for many queries at once torch, whose product is three times as fast), and what it proposes is
    scored again by products summed in one fixed order. The last bits of a matrix product depend on how much is
    multiplied at once, so without that the lists of two indexes could not be merged to exactly what one index finds.
    With "hnsw" the search is approximate (efSearch 128, efConstruction 200).
    """

    def __init__(self, ids: Sequence[str], vectors: Floats, kind: Literal["flat", "hnsw"] = "flat") -> None:
        self.ids = list(ids)
        self.vectors = np.require(vectors, np.float32, ["C", "W"])
        self.kind = kind
        self._order = id_order(self.ids)
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.ids):
            raise ValueError(f"{len(self.ids)} ids for vectors of shape {self.vectors.shape}")
        self._longest = float(np.linalg.norm(self.vectors, axis=1).max(initial=0.0))
        width = self.vectors.shape[1]
        self._faiss: Any
        if kind == "flat":
            self._faiss = faiss.IndexFlatIP(width)
            self._faiss.add(self.vectors)
        else:
            self._faiss = faiss.IndexHNSWFlat(width, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
            self._faiss.hnsw.efConstruction, self._faiss.hnsw.efSearch = EF_CONSTRUCTION, EF_SEARCH
            # In one thread, for the graph depends on the order in which passages enter it.
            threads = faiss.omp_get_max_threads()
            faiss.omp_set_num_threads(1)
            self._faiss.add(self.vectors)
            faiss.omp_set_num_threads(threads)

    def search(self, queries: Floats, k: int) -> Hits:
        """The best k passages for each vector of `queries` (rows, width)."""
        queries = np.ascontiguousarray(queries, np.float32)
        rows, k = len(queries), min(k, len(self.ids))
        found = Hits(np.full((rows, k), -np.inf, np.float32), np.full((rows, k), -1, np.int64))
        left, wide = np.arange(rows), k + MARGIN
        while len(left) and k:
            wide = min(wide, len(self.ids))
            proposed, positions = self._proposed(queries[left], wide)
            scores = self._scored(queries[left], positions)
            done = self._complete(queries[left], proposed, scores, k)
            order = np.lexsort((self._order[positions], -scores), axis=1)[done, :k]
            found.scores[left[done]] = np.take_along_axis(scores[done], order, 1)
            found.positions[left[done]] = np.take_along_axis(positions[done], order, 1)
            left, wide = left[~done], 4 * wide
        found.positions[np.isneginf(found.scores)] = -1
        return found

    def _proposed(self, queries: Floats, k: int) -> tuple[Floats, Integers]:
        """The best k by products that are right but for their last bits."""
        if self.kind == "hnsw" or len(queries) < MANY:
            scores, positions = self._faiss.search(queries, k)
            return scores, positions
        passages = torch.from_numpy(self.vectors).T
        rows = max(1, PRODUCTS // len(self.ids))
        parts = [(block @ passages).topk(k) for block in torch.split(torch.from_numpy(queries), rows)]
        return torch.cat([part.values for part in parts]).numpy(), torch.cat([part.indices for part in parts]).numpy()

    def _scored(self, queries: Floats, positions: Integers) -> Floats:
        """The inner products with what was proposed, each summed in the same order whatever else is in the batch."""
        scores = np.empty(positions.shape, np.float32)
        for start in range(0, len(queries), ROWS):
            rows = slice(start, start + ROWS)
            np.einsum("rd,rkd->rk", queries[rows], self.vectors[positions[rows]], out=scores[rows])
        scores[positions < 0] = -np.inf
        return scores

    def _complete(self, queries: Floats, proposed: Floats, scores: Floats, k: int) -> Mask:
        """Which rows surely hold their best k: no passage left out can reach the k-th score, rounding included."""
        if self.kind == "hnsw" or proposed.shape[1] == len(self.ids):
            return np.ones(len(queries), bool)
        kth = -np.partition(-scores, k - 1, axis=1)[:, k - 1]
        width = queries.shape[1]
        # The classic bound on a float32 dot product's rounding, once for the proposal's sum and once for ours.
        rounding = 2.02 * width * 2.0**-24 * self._longest * np.linalg.norm(queries, axis=1)
        done: Mask = kth > proposed[:, -1] + rounding
        return done


class SparseIndex:
    """Passages by BM25 (bm25s: Lucene's variant, k1 1.5, b 0.75), with English stop words left out.

    Queries are cut into tokens as the passages are. A passage that shares no token with a query is not found by it;
    equal scores come in the order of ids.
    """

    def __init__(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        self.ids = list(ids)
        self._order = id_order(self.ids)
        if len(texts) != len(self.ids):
            raise ValueError(f"{len(self.ids)} ids for {len(texts)} texts")
        import bm25s  # which imports JAX where that is installed: seconds, for nothing where no words are searched

        self._bm25 = bm25s.BM25()
        tokens = _tokens(texts)
        self._empty = not any(tokens)
        if not self._empty:
            self._bm25.index(tokens, show_progress=False)

    def search(self, queries: Sequence[str], k: int) -> Hits:
        """The best k passages for each text of `queries`."""
        rows, k = len(queries), min(k, len(self.ids))
        found = Hits(np.full((rows, k), -np.inf, np.float32), np.full((rows, k), -1, np.int64))
        if self._empty or not k:
            return found
        for row, tokens in enumerate(_tokens(queries)):
            if not tokens:
                continue
            scores = self._bm25.get_scores(tokens)
            matched = np.flatnonzero(scores > 0)
            if len(matched) > k:
                matched = matched[scores[matched] >= -np.partition(-scores[matched], k - 1)[k - 1]]
            best = matched[np.lexsort((self._order[matched], -scores[matched]))[:k]]
            found.scores[row, : len(best)] = scores[best]
            found.positions[row, : len(best)] = best
        return found


class Remembering:
    """An exact index that searches for a query once, however often it is asked.

    What one retriever asks under one policy it mostly asks under the next, too. Hits do not depend on what is asked
    beside them, and the best k are the first of more (neither is so with "hnsw").
    """

    def __init__(self, index: DenseIndex | SparseIndex) -> None:
        self.index = index
        self.ids = index.ids
        self._found: dict[bytes, Hits] = {}

    def search(self, queries: Values, k: int) -> Hits:
        """The best k passages for each vector or text of `queries`."""
        k = min(k, len(self.ids))
        keys = [sha256(each.encode() if isinstance(each, str) else each.tobytes()).digest() for each in queries]
        fresh = {key: row for row, key in enumerate(keys) if key not in self._found or len(self._found[key].scores) < k}
        if fresh:
            rows = list(fresh.values())
            asked = queries[rows] if isinstance(queries, np.ndarray) else [queries[row] for row in rows]
            hits = self.index.search(asked, k)  # type: ignore[arg-type]
            for key, scores, positions in zip(fresh, *hits, strict=True):
                self._found[key] = Hits(scores, positions)
        found = [self._found[key] for key in keys]
        if not found:
            return Hits(np.zeros((0, k), np.float32), np.zeros((0, k), np.int64))
        return Hits(np.stack([hit.scores[:k] for hit in found]), np.stack([hit.positions[:k] for hit in found]))


def id_order(ids: Sequence[str]) -> Integers:
    """The place of each id among all of them in alphabetical order. Raises ValueError where one occurs twice."""
    if len(set(ids)) != len(ids):
        raise ValueError("an id occurs twice")
    order = np.empty(len(ids), np.int64)
    order[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    return order


def _tokens(texts: Sequence[str]) -> list[list[str]]:
    if not texts:
        return []
    import bm25s

    tokens: list[list[str]] = bm25s.tokenize(list(texts), stopwords="en", return_ids=False, show_progress=False)
    return tokens
