"""What the public index can see of the private corpus: strings and vectors planted there, looked for at the service.

Beside our search stands the one of the authors' code, which asks first and masks afterwards. It has to be caught here,
or else that nothing was seen of ours would mean nothing.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from models.config import Count, Index, config
from tasks.base import spool
from tasks.base.measures import measures
from tasks.concurrentqa.benchmark.questions import Questions, read_questions
from tasks.concurrentqa.retrieval.client import connect
from tasks.concurrentqa.retrieval.evaluation import write
from tasks.concurrentqa.retrieval.retrieve import Corpus, find
from tasks.concurrentqa.retrieval.retriever import Trained
from tasks.concurrentqa.retrieval.service import digests, seen, serve
from tasks.encyclopedia.passages import Passage, read_passages
from tasks.language.encoded import Encoded

if TYPE_CHECKING:
    from models.retrieval.scopes import Integers, Values
    from models.retrieval.search import Paths, Searcher

    Second = Callable[[Integers, Integers], Values]

POLICIES = ("none", "document", "query", "private-only")
OURS, MASKED = "ours", "masked-afterwards"


@config
class Leakage:
    """`questions` of the test split, drawn by `seed`, each with a beam of `beam`."""

    seed: Index = 0
    questions: Count = 200
    beam: Count = 10


@config
class AskingFirst:
    """All test questions, or as many as `questions` says, drawn by `draw`; `seed` is the retriever's."""

    seed: Index
    draw: Index = 0
    questions: Count = 10_000
    beam: Count = 10


@measures(
    leaks="queries that derive from something private and that the public index saw",
    canaries="strings planted in private mails that the public index saw",
    public_queries="queries that the public index saw",
    same_chains="share of questions for which both searches find the same chains, in the same order",
)
def plant(
    *,
    corpora: Path,
    benchmark: Path,
    candidates: Path,
    features: dict[str, Path],
    question_features: Path,
    retriever: Path,
    config: Leakage,
    out: Path,
) -> None:
    """Search by text (BM25) and by vector (a trained retriever) under each policy; write metrics.json.

    Every private passage has a string of its own planted in it, which is part of the second query by text. Arms: ours
    and masked-afterwards. Domains: text and vectors.
    """
    import numpy as np

    passages = read_passages(corpora / "passages.parquet")
    every = read_questions(benchmark, candidates)
    drawn = _drawn(every, config.questions, config.seed)
    asked = [every.questions[row].question for row in drawn]
    texts = [f"{canary(passage)}{passage.rendered}" for passage in passages]

    trained, numbers = _trained(retriever, question_features, features, passages), np.array(drawn)
    first, indexed = trained.first(numbers), trained.index(len(passages))

    def second_vectors(rows: "Integers", places: "Integers") -> "Values":
        return trained.second(numbers[rows], places)

    def second_texts(rows: "Integers", places: "Integers") -> "Values":
        return [f"{asked[row]} {texts[place]}" for row, place in zip(rows.tolist(), places.tolist(), strict=True)]

    public = Corpus(passages, indexed, texts).only("public")
    with TemporaryDirectory() as folder:
        served = Path(folder) / "served.jsonl"
        with serve(served, public.ids, public.vectors, public.texts) as address:
            rows = [
                *_compared("text", asked, second_texts, Corpus(passages, None, texts), config.beam, address, served),
                *_compared(
                    "vectors", first, second_vectors, Corpus(passages, indexed, None), config.beam, address, served
                ),
            ]
    (out / "metrics.json").write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")
    spool.table("leakage", rows)


@measures(
    private_share="share of a question's queries to the public index that derive from a private passage",
    same_chains="share of questions for which both searches find the same chains, in the same order",
)
def ask_first(
    *,
    corpora: Path,
    benchmark: Path,
    candidates: Path,
    features: dict[str, Path],
    question_features: Path,
    retriever: Path,
    config: AskingFirst,
    out: Path,
) -> None:
    """What asking first and masking afterwards sends under document privacy, question by question, by vector.

    Write metrics.json and examples.parquet. Arms: ours and masked-afterwards, and both, for whether they find the same.
    """
    import numpy as np

    from models.retrieval.index import Remembering
    from models.retrieval.search import Local

    passages = read_passages(corpora / "passages.parquet")
    every = read_questions(benchmark, candidates)
    trained = _trained(retriever, question_features, features, passages)
    numbers = np.array(_drawn(every, config.questions, config.draw))
    first, corpus = trained.first(numbers), Corpus(passages, trained.index(len(passages)), None)
    # Whose query it is, and of which scope the passage is that it was made of, if any.
    made = {digest: (row, "question") for row, digest in enumerate(digests(first))}

    def second(rows: "Integers", places: "Integers") -> "Values":
        values = trained.second(numbers[rows], places)
        for row, place, digest in zip(rows.tolist(), places.tolist(), digests(values), strict=True):
            made[digest] = (row, passages[place].scope)
        return values

    public, here = corpus.only("public"), Local(Remembering(corpus.only("private").index()))
    examples: list[dict[str, Any]] = []
    chains = {}
    with TemporaryDirectory() as folder:
        served, sent = (Path(folder) / name for name in ("served.jsonl", "sent.jsonl"))
        with serve(served, public.ids, public.vectors) as address:
            for arm in (OURS, MASKED):
                paths = _searched(arm, "document", first, second, corpus, here, config.beam, address, sent, set())
                chains[arm] = _allowed(paths, "document", len(first), config.beam)
                asked = Counter(made[digest] for digest in seen(served).digests)
                served.unlink()
                for row, number in enumerate(numbers.tolist()):
                    count = sum(asked[row, of] for of in ("question", "public", "private"))
                    labels = {"arm": arm, "domain": every.questions[number].chain, "question": every.ids[number]}
                    examples.append({**labels, "private_share": asked[row, "private"] / count})
    same = sum(one == other for one, other in zip(chains[OURS], chains[MASKED], strict=True)) / len(first)
    rows: list[dict[str, Any]] = [{"arm": "both", "same_chains": same}]
    for arm in (OURS, MASKED):
        shares = [each["private_share"] for each in examples if each["arm"] == arm]
        rows.append({"arm": arm, "private_share": sum(shares) / len(shares), "sends": f"{arm}, document"})
    write([{**row, "seed": config.seed} for row in rows], [{**row, "seed": config.seed} for row in examples], out)
    spool.table("asked_first", rows)


