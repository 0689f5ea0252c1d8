"""How long beam search takes, by how few tokens it tries and which frames it skips."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from models.config import Count, Index, config
from models.speech.settings import Search
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.speech.decoding import Decoding
from tasks.speech.prompts import read_corpus
from tasks.speech.recognition import Heard, hear, language_model, searched, searching
from tasks.speech.spectra import read_spectra
from tasks.speech.training import load_recogniser

if TYPE_CHECKING:
    from models.speech.beam_search import BeamSearch


@config
class Timing:
    """How often each search is timed, in turns, and the made-up emissions of as many tokens as the paper's recipe has.

    The recipe: beam 10, 10 best, batches of 4, vocabulary of 500, no n-gram model
    (examples/asr/librispeech_cuda_ctc_decoder/README.md).
    """

    seed: Index = 0
    repeats: Count = 3
    decoding: Decoding = Decoding()
    tokens: Count = 500
    utterances: Count = 8
    frames: Count = 250


@measures(
    seconds="seconds of search for a second of sound, the median of several turns",
    times_faster="how many times faster than the same search without it, turn by turn the median",
    same="share of utterances with the same best text as without it",
)
def time_search(*, prompts: Path, spectra: Path, model: Path, decoded: Path, config: Timing, out: Path) -> None:
    """Write metrics.json: searches of the prompts of test, as development chose them, and of made-up ones."""
    from pydantic import TypeAdapter

    from models.speech.beam_search import BeamSearch
    from models.speech.lexicon import free

    corpus, recogniser = read_corpus(prompts), load_recogniser(model)
    decoding = replace(config.decoding, seed=config.seed)
    sounds = read_spectra(spectra, corpus.utterances)
    test = corpus.split("test", decoding.language)
    heard = hear(recogniser, [sounds[each.id] for each in test])
    chosen = json.loads((decoded / "settings.json").read_text(encoding="utf-8"))
    settings: Search = TypeAdapter(Search).validate_python(chosen, strict=False)
    sentences = corpus.sentences[decoding.language]
    ngrams = language_model(sentences, decoding.choice.order)

    def search(**changed: Any) -> BeamSearch:
        return searching(recogniser, sentences, replace(settings, **changed), ngrams)

    searches = {
        "all": search(),
        "few tokens": search(tokens=decoding.tokens),
        "sure blanks skipped": search(blank_skip=decoding.blank_skip),
        **{f"beam {beam}": search(beam=beam) for beam in decoding.beams},
    }
    rows = _timed("prompts", searches, heard, recogniser.model.seconds, 32, config)
    made = _made_up(config)
    recipe = Search(beam=10, merge="sum")
    lexicon = free(config.tokens)
    searches = {
        "all": BeamSearch(lexicon, recipe),
        "few tokens": BeamSearch(lexicon, replace(recipe, tokens=10)),
        "sure blanks skipped": BeamSearch(lexicon, replace(recipe, blank_skip=0.95)),
    }
    rows += _timed("made-up emissions", searches, made, 0.04, 4, config)
    write_json(out / "metrics.json", rows)


def _timed(
    what: str, searches: "Mapping[str, BeamSearch]", heard: Heard, unit: float, batch: int, config: Timing
) -> list[dict[str, Any]]:
    """Each search in turn, several times and every other time in reverse, so that a slow moment meets all of them; once
    before that for nothing, so that none is the first."""
    import numpy as np

    seconds: dict[str, list[float]] = {name: [] for name in searches}
    texts: dict[str, list[Any]] = {}
    for search in searches.values():
        searched(search, heard, 10, batch)
    for turn in range(config.repeats):
        for name, search in list(searches.items())[:: 1 if turn % 2 == 0 else -1]:
            begun = time.perf_counter()
            found = searched(search, heard, 10, batch)
            seconds[name].append(time.perf_counter() - begun)
            texts[name] = [best[0].tokens for best in found]
    sound = float(heard.frames.sum()) * unit
    rows = []
    for name in searches:
        faster = median(all_ / own for all_, own in zip(seconds["all"], seconds[name], strict=True))
        same = float(np.mean([a == b for a, b in zip(texts["all"], texts[name], strict=True)]))
        labels = {"seed": config.seed, "of": what, "search": name, "searched": f"{name}, {what}"}
        rows.append(labels | {"seconds": median(seconds[name]) / sound, "times_faster": faster, "same": same})
    return rows


def _made_up(config: Timing) -> Heard:
    """Emissions as sharp as a trained model's: mostly blank, a token every few frames, and rivals for some of them."""
    import numpy as np

    chance = np.random.default_rng([config.seed, 3])
    shape = (config.utterances, config.frames, config.tokens)
    scores = chance.standard_normal(shape).astype(np.float32)
    scores[:, :, 0] += np.where(chance.random(shape[:2]) < 0.25, 2.0, 14.0)
    for row in range(config.utterances):
        for frame in np.flatnonzero(scores[row, :, 0] < 9):
            first, second = chance.integers(1, config.tokens, 2)
            scores[row, frame, first] += 11
            scores[row, frame, second] += chance.uniform(5, 11)
    logs = scores - np.log(np.exp(scores - scores.max(-1, keepdims=True)).sum(-1, keepdims=True))
    logs -= scores.max(-1, keepdims=True)
    return Heard(logs, np.full(config.utterances, config.frames, np.int64))
