"""Beam search against flashlight-text's, a C++ library: texts and time at equal settings, on the prompts of test.

OMP_NUM_THREADS=1 python -m bench.speech PROMPTS SPECTRA MODEL DECODED LANGUAGE [--rounds 3]

PROMPTS, SPECTRA, MODEL and DECODED are the folders of speech's stages `prompts`, `spectra`, `models` and `decoded`, the
last two of one seed, whose language is LANGUAGE.
"""

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np
from flashlight.lib.text import decoder as theirs
from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary
from numpy.typing import NDArray
from pydantic import TypeAdapter

from models.speech.lexicon import Lexicon
from models.speech.ngram import Backoff, write_arpa
from models.speech.settings import Search
from tasks.speech.prompts import read_corpus
from tasks.speech.recognition import Heard, hear, language_model, searched, searching
from tasks.speech.spectra import read_spectra
from tasks.speech.training import Recogniser, load_recogniser


def main() -> None:
    """Print how often the texts are the same, and ratios of time: below 1 is in favour of Tenfold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("prompts", "spectra", "model", "decoded"):
        parser.add_argument(name, type=Path)
    parser.add_argument("language")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    corpus, recogniser = read_corpus(asked.prompts), load_recogniser(asked.model)
    spectra = read_spectra(asked.spectra, corpus.utterances)
    heard = hear(recogniser, [spectra[each.id] for each in corpus.split("test", asked.language)])
    chosen = json.loads((asked.decoded / "settings.json").read_text(encoding="utf-8"))
    search: Search = TypeAdapter(Search).validate_python(chosen, strict=False)
    merges: tuple[Literal["max", "sum"], ...] = ("max", "sum")
    for merge in merges:
        compare(recogniser, corpus.sentences[asked.language], replace(search, merge=merge), heard, asked.rounds)
    print(f"load average {os.getloadavg()[0]:.2f}")


def compare(recogniser: Recogniser, sentences: Sequence[str], search: Search, heard: Heard, rounds: int) -> None:
    """Both decoders in turns."""
    model = language_model(sentences, 3)
    ours = searching(recogniser, sentences, search, model)
    with tempfile.TemporaryDirectory() as folder:
        other = Flashlight(ours.lexicon, search, model, Path(folder))
    rows = [logs[:count] for logs, count in zip(heard.emissions, heard.frames, strict=True)]
    ratios: list[float] = []
    for _ in range(rounds):
        begun = time.process_time()
        found = [best[0].text for best in searched(ours, heard)]
        between = time.process_time()
        expected = [other(logs)[0][0] for logs in rows]
        ratios.append((between - begun) / (time.process_time() - between))
    same = float(np.mean([a == b for a, b in zip(found, expected, strict=True)]))
    print(f"{search.merge}: same best text {same:.1%} of {len(rows)}, time ours / theirs {median(ratios):.2f}")


class Flashlight:
    """Its lexicon decoder; KenLM gives log10, so the weight of the model is times ln 10."""

    def __init__(self, lexicon: Lexicon, search: Search, model: Backoff | None, folder: Path) -> None:
        self.lexicon = lexicon
        words = Dictionary(lexicon.words)
        if model is None:
            lm, weight = theirs.ZeroLM(), 0.0
        else:
            write_arpa(model, folder / "flashlight.arpa")
            lm, weight = KenLM(str(folder / "flashlight.arpa"), words), search.model_weight * math.log(10)
        trie = theirs.Trie(lexicon.children.shape[1], lexicon.separator)
        start = lm.start(False)
        for word, spelling in enumerate(lexicon.spellings):
            trie.insert(list(spelling), word, lm.score(start, word)[1])
        trie.smear(theirs.SmearingMode.MAX)
        options = theirs.LexiconDecoderOptions(
            beam_size=search.beam,
            beam_size_token=search.tokens or lexicon.children.shape[1],
            beam_threshold=search.threshold,
            lm_weight=weight,
            word_score=search.word_score,
            unk_score=-math.inf,
            sil_score=0.0,
            log_add=search.merge == "sum",
            criterion_type=theirs.CriterionType.CTC,
        )
        self._lm = lm  # the decoder does not keep it alive
        self._decoder = theirs.LexiconDecoder(options, trie, lm, lexicon.separator, 0, -1, [], False)

    def __call__(self, emissions: NDArray[np.float32]) -> list[tuple[str, float]]:
        """Texts with their scores, best first."""
        emissions = np.ascontiguousarray(emissions, np.float32)
        found = self._decoder.decode(emissions.ctypes.data, *emissions.shape)
        return [(" ".join(self.lexicon.words[word] for word in each.words if word >= 0), each.score) for each in found]


if __name__ == "__main__":
    main()
