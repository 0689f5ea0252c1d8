"""What a candidate has to survive before it is a question of the benchmark.

A question needs two hops if neither passage alone, nor the question alone, gives its answer away (Min et al. 2019).
Each filter counts what it rejects; a candidate counts for the first filter that it falls to. The two passages of a
comparison are both named in its question, so that one search may find them: it is exempt from what tests the need of a
first hop.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.concurrentqa.questions.candidates import Candidate
from tasks.encyclopedia.passages import Passage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOP = 3
"""A search gives a passage away when the passage is among this many of its best."""
LONGEST_ANSWER = 10
"""In words."""
ANSWERS = 3
"""How many different answers of one pair of passages a split may ask for."""
JACCARD = 0.9
"""Questions about the same passage whose sets of words overlap more than this are one question."""
YES_NO = frozenset({"yes", "no"})

Judge = Callable[[Sequence[Candidate]], Sequence[bool]]
"""Whether each of the candidates is to be rejected."""


@dataclass(frozen=True)
class Filter:
    """One reason to reject candidates of these `types`."""

    name: str
    rule: str
    types: tuple[str, ...]
    rejects: Judge


@dataclass(frozen=True)
class Fell:
    """How many candidates of one chain fell to a filter, and how many passed it."""

    filter: str
    chain: str
    rejected: int
    kept: int


SEARCHES = ("one-hop BM25", "one-hop MiniLM", "hop-2-only")
"""The filters that ask a search; only "near-duplicate" comes after them."""

BRIDGE = ("bridge",)
BOTH = ("bridge", "comparison")

RULES = {
    "malformed": (BOTH, "both passages exist, lie where the chain says and have the supporting sentences; a question."),
    "answer": (
        BOTH,
        f"at most {LONGEST_ANSWER} words. Bridge: in the words of hop 2, and neither in the question nor in hop 1. "
        "Comparison: yes, no, or named in the question or in a passage.",
    ),
    "hop-1-only": (BRIDGE, "hop 1 has not more than half of the answer's words."),
    "ambiguous": (BOTH, "no other candidate asks the same and has another answer (all of them fall)."),
    "one-hop BM25": (BRIDGE, f"the question alone does not find hop 2 among the best {TOP} of both corpora by BM25."),
    "one-hop MiniLM": (BRIDGE, f"nor among the best {TOP} by MiniLM."),
    "hop-2-only": (
        BRIDGE,
        f"nor does BM25 among its best {TOP} by the question without the words that only hop 1 explains.",
    ),
    "near-duplicate": (
        BOTH,
        "no other candidate of the chain has the same two passages and answer (or the third other answer), and none a "
        f"passage in common and more than {JACCARD:.0%} of the question's words (the first stays, in each split).",
    ),
}


def filters(
    passages: Mapping[str, Passage],
    vectors: "NDArray[np.float32]",
    encode: "Callable[[Sequence[str]], NDArray[np.float32]]",
    wording_split: Mapping[str, str],
) -> list[Filter]:
    """All filters in their order.

    `vectors` [passages, width] are of the passages in their order, `encode` makes such vectors of texts;
    `wording_split` says in which split a wording is to be used.
    """
    sparse = _sparse(passages)

    def one_hop_dense(candidates: Sequence[Candidate]) -> list[bool]:
        import numpy as np

        row_of = {passage: row for row, passage in enumerate(passages)}
        gold = np.array([row_of[candidate.passages[1]] for candidate in candidates], np.int64)
        queries = encode([candidate.question for candidate in candidates])
        return [bool(rank < TOP) for rank in ranks(queries, vectors, gold)]

    judges: dict[str, Judge] = {
        "malformed": lambda candidates: [is_malformed(each, passages) for each in candidates],
        "answer": lambda candidates: [has_bad_answer(each, passages) for each in candidates],
        "hop-1-only": lambda candidates: [is_in_hop_1(each, passages) for each in candidates],
        "ambiguous": ambiguous,
        "one-hop BM25": lambda candidates: sparse(candidates, [each.question for each in candidates]),
        "one-hop MiniLM": one_hop_dense,
        "hop-2-only": lambda candidates: sparse(candidates, [hop_2_cue(each, passages) for each in candidates]),
        "near-duplicate": lambda candidates: near_duplicates(candidates, wording_split),
    }
    return [Filter(name, rule, types, judges[name]) for name, (types, rule) in RULES.items()]


def sift(candidates: Sequence[Candidate], checks: Sequence[Filter]) -> tuple[list[Candidate], list[Fell]]:
    """The candidates that pass all filters, in their order, and what fell to each filter by chain."""
    chains = sorted({candidate.chain for candidate in candidates})
    kept, counts = list(candidates), []
    for each in checks:
        concerned = [candidate for candidate in kept if candidate.type in each.types]
        verdicts = iter(each.rejects(concerned) if concerned else ())
        rejected = [candidate.type in each.types and next(verdicts) for candidate in kept]
        for chain in chains:
            fell = sum(bad for candidate, bad in zip(kept, rejected, strict=True) if candidate.chain == chain)
            seen = sum(candidate.chain == chain for candidate in kept)
            counts.append(Fell(each.name, chain, fell, seen - fell))
        kept = [candidate for candidate, bad in zip(kept, rejected, strict=True) if not bad]
    return kept, counts


def words(text: str) -> list[str]:
    """The words and numbers of a text in lower case."""
    return re.findall(r"\w+", text.lower())


def contains(text: str, phrase: str) -> bool:
    """Whether the words of `phrase` stand in `text` one after the other."""
    return f" {' '.join(words(phrase))} " in f" {' '.join(words(text))} "


def is_malformed(candidate: Candidate, passages: Mapping[str, Passage]) -> bool:
    """Whether the record cannot be used at all, whatever it asks."""
    first, second = candidate.passages
    if first == second or first not in passages or second not in passages:
        return True
    scopes = "".join("E" if passages[passage].scope == "private" else "W" for passage in candidate.passages)
    if scopes != candidate.chain or candidate.type not in BOTH:
        return True
    if not candidate.question.endswith("?") or not words(candidate.answer) or not candidate.family:
        return True
    return any(
        not hop or not all(0 <= sentence < len(passages[passage].sentences) for sentence in hop)
        for hop, passage in zip(candidate.support, candidate.passages, strict=True)
    )


def has_bad_answer(candidate: Candidate, passages: Mapping[str, Passage]) -> bool:
    """Whether the answer is too long, given away, or nowhere to be read."""
    first, second = (passages[passage].rendered for passage in candidate.passages)
    if len(words(candidate.answer)) > LONGEST_ANSWER:
        return True
    if candidate.type == "comparison":
        named = any(contains(text, candidate.answer) for text in (candidate.question, first, second))
        return candidate.answer.lower() not in YES_NO and not named
    given_away = contains(candidate.question, candidate.answer) or contains(first, candidate.answer)
    return given_away or candidate.answer not in second


def is_in_hop_1(candidate: Candidate, passages: Mapping[str, Passage]) -> bool:
    """Whether a reader of hop 1 alone could name more than half of the answer's words."""
    wanted = set(words(candidate.answer))
    found = wanted.intersection(words(passages[candidate.passages[0]].rendered))
    return 2 * len(found) > len(wanted)


