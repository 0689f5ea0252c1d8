"""The decoder of flashlight-text as another witness: the same lexicon, n-gram model and settings."""

import math
from pathlib import Path

import numpy as np
from flashlight.lib.text import decoder as theirs
from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary
from numpy.typing import NDArray

from models.speech.lexicon import Lexicon
from models.speech.ngram import Backoff, write_arpa
from models.speech.settings import Search


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
