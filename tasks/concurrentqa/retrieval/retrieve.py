"""Two-hop retrieval of all questions; under a policy another process serves the public index over HTTP."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, Self

from models.config import Count, Fraction, Index, config
from tasks.base import spool
from tasks.concurrentqa.benchmark.questions import Split, read_questions
from tasks.concurrentqa.retrieval.client import PublicClient, PublicPool, connect, recording
from tasks.concurrentqa.retrieval.retriever import Trained
from tasks.concurrentqa.retrieval.service import seen, serve
from tasks.encyclopedia.passages import Passage, read_passages
from tasks.language.encoded import Encoded
from tasks.language.minilm import MiniLM

if TYPE_CHECKING:
    from models.retrieval.index import DenseIndex, SparseIndex
    from models.retrieval.scopes import Chain, Floats, Integers, Policy, Scope, Values
    from models.retrieval.search import Beam, Paths, Searcher

    Second = Callable[[Integers, Integers], Values]

POLICIES = ("none", "document", "query", "private-only")
Mode = Literal["overall", "quota", "oracle", "public-first", "slice", "single", "without-gold"]

MITIGATIONS: tuple[tuple[str, Mode], ...] = (
    ("none", "quota"), ("none", "oracle"), ("none", "single"), ("none", "without-gold"),
    ("document", "quota"), ("document", "oracle"), ("document", "public-first"), ("query", "slice"),
)  # fmt: skip
"""Half of the beam for each scope, gold domains only, one index over both corpora, indexes without what the second hop
needs, public retrieval before private, and a downloaded slice of the public corpus."""

FREE: tuple[tuple[str, Mode], ...] = (("none", "overall"),)
"""Without any policy: nothing is to be kept back, so that nobody else needs to host the public index."""


@config
class Search:
    """A beam of `beam` first hops, and the best `top` chains of each question of a split.

    `slice` is the share of the public corpus that the mode "slice" downloads, `fetch` the passages a question that
    "public-first" fetches before anything private is read; `seed` draws the slice.
    """

    seed: Index = 0
    split: Split = "test"
    beam: Count = 10
    top: Count = 10
    fetch: Count = 100
    slice: Fraction = 0.25


@config
class SparseSearch:
    """The same for BM25, without a policy; its second query is the question with the first passage's head (an article's
    title, a mail's sender and subject) or with all of its text."""

    search: Search
    second_query: Literal["head", "text"] = "head"


@config
class FrozenSearch:
    """The same for the frozen encoder, without a policy; it reads the question with the first passage anew."""

    search: Search


@config
class TrainedSearch:
    """The same for a trained retriever, under `policies`, with `mitigations` also in the modes of MITIGATIONS."""

    seed: Index
    search: Search
    policies: tuple[str, ...] = POLICIES
    mitigations: bool = False

    def modes(self) -> list[tuple[str, Mode]]:
        """All pairs of a policy and a mode that are searched."""
        return [*((policy, "overall") for policy in self.policies), *(MITIGATIONS if self.mitigations else ())]


@dataclass(frozen=True)
class Corpus:
    """Passages with what one retriever searches them by: vectors [passages, width] or texts."""

    passages: Sequence[Passage]
    vectors: "Floats | None"
    texts: Sequence[str] | None

    @property
    def ids(self) -> list[str]:
        return [passage.id for passage in self.passages]

    def only(self, scope: str) -> "Corpus":
        """The passages of one scope."""
        return self._taken([place for place, passage in enumerate(self.passages) if passage.scope == scope])

    def without(self, places: set[int]) -> "Corpus":
        """All passages but those."""
        return self._taken([place for place in range(len(self.passages)) if place not in places])

    def index(self) -> "DenseIndex | SparseIndex":
        """An index of all passages."""
        from models.retrieval.index import DenseIndex, SparseIndex

        if self.vectors is not None:
            return DenseIndex(self.ids, self.vectors)
        assert self.texts is not None
        return SparseIndex(self.ids, self.texts)

    def _taken(self, places: list[int]) -> "Corpus":
        passages = [self.passages[place] for place in places]
        texts = None if self.texts is None else [self.texts[place] for place in places]
        return Corpus(passages, None if self.vectors is None else self.vectors[places], texts)


@dataclass(frozen=True)
class Asked:
    """The questions of one split: rows among all questions, texts, gold chains of scopes, places of gold passages."""

    rows: list[int]
    texts: list[str]
    chains: "list[Chain]"
    gold: "Integers"

    @classmethod
    def read(cls, benchmark: Path, candidates: Path, passages: Sequence[Passage], config: Search) -> Self:
        from models.retrieval.scopes import Scope

        all_questions = read_questions(benchmark, candidates)
        rows = all_questions.rows(config.split)
        gold = all_questions.gold({passage.id: place for place, passage in enumerate(passages)})[rows]
        scopes = [tuple(Scope(passages[place].scope) for place in pair) for pair in gold.tolist()]
        return cls(rows, [all_questions.questions[row].question for row in rows], scopes, gold)


