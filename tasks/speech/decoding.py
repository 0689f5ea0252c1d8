"""How well the prompts of test are recognised: greedily, and by beam search with lexicon and n-gram model."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Fraction, Index, config
from models.speech.settings import Search
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.speech.prompts import LANGUAGES, Utterance, read_corpus
from tasks.speech.recognition import (
    Choice,
    Heard,
    chosen,
    greedy_texts,
    hear,
    language_model,
    letter_errors,
    searched,
    searching,
    word_errors,
    words_of,
)
from tasks.speech.spectra import read_spectra
from tasks.speech.training import load_recogniser

if TYPE_CHECKING:
    from models.speech.beam_search import Hypothesis
    from models.speech.ngram import Backoff


@config
class Decoding:
    """The search, and what it is varied in: beams, the share of a blank that is skipped, how few tokens are tried.

    `best` texts are looked through for the best one that there is among them (the oracle).
    """

    seed: Index = 0
    languages: tuple[str, ...] = LANGUAGES
    search: Search = Search(beam=50)
    choice: Choice = Choice()
    beams: tuple[int, ...] = (10, 200)
    tokens: Count = 10
    blank_skip: Fraction = 0.95
    best: Count = 10

    @property
    def language(self) -> str:
        """What this seed's model is of."""
        return self.languages[self.seed % len(self.languages)]


QUANTITIES = {
    "wer": "word errors a word of the transcript; summed errors over summed words",
    "cer": "letter errors a letter of the transcript, spaces among them",
    "oracle_wer": "word errors a word, of the best of the n-best texts",
    "skipped": "share of frames that were not searched, for their blank was sure",
    "unknown": "share of the words of test that are not in the lexicon",
    "contained": "share of the prompts of test that are said within a longer one of training",
}

WEIGHTS = {"wer": "words", "oracle_wer": "words", "cer": "letters", "mean_error": "prompts"}
"""Of what a quantity's mean is a mean."""


@measures(**QUANTITIES)
def decode(*, prompts: Path, spectra: Path, model: Path, config: Decoding, out: Path) -> None:
    """Write examples.parquet, a row for each decoder and utterance of test, with its means in metrics.json.

    The n-gram model and the lexicon are of training texts. Weights are chosen on development for the search, for that
    without n-grams, and for narrower beams; what should change nothing has those of the search.
    """
    corpus, recogniser = read_corpus(prompts), load_recogniser(model)
    sounds = read_spectra(spectra, corpus.utterances)
    sentences = corpus.sentences[config.language]
    parts = {name: corpus.split(name, config.language) for name in ("development", "test")}
    heard = {name: hear(recogniser, [sounds[each.id] for each in part]) for name, part in parts.items()}
    texts = [each.text for each in parts["development"]]
    ngrams = language_model(sentences, config.choice.order)

    def best(base: Search, model: "Backoff | None") -> Search:
        return chosen(recogniser, sentences, heard["development"], texts, base, config.choice, model)

    settings, plain = best(config.search, ngrams), best(config.search, None)
    write_json(out / "settings.json", asdict(settings))
    spool.note(
        f"Chosen on development: weight {settings.model_weight:g}, word score {settings.word_score:g}; "
        f"without n-grams, word score {plain.word_score:g}."
    )
    rows: list[dict[str, Any]] = []
    test, sound = parts["test"], heard["test"]
    rows += _rows(config, "greedy", test, greedy_texts(recogniser, sound))
    found = searched(searching(recogniser, sentences, plain, None), sound)
    rows += _rows(config, "lexicon", test, [each[0].text for each in found])
    varied = {"lexicon and n-grams": settings}
    for beam in config.beams:
        wider = beam >= config.search.beam
        varied[f"beam {beam}"] = (
            replace(settings, beam=beam) if wider else best(replace(config.search, beam=beam), ngrams)
        )
    varied["few tokens"] = replace(settings, tokens=config.tokens)
    varied["sure blanks skipped"] = replace(settings, blank_skip=config.blank_skip)
    for name, changed in varied.items():
        found = searched(searching(recogniser, sentences, changed, ngrams), sound, config.best)
        rows += _rows(config, name, test, [each[0].text for each in found])
        if name == "lexicon and n-grams":
            rows += _oracle(config, test, found)
            write_json(out / "found.json", _shown(test, found))
    known = set(words_of(sentences))
    spaced = [f" {text} " for text in sentences]
    said = [word for each in test for word in each.text.split()]
    about = {"seed": config.seed, "language": config.language, "decoder": "lexicon and n-grams"}
    others = [
        about | {"unknown": sum(word not in known for word in said) / len(said)},
        about | {"skipped": _skipped(sound, config.blank_skip)},
        about | {"contained": sum(any(f" {each.text} " in text for text in spaced) for each in test) / len(test)},
    ]
    write_rows(out, rows, ("wer", "cer", "oracle_wer"), others)