def _drawn(every: Questions, count: int, seed: int) -> list[int]:
    """So many of the test questions, by their places among all."""
    import numpy as np

    return sorted(np.random.default_rng(seed).permutation(every.rows("test"))[:count].tolist())


def _trained(
    retriever: Path, question_features: Path, features: dict[str, Path], passages: Sequence[Passage]
) -> Trained:
    import numpy as np

    public = np.array([place for place, passage in enumerate(passages) if passage.scope == "public"])
    return Trained.load(retriever, Encoded.load(question_features), Encoded.load_shards(features), public)


def canary(passage: Passage) -> str:
    """What is planted at the head of a private passage: a word that is nowhere else."""
    return f"canary{passage.id.replace('_', '')}yranac " if passage.scope == "private" else ""


def _compared(
    domain: str, first: "Values", second: "Second", corpus: Corpus, beam: int, address: str, served: Path
) -> list[dict[str, Any]]:
    """Both searches under every policy, each with what the service at `address` saw of it, which logs in `served`."""
    from models.retrieval.index import Remembering
    from models.retrieval.search import Local

    rows: list[dict[str, Any]] = []
    own = corpus.only("private")
    here, planted = Local(Remembering(own.index())), {canary(passage).strip() for passage in own.passages}
    for policy in POLICIES:
        chains = {}
        for arm in (OURS, MASKED):
            private = set(digests(first)) if policy in ("query", "private-only") else set[str]()
            sent = served.with_name("sent.jsonl")
            paths = _searched(arm, policy, first, second, corpus, here, beam, address, sent, private)
            chains[arm] = _allowed(paths, policy, len(first), beam)
            saw = seen(served)
            served.unlink(missing_ok=True)  # so that the next search has a log of its own
            words = {word for text in saw.texts for word in text.split()}
            rows.append(
                {
                    "arm": arm,
                    "domain": domain,
                    "policy": policy,
                    "leaks": saw.among(private),
                    "canaries": len(words & planted),
                    "public_queries": saw.queries,
                    "search": f"{arm}, {domain}, {policy}",
                }
            )
        same = sum(chains[OURS][at] == chains[MASKED][at] for at in range(len(first))) / len(first)
        rows.append({"arm": "both", "domain": domain, "policy": policy, "same_chains": same})
    return rows


def _searched(
    arm: str,
    policy: str,
    first: "Values",
    second: "Second",
    corpus: Corpus,
    here: "Searcher",
    beam: int,
    address: str,
    sent: Path,
    private: set[str],
) -> "Paths":
    """All paths that a search finds, `here` searching private passages; `private` gains the digests of the queries made
    of such."""
    from models.retrieval.scopes import Policy, Scope
    from models.retrieval.search import Beam

    obeyed = Policy(policy) if arm == OURS else Policy.NONE
    indexes: dict[Scope, Searcher] = {Scope.PRIVATE: here}
    if obeyed is not Policy.PRIVATE_ONLY:
        indexes[Scope.PUBLIC] = connect(address, obeyed, sent)
    # All paths out of the beam, so that what is masked afterwards leaves its place to another.
    everything = Beam(hops=2, beam=beam, top=2 * beam * beam)
    return find(first, second, corpus, indexes, obeyed, everything, private)


def _allowed(paths: "Paths", policy: str, questions: int, beam: int) -> list[list[tuple[str, ...]]]:
    """The best chains of each question that the policy allows."""
    from models.retrieval.scopes import Policy

    kept: list[list[tuple[str, ...]]] = [[] for _ in range(questions)]
    for question, chain, ids in zip(paths.questions.tolist(), paths.chains(), paths.passages(), strict=True):
        if Policy(policy).allows(chain) and len(kept[question]) < beam:
            kept[question].append(ids)
    return kept