def retrieve_sparse(*, corpora: Path, benchmark: Path, candidates: Path, config: SparseSearch, out: Path) -> None:
    """BM25; see `_search` for what is written.

    Each index has its own statistics, so the scores of two indexes are not on quite the same scale.
    """
    passages = read_passages(corpora / "passages.parquet")
    questions = Asked.read(benchmark, candidates, passages, config.search)
    texts = [passage.rendered for passage in passages]
    heads = texts
    if config.second_query == "head":
        heads = [f"{passage.sender} {passage.title}" for passage in passages]

    def second(rows: "Integers", places: "Integers") -> "Values":
        return [
            f"{questions.texts[row]} {heads[place]}" for row, place in zip(rows.tolist(), places.tolist(), strict=True)
        ]

    _search(questions, questions.texts, second, Corpus(passages, None, texts), FREE, config.search, out)


def retrieve_frozen(
    *,
    corpora: Path,
    benchmark: Path,
    candidates: Path,
    features: dict[str, Path],
    question_features: Path,
    minilm: Path,
    config: FrozenSearch,
    out: Path,
) -> None:
    """MiniLM as it is: the second query is the encoded text of the question and the first passage."""
    passages = read_passages(corpora / "passages.parquet")
    questions = Asked.read(benchmark, candidates, passages, config.search)
    second = _joint(MiniLM(minilm), questions, passages)
    corpus = Corpus(passages, Encoded.load_shards(features).vectors, None)
    asked = Encoded.load(question_features).vectors[questions.rows]
    _search(questions, asked, second, corpus, FREE, config.search, out)


def retrieve_encoder(
    *, corpora: Path, benchmark: Path, candidates: Path, encoder: Path, config: TrainedSearch, out: Path
) -> None:
    """An encoder that was trained whole: it encodes the passages, the questions, and both together."""
    passages = read_passages(corpora / "passages.parquet")
    questions = Asked.read(benchmark, candidates, passages, config.search)
    trained = MiniLM(encoder)
    corpus = Corpus(passages, trained.encode([passage.rendered for passage in passages]), None)
    first, second = trained.encode(questions.texts), _joint(trained, questions, passages)
    _search(questions, first, second, corpus, config.modes(), config.search, out)


def _joint(encoder: MiniLM, questions: Asked, passages: Sequence[Passage]) -> "Second":
    """What makes the second hop's queries: the encoder reads question and first passage as one text, each pair once."""
    known = dict[tuple[int, int], Any]()

    def second(rows: "Integers", places: "Integers") -> "Values":
        import numpy as np

        pairs = list(zip(rows.tolist(), places.tolist(), strict=True))
        fresh = sorted(set(pairs) - set(known))
        texts = [f"{questions.texts[row]} {passages[place].rendered}" for row, place in fresh]
        known.update(zip(fresh, encoder.encode(texts), strict=True))
        return np.stack([known[pair] for pair in pairs])

    return second


def retrieve_trained(
    *,
    corpora: Path,
    benchmark: Path,
    candidates: Path,
    features: dict[str, Path],
    question_features: Path,
    retriever: Path,
    config: TrainedSearch,
    out: Path,
) -> None:
    """A trained retriever: it makes the passages' vectors and both queries out of frozen features."""
    import numpy as np

    passages = read_passages(corpora / "passages.parquet")
    questions = Asked.read(benchmark, candidates, passages, config.search)
    public = np.array([place for place, passage in enumerate(passages) if passage.scope == "public"])
    encoded = Encoded.load(question_features), Encoded.load_shards(features)
    trained, rows = Trained.load(retriever, *encoded, public), np.array(questions.rows)

    def second(asked: "Integers", places: "Integers") -> "Values":
        return trained.second(rows[asked], places)

    corpus = Corpus(passages, trained.index(len(passages)), None)
    _search(questions, trained.first(rows), second, corpus, config.modes(), config.search, out)