def ambiguous(candidates: Sequence[Candidate]) -> list[bool]:
    """Whether another candidate has the same words as a question and not the same answer."""
    answers: defaultdict[str, set[str]] = defaultdict(set)
    for candidate in candidates:
        answers[" ".join(words(candidate.question))].add(" ".join(words(candidate.answer)))
    return [len(answers[" ".join(words(candidate.question))]) > 1 for candidate in candidates]


def hop_2_cue(candidate: Candidate, passages: Mapping[str, Passage]) -> str:
    """What is left of a question without the words that occur in hop 1 and not in hop 2."""
    first, second = (set(words(passages[passage].rendered)) for passage in candidate.passages)
    return " ".join(word for word in words(candidate.question) if word not in first or word in second)


def near_duplicates(candidates: Sequence[Candidate], wording_split: Mapping[str, str]) -> list[bool]:
    """Whether an earlier candidate asks nearly the same.

    Only candidates that share a passage are compared: the wordings of a family differ from each other in few words,
    and questions about different passages may well have the same one. Of a pair of passages a split asks for `ANSWERS`
    different answers at most, for each in one wording.
    """
    # By chain, for a mail and an article can make a question from the one to the other and one the other way.
    pairs: defaultdict[tuple[str, str, frozenset[str]], set[str]] = defaultdict(set)
    asked: defaultdict[tuple[str, str], list[frozenset[str]]] = defaultdict(list)
    found = []
    for candidate in candidates:
        split = wording_split[candidate.wording]
        pair, said = frozenset(candidate.passages), frozenset(words(candidate.question))
        before = [other for passage in sorted(pair) for other in asked[split, passage]]
        answers, answer = pairs[split, candidate.chain, pair], candidate.answer.lower()
        is_near = (
            answer in answers
            or len(answers) == ANSWERS
            or any(len(said & each) > JACCARD * len(said | each) for each in before)
        )
        found.append(is_near)
        if not is_near:
            answers.add(answer)
            for passage in sorted(pair):
                asked[split, passage].append(said)
    return found


def ranks(
    queries: "NDArray[np.float32]", vectors: "NDArray[np.float32]", gold: "NDArray[np.int64]"
) -> "NDArray[np.int64]":
    """How many passages beat the gold one for each query; equal scores do not."""
    import numpy as np

    found = np.zeros(len(queries), np.int64)
    for start in range(0, len(queries), 256):
        rows = slice(start, start + 256)
        scores = queries[rows] @ vectors.T
        found[rows] = (scores > scores[np.arange(len(scores)), gold[rows]][:, None]).sum(1)
    return found


def _sparse(passages: Mapping[str, Passage]) -> Callable[[Sequence[Candidate], Sequence[str]], list[bool]]:
    """A judge by BM25 over all passages: whether each candidate's text finds its second passage."""
    from models.retrieval.index import SparseIndex

    ids = list(passages)
    index = SparseIndex(ids, [passage.rendered for passage in passages.values()])

    def judge(candidates: Sequence[Candidate], texts: Sequence[str]) -> list[bool]:
        hits = index.search(texts, TOP).positions
        return [
            candidate.passages[1] in {ids[place] for place in places if place >= 0}
            for candidate, places in zip(candidates, hits, strict=True)
        ]

    return judge