def _rows(config: Decoding, decoder: str, test: Sequence[Utterance], found: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for each, text in zip(test, found, strict=True):
        words = len(each.text.split())
        labels = about(each, config.seed) | {"decoder": decoder, "words": words, "letters": len(each.text)}
        rows.append(labels | {"wer": word_errors(each.text, text) / words})
        rows.append(labels | {"cer": letter_errors(each.text, text) / len(each.text)})
    return rows


def about(utterance: Utterance, seed: int) -> dict[str, Any]:
    """What a row says of the utterance that it measures.

    "case" tells it apart from other seeds' measurement; "voices" are the people of one model, as the game's two are.
    """
    return {
        "seed": seed,
        "utterance": utterance.id,
        "case": f"{seed} {utterance.id}",
        "language": utterance.language,
        "speaker": utterance.speaker,
        "voices": utterance.speaker.split()[0],
    }


def _oracle(
    config: Decoding, test: Sequence[Utterance], found: "Sequence[Sequence[Hypothesis]]"
) -> list[dict[str, Any]]:
    rows = []
    for each, best in zip(test, found, strict=True):
        words = len(each.text.split())
        fewest = min(word_errors(each.text, one.text) for one in best)
        labels = about(each, config.seed) | {"decoder": "lexicon and n-grams", "words": words}
        rows.append(labels | {"oracle_wer": fewest / words})
    return rows


def _skipped(heard: Heard, share: float) -> float:
    """The share of frames whose blank is sure after one that was."""
    import numpy as np

    within = np.arange(heard.emissions.shape[1]) < heard.frames[:, None]
    sure = (heard.emissions[:, :, 0] >= np.log(share)) & within
    return float((sure[:, 1:] & sure[:, :-1]).sum() / within.sum())


def _shown(test: Sequence[Utterance], found: "Sequence[Sequence[Hypothesis]]") -> list[dict[str, Any]]:
    """Some prompts with what was heard, to look at."""
    return [
        {"utterance": each.id, "said": each.text, "heard": [one.text for one in best[:3]]}
        for each, best in list(zip(test, found, strict=True))[:40]
    ]


def write_rows(
    out: Path, rows: Sequence[Mapping[str, Any]], quantities: Sequence[str], others: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Rows of single utterances to examples.parquet; their means, weighted as WEIGHTS says, to metrics.json."""
    import pyarrow
    import pyarrow.parquet

    single = {"utterance", "case", "words", "letters", "prompts", "speaker", "voices", "weight"}
    sums: dict[tuple[tuple[str, Any], ...], list[float]] = {}
    for row in rows:
        (quantity,) = (name for name in quantities if name in row)
        weight = row.get(WEIGHTS.get(quantity, ""), 1)
        key = tuple((name, value) for name, value in row.items() if name not in single and name != quantity)
        total = sums.setdefault((*key, ("", quantity)), [0.0, 0.0])
        total[0] += weight * row[quantity]
        total[1] += weight
    means = [{**dict(key[:-1]), key[-1][1]: total / weight} for key, (total, weight) in sums.items()]
    write_json(out / "metrics.json", [*means, *others])
    # The columns of a table are those of its first row, unless each row has all of them.
    columns = list(dict.fromkeys(name for row in rows for name in row))
    whole = [{name: row.get(name) for name in columns} for row in rows]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(whole), out / "examples.parquet")
