"""How answers, retrieved chains and confidences are scored.

Answers as in SQuAD (Rajpurkar et al. 2016) and HotpotQA (Yang et al. 2018), chains as in MDR (Xiong et al. 2021), and
selective prediction by risk and coverage (Geifman & El-Yaniv 2017).
"""

import re
import string
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WHOLE = frozenset({"yes", "no", "noanswer"})
"""Answers that are right or wrong as a whole, as HotpotQA scores them."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(answer: str) -> str:
    """Lower case, without ASCII punctuation, English articles and superfluous white space (SQuAD)."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, gold: str) -> float:
    """1 where both are the same after normalisation, else 0."""
    return float(normalised(answer) == normalised(gold))


def token_f1(answer: str, gold: str) -> float:
    """F1 of the normalised words, 0 to 1; "yes", "no" and "noanswer" match only themselves (HotpotQA)."""
    given, wanted = normalised(answer), normalised(gold)
    if given != wanted and (given in WHOLE or wanted in WHOLE):
        return 0.0
    words, gold_words = given.split(), wanted.split()
    if not words or not gold_words:
        return float(words == gold_words)
    same = sum((Counter(words) & Counter(gold_words)).values())
    return 2 * same / (len(words) + len(gold_words))


@dataclass(frozen=True)
class Recall:
    """What a ranked list of chains has of the gold passages; every field is 0 or 1.

    `any` of them in any place of a chain (PR), `both` of them in the chains together (P-EM), any of them as a first
    hop (1-Recall), `path` where one chain has exactly the gold passages in whatever order (Path Recall).
    """

    any: float
    both: float
    first: float
    path: float


def recall(chains: Sequence[Sequence[str]], gold: Collection[str]) -> Recall:
    """Score the chains of passage ids that were retrieved for one question against its gold passages."""
    wanted = set(gold)
    found = {passage for chain in chains for passage in chain}
    return Recall(
        any=float(bool(found & wanted)),
        both=float(wanted <= found),
        first=float(any(chain[0] in wanted for chain in chains if chain)),
        path=float(any(set(chain) == wanted for chain in chains)),
    )


def risk_coverage(confidences: Floats, losses: Floats) -> tuple[Floats, Floats]:
    """The mean loss of the most confident answers, for every share of them that is given.

    Returns coverages (1/n … 1) and risks, both [questions]. Answers of equal confidence count as if they stood in
    random order: each has their mean loss.
    """
    order = np.argsort(-confidences, kind="stable")
    ordered, sorted_losses = confidences[order], losses[order].astype(np.float64)
    group = np.cumsum(np.concatenate([[0], ordered[1:] != ordered[:-1]])) if len(ordered) else np.array([], np.int64)
    means = np.bincount(group, sorted_losses) / np.bincount(group)
    place = np.arange(1, len(ordered) + 1)
    return place / len(ordered), np.cumsum(means[group]) / place


def aurc(confidences: Floats, losses: Floats) -> float:
    """The area under the risk–coverage curve: lower is better, and random rejection expects the mean loss."""
    return float(risk_coverage(confidences, losses)[1].mean())


def coverage_within(confidences: Floats, restricted: Floats, free: Floats, allowed: float) -> float:
    """The largest share of questions that the restricted system can answer at little cost.

    Its answers are taken where its confidence reaches a threshold, those of the free system elsewhere. `restricted`
    and `free` are the two systems' F1 by question; `allowed` is how far the mean F1 may fall below the free system's.
    A threshold takes all answers of equal confidence or none.
    """
    order = np.argsort(-confidences, kind="stable")
    ordered = confidences[order]
    lost = np.cumsum((free - restricted)[order]) / len(ordered)
    ends_group = np.append(ordered[1:] != ordered[:-1], True)
    fits = ends_group & (lost <= allowed + 1e-12)
    return float((np.flatnonzero(fits)[-1] + 1) / len(ordered)) if fits.any() else 0.0
