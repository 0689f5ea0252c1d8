"""What a trained acoustic model hears, and the search settings that a development set chooses for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from models.config import Count, config
from models.speech.settings import Search
from tasks.speech.training import Recogniser

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from models.speech.beam_search import BeamSearch, Hypothesis
    from models.speech.ngram import Backoff

    Floats = NDArray[np.float32]


@config
class Choice:
    """The n-gram model's order, and the weights and word scores of which the development set chooses the best."""

    order: Count = 3
    weights: tuple[float, ...] = (0.3, 0.6, 1.0, 1.5, 2.5)
    word_scores: tuple[float, ...] = (-6.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 6.0)


@dataclass(frozen=True)
class Heard:
    """Emissions of some utterances, padded: [utterances, frames, tokens], with their numbers of frames."""

    emissions: "Floats"
    frames: "NDArray[np.int64]"


def hear(recogniser: Recogniser, spectra: "Sequence[Floats]") -> Heard:
    """The emissions of each spectrum."""
    import numpy as np

    from models.speech.acoustic import emissions

    each = [emissions(recogniser.model, spectrum) for spectrum in spectra]
    frames = np.array([len(logs) for logs in each], np.int64)
    padded = np.zeros((len(each), int(frames.max()), len(recogniser.alphabet)), np.float32)
    for row, logs in enumerate(each):
        padded[row, : len(logs)] = logs
    return Heard(padded, frames)


def words_of(sentences: Sequence[str]) -> list[str]:
    """The different words of sentences, in order."""
    return sorted({word for sentence in sentences for word in sentence.split()})


def language_model(sentences: Sequence[str], order: int) -> "Backoff":
    """The n-gram model of sentences."""
    from models.speech.ngram import estimate

    return estimate([sentence.split() for sentence in sentences], order)


def searching(
    recogniser: Recogniser,
    sentences: Sequence[str],
    settings: Search,
    model: "Backoff | None",
    hotwords: Mapping[str, float] | None = None,
) -> "BeamSearch":
    """The search for the words of sentences and the hotwords, with the model or without."""
    from models.speech.beam_search import BeamSearch
    from models.speech.ngram import Automaton

    lexicon = recogniser.alphabet.lexicon([*words_of(sentences), *(hotwords or {})])
    known = {word: score for word, score in (hotwords or {}).items() if word in set(lexicon.words)}
    return BeamSearch(lexicon, settings, Automaton(model, lexicon.words) if model else None, known)


def searched(search: "BeamSearch", heard: Heard, best: int = 1, batch: int = 32) -> "list[list[Hypothesis]]":
    """The best texts of each utterance; those of like lengths go together."""
    import numpy as np

    order = np.argsort(heard.frames, kind="stable")
    found: list[list[Hypothesis]] = [[] for _ in order]
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        longest = int(heard.frames[rows].max(initial=0))
        for row, each in zip(rows, search(heard.emissions[rows, :longest], heard.frames[rows], best), strict=True):
            found[row] = each
    return found


def chosen(
    recogniser: Recogniser,
    sentences: Sequence[str],
    heard: Heard,
    texts: Sequence[str],
    base: Search,
    choice: Choice,
    model: "Backoff | None",
) -> Search:
    """The settings with the fewest word errors on these utterances, those of development; the first of equals."""
    tried = [
        replace(base, model_weight=weight, word_score=score)
        for weight in (choice.weights if model else (0.0,))
        for score in choice.word_scores
    ]
    counted = []
    for settings in tried:
        found = searched(searching(recogniser, sentences, settings, model), heard)
        counted.append(sum(word_errors(text, best[0].text) for text, best in zip(texts, found, strict=True)))
    return tried[min(range(len(tried)), key=lambda at: counted[at])]


def greedy_texts(recogniser: Recogniser, heard: Heard) -> list[str]:
    """The texts of the likeliest alignments."""
    import torch

    from models.speech.ctc import greedy

    return [
        recogniser.alphabet.text(greedy(torch.from_numpy(logs), int(frames)))
        for logs, frames in zip(heard.emissions, heard.frames, strict=True)
    ]


def word_errors(text: str, found: str) -> int:
    """Words replaced, left out and put in."""
    from rapidfuzz.distance import Levenshtein

    return int(Levenshtein.distance(text.split(), found.split()))


def letter_errors(text: str, found: str) -> int:
    """Letters replaced, left out and put in, spaces among them."""
    from rapidfuzz.distance import Levenshtein

    return int(Levenshtein.distance(text, found))