def _search(
    questions: Asked,
    first: "Values",
    second: "Second",
    corpus: Corpus,
    modes: Sequence[tuple[str, Mode]],
    config: Search,
    out: Path,
) -> None:
    """Search under each policy and mode; write chains.parquet and audit.json.

    `second(questions, places)` makes the second hop's queries of questions and of their first passages' places.
    chains.parquet has one row a chain: question (its row among all), policy, mode, rank, passage1, passage2 (ids) and
    score. audit.json has one entry a policy and mode: what the client sent, and what the service says it saw; none
    where all is searched on this machine.
    """
    from pyarrow import Table, parquet

    from models.retrieval.index import Remembering
    from models.retrieval.scopes import Policy, Scope
    from models.retrieval.search import Local

    rows: list[dict[str, Any]] = []
    audits: list[dict[str, Any]] = []

    def keep(policy: str, mode: Mode, indexes: "Mapping[Scope, Searcher]") -> set[str]:
        """Search, keep the chains, and tell the digests of the queries that derive from a private passage."""
        private: set[str] = set()
        chains = questions.chains if mode == "oracle" else None
        paths = find(first, second, corpus, indexes, Policy(policy), beam_of(mode, config), private, chains)
        rows.extend({"policy": policy, "mode": mode, **row} for row in _ranked(paths, questions))
        return private

    public, here = corpus.only("public"), Local(Remembering(corpus.only("private").index()))
    if tuple(modes) == FREE:
        keep(*FREE[0], {Scope.PRIVATE: here, Scope.PUBLIC: Local(Remembering(public.index()))})
    else:
        with TemporaryDirectory() as folder:
            served = Path(folder) / "served.jsonl"
            with serve(served, public.ids, public.vectors, public.texts) as address:
                for policy, mode in modes:
                    client = connect(address, Policy(policy), Path(folder) / "sent.jsonl")
                    private = keep(policy, mode, indexes_for(mode, questions, corpus, here, client, config))
                    saw = seen(served)
                    served.unlink(missing_ok=True)  # so that the next search has a log of its own
                    audits.append(
                        {
                            "policy": policy,
                            "mode": mode,
                            **asdict(client.costs),
                            "seen_requests": saw.requests,
                            "seen_queries": saw.queries,
                            "seen_bytes": saw.bytes,
                            "seen_private": saw.among(private),
                        }
                    )
    parquet.write_table(Table.from_pylist(rows), out / "chains.parquet")
    (out / "audit.json").write_text(json.dumps(audits, indent=1) + "\n")
    spool.table("audit", audits)


def indexes_for(
    mode: Mode, questions: Asked, corpus: Corpus, here: "Searcher", client: PublicClient, config: Search
) -> "dict[Scope, Searcher]":
    """What is searched in a mode: the private index `here` and, where the policy has one, the public one by `client`.

    The mode "slice" downloads its part of the public corpus now.
    """
    from models.retrieval.index import DenseIndex
    from models.retrieval.scopes import Policy, Scope
    from models.retrieval.search import Local

    if mode == "single":
        return {Scope.PRIVATE: Local(corpus.index())}
    if mode == "without-gold":
        # Every question's last passage is missing, so no gold chain can be found.
        kept = corpus.without({int(place) for place in questions.gold[:, 1]})
        return {scope: Local(kept.only(scope).index()) for scope in Scope}
    indexes: dict[Scope, Searcher] = {Scope.PRIVATE: here}
    if mode == "slice":
        part = client.download(share=config.slice, seed=config.seed)
        assert part.vectors is not None
        indexes[Scope.PUBLIC] = Local(DenseIndex(part.ids, part.vectors))
    elif mode == "public-first":
        indexes[Scope.PUBLIC] = PublicPool(client, config.fetch)
    elif client.policy is not Policy.PRIVATE_ONLY:
        indexes[Scope.PUBLIC] = client
    return indexes


def beam_of(mode: Mode, config: Search) -> "Beam":
    """The beam of a search in a mode: in "quota" half of it for each scope."""
    from models.retrieval.scopes import Scope
    from models.retrieval.search import Beam

    half = (config.beam + 1) // 2
    quota = {Scope.PUBLIC: half, Scope.PRIVATE: half} if mode == "quota" else None
    return Beam(hops=2, beam=config.beam, top=config.top, quota=quota)


def find(
    first: "Values",
    second: "Second",
    corpus: Corpus,
    indexes: "Mapping[Scope, Searcher]",
    policy: "Policy",
    beam: "Beam",
    private: set[str],
    chains: "Sequence[Chain] | None" = None,
) -> "Paths":
    """One search of all questions, in these chains of scopes alone where they are given.

    `private` gains the digests of the queries that derive from a private passage.
    """
    import numpy as np

    from models.retrieval.scopes import Query
    from models.retrieval.search import beam_search

    place_of = {passage.id: place for place, passage in enumerate(corpus.passages)}
    places = {scope: np.array([place_of[each] for each in index.ids], np.int64) for scope, index in indexes.items()}

    def compose(rows: "Integers", chain: "Chain", positions: "Integers") -> "Values":
        return second(rows, places[chain[0]][positions[:, 0]])

    return beam_search(Query(first, policy), indexes, recording(compose, private), beam, chains)


def _ranked(paths: "Paths", questions: Asked) -> list[dict[str, Any]]:
    """The paths as rows, with their rank within their question."""
    ranks: dict[int, int] = {}
    rows = []
    for question, passages, score in zip(
        paths.questions.tolist(), paths.passages(), paths.scores.tolist(), strict=True
    ):
        ranks[question] = ranks.get(question, -1) + 1
        ends = dict(zip(("passage1", "passage2"), passages, strict=True))
        rows.append({"question": questions.rows[question], "rank": ranks[question], **ends, "score": score})
    return rows
